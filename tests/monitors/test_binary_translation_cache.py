"""The translation cache: chaining, look-ups, units that stop being true, a cache that fills, and adaptive stores."""
import pytest
from machine.bare import DATA
from monitors.paged import ALL, FRAMES, PRESENT, USER, WINDOW, Tables, run
from monitors.test_binary_translation import both, exits, translated

import pvlab
from pvlab.machine.x86 import cpu as c
from pvlab.monitors import BinaryTranslation, Native

LOOP = "mov ${n}, %ecx; 1: call 2f; dec %ecx; jnz 1b; cli; hlt; 2: inc %eax; ret"


def grown(few, many):
    return {reason: many.get(reason, 0) - few.get(reason, 0) for reason in many if many[reason] != few.get(reason, 0)}


# ---------------------------------------------------------------------------------------------- branches and look-ups
def test_a_warm_loop_never_leaves_the_cache():
    few, many = (both(LOOP.format(n=n)) for n in (10, 5000))
    assert grown(exits(few), exits(many)) == {}
    assert many.monitor.statistics.looked_up - few.monitor.statistics.looked_up == 4990, "each return is looked up"
    assert many.monitor.statistics.missed == few.monitor.statistics.missed <= 1


def test_a_unit_that_follows_its_only_jump_is_not_jumped_to():
    result = both("mov $300, %ecx; 1: cmp $9, %ecx; je 2f; inc %eax; cmp $7, %ecx; je 2f; inc %edx; 2: dec %ecx; jnz 1b; cli; hlt")
    found = result.monitor.statistics
    assert 3 <= found.elided < found.chained
    units = result.monitor.cache.all()
    assert any(one.at + one.notes.end - 5 == other.at for one in units for other in units)


def test_without_chaining_each_branch_leaves_the_cache():
    few, many = (both(LOOP.format(n=n), translated(chaining=False)) for n in (10, 60))
    assert grown(exits(few), exits(many)) == {"dispatch": 50 * 2}, "the call and the jump; the return is looked up"
    assert many.monitor.statistics.chained == 0


def test_without_emulation_in_the_cache_each_sensitive_instruction_is_a_callout():
    loop = "mov ${n}, %ecx; 1: pushf; cli; popf; loop 1b; hlt"
    few, many = (both(loop.format(n=n), translated(in_cache=False)) for n in (10, 60))
    assert grown(exits(few), exits(many)) == {"pushf": 50, "cli": 50, "popf": 50}
    few, many = (both(loop.format(n=n)) for n in (10, 60))
    assert grown(exits(few), exits(many)) == {}
    assert many.monitor.statistics.emulated - few.monitor.statistics.emulated == 150


def test_two_targets_that_share_a_slot_of_the_hash_table_take_turns():
    text = "mov ${n}, %ecx; mov $0x110100, %esi; mov $0x120100, %edi; 1: call *%esi; call *%edi; dec %ecx; jnz 1b; cli; hlt"
    memory = {0x110100: b"\x40\xc3", 0x120100: b"\x43\xc3"}
    few, many = (both(text.format(n=n), memory=memory) for n in (10, 60))
    assert grown(exits(few), exits(many)) == {"dispatch": 100}
    assert many.monitor.statistics.missed - few.monitor.statistics.missed == 100


def test_a_full_cache_is_emptied_and_goes_on():
    body = "".join(f"call f{i};" for i in range(60))
    functions = "".join(f"f{i}: add ${i}, %eax; cmp ${i}, %edx; je g{i}; xor ${i}, %ebx; g{i}: ret;" for i in range(60))
    text = f"mov $12, %ecx; 1: {body} dec %ecx; jnz 1b; cli; hlt; {functions}"
    result, large = both(text, translated(cache_size=4096)), both(text)
    assert result.monitor.statistics.flushes > 12 and large.monitor.statistics.flushes == 0
    assert result.monitor.cache.used <= 4096
    assert result.monitor.statistics.retranslated > 10 * 60 and large.monitor.statistics.retranslated == 0


@pytest.mark.parametrize("size", [0, 4095, (2 << 20) + 1])
def test_a_cache_of_no_use_is_refused(size):
    with pytest.raises(pvlab.PvlabError, match=f"translation cache of {size} bytes"):
        BinaryTranslation(cache_size=size)


# ---------------------------------------------------------------------------------------------- code that changes
SELF_MODIFYING = {
    "the next instruction": "movb $0x43, 1f; 1: inc %eax; cli; hlt",
    "the same unit, further on": "nop; movb $0x43, 1f; inc %ecx; inc %edx; 1: inc %eax; inc %esi; cli; hlt",
    "itself": "mov $3, %ecx; 1: addl $1, 1b + 6; loop 1b; cli; hlt",
    "a unit that was chained": "mov $3, %ecx; 1: call 2f; movb $0x43, 2f; loop 1b; cli; hlt; 2: inc %eax; ret",
    "a unit that is looked up": "mov $3, %ecx; mov $2f, %esi; 1: call *%esi; movb $0x43, 2f; loop 1b; cli; hlt; 2: inc %eax; ret",
    "a unit that follows without a jump": "mov $3, %ecx; 1: cmp $9, %ecx; je 2f; 3: inc %eax; inc %edx; 2: movb $0x43, 3b;"
                                          "loop 1b; cli; hlt",
    "by a string": f"mov $new, %esi; mov $2f, %edi; mov $2, %ecx; call 2f; rep movsb; call 2f; cli; hlt; 2: inc %eax; inc %eax;"
                   "ret; new: inc %ebx; inc %edx",
    "by a push": "call 2f; mov %esp, %ebp; mov $2f + 4, %esp; push $0xc3434343; mov %ebp, %esp; call 2f; cli; hlt;"
                 ".align 8; 2: inc %eax; inc %eax; inc %eax; ret",
    "by a call": "call 2f; mov %esp, %ebp; mov $2f + 4, %esp; jmp 4f; 3: mov %ebp, %esp; cli; hlt; 4: call 3b; .align 8;"
                 "2: inc %eax; inc %eax; inc %eax; ret",
    "data beside code": "mov $200, %ecx; 1: incl 2f; add 2f, %eax; loop 1b; cli; hlt; 2: .long 0",
    "the loop it runs in": "mov $4, %ecx; 1: inc %eax; incb 1b; andb $0x43, 1b; orb $0x40, 1b; dec %ecx; jnz 1b; cli; hlt",
}


@pytest.mark.parametrize("options", [{}, {"chaining": False}, {"adaptive": False}], ids=["", "no chaining", "not adaptive"])
def test_code_that_is_written_over_is_translated_again(options):
    for name, text in SELF_MODIFYING.items():
        try:
            result = both(text, translated(**options))
            assert exits(result)["code-write"] >= 1
        except AssertionError as error:
            raise AssertionError(f"{name}: {error}") from error


def paged(tables, program, monitor=BinaryTranslation, **how):
    """Both ends of a program with paging on."""
    ends = [run(each, tables, program, **how) for each in (Native, monitor)]
    native, other = ends
    assert (native.outcome, native.status, native.count) == (other.outcome, other.status, other.count)
    assert native.regs[:] == other.regs[:]
    assert native.machine.ram.bytes[:] == other.machine.ram.bytes[:]
    assert native.processor.cr2 == other.processor.cr2
    return other


CODE_A, CODE_B = b"\x83\xc0\x01\xc3", b"\x83\xc3\x10\xc3"          # add $1, %eax; ret, and add $0x10, %ebx; ret


@pytest.mark.parametrize("pae", [True, False], ids=["PAE", "two-level"])
def test_a_page_of_code_that_is_mapped_anew_is_translated_anew(pae):
    tables = Tables(pae)
    at = tables.map(WINDOW, FRAMES | ALL)
    result = paged(tables, f"""
        xor %eax, %eax; xor %ebx, %ebx; mov $5, %ecx; mov ${WINDOW}, %esi
    1:  call *%esi; call *%esi; call 2f; xorl $0x1000, {at}; invlpg {WINDOW}; call *%esi; loop 1b
        cli; hlt
    2:  jmp {WINDOW}""", memory={FRAMES: CODE_A, FRAMES + 4096: CODE_B})
    assert result.regs[c.EAX] and result.regs[c.EBX] and result.monitor.statistics.dropped >= 5


@pytest.mark.parametrize("pae", [True, False], ids=["PAE", "two-level"])
def test_another_address_space_has_other_code(pae):
    one, other = Tables(pae), Tables(pae, root=0x340000, free=0x350000)
    one.map(WINDOW, FRAMES | ALL)
    other.map(WINDOW, FRAMES + 4096 | ALL)
    for tables in (one, other):
        for page in range(0x300000, 0x400000, 4096):
            tables.map(page, page | ALL)
    paged(one, f"""
        xor %eax, %eax; xor %ebx, %ebx; mov $6, %ecx; mov ${WINDOW}, %esi; mov ${one.root}, %edx
    1:  call *%esi; call {WINDOW}; xor ${one.root ^ other.root}, %edx; mov %edx, %cr3; call *%esi; loop 1b
        cli; hlt""", memory={**other.memory(), FRAMES: CODE_A, FRAMES + 4096: CODE_B})


def test_code_written_through_another_mapping_is_translated_anew():
    tables = Tables(True)
    tables.map(WINDOW, FRAMES | ALL)
    tables.map(WINDOW + 4096, FRAMES | ALL)
    paged(tables, f"mov ${WINDOW}, %esi; call *%esi; movb $0x43, {WINDOW + 4096}; movb $0x90, {FRAMES + 1}; call *%esi; cli; hlt",
          memory={FRAMES: b"\x40\x40\xc3"})


def test_accessed_bits_of_code_are_those_of_the_bare_machine():
    tables = Tables(True)
    at = [tables.map(WINDOW + 4096 * page, FRAMES | ALL) for page in range(3)]
    paged(tables, f"""mov ${WINDOW}, %esi; call *%esi; andl $~0x20, {at[0]}; invlpg {WINDOW}; mov {at[0]}, %ebx
        add $4096, %esi; call *%esi; mov {at[0]}, %ecx; sub $4096, %esi; call *%esi; mov {at[0]}, %edx; mov {at[2]}, %edi
        cli; hlt""", memory={FRAMES: b"\x40\xc3"})


# ---------------------------------------------------------------------------------------------- stores that trap often
UPDATES = """
        mov     ${n}, %ecx
        mov     {at}, %eax; mov {at} + 4, %edx; xor %ebp, %ebp
    1:  {store}
        invlpg  {window}
        add     {window}, %ebp
        dec     %ecx; jnz 1b
        cli; hlt"""
STORES = {
    "cmpxchg8b": "push %ecx; 2: mov %eax, %ebx; xor $0x1000, %ebx; mov %edx, %ecx; lock cmpxchg8b {at}; jne 2b; pop %ecx",
    "mov": "xor $0x1000, %eax; mov %eax, {at}",
    "mov, by a register": "mov ${at}, %esi; xor $0x1000, %eax; mov %eax, (%esi)",
    "mov of ESI": "mov %eax, %esi; xor $0x1000, %esi; mov %esi, {at}; mov %esi, %eax",
    "mov of a constant": "movl ${new}, {at}; movl ${old}, {at}",
}


def updates(store, n, monitor=BinaryTranslation, adaptive=True):
    tables = Tables(True)
    at = tables.map(WINDOW, FRAMES | ALL)
    names = {"at": at, "window": WINDOW, "new": FRAMES + 0x1000 | ALL, "old": FRAMES | ALL}
    text = UPDATES.format(n=n, store=STORES[store].format(**names), **names)
    return paged(tables, text, translated(adaptive=adaptive),
                 memory={FRAMES: (1).to_bytes(4, "little"), FRAMES + 0x1000: (0x100).to_bytes(4, "little")})


@pytest.mark.parametrize("store", STORES)
def test_a_store_that_often_hits_a_page_table_gets_a_handler_in_the_cache(store):
    stores = 2 if "constant" in store else 1
    writes = 2 if store == "cmpxchg8b" else stores       # the first compares with an entry that has been used since
    few, many = (updates(store, n) for n in (20, 70))
    assert grown(exits(few), exits(many)) == {"invlpg": 50, "page-fault:shadow": 50}
    assert exits(many)["page-table-write"] == 3 * stores
    assert 3 * stores < exits(many)["write-callout"] <= 4 * stores, "three, and one that opens the window for both"
    assert many.monitor.statistics.adapted == 2 * stores
    assert many.monitor.statistics.emulated - few.monitor.statistics.emulated == 50 * writes
    never = [updates(store, n, adaptive=False) for n in (20, 70)]
    assert grown(*map(exits, never)) == {"invlpg": 50, "page-fault:shadow": 50, "page-table-write": 50 * writes}


def test_a_store_that_rarely_hits_a_page_table_is_copied_again():
    tables = Tables(True)
    at = tables.map(WINDOW, FRAMES | ALL)
    text = f"""mov ${{n}}, %ecx; mov ${at}, %esi; mov (%esi), %eax
        mov {WINDOW}, %ebx
    1:  mov %eax, (%esi); cmp ${{n}} - 4, %ecx; jne 2f; mov ${DATA}, %esi; 2: dec %ecx; jnz 1b; cli; hlt"""
    few, many = (paged(tables, text.format(n=n)) for n in (40, 140))
    assert grown(exits(few), exits(many)) == {}
    assert exits(many)["write-callout"] >= 8


def test_a_window_closes_when_its_page_table_is_mapped_elsewhere_or_read_only():
    """The handler finds no window then, and the store faults or goes where it now leads."""
    tables = Tables(True)
    at = tables.map(WINDOW, FRAMES | ALL)
    alias = WINDOW + 0x10000
    entry = tables.map(alias, (at & ~4095) | ALL)
    moved, locked = FRAMES + 0x3000 | ALL, (at & ~4095) | PRESENT | USER
    text = f"""
        mov ${alias + (at & 4095)}, %esi; mov (%esi), %eax; mov $20, %ecx
    1:  xor $0x1000, %eax; call 2f; invlpg {WINDOW}; add {WINDOW}, %ebp; loop 1b
        movl ${moved}, {entry}; invlpg {alias}; xor $0x1000, %eax; call 2f
        movl ${locked}, {entry}; invlpg {alias}; call 2f; ud2
    2:  mov %eax, (%esi); ret"""
    result = paged(tables, text, memory={FRAMES: b"\x01", FRAMES + 0x1000: b"\x20"})
    assert result.status == 14 and result.monitor.statistics.adapted == 2


# ---------------------------------------------------------------------------------------------- statistics
def test_statistics_count_what_they_say():
    guest = pvlab.guest("kernel", workload="interrupt-flags", n=50)
    monitor = BinaryTranslation()
    monitor.run(guest)
    found = monitor.statistics
    assert found.units == sum(reason == "translate" for reason, *_ in monitor.trace.exits)
    assert found.instructions == found.ident + found.rewritten + found.in_cache + found.callouts
    assert 0.6 < found.ident_fraction < 1 and 1 < found.expansion < 4
    assert found.emulated >= 150, "PUSHF, CLI and POPF"
    assert found.hits == found.looked_up - found.missed
    assert set(found.to_dict()) >= {"units", "ident_fraction", "chained", "hits", "expansion", "flushes"}
    assert "IDENT" in found.table().text() and repr(found) == found.table().text()

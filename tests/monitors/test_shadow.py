"""Shadow page tables: the guest sees its own page tables at work, and nothing of ours.

Each program runs on the bare machine and under trap-and-emulate, and must leave the same memory, accessed and dirty
bits included.
"""
import pytest
from machine.bare import code_of, frame
from monitors.paged import ALL, FORMS, FRAMES, NO_EXECUTE, PRESENT, USER, WINDOW, WRITE, Tables, both, run, to_ring_3

from pvlab.machine.x86.cpu import EBX, TF
from pvlab.monitors import Native


# ---------------------------------------------------------------------------------------------- whose fault it is
@FORMS
def test_hidden_faults_are_not_seen_by_the_guest(pae):
    tables = Tables(pae)
    for page in range(8):
        tables.map(WINDOW + 4096 * page, FRAMES + 4096 * page | ALL)
    native, emulated = both(tables, f"""
        mov     $0x1234, %eax; mov %eax, %cr2
        mov     ${WINDOW}, %edi; mov $8, %ecx
    1:  mov     (%edi), %eax; incl (%edi); add $0x1000, %edi; loop 1b
        cli; hlt""")
    assert emulated.outcome == "halted" and not emulated.run.trace.events
    assert native.processor.cr2 == 0x1234
    hidden = emulated.run.trace.by_reason()["page-fault:shadow"]
    assert 16 <= hidden <= 30, "one for reading each page, one for its first write, and some for code and data"


ACCESSES = {"read": "mov (%ebx), %eax", "write": "mov %eax, (%ebx)", "read and write": "incl (%ebx)",
            "execute": "call *%ebx"}
FAULTS = [   # entry, access, ring, error code (present 1, write 2, user 4, reserved bit 8, fetch 16); PAE with NX
    (0, "read", 0, 0), (0, "write", 0, 2), (0, "execute", 0, 16), (0, "read", 3, 4), (0, "write", 3, 6),
    (0, "execute", 3, 20),
    (WRITE | USER, "read and write", 3, 4), (PRESENT | USER, "write", 3, 7), (PRESENT | USER, "read and write", 3, 7),
    (PRESENT | USER, "write", 0, 3), (PRESENT | WRITE, "read", 3, 5), (PRESENT | WRITE, "write", 3, 7),
    (PRESENT | WRITE, "execute", 3, 21), (PRESENT, "write", 3, 7), (ALL | NO_EXECUTE, "execute", 0, 17),
    (ALL | NO_EXECUTE, "execute", 3, 21), (ALL | 1 << 60, "read", 0, 9), (ALL | 1 << 60, "write", 3, 15),
    (ALL | 1 << 52, "execute", 0, 25),
]


@pytest.mark.parametrize("entry, access, ring, code", FAULTS)
def test_true_faults_have_the_guests_error_code(entry, access, ring, code):
    tables = Tables(True)
    tables.map(WINDOW, FRAMES | entry)
    start = to_ring_3() if ring else ""
    for _, result in zip("12", both(tables, f"{start} mov ${WINDOW + 0x123}, %ebx; here: {ACCESSES[access]}; ud2")):
        at = WINDOW + 0x123 if access == "execute" else result.symbols["here"]
        assert (result.status, frame(result, 3)) == (14, [code, at, code_of(ring)])
        assert result.processor.cr2 == WINDOW + 0x123
    assert result.run.trace.by_reason()["page-fault:guest"] == 1
    assert result.run.trace.events.counts() == {"page-fault": 1}


@pytest.mark.parametrize("entry, access, ring, code", [
    (0, "execute", 0, 0), (PRESENT | WRITE, "execute", 3, 5), (PRESENT | USER, "write", 0, 3), (0, "write", 3, 6)])
def test_without_no_execute_bits_a_fetch_is_a_read(entry, access, ring, code):
    tables = Tables(False)
    tables.map(WINDOW, FRAMES | entry)
    start = to_ring_3() if ring else ""
    _, result = both(tables, f"{start} mov ${WINDOW + 0x123}, %ebx; {ACCESSES[access]}; ud2")
    assert (result.status, frame(result, 1)) == (14, code)


def test_a_fault_in_the_second_page_of_an_access_names_that_page():
    tables = Tables(True)
    tables.map(WINDOW, FRAMES | ALL)
    tables.map(WINDOW + 4096, 0)
    for instruction in ("mov (%ebx), %eax", "mov %eax, (%ebx)", "push (%ebx)"):
        _, result = both(tables, f"mov ${WINDOW + 4094}, %ebx; {instruction}")
        assert (result.status, result.processor.cr2) == (14, WINDOW + 4096)


@FORMS
@pytest.mark.parametrize("code, needs", [("43 43 b8 78", 2), ("43 a1 00 10 00 40", 1), ("43 43 43 43", 4)],
                         ids=["goes on there", "reads there", "is there"])
def test_a_missing_page_of_code_is_missed_by_the_instruction_that_needs_it(pae, code, needs):
    """The engine reads a whole block before it runs any of it, and reports the fault at the block's beginning."""
    code, tables = bytes.fromhex(code), Tables(pae)
    tables.map(WINDOW, FRAMES | ALL)
    at = WINDOW + 4096 - len(code)
    for result in both(tables, f"xor %ebx, %ebx; mov ${at}, %ecx; jmp *%ecx", memory={FRAMES + 4096 - len(code): code}):
        assert (result.status, frame(result, 2)[1]) == (14, at + needs)
        assert result.processor.cr2 == WINDOW + 4096
        assert result.regs[EBX] == needs


def test_flags_that_are_pushed_on_the_way_to_a_missing_page_show_no_trap_flag():
    tables = Tables(True)
    tables.map(WINDOW, FRAMES | ALL)
    code = {FRAMES + 4093: bytes.fromhex("9c 5b b8")}                     # pushf; pop %ebx; mov, but for its operand
    result = run(Native, tables, f"mov ${WINDOW + 4093}, %ecx; jmp *%ecx", memory=code)
    assert (result.status, frame(result, 2)[1]) == (14, WINDOW + 4095)
    assert not result.regs[EBX] & TF


# ---------------------------------------------------------------------------------------------- tables in use
@FORMS
@pytest.mark.parametrize("how", [
    "movl ${new}, {at}", "mov ${new}, %eax; xchg %eax, {at}", "andl $~0xfff, {at}; orl ${new}, {at}",
    "mov ${at}, %edi; mov ${new}, %eax; stosl", "mov $new, %esi; mov ${at}, %edi; mov $4, %ecx; rep movsb",
    "mov %esp, %ebp; mov ${at} + 4, %esp; push ${new}; mov %ebp, %esp",
    "mov {at}, %eax; mov {at} + 4, %edx; mov ${new}, %ebx; mov %edx, %ecx; lock cmpxchg8b {at}",
    "movb ${new} >> 8 & 0xff, {at} + 1; movw ${new} >> 16, {at} + 2; movb ${new} & 0xff, {at}",
], ids=lambda text: text.split("; ")[-1])
def test_a_write_to_a_page_table_takes_effect_however_it_is_made(pae, how):
    tables = Tables(pae)
    at = tables.map(WINDOW, FRAMES | ALL)
    new = FRAMES + 0x2000 | ALL
    native, emulated = both(tables, f"""
        mov     {WINDOW}, %esi
        {how.format(at=at, new=new)}
        invlpg  {WINDOW}
        mov     {WINDOW}, %edi
        cli; hlt; .align 8; new: .long {new}""", memory={FRAMES: b"ABCD", FRAMES + 0x2000: b"abcd"})
    assert emulated.outcome == "halted"
    assert emulated.regs[6].to_bytes(8, "little")[:4] == b"ABCD" or "movsb" in how
    assert emulated.regs[7].to_bytes(8, "little")[:4] == b"abcd"
    assert emulated.run.trace.by_reason()["page-table-write"] >= 1


@FORMS
def test_a_write_to_a_page_table_costs_one_exit_and_a_use_one_more(pae):
    tables = Tables(pae)
    at = tables.map(WINDOW, FRAMES | ALL)
    loop = f"""
        mov     ${{n}}, %ecx
    1:  xorl    $0x1000, {at}
        invlpg  {WINDOW}
        mov     {WINDOW}, %eax
        dec     %ecx; jnz 1b
        cli; hlt"""
    few, many = (both(tables, loop.format(n=n))[1].run.trace.by_reason() for n in (4, 104))
    assert {name: many[name] - few[name] for name in many if many[name] != few[name]} == {
        "page-table-write": 100, "invlpg": 100, "page-fault:shadow": 100}


@FORMS
def test_accessed_and_dirty_bits_are_as_on_the_bare_machine(pae):
    """Each combination of reading, writing and executing, from ring 0 and ring 3; then they are cleared, and again."""
    tables = Tables(pae)
    for page in range(12):
        tables.map(WINDOW + 4096 * page, FRAMES + 4096 * page | ALL)
    entry = tables.entry(WINDOW)
    use = "".join(f"mov ${WINDOW + 4096 * (page + 6 * ring)}, %ebx; {ACCESSES[access]};"
                  for page, access in enumerate(("read", "write", "execute")) for ring in (0,))
    native, emulated = both(tables, f"""
        {use}
        mov     ${entry}, %edi; mov $12, %ecx
    1:  andl    $~0x60, (%edi); add ${tables.width}, %edi; loop 1b
        mov     %cr3, %eax; mov %eax, %cr3
        mov     {WINDOW + 4096}, %eax
        mov     %cr3, %eax; mov %eax, %cr3
        incl    {WINDOW}
        {to_ring_3()}
        mov     {WINDOW + 4 * 4096}, %eax
        mov     %eax, {WINDOW + 5 * 4096}
        mov     ${WINDOW + 6 * 4096}, %ebx; call *%ebx
        ud2""", memory={FRAMES + 4096 * page: b"\xc3" for page in range(12)})
    bits = [native.machine.ram.u32(entry + tables.width * page) >> 5 & 3 for page in range(8)]
    assert bits == [3, 1, 0, 0, 1, 3, 1, 0], "1: accessed, 2: dirty"

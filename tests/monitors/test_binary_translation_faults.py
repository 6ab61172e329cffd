"""Precise faults, wrong code, and the monitor's own place: whatever happens in the cache, the guest sees its own state."""
import json

import pytest
from machine.bare import CODE, DATA, GDT, bare, data_of
from monitors.paged import ALL, FRAMES, NO_EXECUTE, PRESENT, WINDOW, WRITE, Tables, run, to_ring_3
from monitors.test_binary_translation import both, translated
from monitors.test_binary_translation_cache import paged

import pvlab
from pvlab.machine.x86 import cpu as c
from pvlab.machine.x86.segments import descriptor
from pvlab.monitors import BinaryTranslation, Native
from pvlab.monitors.binary_translation import vmem
from pvlab.monitors.binary_translation.space import SPAN

HOLE = WINDOW + 0x20000                       # not mapped
REGISTERS = ("mov $0x11111111, %eax; mov $0x22222222, %ecx; mov $0x33333333, %edx; mov $0x44444444, %ebx;"
             "mov $0x66666666, %esi; mov $0x77777777, %edi; mov $0x7fffffff, %ebp; inc %ebp; stc;")

# Each faults at `here`, with every register and flag as set above: what a sequence has used for itself is not seen.
FAULTING = {
    "copied": f"here: mov %eax, {HOLE}", "copied, with a lock": f"here: lock; xadd %eax, {HOLE}",
    "a string": f"mov ${HOLE} - 6, %edi; mov $3, %ecx; here: rep stosl", "divide": "xor %cl, %cl; here: div %cl",
    "an invalid opcode": "here: ud2", "no opcode at all": "here: .byte 0x0f, 0x04", "general protection": "here: lock; nop",
    "a call": f"mov ${HOLE}, %esp; here: call main", "a call through a register": f"mov ${HOLE}, %esp; here: call *%edx",
    "a call through memory": f"here: call *{HOLE}", "a jump": f"here: jmp *{HOLE}",
    "a call through memory, its stack": f"mov ${HOLE}, %esp; here: call *{DATA}",
    "a return": f"mov ${HOLE}, %esp; here: ret", "a return that releases": f"mov ${HOLE}, %esp; here: ret $16",
    "PUSHF": f"mov ${HOLE}, %esp; here: pushf", "POPF": f"mov ${HOLE}, %esp; here: popf",
    "PUSHF across pages": f"mov ${WINDOW} + 2, %esp; here: pushf",
    "POPF across pages": "mov $WINDOW_END - 2, %esp; here: popf", "a return across pages": "mov $WINDOW_END - 1, %esp; here: ret",
    "PUSH CS": f"mov ${HOLE}, %esp; here: push %cs", "PUSH SS": f"mov ${HOLE}, %esp; here: push %ss",
    "MOV from CS": f"here: mov %cs, {HOLE}", "MOV from SS, by EAX": f"mov ${HOLE}, %eax; here: mov %ss, (%eax)",
    "STR": f"here: str {HOLE}", "SMSW": f"mov ${HOLE}, %ecx; here: smsw (%ecx)",
    "SGDT": f"here: sgdt {HOLE}", "SIDT, its second half": "here: sidt WINDOW_END - 2",
    "a callout": f"here: lgdt {HOLE}", "LAR": f"here: lar {HOLE}, %eax", "a segment load": "here: mov %bx, %es",
    "a port": f"mov ${HOLE}, %edi; mov $0x80, %dx; here: insb",
}


@pytest.mark.parametrize("in_cache", [True, False], ids=["in the cache", "callouts"])
def test_faults_are_the_guests_own(in_cache):
    tables = Tables(True)
    tables.map(WINDOW, FRAMES | ALL)
    names = f".set WINDOW_END, {WINDOW + 4096};"
    for name, text in FAULTING.items():
        program = f"{names} {REGISTERS} main: nop; nop; {text}; nop; hlt"
        try:
            result = paged(tables, program, translated(in_cache=in_cache))
            assert result.outcome == "shutdown" or "triple fault" in result.detail, "where the stack is what is missing"
            if result.outcome == "shutdown":
                esp = result.regs[c.ESP]
                assert result.symbols["here"] in result.words(esp - WINDOW + FRAMES if esp >= WINDOW else esp, 2)
        except AssertionError as error:
            raise AssertionError(f"{name}: {error}") from error


def test_a_fault_with_a_handler_goes_on_in_the_middle_of_a_unit():
    tables = Tables(True)
    entry = tables.map(WINDOW, 0)
    handler = f"handler: movl ${FRAMES | ALL}, {entry}; add $4, %esp; iret"
    result = paged(tables, f"{REGISTERS} sub $1, %eax; nop; lock; xadd %ecx, {WINDOW}; pushf; pop %edx; cli; hlt; {handler}",
                   gates={14: "handler"}, memory={FRAMES: b"\x01\x02\x03\x04"})
    assert result.outcome == "halted" and result.regs[c.ECX] == 0x04030201


# ---------------------------------------------------------------------------------------------- code that is none
WRONG = {
    "into a page that is not there": (WINDOW + 4096 - 3, b"\x40\x43\x41", {}),
    "an instruction that ends there": (WINDOW + 4096 - 3, b"\x40\xb8\x01", {}),
    "into a page that is no code": (WINDOW + 4096 - 3, b"\x40\x43\x41", {WINDOW + 4096: FRAMES + 4096 | ALL | NO_EXECUTE}),
    "no-execute": (WINDOW + 4096, b"", {WINDOW + 4096: FRAMES + 4096 | ALL | NO_EXECUTE}),
    "a reserved bit": (WINDOW + 4096, b"", {WINDOW + 4096: FRAMES + 4096 | ALL | 1 << 55}),
    "not mapped": (WINDOW + 0x5000, b"", {}), "an invalid opcode": (WINDOW, b"\x40\x0f\x04\x40", {}),
    "an instruction across two pages": (WINDOW + 4096 - 2, b"\x40\xb8\x01\x02\x03\x04\xf4",
                                        {WINDOW + 4096: FRAMES + 4096 | ALL}),
    "an invalid one across two pages": (WINDOW + 4096 - 2, b"\x40\x0f\x04", {WINDOW + 4096: FRAMES + 4096 | ALL}),
    "the middle of an instruction": (WINDOW + 1, b"\xb8\x40\x43\xf4\x00", {}),
}


@pytest.mark.parametrize("way", ["jmp *%ecx", "push %ecx; ret", "jmp {at}"])
def test_code_that_is_none_ends_as_on_the_bare_machine(way):
    for name, (at, code, pages) in WRONG.items():
        tables = Tables(True)
        tables.map(WINDOW, FRAMES | ALL)
        for page, entry in pages.items():
            tables.map(page, entry)
        start = at if name != "the middle of an instruction" else at - 1
        try:
            result = paged(tables, f"xor %eax, %eax; xor %ebx, %ebx; mov ${at}, %ecx; {way.format(at=at)}",
                           memory={FRAMES + start - WINDOW: code} if code else {})
            assert result.outcome in ("shutdown", "halted")
        except AssertionError as error:
            raise AssertionError(f"{name}: {error}") from error


def test_page_tables_outside_memory_end_the_run_with_a_sentence():
    result = run(BinaryTranslation, Tables(True), "mov $0x7777000, %eax; mov %eax, %cr3; nop")
    assert result.outcome == "crashed" and "outside RAM" in result.detail


# ---------------------------------------------------------------------------------------------- interrupts
TIMER = ("mov $0x11, %al; out %al, $0x20; mov $0x20, %al; out %al, $0x21; mov $4, %al; out %al, $0x21; mov $1, %al;"
         "out %al, $0x21; mov $0xfe, %al; out %al, $0x21; mov $0x34, %al; out %al, $0x43; mov $100, %al; out %al, $0x40;"
         "xor %al, %al; out %al, $0x40; mov $200000, %ecx; 1: loop 1b;")       # the timer has ticked, interrupts off
TICK = "tick: incl 0x210000; push %eax; mov $0xff, %al; out %al, $0x21; mov $0x20, %al; out %al, $0x20; pop %eax; iret"


@pytest.mark.parametrize("enable, ticks", [
    ("sti; nop; nop", 1), ("sti; cli; nop", 0), ("pushf; orl $0x200, (%esp); popf; nop", 1), ("sti; hlt", 1),
    (f"mov ${data_of(0)}, %eax; sti; mov %ax, %ss; nop; nop", 1), ("sti; push $2; popf; nop", 1), ("sti; ud2", 1),
    ("push $2; popf; nop; nop", 0)])
def test_an_interrupt_that_waited_comes_when_the_guest_lets_it(enable, ticks):
    result = both(TIMER + f"movl $0, 0x210000; {enable}; back: cli; hlt; {TICK}; fault: movl $back, (%esp); iret",
                  gates={0x20: "tick", 6: "fault"})
    assert result.words(DATA) == ticks


@pytest.mark.parametrize("body", ["nop; nop; inc %edx", "call 2f; call 2f", "mov $2f, %esi; call *%esi", "pushf; cli; popf",
                                  "mov $5, %ecx; mov $0x211000, %edi; rep stosb; inc %edx"])
def test_interrupts_come_between_two_instructions_of_the_guest(body):
    """In a loop that counts what it does, ticks at all times: none is lost, and the loop never notices."""
    start = TIMER.replace("mov $200000, %ecx; 1: loop 1b;", "").replace("$100", "$20")
    program = start + f"""sti; mov $20000, %ebx; 1: {body}; dec %ebx; jnz 1b; cli; hlt; 2: inc %edx; ret
        tick: push %eax; mov $0x20, %al; out %al, $0x20; incl {DATA}; pop %eax; iret"""
    native, other = (bare(program, monitor, gates={0x20: "tick"}) for monitor in (Native, BinaryTranslation))
    assert native.outcome == other.outcome == "halted"
    assert native.regs[:] == other.regs[:]
    assert other.words(DATA) > 2 and abs(other.words(DATA) - native.words(DATA)) <= 1


# ---------------------------------------------------------------------------------------------- our place in the guest's space
def place(result):
    return result.monitor.shadow.base


def test_user_code_does_not_reach_the_monitor():
    base = place(bare("hlt", BinaryTranslation))
    for offset in (0, vmem.KNOWN, vmem.TABLE, vmem.CACHE):
        for access in ("mov (%ebx), %eax", "mov %eax, (%ebx)", "jmp *%ebx"):
            paged(Tables(True), f"{to_ring_3()} mov ${base + offset}, %ebx; {access}; ud2")


@pytest.mark.parametrize("offset", [vmem.KNOWN, vmem.TABLE, vmem.TABLE + 0x7FFF0, vmem.WINDOWS, vmem.CACHE, vmem.CACHE + 64, SPAN - 4])
def test_a_kernel_that_writes_or_jumps_to_the_monitors_place_faults_as_if_nothing_were_there(offset):
    base = place(bare("hlt", BinaryTranslation))
    for access in ("mov %eax, (%ebx)", "push (%esp); pop (%ebx)", "jmp *%ebx", "push %ebx; ret"):
        result = paged(Tables(True), f"mov ${base + offset}, %ebx; {access}; ud2")
        assert (result.status, result.processor.cr2) == (14, base + offset)


def test_a_kernel_that_wrecks_what_it_can_reach_ends_with_an_outcome():
    """The first page is the one that emitted code writes: a guest's kernel can, too, and hurts nobody but itself."""
    base = place(bare("hlt", BinaryTranslation))
    result = run(BinaryTranslation, Tables(True), f"""
        mov ${base}, %edi; mov $1024, %ecx; mov $0xffffffff, %eax; rep stosl
        call 1f; pushf; popf; sti; cli; mov $1f, %esi; call *%esi; cli; hlt; 1: ret""", budget=100_000)
    assert result.outcome in ("halted", "crashed", "shutdown", "budget")


@pytest.mark.parametrize("pae", [True, False], ids=["PAE", "two-level"])
@pytest.mark.parametrize("when", ["from the start", "later"])
def test_a_guest_that_uses_the_monitors_place_gets_it(pae, when):
    base = place(bare("hlt", BinaryTranslation))
    tables = Tables(pae)
    at = base + 0x3000
    entry = tables.map(at, FRAMES | ALL)
    directory = tables.entry(at, directory=True)
    later = ""
    if when == "later":
        value = tables._words[directory]
        tables.map(at, 0, directory=True)
        later = f"call 1f; movl ${value & 0xFFFFFFFF}, {directory}; mov %cr3, %eax; mov %eax, %cr3; call 1f;"
    result = paged(tables, f"""
        xor %edx, %edx; {later} mov {at}, %ebx; movl $0x5678, {at}; call 1f; add {at}, %ebx; cli; hlt
    1:  inc %edx; ret""", memory={FRAMES: b"\x34\x12"})
    assert result.outcome == "halted" and result.regs[c.EBX] == 0x1234 + 0x5678
    assert place(result) not in (None, base) and result.processor.mmu.cr3 == tables.root and entry


def test_a_guest_that_uses_every_place_runs_without_a_translation():
    tables = Tables(False)
    for region in range(1024):
        if region != 0:
            tables.map(region << 22, FRAMES | 0x80 | PRESENT | WRITE, directory=True)
    result = paged(tables, "pushf; pop %eax; cli; push %cs; pop %ecx; smsw %edx; sgdt 0x210000; hlt")
    assert result.outcome == "halted" and place(result) is None


# ---------------------------------------------------------------------------------------------- code that is not translated
NOT_TRANSLATED = {
    "a code segment with a base": f"ljmp $0x58, $1f - {CODE}; 1: pushf; pop %eax; smsw %ecx; push %cs; pop %edx; cli; hlt",
    "a data segment with a base": f"mov $0x60, %eax; mov %eax, %ds; mov $8, %ecx; 1: inc %eax; sgdt 0x20; loop 1b; cli; hlt",
    "a 16-bit stack": f"mov $0x68, %eax; mov %eax, %ss; mov $0x238000, %esp; push %cs; pushf; pop %eax; pop %ecx; cli; hlt",
    "single steps": "pushf; orl $0x100, (%esp); popf; nop; cli; push %cs; pushf; nop; hlt; handler: incl 0x210000; iret",
    "16-bit code": f"ljmp $0x70, $1f - {CODE}; 1: .code16; pushfl; popl %eax; smsw %cx; pushl %cs; popl %edx; cli; hlt; .code32",
}


def test_code_that_is_not_translated_shows_the_guest_its_own_state_too():
    segments = {0x58: descriptor(CODE, 0xFFFFF, 0x409B00), 0x60: descriptor(DATA, 0xFFFFF, 0x409300),
                0x68: descriptor(0x230000 - 0x230000, 0xFFFFF, 0x9300), 0x70: descriptor(CODE, 0xFFFF, 0x9B00)}
    memory = {GDT + selector: data for selector, data in segments.items()}
    for name, text in NOT_TRANSLATED.items():
        try:
            both(text, memory=memory, gates={1: "handler"} if "handler:" in text else None)
        except AssertionError as error:
            raise AssertionError(f"{name}: {error}") from error


# ---------------------------------------------------------------------------------------------- to look at
def test_a_unit_is_shown_beside_its_translation_from_the_bytes_that_run():
    guest = pvlab.guest("kernel", workload="interrupt-flags", n=5)
    monitor = BinaryTranslation()
    found = monitor.explain(guest, "interrupt_flags")
    assert found.address == guest.image.symbols["interrupt_flags"] and "STI" not in found.table().text()
    assert {line.what for line in found.lines} == {"IDENT", "in-cache", "rewritten"}
    for line in found.lines:
        if line.what == "IDENT":
            assert [host.code for host in line.cache] == [line.code] and line.cache[0].text == line.text
    bytes_ = b"".join(host.code for line in found.lines for host in line.cache)
    at = found.lines[0].cache[0].address
    assert monitor.memory.ram.read(at - monitor.cache.base, len(bytes_)) == bytes_
    assert "virtual IF" in found.table().text() and "follows)" in found.table().text()
    assert monitor.explain(guest).address == guest.image.entry
    inside = found.lines[1].address
    assert monitor.explain(guest, inside).address in (found.address, inside)


def test_the_command_shows_what_the_method_shows(capsys):
    from pvlab.cli import main
    assert main(["translate", "kernel", "-p", "workload=call-return", "-p", "n=20", "--at", "descend", "--json"]) == 0
    shown = json.loads(capsys.readouterr().out)
    guest = pvlab.guest("kernel", workload="call-return", n=20)
    monitor = BinaryTranslation()
    assert shown == {**monitor.explain(guest, "descend").to_dict(), "parameters": {"workload": "call-return", "n": 20},
                     "statistics": monitor.statistics.to_dict()}
    assert main(["translate", "hello"]) == 0
    text = capsys.readouterr().out
    assert "IDENT" in text and "units translated" in text


@pytest.mark.parametrize("words, said", [
    (["nobody"], "no guest 'nobody'"), (["hello", "--at", "nowhere"], "neither a number nor a symbol"),
    (["hello", "--at", "0x7777"], "nothing at 0x00007777"), (["hello", "-p", "x=1"], "has no parameter 'x'")])
def test_the_command_says_what_is_wrong_with_its_input(words, said, capsys):
    from pvlab.cli import main
    assert main(["translate", *words]) == 2
    out, err = capsys.readouterr()
    assert out == "" and said in err and err.count("\n") == 1

"""Guests that misbehave end with an outcome, and with a sentence that says what happened and where."""
import re

import pytest
from machine.bare import CODE, GDT, IDT, SPARE, STACK, TSS, bare, code_of, data_of, gate
from monitors.paged import ALL, FRAMES, ROOT, WINDOW, Tables, run

from pvlab.machine.x86.segments import descriptor
from pvlab.monitors import Native, TrapAndEmulate

BOTH = pytest.mark.parametrize("monitor", [Native, TrapAndEmulate], ids=lambda monitor: monitor.name)
NOTHING = {vector: bytes(8) for vector in range(256)}          # an IDT with no gate in it


def to_ring_3(label="user"):
    return f"push ${data_of(3)}; push $0x23f000; push $2; push ${code_of(3)}; push ${label}; iret; {label}:"


def task_gate(selector):
    return gate(0, selector, kind=5, dpl=3)


CASES = [   # name, program, what else, outcome, what the detail must say
    ("an endless loop", "1: jmp 1b", {"budget": 9999}, "budget", ("0x00100000", "9,999 instructions")),
    ("a triple fault", "nop; ud2", {"gates": NOTHING}, "crashed", ("triple fault", "invalid-opcode at 0x00100001",
                                                                   "general-protection while delivering it")),
    ("no IDT at all", "movl $0, 0x208000; lidt 0x208000; nop; int3", {}, "crashed", ("triple fault", "breakpoint")),
    ("an IDT outside RAM", "movl $0x000007ff, 0x208000; movl $0x7777, 0x208004; lidt 0x208000; nop; int $0x80", {},
     "crashed", ("0x77770", "outside RAM")),
    ("a GDT outside RAM", f"movl $0x00000fff, 0x208000; movl $0x7777, 0x208004; lgdt 0x208000; mov ${data_of(0)}, %eax;"
     "mov %eax, %ds", {}, "crashed", ("0x77770", "memory|outside RAM")),
    ("a jump to nowhere", "mov $0x7654321, %eax; jmp *%eax", {}, "crashed",
     ("0x7654321", "is not memory", "RAM ends at 0x400000")),
    ("a call to nowhere", "mov $0xfffffff0, %eax; call *%eax", {}, "crashed", ("0xfffffff0", "is not memory")),
    ("a write to nowhere", "mov %eax, 0x5000000", {}, "crashed", ("0x5000000", "0x00100000", "RAM ends at")),
    ("a stack nowhere", "mov $0x5000000, %esp; push %eax", {}, "crashed", ("0x4fffffc", "is not memory")),
    ("a stack nowhere, and an interrupt", "mov $0x5000000, %esp; int $0x80", {}, "crashed", ("0x4fff", "outside RAM")),
    ("a TSS that is too short", to_ring_3() + "int $0x80", {"memory": {GDT + 0x48: descriptor(TSS, 5, 0x8900)}, "gates":
     {0x80: gate(0x204000, dpl=3)}, "reload": True}, "crashed",
     ("triple fault", "interrupt 0x80", "invalid-tss while delivering it")),
    ("a TSS outside RAM", to_ring_3() + "int $0x80", {"memory": {GDT + 0x48: descriptor(0x7777000, 103, 0x8900)},
     "gates": {0x80: gate(0x204000, dpl=3)}, "reload": True}, "crashed", ("0x777700", "outside RAM")),
    ("a stack in the TSS that is none", to_ring_3() + "int $0x80", {"memory": {TSS + 8: b"\0\0\0\0"}, "gates":
     {0x80: gate(0x204000, dpl=3)}}, "crashed", ("triple fault", "invalid-tss while delivering it")),
    ("real mode", "mov %cr0, %eax; and $~1, %eax; mov %eax, %cr0", {}, "crashed",
     ("leaves protected mode", "0x00100006")),
    ("a task gate", "nop; int $0x80", {"gates": {0x80: task_gate(0x48)}}, "crashed",
     ("vector 128", "task gate", "0x00100001")),
    ("virtual-8086 mode", f"push $0; push $0; push $0; push $0; push ${data_of(3)}; push $0x8000; push $0x20002;"
     "push $0; push $0x9000; iret", {"memory": {0x9000: b"\xcd\x80"}}, "crashed", ("virtual-8086 mode", "does not model")),
    ("a halt that nothing ends", "nop; cli; hlt", {}, "halted", ("interrupts disabled", "0x00100003")),
    ("a halt with no device", "nop; sti; hlt", {}, "halted", ("no device", "0x00100003")),
    ("code that kills the engine", "nop; .byte 0xf0, 0x0f, 0xbb, 0xf6", {}, "crashed",
     ("the engine died", "0x00100000")),
    ("a block too long for the engine", ".fill 600, 1, 0xce; hlt", {}, "crashed", ("the engine died", "0x00100000")),
]


@BOTH
@pytest.mark.parametrize("name, program, more, outcome, words", CASES, ids=[case[0] for case in CASES])
def test_it_ends_with_an_outcome_and_a_sentence(name, program, more, outcome, words, monitor):
    more = dict(more)
    if more.pop("reload", False):      # the TSS that the task register holds is the one in the table
        program = f"andb $~2, {GDT + 0x48 + 5}; mov $0x48, %eax; ltr %ax; {program}"
    result = bare(program, monitor, **more)
    assert result.outcome == outcome
    for word in words:
        assert re.search(word, result.detail), result.detail
    assert result.run.to_dict()["outcome"] == outcome


TABLES = [   # what is wrong with the page tables, and how a program finds out
    ("the root is outside RAM", "mov $0x7777000, %eax; mov %eax, %cr3; nop", ("0x7777", "outside RAM|triple fault")),
    ("a directory is outside RAM", "movl $0x7777001, {root} + 8; mov %cr3, %eax; mov %eax, %cr3; mov {window}, %eax",
     ("0x7777000", "outside RAM")),
    ("a table is outside RAM", "movl $0x7777007, {directory}; mov {window}, %eax", ("0x7777000", "outside RAM")),
    ("a page is outside RAM", "mov {nowhere}, %eax", ("0x7777123", "is not memory", "RAM ends at 0x800000")),
    ("a page is outside RAM, and it is the stack", "mov ${nowhere}, %esp; push %eax", ("0x777711f", "is not memory")),
    ("a page is outside RAM, and code is in it", "mov ${nowhere}, %eax; jmp *%eax", ("0x7777", "is not memory")),
    ("nothing is mapped", "movl $0, {root}; mov %cr3, %eax; mov %eax, %cr3", ("triple fault", "page-fault")),
    ("the IDT is not mapped", "movl $0, {idt}; invlpg 0x201000; ud2",
     ("triple fault", "invalid-opcode", "page-fault while")),
]


@BOTH
@pytest.mark.parametrize("name, program, words", TABLES, ids=[case[0] for case in TABLES])
def test_bad_page_tables(name, program, words, monitor):
    tables = Tables(True)
    tables.map(WINDOW, FRAMES | ALL)
    tables.map(WINDOW + 4096, 0x7777000 | ALL)
    result = run(monitor, tables, program.format(
        root=ROOT, directory=tables.entry(WINDOW, directory=True), window=WINDOW, nowhere=WINDOW + 4096 + 0x123,
        idt=tables.entry(IDT)))
    assert result.outcome == "crashed"
    for word in words:
        assert re.search(word, result.detail), result.detail


@BOTH
def test_a_guest_cannot_map_the_monitors_memory(monitor):
    """Under trap-and-emulate the shadow page tables stand at 0xf0000000 of the real machine; the guest has nothing there."""
    tables = Tables(True)
    for i in range(3):
        tables.map(WINDOW + 4096 * i, 0xF0000000 + 4096 * i | ALL)
    for access in (f"mov {WINDOW + 8}, %eax", f"mov %eax, {WINDOW + 8}", f"mov ${WINDOW}, %eax; jmp *%eax",
                   f"mov ${WINDOW + 2048}, %esp; pusha"):
        result = run(monitor, tables, access)
        assert result.outcome == "crashed" and "is not memory" in result.detail
    result = run(monitor, tables, f"mov $0xf0000000, %eax; mov %eax, %cr3; mov {CODE}, %ebx")
    assert result.outcome == "crashed"


@BOTH
def test_far_transfers_to_tasks_are_refused_in_words_under_trap_and_emulate(monitor):
    """The bare CPU tries, and finds this TSS wanting; a monitor says that it does not model that."""
    result = bare(f"nop; ljmp ${SPARE}, $0", monitor, memory={
        GDT + SPARE: descriptor(0x208000, 103, 0x8900), 0x208020: CODE.to_bytes(4, "little")}, budget=1000)
    if monitor is TrapAndEmulate:
        assert result.outcome == "crashed" and "task switch (selector 0x58) at 0x00100001" in result.detail
    else:
        assert result.run.trace.events.counts() == {"invalid-tss": 1}


def test_what_stands_in_ring_0_of_the_real_cpu_is_never_the_guest():
    """Whatever a guest does to be in ring 0, the real CPU is in ring 1, 2 or 3."""
    seen = set()

    class Watched(TrapAndEmulate):
        def dispatch(self, why):
            seen.add(self.machine.cpu.cpl)
            super().dispatch(why)
            seen.add(self.machine.cpu.cpl)
    for program in ("int $0x80", f"ljmp ${code_of(0)}, $1f; 1: hlt", to_ring_3() + "int $0x80",
                    f"push ${code_of(0)}; push $1f; lret; 1: hlt", f"mov ${data_of(0)}, %eax; mov %eax, %ss; hlt",
                    f"pushf; push ${code_of(0)}; push $1f; iret; 1: hlt", f"mov ${STACK}, %esp; popf; cli; hlt"):
        bare(program, Watched)
    assert seen <= {1, 3}

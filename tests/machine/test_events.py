"""How an interrupt or exception reaches its handler.

An x86 CPU does much between the cause and the first instruction of the handler: it reads a gate, checks who may use
it, fetches a code segment, perhaps changes to another ring and its stack, pushes a frame, and masks interrupts. Each
step can fail, and the failure is an event of its own, with an error code that says which selector was to blame; if
that fails as well, a double fault; and after that the CPU shuts down. Unicorn does none of it. The lab does all of
it, for the bare machine and for every monitor's virtual CPU, and a kernel that prints a wrong error code would blame
the wrong thing: so the tables here state what arrives, with which code, and what stands on the handler's stack (Intel
SDM vol. 3, chapter 6).
"""
import struct

import pytest
from machine.bare import (
    CODE, DATA, GDT, IDT, SPARE, STACK, STACK0, TSS, bare, build, code_of, data_of, frame, gate, handler_of)

from pvlab.machine.x86 import cpu as c
from pvlab.machine.x86.segments import descriptor
from pvlab.monitors import Native, TrapAndEmulate

BOTH = pytest.mark.parametrize("monitor", [Native, TrapAndEmulate], ids=lambda m: m.name)
NO_CODE = None
ABSENT = {GDT + SPARE: descriptor(0, 0xFFFFFFFF, 0x401300)}        # a data segment that is not present


def names(rows):
    return [row[0] for row in rows]


EXCEPTIONS = [  # name, program (the label `at`: where EIP should stand), ring, vector, error code
    ("divide error", "xor %ecx, %ecx; at: div %ecx", 0, 0, NO_CODE),
    ("division overflow", "mov $1, %ecx; mov $2, %edx; at: div %ecx", 0, 0, NO_CODE),
    ("INT3", "int3; at: nop", 0, 3, NO_CODE),
    ("INT 3 with two bytes", ".byte 0xcd, 3; at: nop", 0, 3, NO_CODE),
    ("INTO", "mov $0x7fffffff, %eax; inc %eax; into; at: nop", 0, 4, NO_CODE),
    ("BOUND", "mov $9, %eax; at: bound %eax, limits; limits: .long 0, 8", 0, 5, NO_CODE),
    ("UD2", "at: ud2", 0, 6, NO_CODE),
    ("an undefined opcode", "at: .byte 0x0f, 0xff, 0xff", 0, 6, NO_CODE),
    ("LOCK NOP", "at: .byte 0xf0, 0x90", 0, 6, NO_CODE),
    ("FPU switched off", "mov %cr0, %eax; or $4, %eax; mov %eax, %cr0; at: fninit", 0, 7, NO_CODE),
    ("a segment that is not present", f"mov ${SPARE}, %eax; at: mov %eax, %ds", 0, 11, SPARE),
    ("a stack that is not present", f"mov ${SPARE}, %eax; at: mov %eax, %ss", 0, 12, SPARE),
    ("a selector beyond the table", "mov $0x1238, %eax; at: mov %eax, %ds", 0, 13, 0x1238),
    ("a selector's RPL is not in the code", "mov $0x123b, %eax; at: mov %eax, %ds", 0, 13, 0x1238),
    ("a selector of the local table", "mov $0xf0c, %eax; at: mov %eax, %ds", 0, 13, 0xF0C),
    ("a null stack", "xor %eax, %eax; at: mov %eax, %ss", 0, 13, 0),
    ("CLI", "at: cli", 3, 13, 0),
    ("HLT", "at: hlt", 3, 13, 0),
    ("MOV CR0", "at: mov %cr0, %eax", 3, 13, 0),
    ("LGDT", f"at: lgdt {DATA}", 3, 13, 0),
    ("IN", "at: in $0x80, %al", 3, 13, 0),
    ("a far jump to data", "at: ljmp $0x10, $0", 0, 13, 0x10),
    ("a far jump to nothing", "at: ljmp $0, $0", 0, 13, 0),
    ("INT n", "int $0x55; at: nop", 0, 0x55, NO_CODE),
    ("a single step", "pushf; orl $0x100, (%esp); popf; nop; at: nop", 0, 1, NO_CODE),
]


@BOTH
@pytest.mark.parametrize("name, program, ring, vector, code", EXCEPTIONS, ids=names(EXCEPTIONS))
def test_what_arrives_with_which_error_code_at_which_address(name, program, ring, vector, code, monitor):
    gates = {3: gate(handler_of(3), dpl=3), 4: gate(handler_of(4), dpl=3), 0x55: gate(handler_of(0x55), dpl=3)}
    result = bare(program, monitor, ring=ring, gates=gates, memory=ABSENT)
    assert result.status == vector
    expected = [result.symbols["at"], code_of(ring)]
    assert frame(result, 2 + (code is not NO_CODE)) == ([] if code is NO_CODE else [code]) + expected


@BOTH
@pytest.mark.parametrize("kind, cleared", [(14, True), (15, False)], ids=["interrupt gate", "trap gate"])
@pytest.mark.parametrize("ring", [0, 1, 2, 3])
def test_the_frame_of_every_ring_and_gate(ring, kind, cleared, monitor):
    """Without a ring change three words on the same stack; with one, five on the stack that the TSS names."""
    gates = {0x55: gate(handler_of(0x55), kind=kind, dpl=3)}
    result = bare("stc; int $0x55", monitor, ring=ring, eflags=0x202, gates=gates)
    flags = 0x203
    pushed = [CODE + 3, code_of(ring), flags] + ([STACK, data_of(ring)] if ring else [])
    assert result.status == 0x55
    assert frame(result, len(pushed)) == pushed
    assert result.regs[c.ESP] == (STACK0 if ring else STACK) - 4 * len(pushed)
    cpu = result.processor
    assert (cpu.cpl, cpu.segment(c.CS).selector, cpu.segment(c.SS).selector) == (0, 8, 0x10)
    assert bool(cpu.eflags & c.IF) is not cleared


@BOTH
def test_an_error_code_lies_below_the_frame_of_a_ring_change(monitor):
    result = bare("mov $0x1238, %eax; mov %eax, %ds", monitor, ring=3, eflags=0x202)
    assert frame(result, 6) == [0x1238, CODE + 5, code_of(3), 0x202, STACK, data_of(3)]
    assert result.regs[c.ESP] == STACK0 - 24


@BOTH
def test_a_16_bit_gate_pushes_words(monitor):
    code = bytes.fromhex("b0 66 e6 f4")                    # mov $0x66,%al; out %al,$0xf4: handlers below 64 KiB
    result = bare("stc; int $0x66", monitor, memory={0x5000: code}, gates={0x66: gate(0x5000, kind=6)})
    low, = struct.unpack("<Q", result.machine.ram.read(result.regs[c.ESP], 6) + b"\0\0")
    assert result.status == 0x66
    assert low == CODE + 3 & 0xFFFF | 8 << 16 | 0x3 << 32
    assert result.regs[c.ESP] == STACK - 6


@BOTH
def test_the_trap_flag_is_off_in_the_handler_and_on_in_its_frame(monitor):
    result = bare("pushf; orl $0x100, (%esp); popf; nop; nop", monitor)
    assert result.status == 1
    assert frame(result, 3)[2] == 0x102
    assert not result.processor.eflags & c.TF


STEPPED = """
        push    $0x102
        popf
        nop                     # 1 step
        mov     $2, %eax        # 2
        inc     %eax            # 3
        push    $2              # 4
        popf                    # 5: the last step, because the flag was still set before it
        nop
        hlt
step:   incl    steps
        iret
        .align 4
steps:  .long   0
"""


@BOTH
def test_single_steps_come_one_for_each_instruction(monitor):
    result = bare(STEPPED, monitor, gates={1: "step"})
    assert (result.outcome, result.words("steps"), result.regs[c.EAX]) == ("halted", 5, 3)
    assert result.count == 2 + 5 + 2 + 5 * 2


PREPARED = [   # how the gate is wrong: name, gate of INT 0x80, ring, vector, error code
    ("a null entry", bytes(8), 0, 13, 0x402),
    ("a data segment's type", gate(handler_of(0x80), kind=2), 0, 13, 0x402),
    ("a call gate", gate(handler_of(0x80), kind=12), 0, 13, 0x402),
    ("closed to the ring", gate(handler_of(0x80), dpl=2), 3, 13, 0x402),
    ("closed and not present", gate(handler_of(0x80), dpl=2, present=False), 3, 13, 0x402),
    ("not present", gate(handler_of(0x80), dpl=3, present=False), 3, 11, 0x402),
    ("a null selector", gate(handler_of(0x80), selector=0, dpl=3), 3, 13, 0),
    ("a selector of data", gate(handler_of(0x80), selector=0x10, dpl=3), 3, 13, 0x10),
    ("a selector beyond the table", gate(handler_of(0x80), selector=0x2008, dpl=3), 3, 13, 0x2008),
    ("code of an outer ring", gate(handler_of(0x80), selector=code_of(3), dpl=3), 0, 13, code_of(3) & ~3),
    ("code that is not present", gate(handler_of(0x80), selector=SPARE + 8, dpl=3), 3, 11, SPARE + 8),
]


@BOTH
@pytest.mark.parametrize("name, entry, ring, vector, code", PREPARED, ids=names(PREPARED))
def test_a_bad_gate_is_a_fault_of_the_instruction_with_its_name_in_the_code(name, entry, ring, vector, code, monitor):
    absent = {GDT + SPARE + 8: descriptor(0, 0xFFFFFFFF, 0x401B00)}
    result = bare("nop; int $0x80", monitor, ring=ring, gates={0x80: entry}, memory=absent)
    assert (result.status, frame(result, 3)) == (vector, [code, CODE + 1, code_of(ring)])


@BOTH
@pytest.mark.parametrize("limit, ok", [(0x407, True), (0x406, False), (0x3FF, False), (0x6F, False)])
def test_the_idt_has_a_limit(limit, ok, monitor):
    result = bare("int $0x80", monitor, prepare=lambda cpu: cpu.set_table("idt", c.Segment(0, IDT, limit, 0)))
    assert result.status == 0x80 if ok else (result.status, frame(result, 2)) == (13, [0x402, CODE])


STACKS = [     # a TSS whose ring-0 stack is bad: name, words at TSS + 4, limit, vector, error code
    ("null", (STACK0, 0), 103, 10, 0),
    ("of another ring", (STACK0, data_of(1)), 103, 10, data_of(1) & ~3),
    ("with another RPL", (STACK0, data_of(0) | 3), 103, 10, data_of(0)),
    ("code", (STACK0, code_of(0)), 103, 10, code_of(0)),
    ("beyond the table", (STACK0, 0x2000), 103, 10, 0x2000),
    ("not present", (STACK0, SPARE), 103, 12, SPARE),      # the one that is a stack fault (SDM vol. 2, INT n)
    ("beyond the TSS", (STACK0, data_of(0)), 10, 10, 0x48),
    ("good, in the shortest TSS", (STACK0, data_of(0)), 11, 0x80, None),
]
SPIN = "int $0x80; spin: jmp spin"


@BOTH
@pytest.mark.parametrize("name, stack, limit, vector, code", STACKS, ids=names(STACKS))
def test_a_stack_that_the_tss_cannot_give_is_an_invalid_tss(name, stack, limit, vector, code, monitor):
    """The handler of that stands in ring 3, because one in ring 0 would need the same stack."""
    spin = build(SPIN)[1]["spin"]
    gates = {vector: gate(spin, selector=code_of(3))} | {0x80: gate(handler_of(0x80), dpl=3)}
    memory = ABSENT | {TSS + 4: struct.pack("<II", *stack)}
    result = bare(SPIN, monitor, ring=3, budget=1000, gates=gates, memory=memory,
                  prepare=lambda cpu: cpu.set_table("tr", c.Segment(0x48, TSS, limit, 0x8900)))
    if code is None:
        assert result.status == vector
    else:
        assert result.outcome == "budget"
        assert frame(result, 3) == [code, CODE, code_of(3)]


# ------------------------------------------------------------------------------------- page faults
PAGING = """
        mov     $0x300000, %edi         # two levels: the first 4 MiB as they are, for everyone
        movl    $0x301007, (%edi)
        mov     $0x301000, %edi
        mov     $7, %eax
        mov     $1024, %ecx
1:      stosl
        add     $0x1000, %eax
        loop    1b
        movl    $0x210005, 0x301840     # 0x210000: read-only
        movl    $0x211003, 0x301844     # 0x211000: the kernel's
        movl    $0x212006, 0x301848     # 0x212000: not present
        mov     $0x300000, %eax
        mov     %eax, %cr3
        mov     $0x80000011 + {wp}, %eax
        mov     %eax, %cr0
        {enter}
"""
USER = f"push ${data_of(3)}; push ${STACK - 64}; push ${code_of(3)}; push $user; lret; user:"
PAGE_FAULTS = [  # name, ring, CR0.WP, program, CR2, error code: 1 present, 2 write, 4 user (None: no fault)
    ("read, not present", 0, 0, "mov 0x212345, %al", 0x212345, 0),
    ("write, not present", 0, 0, "mov %al, 0x212345", 0x212345, 2),
    ("fetch, not present", 0, 0, "mov $0x212345, %eax; jmp *%eax", 0x212345, 0),
    ("user read, not present", 3, 0, "mov 0x212345, %al", 0x212345, 4),
    ("user write, not present", 3, 0, "mov %al, 0x212345", 0x212345, 6),
    ("user read of the kernel's", 3, 0, "mov 0x211fff, %al", 0x211FFF, 5),
    ("user write to the kernel's", 3, 0, "mov %al, 0x211fff", 0x211FFF, 7),
    ("user fetch from the kernel's", 3, 0, "mov $0x211000, %eax; jmp *%eax", 0x211000, 5),
    ("user write to read-only", 3, 0, "mov %al, 0x210001", 0x210001, 7),
    ("user read of read-only", 3, 1, "mov 0x210001, %al", None, None),
    ("kernel write to read-only, WP on", 0, 1, "mov %al, 0x210001", 0x210001, 3),
    ("kernel write to read-only, WP off", 0, 0, "mov %al, 0x210001", None, None),
    ("kernel write to its own", 0, 1, "mov %al, 0x211000", None, None),
    ("beyond the tables", 0, 0, "mov 0x12345678, %eax", 0x12345678, 0),
    ("a word across two pages", 0, 0, "mov %eax, 0x211ffe", 0x212000, 2),
    ("read and write at once", 0, 1, "incl 0x210000", 0x210000, 3),
    ("a push", 3, 0, "mov $0x213000, %esp; push %eax", 0x212FFC, 6),
]


@BOTH
@pytest.mark.parametrize("name, ring, wp, program, cr2, code", PAGE_FAULTS, ids=names(PAGE_FAULTS))
def test_a_page_fault_says_where_and_why(name, ring, wp, program, cr2, code, monitor):
    text = PAGING.format(wp=wp << 16, enter=USER if ring else "") + f"at: {program}; int $0x77"
    result = bare(text, monitor, gates={0x77: gate(handler_of(0x77), dpl=3)})
    if code is None:
        assert result.status == 0x77
    else:
        assert result.status == 14
        assert (result.processor.cr2, frame(result, 1)) == (cr2, code)


@BOTH
def test_a_page_fault_leaves_the_instruction_undone(monitor):
    """MOVS has read and not moved, PUSH has not pushed: the handler can repair the page and run them again."""
    text = PAGING.format(wp=0, enter="") + "mov $0x210000, %esi; mov $0x212000, %edi; at: movsl; nop"
    result = bare(text, monitor)
    assert (result.status, frame(result, 2)[1]) == (14, result.symbols["at"])
    assert (result.regs[c.ESI], result.regs[c.EDI]) == (0x210000, 0x212000)


# ------------------------------------------------------------------------------------- faults on the way
WHILE = ", then {} while delivering it"
ESCALATIONS = [  # name, program, gates, outcome: the vector that arrives, or the words of the story
    ("a contributory fault while delivering one", "xor %ecx, %ecx; div %ecx", {0: bytes(8)}, 8),
    ("... of INT n is only itself", "int $0x80", {0x80: bytes(8)}, 13),
    ("... of an invalid opcode is only itself", "ud2", {6: bytes(8)}, 13),
    ("... of an absent segment", "mov $0x58, %eax; mov %eax, %ds", {11: bytes(8)}, 8),
    ("a missing gate, of a missing gate", "mov $0x1238, %eax; mov %eax, %ds", {13: gate(0, present=False)}, 8),
    ("INT 8 is no double fault", "int $8", {8: bytes(8)}, 13),
    ("no handler of the double fault", "xor %ecx, %ecx; div %ecx", {0: bytes(8), 8: bytes(8)},
     "triple fault: divide-error at 0x00100002" + WHILE.format("general-protection") * 2),
    ("no handler of the general protection", "ud2", {6: bytes(8), 13: bytes(8)}, 8),
    ("INT n, and no handler of what follows", "int $0x80", {0x80: bytes(8), 13: bytes(8), 8: bytes(8)},
     "triple fault: interrupt 0x80 at 0x00100000" + WHILE.format("general-protection") * 3),
]


@BOTH
@pytest.mark.parametrize("name, program, gates, expected", ESCALATIONS, ids=names(ESCALATIONS))
def test_a_fault_on_the_way_is_an_event_of_its_own(name, program, gates, expected, monitor):
    result = bare(program, monitor, gates=gates, memory=ABSENT)
    if isinstance(expected, str):
        assert result.outcome == "crashed" and result.detail == expected, result.detail
    else:
        assert result.status == expected
        if expected == 8:
            assert frame(result, 1) == 0, "a double fault's error code is always zero"


CODES = [      # which event has no gate: name, program, vector, error code of the #GP that follows, its EIP
    ("INT n: the program's own doing", "nop; int $0x80", 0x80, 0x80 * 8 + 2, 1),
    ("an exception: not the program's (bit 0)", "nop; ud2", 6, 6 * 8 + 2 + 1, 1),
]


@BOTH
@pytest.mark.parametrize("name, program, vector, code, offset", CODES, ids=names(CODES))
def test_the_code_says_whether_the_program_asked_for_the_event(name, program, vector, code, offset, monitor):
    """Bit 0 (EXT) is set in what goes wrong with an event that the program did not ask for (SDM vol. 3, 6.13)."""
    result = bare(program, monitor, gates={vector: bytes(8)})
    assert (result.status, frame(result, 2)) == (13, [code, CODE + offset])


@BOTH
def test_without_a_table_the_first_event_is_the_last(monitor):
    """This is how an operating system reboots a PC when nothing else helps."""
    result = bare("int3", monitor, prepare=lambda cpu: cpu.set_table("idt", c.Segment(0, 0, 0, 0)))
    assert result.outcome == "crashed"
    assert result.detail == "triple fault: breakpoint at 0x00100000" + WHILE.format("general-protection") * 3


@BOTH
def test_a_stack_that_page_faults_ends_in_a_double_fault_or_worse(monitor):
    """A kernel whose stack has gone: the page fault cannot be pushed, nor can the double fault."""
    text = PAGING.format(wp=0, enter="") + "mov $0x213000, %esp; at: push %eax"
    result = bare(text, monitor)
    assert result.outcome == "crashed"
    assert result.detail == f"triple fault: page-fault at {result.symbols['at']:#010x}" + WHILE.format("page-fault") * 2


@BOTH
def test_a_page_fault_on_the_way_of_an_interrupt_is_a_page_fault(monitor):
    """Only what the CPU itself raised counts towards a double fault: INT n into a missing page is a page fault."""
    text = PAGING.format(wp=0, enter="") + f"movl $0, 0x301000 + ({IDT} >> 10); int $0x80"
    result = bare(text, monitor, gates={0x80: gate(handler_of(0x80))})
    assert result.outcome == "crashed", "the IDT is missing for the page fault as well"
    assert "page-fault while delivering it" in result.detail


NESTED = """
        xor     %ecx, %ecx
        div     %ecx                # a divide error,
done:   out     %al, $0xf4
divide: mov     $0x1238, %eax
        mov     %eax, %ds           # in whose handler a general protection,
behind: movl    $done, (%esp)
        iret
protect:
        ud2                         # in whose handler an invalid opcode
again:  add     $4, %esp
        movl    $behind, (%esp)
        iret
opcode: movl    $again, (%esp)
        mov     %esp, %ebx
        iret
"""


@BOTH
def test_handlers_nest_on_the_same_stack_and_return_in_order(monitor):
    result = bare(NESTED, monitor, gates={0: "divide", 13: "protect", 6: "opcode"})
    assert result.outcome == "shutdown"
    assert result.regs[c.EBX] == STACK - 12 - 16 - 12
    assert result.regs[c.ESP] == STACK
    arrived = [event.reason for event in result.run.trace.events]
    assert arrived == ["divide-error", "general-protection", "invalid-opcode"]
    assert result.count == 2 - 1 + 1 + (1 + 2) + 3 + 3


UNMOVED = """
        mov     $0x11, %al; out %al, $0x20
        mov     $0x08, %al; out %al, $0x21
        mov     $4, %al; out %al, $0x21
        mov     $1, %al; out %al, $0x21
        mov     $0xfe, %al; out %al, $0x21
        mov     $0x30, %al; out %al, $0x43
        mov     $9, %al; out %al, $0x40
        mov     $0, %al; out %al, $0x40
1:      jmp     1b"""


@BOTH
def test_an_interrupt_pushes_no_error_code_even_on_an_exceptions_vector(monitor):
    """A PC whose interrupt controller was never moved sends its timer to vector 8, the double fault's."""
    result = bare(UNMOVED, monitor, eflags=0x202)
    assert (result.status, frame(result, 3)) == (8, [result.symbols["_start"] + 32, 8, 0x202])


@BOTH
def test_an_interrupt_on_vector_8_is_no_double_fault(monitor):
    """Without a gate it is a general protection, like any other interrupt: not the end."""
    result = bare(UNMOVED, monitor, eflags=0x202, gates={8: bytes(8)})
    assert (result.status, frame(result, 1)) == (13, 8 * 8 + 2 + 1)

"""What the engine does that no CPU does, and that the lab does not let through.

Unicorn is a translator with a library around it. It was made for running functions, and a guest with a kernel in it
meets its edges: exceptions that turn into others, instructions that forget to ask for privileges, a check that ends
the whole process. Each test here shows one such edge twice: what a plain `unicorn.Uc` does, and that a guest on the
lab's machine does not notice. When a new Unicorn no longer does it, the first half fails, and the guard may go.
"""
import struct
import subprocess
import sys
import textwrap

import pytest
import unicorn
from machine.bare import (
    CODE, DATA, GDT, IDT, MIB, SPARE, TSS, bare, code_of, data_of, flat, frame, gate, handler_of)
from machine.plain import Plain
from unicorn import x86_const as x86

from pvlab.machine.engine import Why
from pvlab.machine.x86 import cpu as c
from pvlab.machine.x86.machine import Machine
from pvlab.machine.x86.segments import descriptor
from pvlab.monitors import Native, TrapAndEmulate

BOTH = pytest.mark.parametrize("monitor", [Native, TrapAndEmulate], ids=lambda m: m.name)


def in_own_process(code):
    """Run Python in another process; gives its return code, which is negative where a signal ended it."""
    return subprocess.run([sys.executable, "-c", textwrap.dedent(code)], capture_output=True, timeout=60).returncode


# ---------------------------------------------------------------------------------------------- exceptions
def test_plain_the_second_fault_is_a_double_fault_and_the_third_is_silent():
    plain = Plain(bytes.fromhex("b8 38 12 00 00 8e d8"))        # mov $0x1238,%eax; mov %eax,%ds
    for _ in range(3):
        plain.run(0x1007)
        assert plain.get("EIP") == 0x1005
    assert plain.vectors == [13, 8], "three faults: the second is taken for a double fault, the third is not reported"


FAULTS = [      # one instruction, and the event that it is
    ("mov %eax, %ds", "general-protection"), ("div %ebp", "divide-error"), ("ud2", "invalid-opcode"),
    ("lcall $0x68, $0", "segment-not-present"),
]
HUNDRED = """
        mov     $0x1238, %eax
        xor     %ebp, %ebp
        mov     $100, %esi
again:  """ + "\n".join(f"{text}\nend{i}:" for i, (text, _) in enumerate(FAULTS)) + """
        dec     %esi
        jnz     again
        out     %al, $0xf4
with:   add     $4, %esp        # the error code
without:incl    seen
        mov     next, %ebx      # go on behind the instruction: the four take turns
        mov     ends(,%ebx,4), %ecx
        mov     %ecx, (%esp)
        inc     %ebx
        and     $3, %ebx
        mov     %ebx, next
        iret
        .align 4
seen:   .long   0
next:   .long   0
ends:   .long   """ + ", ".join(f"end{i}" for i in range(len(FAULTS)))


@BOTH
def test_a_hundred_faults_of_each_kind_arrive_as_themselves(monitor):
    result = bare(HUNDRED, monitor, gates={13: "with", 11: "with", 0: "without", 6: "without"},
                  memory={GDT + 0x68: descriptor(0, 0xFFFFFFFF, 0x401B00)})     # code that is not present
    assert result.outcome == "shutdown"
    assert result.words("seen") == 400
    assert result.run.trace.events.counts() == {name: 100 for _, name in FAULTS}


def test_plain_an_invalid_opcode_is_no_exception():
    plain = Plain(bytes.fromhex("0f 0b"))       # ud2
    with pytest.raises(unicorn.UcError, match="INSN_INVALID"):
        plain.run(0x1002)
    assert plain.vectors == []


@BOTH
def test_an_invalid_opcode_goes_to_the_guests_handler(monitor):
    result = bare("nop; ud2", monitor)
    assert (result.status, frame(result, 1)) == (6, CODE + 1)


def test_plain_no_register_has_the_error_code():
    """The code of a fault is nowhere in the public interface: the machine reads it from the saved context."""
    known = {name for name in dir(x86) if name.startswith("UC_X86_REG_")}
    assert not {name for name in known if "ERR" in name}


@pytest.mark.parametrize("selector", [0x1238, 0x4560, 0xFFF8])
def test_the_machine_knows_the_error_code(selector):
    machine = Machine(2 * MIB)
    machine.ram.write(CODE, b"\xb8" + struct.pack("<I", selector) + b"\x8e\xd8")
    machine.eip = CODE
    assert machine.enter(100) is Why.EXCEPTION
    assert (machine.state.vector, machine.cpu.error_code, machine.cpu.was_int) == (13, selector, False)


# ---------------------------------------------------------------------------------------------- what kills the process
CALL_GATE = """
    import struct, unicorn
    from unicorn import x86_const as x86
    uc = unicorn.Uc(unicorn.UC_ARCH_X86, unicorn.UC_MODE_32)
    uc.mem_map(0, 1 << 20)
    words = 0, 0, *(w for flags in (0x9b, 0x93, 0xfb, 0xf3) for w in (0xFFFF, 0xcf0000 | flags << 8)), 0x83000, 0xec00
    uc.mem_write(0x9000, struct.pack("<12I", *words))
    uc.reg_write(x86.UC_X86_REG_GDTR, (0, 0x9000, 47, 0))
    uc.mem_write(0x1000, bytes.fromhex("cf"))                        # iret to ring 3
    uc.mem_write(0x2000, bytes.fromhex("{code}"))                    # lcall $0x28, $0
    uc.mem_write(0x7000, struct.pack("<5I", 0x2000, 0x1b, 2, 0x6000, 0x23))
    uc.reg_write(x86.UC_X86_REG_ESP, 0x7000)
    uc.hook_add(unicorn.UC_HOOK_INTR, lambda uc, vector, data: uc.emu_stop())
    uc.emu_start(0x1000, {until})
"""


def test_plain_a_call_through_a_gate_without_a_task_register_kills_the_process():
    assert in_own_process(CALL_GATE.format(code="90 90 90 90", until="0x2002")) == 0, "this much works"
    died = in_own_process(CALL_GATE.format(code="9a 00000000 2800", until="0x3000"))
    assert died != 0 and died != 1, "not a Python exception: the process is gone"


TO_RING_0 = {GDT + SPARE: gate(handler_of(0x77), kind=12, dpl=3)}
TASK_REGISTERS = [     # what stands in TR when the gate leads from ring 3 to ring 0, and what comes of it
    ("never loaded", c.Segment(0, 0, 0, 0x8900), 10),
    ("too short for a stack", c.Segment(0x48, TSS, 7, 0x8900), 10),
    ("long enough", c.Segment(0x48, TSS, 11, 0x8900), 0x77),
    ("16 bits wide", c.Segment(0x48, DATA, 43, 0x8100), 0x77),
    ("16 bits wide, too short", c.Segment(0x48, DATA, 4, 0x8100), 10),
]


@BOTH
@pytest.mark.parametrize("name, tr, status", TASK_REGISTERS, ids=[row[0] for row in TASK_REGISTERS])
def test_a_call_through_a_gate_is_an_event_whatever_the_task_register(name, tr, status, monitor):
    """The handler of #TS is in ring 3 here: for one in ring 0 there is no stack, and the end were a triple fault."""
    result = bare(f"lcall ${SPARE | 3}, $0; spin: jmp spin", monitor, ring=3, budget=1000,
                  prepare=lambda cpu: cpu.set_table("tr", tr), memory=TO_RING_0 | {
                      DATA: struct.pack("<HHH", 0, 0x8000, data_of(0)), IDT + 80: gate(CODE + 7, selector=code_of(3))})
    events = [event.reason for event in result.run.trace.events]
    if status == 10:
        assert (events, result.outcome) == (["invalid-tss"], "budget")
        assert frame(result, 3) == [tr.selector & 0xFFFC, CODE, code_of(3)]
    else:
        assert (events, result.status) == ([], status)


@BOTH
def test_a_busy_task_register_is_one_too(monitor):
    """LTR marks the TSS busy, and the ring change works all the same: to the engine, a busy TR would be fatal."""
    result = bare(f"mov $0x48, %eax; ltr %ax; push ${data_of(3)}; push ${DATA}; push ${code_of(3)}; push $user;"
                  f"lret; user: lcall ${SPARE | 3}, $0", monitor, memory=TO_RING_0)
    assert result.status == 0x77
    assert result.words(GDT + 0x4C) >> 8 & 15 == 11, "busy in the table"


# ---------------------------------------------------------------------------------------------- privileges
def test_plain_ports_are_open_to_ring_3():
    seen = []
    plain = Plain(b"")
    plain.uc.hook_add(unicorn.UC_HOOK_INSN, lambda uc, port, size, data: seen.append(port) or 7, None, 1, 0,
                      x86.UC_X86_INS_IN)
    plain.run_in_ring_3(bytes.fromhex("e4 e9 90"), until=0x2002)       # in $0xe9,%al
    assert (seen, plain.vectors, plain.get("CS") & 3, plain.get("EAX") & 0xFF) == ([0xE9], [], 3, 7)


def bitmap(*open_ports):
    """A TSS with an I/O permission bitmap behind it, in which these ports are open, and the byte of ones at its end."""
    bits = bytearray(b"\xff" * 33)
    for port in open_ports:
        bits[port >> 3] &= ~(1 << (port & 7))
    return {TSS + 0x66: struct.pack("<H", 104) + bytes(bits)}


def with_bitmap(cpu):
    cpu.set_table("tr", c.Segment(0x48, TSS, 104 + 32, 0x8900))


PORTS = [      # instruction, ring, IOPL, open ports, is it allowed?
    ("in $0xe9, %al", 0, 0, (), True), ("in $0xe9, %al", 1, 0, (), False), ("in $0xe9, %al", 3, 0, (), False),
    ("in $0xe9, %al", 3, 2, (), False), ("in $0xe9, %al", 3, 3, (), True), ("in $0xe9, %al", 1, 1, (), True),
    ("in $0xe9, %al", 3, 0, (0xE9,), True), ("in $0xe9, %al", 3, 0, (0xE8,), False),
    ("in $0xe9, %ax", 3, 0, (0xE9,), False), ("in $0xe9, %ax", 3, 0, (0xE9, 0xEA), True),
    ("in $0xed, %eax", 3, 0, (0xED, 0xEE, 0xEF), False), ("in $0xed, %eax", 3, 0, (0xED, 0xEE, 0xEF, 0xF0), True),
    ("mov $0xe9, %edx; out %al, (%dx)", 3, 0, (0xE9,), True), ("mov $0xe9, %edx; out %al, (%dx)", 3, 0, (), False),
    ("mov $0xe9, %edx; outsb", 3, 0, (0xE9,), True), ("mov $0xe9, %edx; outsb", 3, 0, (), False),
    ("mov $0xe9, %edx; insb", 3, 0, (), False), ("mov $0x1e9, %edx; in (%dx), %al", 3, 0, (0xE9,), False),
]


@BOTH
@pytest.mark.parametrize("code, ring, iopl, ports, allowed", PORTS)
def test_ports_are_open_to_whom_the_privilege_level_or_the_bitmap_lets_in(code, ring, iopl, ports, allowed, monitor):
    """The program that gets through ends with INT 0x77; the other with #GP(0), EIP at the instruction."""
    result = bare(f"mov ${DATA}, %esi; mov %esi, %edi; {code}; int $0x77", monitor, ring=ring, eflags=2 | iopl << 12,
                  memory=bitmap(*ports), prepare=with_bitmap, gates={0x77: gate(handler_of(0x77), dpl=3)})
    if allowed:
        assert result.status == 0x77
    else:
        assert result.status == 13
        code, eip = frame(result, 2)
        assert code == 0 and eip in (CODE + 7, CODE + 12)


def test_plain_every_vector_is_open_to_every_ring():
    plain = Plain(b"")
    plain.run_in_ring_3(bytes.fromhex("cd 80 90"))                     # int $0x80: there is not even an IDT
    assert (plain.vectors, plain.get("EIP"), plain.get("CS") & 3) == ([0x80], 0x2002, 3)


@BOTH
@pytest.mark.parametrize("ring, dpl, open_", [(3, 3, True), (3, 2, False), (3, 0, False), (1, 1, True), (1, 0, False),
                                              (2, 1, False), (0, 0, True), (0, 3, True)])
def test_a_closed_gate_refuses_int(ring, dpl, open_, monitor):
    result = bare("nop; int $0x80", monitor, ring=ring, gates={0x80: gate(handler_of(0x80), dpl=dpl)})
    if open_:
        assert (result.status, frame(result, 1)) == (0x80, CODE + 3)
    else:
        assert (result.status, frame(result, 2)) == (13, [0x80 * 8 + 2, CODE + 1])


def test_plain_the_privilege_level_cannot_be_written():
    with pytest.raises(unicorn.UcError):
        Plain(b"").set("CS", 0x1B)


@pytest.mark.parametrize("ring", [0, 1, 2, 3])
def test_a_machine_can_be_put_into_any_ring(ring):
    machine = Machine(2 * MIB)
    machine.ram.write(CODE, bytes.fromhex("8c c8 fa cd 77"))           # mov %cs,%eax; cli; int $0x77
    machine.set_ring(flat(ring, 0xB00, code_of(ring)), flat(ring, 0x300, data_of(ring)), ring)
    machine.eip = CODE
    assert machine.enter(100) is Why.EXCEPTION
    assert machine.regs[c.EAX] & 0xFFFF == code_of(ring)
    assert machine.state.vector == (0x77 if ring == 0 else 13)         # the CPU itself refuses CLI

"""Far jumps, calls and returns: how a program gets from one ring to another and back.

A call gate is the door that a kernel leaves open: user code may go through it, to one address, and arrives in the
inner ring on a stack of that ring. Today's kernels use interrupts and SYSENTER instead, but a monitor with its
guest's kernel in ring 1 must emulate each far transfer, because on an empty descriptor table each of them traps. As
in test_segments, each row states the answer of the Intel SDM (vol. 2, JMP, CALL, RET, IRET), and is put to the
function and to the engine.
"""
import struct

import pytest
from machine.bare import CODE, FLAT, GDT, SPARE, STACK, STACK0, TSS, TSS_SELECTOR, code_of, data_of, gate
from machine.segmented import ABSENT, CODE_XR, CONFORMING, DATA_RW, OK, ask, flags, held, prepared, run

from pvlab.machine.memory import Dead
from pvlab.machine.x86 import cpu as c
from pvlab.machine.x86 import segments
from pvlab.machine.x86.faults import GP, NP, TS
from pvlab.machine.x86.segments import descriptor

S = SPARE


# ------------------------------------------------------------------------------------- far jumps and calls
CALL_GATE = {"kind": 12, "dpl": 3}
TARGET = 0x180000
TRANSFERS = [  # name, ring, descriptor at SPARE, the selector's RPL, answers of JMP and CALL: the new ring, or a fault
    ("code", 0, (CODE_XR, 0), 0, 0, 0),
    ("code of the same ring", 3, (CODE_XR, 3), 3, 3, 3),
    ("code, in a lower ring's name", 0, (CODE_XR, 0), 3, (GP, S), (GP, S)),
    ("the kernel's code, by a user", 3, (CODE_XR, 0), 0, (GP, S), (GP, S)),
    ("a user's code, by the kernel", 0, (CODE_XR, 3), 3, (GP, S), (GP, S)),
    ("the kernel's conforming code, by a user", 3, (CONFORMING, 0), 3, 3, 3),
    ("a user's conforming code, by the kernel", 0, (CONFORMING, 3), 0, (GP, S), (GP, S)),
    ("data", 0, (DATA_RW, 0), 0, (GP, S), (GP, S)),
    ("code that is not present", 0, (CODE_XR & ~ABSENT, 0), 0, (NP, S), (NP, S)),
    ("an empty descriptor", 0, (0, 0), 0, (GP, S), (GP, S)),
    ("an interrupt gate", 0, (0x8E, 0), 0, (GP, S), (GP, S)),
    ("a local table", 0, (0x82, 0), 0, (GP, S), (GP, S)),
]
CALL, JMP = b"\x9a", b"\xea"


def far(machine, opcode, selector, offset=TARGET):
    """A direct far jump or call: (answer of the function, answer of the engine) with both machines' states compared."""
    code = opcode + struct.pack("<IH", offset, selector)
    other = prepared(machine.cpl, {})
    other.ram.write(0, machine.ram.bytes[:])
    place_like(other, machine)
    behind = machine.eip + len(code) if opcode == CALL else None
    asked = ask(segments.far_transfer, machine, selector, offset, True, behind)
    assert run(other, code) == asked
    for what in ("cpl", "eip"):
        assert getattr(machine, what) == getattr(other, what), what
    assert machine.regs[c.ESP] == other.regs[c.ESP]
    # In a call through a gate to conforming code the engine forgets to put the privilege level into CS's selector.
    assert machine.segment(c.CS).selector | 3 == other.segment(c.CS).selector | 3
    assert held(machine, c.CS)[1:] == held(other, c.CS)[1:]
    assert held(machine, c.SS) == held(other, c.SS)
    assert machine.ram.read(STACK - 64, 64) == other.ram.read(STACK - 64, 64)
    assert machine.ram.read(STACK0 - 64, 64) == other.ram.read(STACK0 - 64, 64)
    return asked


def place_like(machine, other):
    for table in ("gdt", "idt", "tr", "ldt"):
        machine.set_table(table, other.table(table))
    machine.regs[c.ESP] = other.regs[c.ESP]


@pytest.mark.parametrize("opcode", [JMP, CALL], ids=["jmp", "call"])
@pytest.mark.parametrize("name, ring, content, rpl, jump, call", TRANSFERS, ids=[row[0] for row in TRANSFERS])
def test_direct_transfers(name, ring, content, rpl, jump, call, opcode):
    access, dpl = content
    machine = prepared(ring, {GDT + S: descriptor(0, FLAT, flags(access, dpl))})
    expected = jump if opcode == JMP else call
    answer = far(machine, opcode, S | rpl)
    if isinstance(expected, tuple):
        assert answer == expected
        assert (machine.eip, machine.regs[c.ESP]) == (CODE, STACK)
    else:
        assert answer is OK
        assert (machine.cpl, machine.eip, machine.segment(c.CS).selector) == (expected, TARGET, S | expected)
        if opcode == CALL:
            assert machine.ram.u32(STACK - 8) == CODE + 7 and machine.ram.u32(STACK - 4) & 0xFFFF == code_of(ring)


GATES = [      # name, ring, gate, what it leads to at SPARE + 8, answers of JMP and CALL: the new ring, or a fault
    ("to the same ring", 0, CALL_GATE, (CODE_XR, 0), 0, 0),
    ("to ring 0", 3, CALL_GATE, (CODE_XR, 0), (GP, S + 8), 0),
    ("to ring 1", 3, CALL_GATE, (CODE_XR, 1), (GP, S + 8), 1),
    ("to conforming code of ring 0", 3, CALL_GATE, (CONFORMING, 0), 3, 3),
    ("to an outer ring", 0, CALL_GATE, (CODE_XR, 3), (GP, S + 8), (GP, S + 8)),
    ("closed to the ring", 3, {"kind": 12, "dpl": 2}, (CODE_XR, 0), (GP, S), (GP, S)),
    ("not present", 3, CALL_GATE | {"present": False}, (CODE_XR, 0), (NP, S), (NP, S)),
    ("to data", 3, CALL_GATE, (DATA_RW, 0), (GP, S + 8), (GP, S + 8)),
    ("to code that is not present", 3, CALL_GATE, (CODE_XR & ~ABSENT, 0), (GP, S + 8), (NP, S + 8)),
    ("to a null selector", 3, CALL_GATE | {"selector": 0}, (CODE_XR, 0), (GP, 0), (GP, 0)),
    ("to a selector beyond the table", 3, CALL_GATE | {"selector": 0x1000}, (CODE_XR, 0), (GP, 0x1000), (GP, 0x1000)),
]


@pytest.mark.parametrize("opcode", [JMP, CALL], ids=["jmp", "call"])
@pytest.mark.parametrize("name, ring, how, content, jump, call", GATES, ids=[row[0] for row in GATES])
def test_transfers_through_a_gate(name, ring, how, content, jump, call, opcode):
    access, dpl = content
    machine = prepared(ring, {GDT + S: gate(TARGET, **{"selector": S + 8} | how),
                              GDT + S + 8: descriptor(0, FLAT, flags(access, dpl))})
    expected = jump if opcode == JMP else call
    answer = far(machine, opcode, S | 3, offset=0x1234)
    if isinstance(expected, tuple):
        assert answer == expected
        assert (machine.eip, machine.regs[c.ESP], machine.cpl) == (CODE, STACK, ring)
    else:
        assert answer is OK
        assert (machine.cpl, machine.eip) == (expected, TARGET), "the gate's offset counts, the instruction's does not"
        if opcode == CALL and expected < ring:
            top = STACK0 - 0x1000 * expected
            pushed = [machine.ram.u32(top - 4 * i) for i in range(1, 5)]
            assert [pushed[0] & 0xFFFF, pushed[1], pushed[2] & 0xFFFF, pushed[3]] == [
                data_of(ring), STACK, code_of(ring), CODE + 7]
            assert machine.segment(c.SS).selector == data_of(expected)


@pytest.mark.parametrize("parameters", [1, 4, 31])
def test_a_gate_copies_parameters_to_the_inner_stack(parameters):
    machine = prepared(3, {GDT + S: gate(TARGET, kind=12, dpl=3, parameters=parameters)})
    words = [0x1000 + i for i in range(parameters)]
    machine.ram.write(STACK - 4 * parameters, struct.pack(f"<{parameters}I", *words))
    machine.regs[c.ESP] = STACK - 4 * parameters
    assert far(machine, CALL, S | 3) is OK
    inner = [machine.ram.u32(machine.regs[c.ESP] + 4 * i) for i in range(4 + parameters)]
    assert inner == [CODE + 7, code_of(3), *words, STACK - 4 * parameters, data_of(3)]


STACKS = [     # the inner stack that the TSS names: name, SS, limit of the TSS, answer
    ("null", 0, 103, (TS, 0)), ("another ring's", data_of(1), 103, (TS, data_of(1) & ~3)),
    ("code", code_of(0), 103, (TS, code_of(0))), ("beyond the table", 0x2000, 103, (TS, 0x2000)),
    ("beyond the TSS", data_of(0), 10, (TS, TSS_SELECTOR)), ("good", data_of(0), 11, OK),
]


@pytest.mark.parametrize("name, ss, limit, answer", STACKS, ids=[row[0] for row in STACKS])
def test_a_gate_needs_a_stack_from_the_tss(name, ss, limit, answer):
    machine = prepared(3, {GDT + S: gate(TARGET, kind=12, dpl=3), TSS + 4: struct.pack("<II", STACK0, ss)})
    machine.set_table("tr", c.Segment(TSS_SELECTOR, TSS, limit, 0x8900))
    assert far(machine, CALL, S | 3) == answer


@pytest.mark.parametrize("selector, what", [(TSS_SELECTOR, "task switch"), (S, "task switch")])
def test_task_switches_are_not_modelled_and_say_so(selector, what):
    machine = prepared(extra={GDT + S: gate(0, selector=TSS_SELECTOR, kind=5)})
    with pytest.raises(Dead, match=what):
        segments.far_transfer(machine, selector, 0, True, None)


def test_a_null_selector_goes_nowhere():
    for opcode in (JMP, CALL):
        assert far(prepared(), opcode, 0) == (GP, 0)
        assert far(prepared(3), opcode, 3) == (GP, 0)


# ------------------------------------------------------------------------------------- far returns and IRET
RETURNS = [    # name, ring, CS on the stack, SS on it (None: the same ring), answer or the new ring
    ("to the same ring", 0, code_of(0), None, 0),
    ("to ring 3", 0, code_of(3), data_of(3), 3),
    ("from ring 1 to ring 3", 1, code_of(3), data_of(3), 3),
    ("to an inner ring", 3, code_of(0), None, (GP, code_of(0))),
    ("to a null selector", 0, 0, None, (GP, 0)),
    ("to data", 0, data_of(0), None, (GP, data_of(0))),
    ("to ring 3's code as ring 0", 0, code_of(3) & ~3, None, (GP, code_of(3) & ~3)),
    ("to ring 3 with the kernel's stack", 0, code_of(3), data_of(0), (GP, data_of(0))),
    ("to ring 3 with no stack", 0, code_of(3), 0, (GP, 0)),
    ("to ring 3 with a stack of code", 0, code_of(3), code_of(3), (GP, code_of(3) & ~3)),
    ("beyond the table", 0, 0x2000, None, (GP, 0x2000)),
    ("to code that is not present", 0, S, None, (NP, S)),
]


@pytest.mark.parametrize("interrupt", [False, True], ids=["lret", "iret"])
@pytest.mark.parametrize("name, ring, cs, ss, expected", RETURNS, ids=[row[0] for row in RETURNS])
def test_returns(name, ring, cs, ss, expected, interrupt):
    absent = {GDT + S: descriptor(0, FLAT, flags(CODE_XR & ~ABSENT))}
    words = [TARGET, cs] + [0x202] * interrupt + ([] if ss is None else [0x190000, ss])
    asked, ran = (prepared(ring, absent | {STACK - 64: struct.pack(f"<{len(words)}I", *words)}) for _ in range(2))
    for machine in (asked, ran):
        machine.regs[c.ESP] = STACK - 64
    answer = ask(segments.far_return, asked, True, 0, interrupt)
    assert run(ran, b"\xcf" if interrupt else b"\xcb") == answer
    for what in ("cpl", "eip"):
        assert getattr(asked, what) == getattr(ran, what)
    assert asked.regs[c.ESP] == ran.regs[c.ESP]
    for register in range(6):
        assert asked.segment(register)[:3] == ran.segment(register)[:3], c.SEGMENT_NAMES[register]
    if isinstance(expected, tuple):
        assert answer == expected and asked.regs[c.ESP] == STACK - 64
    else:
        assert answer is OK and (asked.cpl, asked.eip) == (expected, TARGET)
        assert asked.regs[c.ESP] == (STACK - 64 + 4 * len(words) if ss is None else 0x190000)


def test_a_return_to_an_outer_ring_takes_the_kernels_segments_away():
    machine = prepared(extra={STACK - 64: struct.pack("<4I", TARGET, code_of(3), 0x190000, data_of(3))})
    machine.regs[c.ESP] = STACK - 64
    segments.load(machine, c.ES, data_of(3))
    segments.far_return(machine, True)
    assert [machine.segment(register).selector for register in (c.ES, c.DS, c.FS, c.GS)] == [data_of(3), 0, 0, 0]


def test_a_far_return_releases_parameters_on_both_stacks():
    words = struct.pack("<6I", TARGET, code_of(3), 1, 2, 0x190000, data_of(3))
    machine = prepared(extra={STACK - 64: words})
    machine.regs[c.ESP] = STACK - 64
    segments.far_return(machine, True, release=8)
    assert (machine.cpl, machine.regs[c.ESP]) == (3, 0x190008)


FLAGS = [      # ring, IOPL, flags on the stack, flags afterwards: who may change IF and IOPL by IRET
    (0, 0, 0x3202, 0x3202), (0, 3, 0x0002, 0x0002), (1, 0, 0x3202, 0x0002), (1, 1, 0x3202, 0x1202),
    (3, 3, 0x0002, 0x3002),
]


@pytest.mark.parametrize("ring, iopl, image, flags_after", FLAGS)
def test_iret_changes_the_interrupt_flag_only_for_whom_it_belongs_to(ring, iopl, image, flags_after):
    """By the manual. On the engine, IRET outside ring 0 never changes IF: that hole is shown in test_probe."""
    machine = prepared(ring, {STACK - 64: struct.pack("<3I", TARGET, code_of(ring), image)})
    machine.regs[c.ESP], machine.eflags = STACK - 64, 2 | iopl << 12
    segments.far_return(machine, True, interrupt=True)
    assert machine.eflags == flags_after

"""Loading a segment register: the oldest and most forgotten protection check of the x86.

Before paging, segments were how a 286 kept programs apart, so each load of a selector looks up a descriptor and asks: is
it there, is it of a type that this register may hold, is it for this privilege level? A monitor whose guest's kernel
is not in ring 0 must ask the same questions of the guest's own tables, in the same order, with the same error codes; the
bare machine's are asked by the engine. So each row here states the answer of the Intel SDM (vol. 2, MOV, LTR, LLDT, JMP,
CALL, RET, IRET), and is put to both: to the function in `segments`, and to the instruction on the engine.

Where the engine is known to differ from the SDM, the row says what the engine does, because the bare machine is the
reference that all techniques are compared with.
"""
import struct

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from machine.bare import (
    CODE, DATA, FLAT, GDT, LDT, LDT_SELECTOR, SPARE, STACK, STACK0, TSS, TSS_SELECTOR, bare, code_of, data_of, frame, gate,
    place, tables)

from pvlab.machine.engine import Why
from pvlab.machine.memory import Dead
from pvlab.machine.x86 import cpu as c
from pvlab.machine.x86 import segments
from pvlab.machine.x86.faults import GP, NP, STACK as SS_FAULT, TS, Fault
from pvlab.machine.x86.machine import Machine
from pvlab.machine.x86.segments import Descriptor, descriptor
from pvlab.monitors import Native, TrapAndEmulate

MIB = 1 << 20
DATA_RW, DATA_RO, CODE_XR, CODE_X, CONFORMING, CONFORMING_X = 0x93, 0x91, 0x9B, 0x99, 0x9F, 0x9D   # DPL 0, present
DOWN, ABSENT = 0x97, 0x80                                   # expand-down; ABSENT is taken away
OK = None


def flags(access, dpl=0, big=True):
    """A descriptor's second word, without base and limit, from its access byte."""
    return access << 8 | dpl << 13 | big << 22


def prepared(ring=0, extra=None):
    machine = Machine(4 * MIB)
    for at, data in (tables() | (extra or {})).items():
        machine.ram.write(at, data)
    place(machine, ring)
    machine.regs[c.ESP], machine.eip = STACK, CODE
    return machine


def run(machine, code):
    """Execute one instruction. Gives None where it was carried out, or (vector, error code) of its fault."""
    before = machine.eip
    machine.ram.write(machine.linear_eip, code)
    why = machine.step()
    assert why is Why.EXCEPTION, why
    if machine.state.vector == 1 and not machine.cpu.was_int:
        return None
    assert machine.eip == before, "a fault leaves EIP at the instruction"
    return machine.state.vector, machine.cpu.error_code


def held(machine, register):
    """A segment register, without the four bits of the limit that the engine leaves in its flags."""
    segment = machine.segment(register)
    return segment._replace(flags=segment.flags & 0xF0FF00)


def ask(function, *arguments):
    """The same of a function."""
    try:
        function(*arguments)
    except Fault as fault:
        return fault.vector, fault.code
    return None


# ------------------------------------------------------------------------------------- descriptors
@settings(max_examples=200, derandomize=True, database=None, deadline=None)
@given(base=st.integers(0, 0xFFFFFFFF), limit=st.integers(0, 0xFFFFF), pages=st.booleans(), access=st.integers(0, 255),
       size=st.integers(0, 7))
def test_a_descriptor_decodes_to_what_it_was_made_from(base, limit, pages, access, size):
    limit = limit << 12 | 0xFFF if pages else limit
    wanted = access << 8 | size << 20
    low, high = struct.unpack("<II", descriptor(base, limit, wanted))
    found = Descriptor(low, high, 0).segment(0x1234)
    granular = limit > 0xFFFFF
    assert (found.selector, found.base, found.limit) == (0x1234, base, limit)
    assert found.flags == wanted | granular << 23


ENCODED = [    # descriptors as operating systems have them: base, limit, flags; the eight bytes of the SDM's figure 3-8
    (0, 0xFFFFFFFF, flags(0x9A), "ffff 0000 00 9a cf 00"),
    (0, 0xFFFFFFFF, flags(0x92), "ffff 0000 00 92 cf 00"),
    (0x12345678, 0x67, flags(0x89, big=False), "6700 7856 34 89 00 12"),
    (0xF0000000, 0xFFFFF, flags(0xF2), "ffff 0000 00 f2 4f f0"),
]


@pytest.mark.parametrize("base, limit, word, expected", ENCODED)
def test_a_descriptors_eight_bytes(base, limit, word, expected):
    assert descriptor(base, limit, word) == bytes.fromhex(expected)


# ------------------------------------------------------------------------------------- ES, SS, DS, FS, GS
S = SPARE
LOADS = [      # name, register, ring, selector, descriptor's access byte and DPL (None: as the tables have it), answer
    ("null into DS", c.DS, 0, 0, None, OK),
    ("null with an RPL into DS", c.DS, 3, 3, None, OK),
    ("null into SS", c.SS, 0, 0, None, (GP, 0)),
    ("null with an RPL into SS", c.SS, 3, 3, None, (GP, 0)),
    ("data", c.DS, 0, S, (DATA_RW, 0), OK),
    ("read-only data", c.ES, 0, S, (DATA_RO, 0), OK),
    ("expand-down data", c.FS, 0, S, (DOWN, 0), OK),
    ("readable code", c.GS, 0, S, (CODE_XR, 0), OK),
    ("execute-only code", c.DS, 0, S, (CODE_X, 0), (GP, S)),
    ("readable conforming code", c.DS, 0, S, (CONFORMING, 0), OK),
    ("execute-only conforming code", c.DS, 0, S, (CONFORMING_X, 0), (GP, S)),
    ("the kernel's data, by a user", c.DS, 3, S | 3, (DATA_RW, 0), (GP, S)),
    ("the kernel's data, by a user who asks as ring 0", c.DS, 3, S, (DATA_RW, 0), (GP, S)),
    ("the kernel's code, by a user", c.DS, 3, S | 3, (CODE_XR, 0), (GP, S)),
    ("the kernel's conforming code, by a user", c.DS, 3, S | 3, (CONFORMING, 0), OK),
    ("a user's data, by the kernel", c.DS, 0, S, (DATA_RW, 3), OK),
    ("a user's data, by the kernel in his name", c.DS, 0, S | 3, (DATA_RW, 3), OK),
    ("the kernel's data, by the kernel in a user's name", c.DS, 0, S | 3, (DATA_RW, 0), (GP, S)),
    ("ring 2's data, by ring 1", c.DS, 1, S | 1, (DATA_RW, 2), OK),
    ("ring 1's data, by ring 2", c.DS, 2, S | 2, (DATA_RW, 1), (GP, S)),
    ("data that is not present", c.DS, 0, S, (DATA_RW & ~ABSENT, 0), (NP, S)),
    ("data that is not present and not allowed", c.DS, 3, S | 3, (DATA_RW & ~ABSENT, 0), (GP, S)),
    ("code that is not present", c.DS, 0, S, (CODE_XR & ~ABSENT, 0), (NP, S)),
    ("a TSS", c.DS, 0, TSS_SELECTOR, None, (GP, TSS_SELECTOR)),
    ("a call gate", c.DS, 0, S, (0x8C, 0), (GP, S)),
    ("an empty descriptor", c.DS, 0, S, (0, 0), (GP, S)),
    ("the last descriptor", c.DS, 0, 0xFF8, (DATA_RW, 0), OK),
    ("beyond the table", c.DS, 0, 0x1000, None, (GP, 0x1000)),
    ("beyond the table, with an RPL", c.DS, 0, 0x1003, None, (GP, 0x1000)),
    ("in the local table", c.DS, 0, 0x0C, (DATA_RW, 0), OK),
    ("in the local table, entry 0", c.DS, 0, 0x04, (DATA_RW, 0), OK),
    ("beyond the local table", c.DS, 0, 0x104, None, (GP, 0x104)),
    ("a stack", c.SS, 0, S, (DATA_RW, 0), OK),
    ("a user's stack", c.SS, 3, S | 3, (DATA_RW, 3), OK),
    ("an expand-down stack", c.SS, 0, S, (DOWN, 0), OK),
    ("a read-only stack", c.SS, 0, S, (DATA_RO, 0), (GP, S)),
    ("a stack of code", c.SS, 0, S, (CODE_XR, 0), (GP, S)),
    ("a user's stack, by the kernel", c.SS, 0, S, (DATA_RW, 3), (GP, S)),
    ("a stack with another RPL", c.SS, 0, S | 3, (DATA_RW, 0), (GP, S)),
    ("the kernel's stack, by a user", c.SS, 3, S | 3, (DATA_RW, 0), (GP, S)),
    ("a stack that is not present", c.SS, 0, S, (DATA_RW & ~ABSENT, 0), (SS_FAULT, S)),
    ("a stack that is not present and read-only", c.SS, 0, S, (DATA_RO & ~ABSENT, 0), (GP, S)),
    ("a stack in a TSS's place", c.SS, 0, TSS_SELECTOR, None, (GP, TSS_SELECTOR)),
]


def entry(selector, content):
    """{address: bytes} of the descriptor that a row asks for."""
    if content is None:
        return {}
    access, dpl = content
    return {(LDT if selector & 4 else GDT) + (selector & ~7): descriptor(0x1000, FLAT, flags(access, dpl))}


@pytest.mark.parametrize("name, register, ring, selector, content, answer", LOADS, ids=[row[0] for row in LOADS])
def test_who_may_load_what(name, register, ring, selector, content, answer):
    asked, ran = (prepared(ring, entry(selector, content)) for _ in range(2))
    before = asked.segment(register)
    assert ask(segments.load, asked, register, selector) == answer
    ran.regs[c.EAX] = selector
    assert run(ran, bytes((0x8E, 0xC0 | register << 3))) == answer             # mov %eax, %sreg
    assert held(asked, register) == held(ran, register)
    if answer is not OK:
        assert asked.segment(register) == before, "a fault leaves the register as it was"
    elif selector & ~3:
        assert asked.segment(register)[:3] == (selector, 0x1000, FLAT)
    else:
        assert asked.segment(register)[0] == selector
    assert asked.ram.read(GDT, 0x1000) == ran.ram.read(GDT, 0x1000), "both leave the same accessed bits"


def test_a_load_marks_the_descriptor_as_accessed():
    machine = prepared(extra={GDT + S: descriptor(0, FLAT, flags(0x92))})
    segments.load(machine, c.DS, S)
    assert machine.ram.u32(GDT + S + 4) >> 8 & 0xFF == 0x93


@settings(max_examples=300, derandomize=True, database=None, deadline=None)
@given(register=st.sampled_from((c.ES, c.SS, c.DS, c.FS, c.GS)), ring=st.integers(0, 3), access=st.integers(0, 255),
       rpl=st.integers(0, 3), local=st.booleans())
def test_any_descriptor_is_loaded_or_refused_as_the_engine_does(register, ring, access, rpl, local):
    selector = (0x0C if local else S) | rpl
    asked, ran = (prepared(ring, {(LDT if local else GDT) + (selector & ~7): descriptor(0x1000, FLAT, access << 8 | 1 << 22)})
                  for _ in range(2))
    ran.regs[c.EAX] = selector
    assert ask(segments.load, asked, register, selector) == run(ran, bytes((0x8E, 0xC0 | register << 3)))
    assert held(asked, register) == held(ran, register)


# ------------------------------------------------------------------------------------- TR and LDTR
SYSTEM = [     # name, instruction, selector, descriptor's access byte (None: as the tables have it), answer
    ("LTR", "tr", S, 0x89, OK),
    ("LTR of 16 bits", "tr", S, 0x81, OK),
    ("LTR, busy", "tr", S, 0x8B, (GP, S)),
    ("LTR, not present", "tr", S, 0x09, (NP, S)),
    ("LTR, busy and not present", "tr", S, 0x0B, (GP, S)),
    ("LTR, data", "tr", S, DATA_RW, (GP, S)),
    ("LTR, a local table", "tr", LDT_SELECTOR, None, (GP, LDT_SELECTOR)),
    ("LTR, in the local table", "tr", 0x0C, 0x89, (GP, 0x0C)),
    ("LTR, beyond the table", "tr", 0x1000, None, (GP, 0x1000)),
    ("LTR, its RPL does not matter", "tr", S | 3, 0x89, OK),
    ("LLDT", "ldt", S, 0x82, OK),
    ("LLDT, null", "ldt", 0, None, OK),
    ("LLDT, not present", "ldt", S, 0x02, (NP, S)),
    ("LLDT, a TSS", "ldt", TSS_SELECTOR, None, (GP, TSS_SELECTOR)),
    ("LLDT, data", "ldt", S, DATA_RW, (GP, S)),
    ("LLDT, in the local table", "ldt", 0x0C, 0x82, (GP, 0x0C)),
    ("LLDT, beyond the table", "ldt", 0x1000, None, (GP, 0x1000)),
]


@pytest.mark.parametrize("name, register, selector, access, answer", SYSTEM, ids=[row[0] for row in SYSTEM])
def test_task_register_and_local_table(name, register, selector, access, answer):
    content = {} if access is None else {
        (LDT if selector & 4 else GDT) + (selector & ~7): descriptor(DATA, 0x67, access << 8)}
    asked, ran = (prepared(extra=content) for _ in range(2))
    assert ask(segments.load_system, asked, register, selector) == answer
    ran.regs[c.EAX] = selector
    assert run(ran, b"\x0f\x00" + {"tr": b"\xd8", "ldt": b"\xd0"}[register]) == answer   # ltr %ax, lldt %ax
    assert asked.ram.read(GDT, 0x1000) == ran.ram.read(GDT, 0x1000)
    if answer is OK and selector:
        assert asked.table(register)[:3] == ran.table(register)[:3] == (selector, DATA, 0x67)
        busy = asked.ram.u32(GDT + (selector & ~7) + 4) >> 8 & 2
        assert busy == 2, "an LDT's type is 2, and a TSS is marked busy"
    elif selector == 0 and register == "ldt":
        assert asked.table("ldt").selector == ran.table("ldt").selector == 0


@pytest.mark.parametrize("selector", [0, 3])
@pytest.mark.parametrize("monitor", [Native, TrapAndEmulate], ids=lambda m: m.name)
def test_a_null_task_register_is_refused_although_the_engine_would_take_it(selector, monitor):
    """With it in place, the next call through a gate would end the process."""
    result = bare(f"mov ${selector}, %eax; at: ltr %ax", monitor)
    assert (result.status, frame(result, 2)) == (GP, [0, result.symbols["at"]])
    asked, ran = prepared(), prepared()
    assert ask(segments.load_system, asked, "tr", selector) == (GP, 0)
    ran.regs[c.EAX] = selector
    assert run(ran, b"\x0f\x00\xd8") is None


# ------------------------------------------------------------------------------------- far jumps and calls
CALL_GATE = {"kind": 12, "dpl": 3}
TARGET = 0x180000
TRANSFERS = [  # name, ring, descriptors at SPARE and SPARE + 8, the selector's RPL, answer of JMP, of CALL (or its ring)
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
    (0, 0, 0x3202, 0x3202), (0, 3, 0x0002, 0x0002), (1, 0, 0x3202, 0x0002), (1, 1, 0x3202, 0x1202), (3, 3, 0x0002, 0x3002),
]


@pytest.mark.parametrize("ring, iopl, image, flags_after", FLAGS)
def test_iret_changes_the_interrupt_flag_only_for_whom_it_belongs_to(ring, iopl, image, flags_after):
    """By the manual. On the engine, IRET outside ring 0 never changes IF: that hole is shown in test_probe."""
    machine = prepared(ring, {STACK - 64: struct.pack("<3I", TARGET, code_of(ring), image)})
    machine.regs[c.ESP], machine.eflags = STACK - 64, 2 | iopl << 12
    segments.far_return(machine, True, interrupt=True)
    assert machine.eflags == flags_after

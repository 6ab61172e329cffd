"""Loading a segment register: the oldest and most forgotten protection check of the x86.

Before paging, segments were how a 286 kept programs apart, so each load of a selector looks up a descriptor and asks:
is it there, is it of a type that this register may hold, is it for this privilege level? A monitor whose guest's
kernel is not in ring 0 must ask the same questions of the guest's own tables, in the same order, with the same error
codes; the bare machine's are asked by the engine. So each row here states the answer of the Intel SDM (vol. 2, MOV,
LTR, LLDT, JMP, CALL, RET, IRET), and is put to both: to the function in `segments`, and to the instruction on the
engine.

Where the engine is known to differ from the SDM, the row says what the engine does, because the bare machine is the
reference that all techniques are compared with.
"""
import struct

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from machine.bare import DATA, FLAT, GDT, LDT, LDT_SELECTOR, SPARE, TSS_SELECTOR, bare, frame
from machine.segmented import (
    ABSENT, CODE_X, CODE_XR, CONFORMING, CONFORMING_X, DATA_RO, DATA_RW, DOWN, OK, ask, flags, held, prepared, run)

from pvlab.machine.x86 import cpu as c
from pvlab.machine.x86 import segments
from pvlab.machine.x86.faults import GP, NP, STACK
from pvlab.machine.x86.segments import Descriptor, descriptor
from pvlab.monitors import Native, TrapAndEmulate


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
    ("a stack that is not present", c.SS, 0, S, (DATA_RW & ~ABSENT, 0), (STACK, S)),
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
    content = {(LDT if local else GDT) + (selector & ~7): descriptor(0x1000, FLAT, access << 8 | 1 << 22)}
    asked, ran = (prepared(ring, content) for _ in range(2))
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

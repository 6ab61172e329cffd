"""A guest that waits in a loop: is it one that only an interruption can end?

Where a loop's round leaves every register as it was and stores nothing, the next round does the same: the guest is
asleep with its eyes open, and CP lets virtual time pass to the next event, as for a wait state. Otherwise a guest that
waits fifteen seconds for its watchdog would execute fifteen thousand million instructions.
"""
from __future__ import annotations

from pvlab.machine.engine import Why
from pvlab.machine.s390x.cpu import Env
from pvlab.machine.s390x.decode import length, opcode
from pvlab.machine.s390x.faults import Interruption

_MOST_BLOCKS = 8
_STATE = Env.fpc.offset                      # general, vector and access registers stand before it
# Instructions that neither store nor read a clock: branches, loads, comparisons, tests, and arithmetic on registers.
_HARMLESS = frozenset((
    0x07, 0x47, 0x05, 0x0D, 0x18, 0x12, 0x19, 0x15, 0x14, 0x16, 0x17, 0x1A, 0x1B, 0x41, 0x43, 0x48, 0x49, 0x54, 0x55,
        0x56,
    0x57, 0x58, 0x59, 0x91, 0x95, 0x88, 0x89, 0x98, 0x010B, 0x010C, 0x010D, 0x010E, 0xB222,
    *(0xA700 | i for i in (0, 1, 2, 3, 4, 5, 8, 9, 0xA, 0xB, 0xE, 0xF)), *(0xA500 | i for i in range(16)),
    *(0xC000 | i for i in range(16)), *(0xC200 | i for i in range(16)),
    *(0xC400 | i for i in (2, 4, 5, 6, 8, 0xC, 0xD, 0xE)), *(0xC600 | i for i in (4, 5, 6, 7, 8, 0xA, 0xC, 0xD, 0xE,
        0xF)),
    *(0xE300 | i for i in (0x02, 0x04, 0x12, 0x14, 0x15, 0x16, 0x17, 0x20, 0x21, 0x30, 0x31, 0x58, 0x59, 0x55, 0x70,
        0x71,
                           0x73, 0x76, 0x77, 0x78, 0x79, 0x80, 0x82, 0x90, 0x91, 0x94, 0x95, 0x54, 0x56)),
    *(0xEC00 | i for i in (0x51, 0x54, 0x55, 0x56, 0x57, 0x64, 0x65, 0x76, 0x77, 0x7C, 0x7D, 0x7E, 0x7F)),
    *(0xEB00 | i for i in (0x04, 0x0C, 0x0D, 0x51, 0x54, 0x55)),
    *(0xB900 | i for i in (0x02, 0x04, 0x06, 0x07, 0x08, 0x09, 0x12, 0x14, 0x16, 0x17, 0x20, 0x21, 0x26, 0x27, 0x80,
        0x81,
                           0x82, 0x84, 0x85, 0x94, 0x95)),
))


def is_spinning(machine) -> Why | None:
    """Run a few blocks from here. None: the guest goes round a loop that only an interruption can end, and has just
    been round it. Otherwise the answer is why the engine stopped last; the caller deals with that as ever."""
    start, before = machine.pc, _state(machine)
    harmless = True
    for _ in range(_MOST_BLOCKS):
        why = machine.enter(machine.instructions + 1)
        if why is not Why.DEADLINE or not harmless:
            return why
        harmless = _harmless(machine)
        if machine.pc == start:
            break
    return None if harmless and machine.pc == start and _state(machine) == before else Why.DEADLINE


def _state(machine) -> tuple:
    env = machine.env
    return bytes(env)[:_STATE], env.psw_mask, env.fpc, env.prefix


def _harmless(machine) -> bool:
    """Whether the block that has just been executed stores nothing."""
    block = machine.state.table[machine.state.current] if machine.state.current < len(machine.state.table) else None
    if block is None:
        return False
    try:
        code = machine.logical.read(block.address, block.size + 6)
    except Interruption:
        return False
    at = 0
    while at < block.size:
        size = length(code[at])
        if opcode(code[at:at + size]) not in _HARMLESS:
            return False
        at += size
    return True

"""What the tests of segments and of far transfers share: one instruction on the engine, beside the function for it."""
from machine.bare import CODE, STACK, place, tables

from pvlab.machine.engine import Why
from pvlab.machine.x86 import cpu as c
from pvlab.machine.x86.faults import Fault
from pvlab.machine.x86.machine import Machine

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

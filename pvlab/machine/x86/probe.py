"""One experiment: a few instructions on the bare CPU, in ring 0 and in another ring, with nobody to help.

The GDT has flat code and data segments for each ring, as a monitor would prepare them that runs its guest's kernel
in ring 1. There is no monitor and no handler: the first exception ends the experiment, and is its result.
"""
from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from pvlab.errors import PvlabError
from pvlab.guests.assembly import ORIGIN, assemble
from pvlab.machine.engine import Why
from pvlab.machine.x86 import cpu as c
from pvlab.machine.x86 import io, segments
from pvlab.machine.x86.faults import EXCEPTIONS, Fault
from pvlab.machine.x86.machine import Machine
from pvlab.tables import Table

_CODE, _GDT, _TSS, _STACK, _LIMIT = ORIGIN, 0x8000, 0x9000, 0x7000, 10_000
_END = b"\xcd\xff"          # int $0xff: the experiment came to its end
_TSS_SELECTOR, _LDT_SELECTOR = 0x48, 0x50


@dataclass(frozen=True)
class Outcome:
    """What the instructions did in one ring.

    trap        the name of the exception that ended them, or None: they ran
    interrupts  EFLAGS.IF afterwards
    registers   general registers afterwards, by name
    """

    ring: int
    trap: str | None
    interrupts: bool
    registers: dict[str, int]


@dataclass(frozen=True)
class Probe:
    """The same instructions in several rings."""

    code: str
    interrupts: bool
    outcomes: tuple[Outcome, ...]

    def table(self) -> Table:
        rows = [["traps?", *[outcome.trap or "no, it runs" for outcome in self.outcomes]],
                [f"IF afterwards (before: {int(self.interrupts)})", *[int(o.interrupts) for o in self.outcomes]],
                ["EAX afterwards", *[f"{outcome.registers['eax']:#010x}" for outcome in self.outcomes]]]
        return Table(["", *[f"ring {outcome.ring}" for outcome in self.outcomes]], rows, caption=self.code)

    def _repr_mimebundle_(self, include=None, exclude=None):
        return self.table().bundle()

    def __repr__(self) -> str:
        return self.table().text()


def probe(code: str, rings: Sequence[int] = (0, 1), interrupts: bool = True) -> Probe:
    """Run AT&T assembly on the bare CPU, once in each ring. EAX starts as 0; `interrupts` is EFLAGS.IF before.

    Raises PvlabError for a ring that does not exist, GuestError where the code does not assemble.
    """
    if not rings or any(ring not in (0, 1, 2, 3) for ring in rings):
        raise PvlabError(f"rings are 0, 1, 2 and 3, not {list(rings)}")
    binary = assemble(code)
    return Probe(code, interrupts, tuple(outcome(binary, ring, interrupts) for ring in rings))


def outcome(code: bytes, ring: int, interrupts: bool) -> Outcome:
    """What this machine code does in that ring."""
    machine = Machine(2 << 20)
    table = bytes(8)
    for dpl in range(4):
        flags = 1 << 15 | dpl << 13 | 1 << 12 | 1 << 22
        table += segments.descriptor(0, 0xFFFFFFFF, flags | 0xB00) + segments.descriptor(0, 0xFFFFFFFF, flags | 0x300)
    table += segments.descriptor(_TSS, 103, 0x8900) + segments.descriptor(0x6000, 7, 0x8200)
    machine.ram.write(_GDT, table)
    machine.ram.write(_TSS + 0x66, (104).to_bytes(2, "little"))     # no I/O bitmap: ports are ring 0's
    machine.ram.write(_CODE, code + _END)
    cpu = machine.cpu
    cpu.set_table("gdt", c.Segment(0, _GDT, len(table) - 1, 0))
    cpu.set_table("tr", c.Segment(_TSS_SELECTOR, _TSS, 103, 0x8900))
    cpu.set_table("ldt", c.Segment(_LDT_SELECTOR, 0x6000, 7, 0x8200))
    selector = 8 + ring * 16 | ring
    flags = 0x00C09000 | ring << 13
    code_segment = c.Segment(selector, 0, 0xFFFFFFFF, flags | 0xB00)
    data = c.Segment(selector + 8, 0, 0xFFFFFFFF, flags | 0x300)
    for register in (c.DS, c.ES, c.FS, c.GS):
        cpu.set_segment(register, data)
    cpu.set_ring(code_segment, data, ring)
    cpu.eflags = 2 | c.IF * interrupts
    machine.regs[c.ESP], machine.eip = _STACK, _CODE
    trap = _until_trap(machine)
    return Outcome(ring, trap, bool(cpu.eflags & c.IF), dict(zip(c.REGISTER_NAMES, machine.regs)))


def _until_trap(machine: Machine) -> str | None:
    while True:
        why = machine.enter(_LIMIT)
        vector = machine.state.vector
        if why is Why.EXCEPTION:
            if machine.cpu.was_int and vector == 0xFF:
                return None
            return f"int {vector:#x}" if machine.cpu.was_int else EXCEPTIONS.get(vector, str(vector))
        if why is Why.HALTED:
            return None
        if why is Why.INVALID:
            return EXCEPTIONS[6]
        if why is not Why.POINT:
            raise PvlabError(f"the experiment did not end: it stopped at {machine.eip:#x} ({why.name.lower()})")
        instruction = machine.instruction()
        if instruction is None or instruction.mnemonic.rstrip("bwd") not in ("in", "ins", "out", "outs", "sysenter"):
            machine.state.pass_ = machine.linear_eip        # the engine may show what it makes of it
            continue
        try:            # the engine would execute these in any ring, so the CPU's check is made here
            if instruction.mnemonic == "sysenter":
                segments.sysenter(machine, 0, 0, 0)         # its MSRs are as after a reset
            io.check_permission(machine, io.port_access(machine, instruction))
            machine.retire(instruction.size)
        except Fault as fault:
            return EXCEPTIONS[fault.vector]

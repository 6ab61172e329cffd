"""Monitors with a place for a learner's function: each exit of a real guest is then answered by it.

They take functions on plain data, and hold what comes back to its form. A wrong answer ends the run with CheckFailed.
"""
from __future__ import annotations

import struct
from collections.abc import Callable

from pvlab.course.checking import as_data, require, same
from pvlab.machine.x86.cpu import CR4_PAE, CS, ESP, REGISTER_NAMES, SS
from pvlab.machine.x86.faults import EXCEPTIONS, GP, PAGE, Fault
from pvlab.machine.x86.paging import (
    CODE_FETCH, CODE_WRITE, DIRTY, FRAME, LARGE, NO_EXECUTE, PRESENT, USER, WRITABLE, Translation)
from pvlab.monitors.shadow import Shadow
from pvlab.monitors.trap_and_emulate import TrapAndEmulate

CALLS = 3000        # of the function in one run: the guests of the exercises need some hundred


class _Asking(TrapAndEmulate):
    """Trap and emulate that asks a function."""

    def __init__(self, function: Callable):
        super().__init__()
        self.function, self.calls = function, 0

    def ask(self, *arguments):
        """The function's answer, as JSON data."""
        self.calls += 1
        require(self.calls <= CALLS, f"the guest makes no progress: the function was called {CALLS:,} times")
        return as_data(self.function(*arguments))


class EmulatedBy(_Asking):
    """CLI, STI, HLT and MOV of CR2 and CR3 are emulated by `emulate(instruction, vcpu) -> vcpu`, all on dicts.

    instruction  mnemonic, operands (names of registers, the target first), size in bytes
    vcpu         cpl, iopl, interrupts, shadow (no interrupt before the next instruction has retired), halted, eip, the
                 general registers, cr2, cr3; the answer is the new one, or {"fault": [13, 0]}
    """

    def emulate(self, instruction, reason, handler) -> None:
        if reason not in ("cli", "sti", "hlt", "mov-cr2", "mov-cr3"):
            super().emulate(instruction, reason, handler)
            return
        self.leave(reason, instruction.text)
        vcpu, machine = self.vcpu, self.machine
        before = {"cpl": vcpu.cpl, "iopl": vcpu.iopl, "interrupts": vcpu.interrupts, "shadow": False, "halted": False,
                  "eip": machine.eip, **{name: machine.regs[i] & 0xFFFFFFFF for i, name in enumerate(REGISTER_NAMES)},
                  "cr2": vcpu.cr2, "cr3": vcpu.cr3}
        after = self.ask({"mnemonic": instruction.mnemonic, "size": instruction.size,
                          "operands": [operand.value for operand in instruction.operands]}, dict(before))
        if same(after, {"fault": [GP, 0]}):
            self.deliver(EXCEPTIONS[GP], GP, 0)
            return
        _is_vcpu(after, before)
        machine.retire(0)
        machine.eip = after["eip"]
        vcpu.interrupts, vcpu.interrupt_shadow = after["interrupts"], after["shadow"]
        for number, name in enumerate(REGISTER_NAMES):
            machine.regs[number] = after[name]
        vcpu.cr2 = after["cr2"]
        if instruction.operands and instruction.operands[0].value == "cr3":
            vcpu.set_cr3(after["cr3"])
        if after["halted"]:
            self.halt()


def _is_vcpu(after, before: dict) -> None:
    require(type(after) is dict and after.keys() == before.keys(),
            'emulate must return a virtual CPU with the keys that it was given, or {"fault": [13, 0]}')
    for name, value in after.items():
        require(type(value) is type(before[name]), f"{name} must stay of type {type(before[name]).__name__}")
        require(type(value) is bool or 0 <= value < 1 << 32, f"{name} must stay within 32 bits")


class Reflections(TrapAndEmulate):
    """Notes for each INT of a run what `reflect` is given, and what the architecture makes of it.

    `seen` holds ([vector, vcpu, gate, tss], result): vcpu with cpl, cs, eip (behind the INT), eflags, ss, esp; the gate's
    8 bytes as a number; the TSS's ss0 and esp0; and the result with cs, eip, eflags, ss, esp and the words pushed.
    """

    def start(self) -> None:
        super().start()
        self.seen: list[tuple[list, dict]] = []

    def deliver(self, name, vector, code=0, address=0, **how):
        if name != "int":
            return super().deliver(name, vector, code, address, **how)
        vcpu = self.vcpu
        before = {"cpl": vcpu.cpl, **self._registers(), "eip": how["return_to"]}
        gate, = struct.unpack("<Q", vcpu.read_linear(vcpu.table("idt").base + 8 * vector, 8))
        esp0, ss0 = struct.unpack("<II", vcpu.read_linear(vcpu.table("tr").base + 4, 8))
        arrived = super().deliver(name, vector, code, address, **how)
        after, words = self._registers(), 5 if before["cpl"] else 3
        pushed = struct.unpack(f"<{words}I", vcpu.read_linear(after["esp"], 4 * words))[::-1]
        self.seen.append(([vector, before, gate, {"ss0": ss0, "esp0": esp0}], {**after, "pushed": list(pushed)}))
        return arrived

    def _registers(self) -> dict:
        vcpu = self.vcpu
        return {"cs": vcpu.segment(CS).selector, "eip": vcpu.eip, "eflags": vcpu.eflags,
                "ss": vcpu.segment(SS).selector,
                "esp": vcpu.regs[ESP] & 0xFFFFFFFF}


class _ShadowOf(Shadow):
    """A shadow whose last entries are those that were set before `fill`."""

    entry = 0

    def fill(self, linear, found) -> None:
        super().fill(linear, found)
        if found.path:
            self._memory.set_u64(self._slot(linear, found), self.entry)


class ShadowedBy(_Asking):
    """Page faults are judged by `shadow_entry(path, write, user, traced)`, once the guest has switched PAE paging on.

    path    the guest's entries that lead to the page, up to the first that is not present
    answer  {"fault": error code}, or {"entry": the shadow's entry, "path": the guest's entries afterwards}
    Large pages and instruction fetches are not asked about.
    """

    def make_shadow(self) -> Shadow:
        return _ShadowOf(self.machine)

    def _translate(self, code: int, address: int) -> Translation:
        path = self._path(address) if self.vcpu.cr4 & CR4_PAE and not code & CODE_FETCH else [(2, 0, PRESENT)]
        if path[-1][0] == 2 and path[-1][2] & PRESENT:
            found = super()._translate(code, address)
            writable = found.writable and found.dirty and not self.shadow.traces(found.physical)
            self.shadow.entry = (found.physical & ~4095 | PRESENT | found.path[-1][2] & (USER | NO_EXECUTE)
                                 | WRITABLE * writable)
            return found
        entries = [entry for _, _, entry in path]
        answer = self.ask(entries, bool(code & CODE_WRITE), self.vcpu.cpl == 3, self.shadow.traces(entries[-1] & FRAME))
        if type(answer) is dict and answer.keys() == {"fault"} and type(answer["fault"]) is int:
            raise Fault(PAGE, answer["fault"] & 0xFFFF, address)
        require(type(answer) is dict and answer.keys() == {"entry", "path"} and type(answer["path"]) is list
                and len(answer["path"]) == 3 and all(type(entry) is int and 0 <= entry < 1 << 64
                                                     for entry in (answer["entry"], *answer["path"])),
                'shadow_entry must return {"fault": code}, or {"entry": …, "path": [three entries]}')
        require(entries[-1] & PRESENT, "an entry on the way is not present: this is a true fault")
        require(answer["entry"] & FRAME == entries[-1] & FRAME, "the shadow's entry must map the frame of the guest's")
        for (_, at, _), entry in zip(path, answer["path"]):
            self.machine.ram.set_u64(at, entry)
        self.shadow.entry = answer["entry"]
        _, directory, page = answer["path"]
        rights = directory & page
        return Translation(page & FRAME | address & 4095, bool(rights & WRITABLE), bool(rights & USER),
                           not page & NO_EXECUTE, bool(page & DIRTY),
                           tuple((level, at, entry) for (level, at, _), entry in zip(path, answer["path"])))

    def _path(self, address: int) -> list[tuple[int, int, int]]:
        """(level, physical address, entry) of each entry, the last a page's, a large page's or one not present."""
        path, table = [], self.vcpu.cr3 & ~31
        for level, shift, mask in ((3, 30, 3), (2, 21, 511), (1, 12, 511)):
            at = table + (address >> shift & mask) * 8
            entry = self.machine.ram.u64(at)
            path.append((level, at, entry))
            if not entry & PRESENT or level == 2 and entry & LARGE:
                break
            table = entry & FRAME
        return path

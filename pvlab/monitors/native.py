"""The bare machine: the guest's kernel in ring 0, its events through its own IDT, and nobody in between.

There are no exits here. The lab only stands in for what Unicorn leaves out: it delivers events, checks the right to
use ports, and is the hardware around the CPU. The trace records that as events and accesses.
"""
from __future__ import annotations

from pvlab.machine.x86.cpu import CR4_TSD, EAX, EDX, IF
from pvlab.machine.x86.decode import PORT_IO
from pvlab.machine.x86.faults import GP
from pvlab.monitors.base import Monitor


class Native(Monitor):
    name = "native"
    description = "the bare machine: ring 0, events through the guest's own IDT and TSS"
    stop_before = PORT_IO | {"rdtsc"}       # the engine's time-stamp counter is the host's clock

    def take_interrupt(self) -> None:
        machine, state = self.machine, self.machine.state
        state.window = 0
        if not self.board.interrupt_pending():
            return
        if machine.interrupt_shadow and machine.eflags & IF:
            self._finish_shadow()
        if machine.eflags & IF:
            self.deliver_interrupt()
        else:
            state.window = 1                # the native hook watches EFLAGS.IF from here on

    def _finish_shadow(self) -> None:
        """STI takes effect after the next instruction, so that STI and HLT cannot be torn apart: run that one."""
        why = self.step()
        if not self.stepped(why):
            self.dispatch(why)

    def on_point(self) -> None:
        machine = self.machine
        instruction = machine.instruction()
        if instruction and instruction.mnemonic == "rdtsc":
            if machine.cpu.cr[4] & CR4_TSD and machine.cpl:
                self.on_fault(GP, 0, 0)
                return
            now = self.now
            machine.regs[EAX], machine.regs[EDX] = now & 0xFFFFFFFF, now >> 32 & 0xFFFFFFFF
            machine.retire(instruction.size)
        else:
            super().on_point()

    def on_halt(self) -> None:
        self.halt()

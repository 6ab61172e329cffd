"""The bare machine: the guest's kernel in ring 0, its events through its own IDT, and nobody in between.

There are no exits here. The lab only stands in for what Unicorn leaves out: it delivers events, checks the right to
use ports, and is the hardware around the CPU. The trace records that as events and accesses.
"""
from __future__ import annotations

from unicorn.x86_const import UC_X86_REG_MSR

from pvlab.machine.x86 import control, segments
from pvlab.machine.x86.cpu import CR4_TSD, EAX, ECX, EDX, IF
from pvlab.machine.x86.decode import STOP_BEFORE
from pvlab.machine.x86.faults import GP, PAGE, Fault
from pvlab.machine.x86.operands import read
from pvlab.machine.x86.paging import walk
from pvlab.monitors.x86 import X86Monitor

_TSC, _SYSENTER = 0x10, (0x174, 0x175, 0x176)      # model-specific registers


class Native(X86Monitor):
    name = "native"
    description = "the bare machine: ring 0, events through the guest's own IDT and TSS"
    # The engine's time-stamp counter is the host's clock. And its LTR takes a null selector, after which the next call
    # through a gate would abort the process.
    stop_before = STOP_BEFORE | {"rdtsc", "rdmsr", "ltr", "mov-cr0", "mov-cr4", "mov-dr"}

    def take_interrupt(self) -> None:
        machine, state = self.machine, self.machine.state
        state.window = 0
        if not self.board.interrupt_pending():
            return
        if machine.eflags & IF:
            self.finish_shadow()
        if machine.eflags & IF:
            self.deliver_interrupt()
        else:
            state.window = 1                # the native hook watches EFLAGS.IF from here on

    def on_fault(self, vector: int, code: int, address: int) -> None:
        if vector == PAGE:
            try:
                walk(self.machine.ram, self.machine.mmu, address, mark=False)   # Dead: a table is not in memory, where
            except Fault:                                                       # the engine reads zeros
                pass
        super().on_fault(vector, code, address)

    def on_special(self, instruction) -> bool:
        machine = self.machine
        regs, name, flags = machine.regs, instruction.mnemonic, machine.raw_flags
        if name == "rdtsc" and machine.cpu.cr[4] & CR4_TSD and machine.cpl:
            raise Fault(GP, 0)
        if name == "rdtsc" or name == "rdmsr" and regs[ECX] & 0xFFFFFFFF == _TSC and not machine.cpl:
            now = self.now
            regs[EAX], regs[EDX] = now & 0xFFFFFFFF, now >> 32 & 0xFFFFFFFF
        elif name == "ltr" and not machine.cpl:
            segments.load_system(machine, "tr", read(machine, instruction.operands[0], 2))
        elif name == "mov" and instruction.operands[0].value in ("cr0", "cr4") and not machine.cpl:
            target, source = instruction.operands
            control.check_control(machine, target.value, read(machine, source))
            return False
        elif name == "mov" and "dr" in instruction.text:
            control.move_debug(machine, instruction)
        elif name == "sysenter":
            msr = machine.engine.uc.reg_read
            segments.sysenter(machine, *(msr(UC_X86_REG_MSR, number) for number in _SYSENTER))
            machine.state.instructions += 1
        else:
            return False
        if name != "sysenter":
            machine.retire(instruction.size)
        self.end_of_step(flags)
        return True

    def on_halt(self) -> None:
        self.halt()

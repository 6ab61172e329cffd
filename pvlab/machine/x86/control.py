"""Control and debug registers: what may be written to them, and what the lab's machine keeps of it."""
from __future__ import annotations

from pvlab.machine.memory import Dead
from pvlab.machine.x86.cpu import CR0_PE
from pvlab.machine.x86.decode import Instruction, register_number
from pvlab.machine.x86.faults import GP, UD, Fault

_CR4_KNOWN = 0x7FF                       # VME to OSXMMEXCPT: what a Core Duo has
_CR4_DE = 8                              # DR4 and DR5 are undefined, not other names of DR6 and DR7

DEBUG_RESET = (0, 0, 0, 0, 0, 0, 0xFFFF0FF0, 0x400)
SINGLE_STEP = 0x4000                     # DR6.BS: the debug exception is the end of a step
_FIXED = {6: 0xFFFF0FF0, 7: 0x400}       # bits of debug registers that are always set


def check_control(processor, name: str, value: int) -> None:
    """Raise what a write of this value to 'cr0' or 'cr4' raises. The engine would take any, and go into real mode."""
    if name == "cr0" and not value & CR0_PE:
        raise Dead(f"the guest leaves protected mode at {processor.eip:#010x}: the lab's machine does not model real "
                   "mode")
    if name == "cr4" and value & ~_CR4_KNOWN:
        raise Fault(GP, 0)


def move_debug(processor, instruction: Instruction) -> None:
    """MOV to or from a debug register (Intel SDM vol. 2), which stand in `processor.dr`.

    They keep what is written, but no breakpoint is ever set: the lab's guests have no debugger, and the engine's own
    breakpoints would hang the host where a code segment has a base (Unicorn looks for ever for the one it hit).
    """
    if processor.cpl:
        raise Fault(GP, 0)
    target, source = instruction.operands
    name = (target if target.value.startswith("dr") else source).value
    number = int(name[2:])
    if number in (4, 5):
        if processor.mmu.cr4 & _CR4_DE:
            raise Fault(UD, 0)
        number += 2
    if target.value == name:
        value = processor.regs[register_number(source.value)] & 0xFFFFFFFF
        processor.dr[number] = value | _FIXED.get(number, 0)
    else:
        processor.regs[register_number(target.value)] = processor.dr[number]

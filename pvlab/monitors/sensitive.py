"""Emulation of what is sensitive and does not trap: the instructions of lesson 03, done to the virtual CPU.

Trap-and-emulate cannot use this file, because nothing brings these instructions to its monitor. A monitor that looks
at the guest's code before it runs can. The form is that of emulate.py.
"""
from __future__ import annotations

from collections.abc import Callable

from pvlab.machine.x86 import cpu as c
from pvlab.machine.x86 import segments
from pvlab.machine.x86.decode import Instruction, register_number
from pvlab.machine.x86.faults import GP, Fault
from pvlab.machine.x86.operands import address_of, read
from pvlab.monitors.vcpu import VirtualCpu

# What the engine is to stop before where guest code runs as it is (see decode.describe_block).
STOP_BEFORE = frozenset(("pushf", "pushfd", "popf", "popfd", "sgdt", "sidt", "sldt", "str", "smsw", "lar", "lsl",
                         "verr", "verw", "mov-from-cs"))


def _write(vcpu: VirtualCpu, address: int, value: int, size: int) -> None:
    vcpu.write_linear(address, (value & (1 << size * 8) - 1).to_bytes(size, "little"), vcpu.cpl == 3)


def _store(vcpu: VirtualCpu, operand, value: int, wide: bool) -> None:
    """Store a 16-bit selector or the like: a register takes as many bits as the operand size says, memory 16."""
    if operand.kind == "memory":
        _write(vcpu, address_of(vcpu, operand.value), value, 2)
    else:
        _set(vcpu, operand.value, value, wide)


def _set(vcpu: VirtualCpu, register: str, value: int, wide: bool) -> None:
    number = register_number(register)
    vcpu.regs[number] = value & 0xFFFFFFFF if wide else vcpu.regs[number] & 0xFFFF0000 | value & 0xFFFF


# -- flags --------------------------------------------------------------------------------------------------------
def pushf(vcpu: VirtualCpu, instruction: Instruction) -> None:
    stack = segments.current_stack(vcpu, instruction.wide, vcpu.cpl == 3)
    stack.push(vcpu.eflags & ~(c.RF | c.VM))
    vcpu.regs[c.ESP] = stack.esp


def popf(vcpu: VirtualCpu, instruction: Instruction) -> None:
    """POPF sets IF where CPL <= IOPL, IOPL in ring 0, and neither elsewhere: without a word. It always clears RF (Intel SDM
    vol. 2)."""
    stack = segments.current_stack(vcpu, instruction.wide, vcpu.cpl == 3)
    image, cpl, eflags = stack.pop(), vcpu.cpl, vcpu.eflags
    mask = c.ARITHMETIC | c.DF | c.TF | c.NT | c.AC | 1 << 21
    mask |= c.IOPL if cpl == 0 else 0
    mask |= c.IF if cpl <= eflags >> 12 & 3 else 0
    if not instruction.wide:
        mask &= 0xFFFF
    vcpu.eflags = eflags & ~mask & ~c.RF | image & mask
    vcpu.regs[c.ESP] = stack.esp


# -- tables and selectors -----------------------------------------------------------------------------------------
def store_table(vcpu: VirtualCpu, instruction: Instruction) -> None:
    """SGDT and SIDT: the limit, and then the base, of which a 16-bit form knows 24 bits."""
    table = vcpu.table(instruction.mnemonic[1:4])
    base = table.base & (0xFFFFFFFF if instruction.wide else 0xFFFFFF)
    address = address_of(vcpu, instruction.operands[0].value)
    _write(vcpu, address, table.limit, 2)
    _write(vcpu, address + 2 & 0xFFFFFFFF, base, 4)


def store_system(vcpu: VirtualCpu, instruction: Instruction) -> None:
    """SLDT and STR."""
    name = {"sldt": "ldt", "str": "tr"}[instruction.mnemonic]
    _store(vcpu, instruction.operands[0], vcpu.table(name).selector, instruction.wide)


def smsw(vcpu: VirtualCpu, instruction: Instruction) -> None:
    _store(vcpu, instruction.operands[0], vcpu.cr0, False)        # the upper half is undefined, and stays


def read_selector(vcpu: VirtualCpu, instruction: Instruction) -> None:
    """MOV from CS or SS, PUSH CS and PUSH SS."""
    selector = vcpu.segment(register_number(instruction.operands[-1].value)).selector
    if instruction.mnemonic == "push":
        stack = segments.current_stack(vcpu, instruction.wide, vcpu.cpl == 3)
        stack.push(selector)
        vcpu.regs[c.ESP] = stack.esp
    else:
        _store(vcpu, instruction.operands[0], selector, instruction.wide)


# -- what descriptors say (the checks are QEMU's, which are the manual's) ---------------------------------------------
_LAR, _LSL = (1, 2, 3, 4, 5, 9, 11, 12), (1, 2, 3, 9, 11)      # system types that each knows


def _visible(vcpu: VirtualCpu, selector: int, system: tuple[int, ...]) -> segments.Descriptor | None:
    """The descriptor, if there is one and the guest may know of it. Reading the table may raise a page fault."""
    if selector & 0xFFFC == 0:
        return None
    try:
        found = segments.fetch(vcpu, selector)
    except Fault as fault:
        if fault.vector == GP:
            return None
        raise
    if not found.high & segments.NOT_SYSTEM and found.type not in system:
        return None
    if found.is_code and found.high & segments.CONFORMING:
        return found
    return found if found.dpl >= max(vcpu.cpl, selector & 3) else None


def _zero_flag(vcpu: VirtualCpu, on: bool) -> None:
    vcpu.eflags = vcpu.eflags & ~c.ZF | c.ZF * on


def lar(vcpu: VirtualCpu, instruction: Instruction) -> None:
    target, source = instruction.operands
    found = _visible(vcpu, read(vcpu, source, 2), _LAR)
    _zero_flag(vcpu, found is not None)
    if found:
        _set(vcpu, target.value, found.high & 0x00F0FF00, instruction.wide)


def lsl(vcpu: VirtualCpu, instruction: Instruction) -> None:
    target, source = instruction.operands
    found = _visible(vcpu, read(vcpu, source, 2), _LSL)
    _zero_flag(vcpu, found is not None)
    if found:
        _set(vcpu, target.value, found.segment(0).limit, instruction.wide)


def verify(vcpu: VirtualCpu, instruction: Instruction) -> None:
    """VERR and VERW."""
    found = _visible(vcpu, read(vcpu, instruction.operands[0], 2), ())
    if instruction.mnemonic == "verr":
        good = found and (not found.is_code or found.high & segments.READABLE)
    else:
        good = found and found.is_writable_data
    _zero_flag(vcpu, bool(good))


Handler = Callable[[VirtualCpu, Instruction], "str | None"]
_TABLE: dict[str, tuple[str, Handler]] = {
    "pushf": ("pushf", pushf), "pushfd": ("pushf", pushf), "popf": ("popf", popf), "popfd": ("popf", popf),
    "sgdt": ("sgdt", store_table), "sidt": ("sidt", store_table), "sldt": ("sldt", store_system),
    "str": ("str", store_system), "smsw": ("smsw", smsw), "lar": ("lar", lar), "lsl": ("lsl", lsl),
    "verr": ("verr", verify), "verw": ("verw", verify),
}


def find(instruction: Instruction) -> tuple[str, Handler] | None:
    """The exit's reason and its handler, or None where the instruction is not sensitive."""
    found = _TABLE.get(instruction.mnemonic)
    if found is None and instruction.mnemonic in ("mov", "push"):
        operand = instruction.operands[-1] if instruction.operands else None
        if operand and operand.kind == "register" and operand.value in ("cs", "ss"):
            return "mov-from-cs", read_selector
    return found

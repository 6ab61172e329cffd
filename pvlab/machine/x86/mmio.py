"""Instructions whose memory operand is a device's register, executed against any bus.

The CPU stops at such an instruction before it has changed anything: natively because no memory is there, under a
monitor by a page fault. What remains is to decode it and to do what it does, with `load` and `store` instead of RAM.
That is the cost of emulating memory-mapped I/O: the port of an IN or OUT is in the instruction's own encoding, whereas
any instruction can have a memory operand. The common ones are here (KVM's arch/x86/kvm/emulate.c has most).
"""
from __future__ import annotations

from collections.abc import Callable

from pvlab.machine.memory import Dead
from pvlab.machine.x86 import operands as o
from pvlab.machine.x86.cpu import (
    AF, ARITHMETIC, CF, DF, DS, EAX, ECX, EDI, ES, ESI, ESP, OF, PF, SEGMENT_NAMES, SF, SS, TF, ZF)
from pvlab.machine.x86.decode import Instruction, Operand, register_number
from pvlab.machine.x86.segments import BIG

CHUNK = 64      # elements of a REP MOVS, STOS or LODS that are done in one go, as in io.py
_STRINGS = {f"{name}{suffix}": (name, size) for name in ("movs", "stos", "lods")
            for suffix, size in (("b", 1), ("w", 2), ("d", 4))}


class Memory:
    """The guest's memory as an instruction sees it, devices included.

    bus: a devices' Mmio. note(write): called for each access to a device. Every access may raise Fault.
    """

    def __init__(self, processor, ram_size: int, bus, note: Callable[[bool, object], None]):
        self._processor, self._ram_size, self._bus, self._note = processor, ram_size, bus, note
        self._user = processor.cpl == 3

    def _device(self, address: int, size: int, write: bool):
        """(device, offset) at this linear address, or None for RAM."""
        physical = self._processor.physical(address, write, self._user)
        if (address & 4095) + size > 4096:
            last = self._processor.physical(address + size - 1 & 0xFFFFFFFF, write, self._user)
            found = None if max(physical, last) >= self._ram_size else ()
        else:
            found = self._bus.find(physical, size) if physical >= self._ram_size else ()
        if found is None:
            raise Dead(f"physical address {physical:#x} is not memory, and {size} bytes there are no device's "
                       f"(used at {self._processor.eip:#010x}; RAM ends at {self._ram_size:#x})")
        return found or None

    def load(self, address: int, size: int) -> int:
        found = self._device(address, size, False)
        if found is None:
            return int.from_bytes(self._processor.read_linear(address, size, self._user), "little")
        device, offset = found
        self._note(False, device)
        return device.read(offset, size) & (1 << size * 8) - 1

    def store(self, address: int, size: int, value: int) -> None:
        value &= (1 << size * 8) - 1
        found = self._device(address, size, True)
        if found is None:
            self._processor.write_linear(address, value.to_bytes(size, "little"), self._user)
            return
        device, offset = found
        self._note(True, device)
        device.write(offset, size, value)

    def check_writable(self, address: int, size: int) -> None:
        """Raise what a store would."""
        self._device(address, size, True)


def execute(processor, instruction: Instruction, memory: Memory) -> bool:
    """Do what the instruction does. True: it has retired; False: it is a REP that has more to repeat.

    May raise Fault, with everything as it was before the element that faults, or Dead for what is not modelled.
    """
    name, ops = instruction.mnemonic, instruction.operands
    if name in _STRINGS and all(operand.kind == "memory" or operand.value in ("al", "ax", "eax") for operand in ops):
        return _string(processor, instruction, memory, *_STRINGS[name])
    handler = _HANDLERS.get(name)
    if handler is None or any(operand.value in SEGMENT_NAMES for operand in ops if operand.kind == "register"):
        raise Dead(f"'{instruction.text}' at {processor.eip:#010x} has a device's register as its operand: the lab's "
                   "machine emulates there only MOV, MOVZX, MOVSX, PUSH, XCHG, TEST, CMP, plain arithmetic, MOVS, STOS "
                   "and LODS")
    handler(processor, instruction, memory)
    return True


def _read(processor, operand: Operand, memory: Memory, size: int) -> int:
    if operand.kind == "memory":
        return memory.load(o.address_of(processor, operand.value), size)
    if operand.kind == "immediate":
        return operand.value & (1 << size * 8) - 1
    number = register_number(operand.value)
    if size == 1 and number >= 4:                              # ah, ch, dh, bh
        return processor.regs[number - 4] >> 8 & 0xFF
    return processor.regs[number] & (1 << size * 8) - 1


def _write(processor, operand: Operand, memory: Memory, size: int, value: int) -> None:
    if operand.kind == "memory":
        memory.store(o.address_of(processor, operand.value), size, value)
        return
    number, shift = register_number(operand.value), 0
    if size == 1 and number >= 4:
        number, shift = number - 4, 8
    mask = (1 << size * 8) - 1 << shift
    processor.regs[number] = processor.regs[number] & ~mask & 0xFFFFFFFF | value << shift & mask


def _move(processor, instruction: Instruction, memory: Memory) -> None:
    target, source = instruction.operands
    _write(processor, target, memory, target.size, _read(processor, source, memory, target.size))


def _widen(processor, instruction: Instruction, memory: Memory) -> None:
    target, source = instruction.operands
    value = _read(processor, source, memory, source.size)
    if instruction.mnemonic == "movsx" and value >> source.size * 8 - 1:
        value -= 1 << source.size * 8
    _write(processor, target, memory, target.size, value)


def _exchange(processor, instruction: Instruction, memory: Memory) -> None:
    one, other = instruction.operands
    size = one.size
    for operand in instruction.operands:
        if operand.kind == "memory":
            memory.check_writable(o.address_of(processor, operand.value), size)
    first, second = _read(processor, one, memory, size), _read(processor, other, memory, size)
    _write(processor, one, memory, size, second)
    _write(processor, other, memory, size, first)


def _push(processor, instruction: Instruction, memory: Memory) -> None:
    source, = instruction.operands
    value, regs = _read(processor, source, memory, source.size), processor.regs
    ss = processor.segment(SS)
    mask = 0xFFFFFFFF if ss.flags & BIG else 0xFFFF
    top = regs[ESP] - source.size & mask
    memory.store(ss.base + top & 0xFFFFFFFF, source.size, value)
    regs[ESP] = regs[ESP] & ~mask & 0xFFFFFFFF | top


def _calculate(processor, instruction: Instruction, memory: Memory) -> None:
    """target = target OP source, or only the flags of it; INC, DEC, NEG and NOT have no source."""
    name, target = instruction.mnemonic, instruction.operands[0]
    size = target.size
    if name not in ("cmp", "test") and target.kind == "memory":
        memory.check_writable(o.address_of(processor, target.value), size)
    first = _read(processor, target, memory, size)
    second = _read(processor, instruction.operands[1], memory, size) if len(instruction.operands) > 1 else 1
    flags = processor.eflags
    if name == "not":
        value = ~first
    else:
        value, flags = _arithmetic(name, first, second, size * 8, flags)
    if name not in ("cmp", "test"):
        _write(processor, target, memory, size, value & (1 << size * 8) - 1)
    processor.eflags = flags


def _arithmetic(name: str, first: int, second: int, bits: int, flags: int) -> tuple[int, int]:
    """The result, which may have a carry beyond its bits, and EFLAGS (Intel SDM vol. 1, 3.4.3.1)."""
    mask, sign, kept = (1 << bits) - 1, 1 << bits - 1, flags & ~ARITHMETIC
    carry = flags & CF if name in ("adc", "sbb") else 0
    if name in _LOGIC:
        value, found = _LOGIC[name](first, second), 0
    else:
        if name == "neg":
            first, second = 0, first
        adds = name in ("add", "adc", "inc")
        value = first + second + carry if adds else first - second - carry
        overflow = (first ^ value) & (second ^ value if adds else first ^ second) & sign
        found = OF * bool(overflow) | AF * bool((first ^ second ^ value) & 0x10) | CF * bool(value & ~mask)
        if name in ("inc", "dec"):
            found = found & ~CF | flags & CF
    low = value & mask
    found |= ZF * (low == 0) | SF * bool(low & sign) | PF * ((low & 0xFF).bit_count() % 2 == 0)
    return value, kept | found


_LOGIC = {"and": int.__and__, "or": int.__or__, "xor": int.__xor__, "test": int.__and__}


def _string(processor, instruction: Instruction, memory: Memory, name: str, size: int) -> bool:
    regs = processor.regs
    mask = 0xFFFFFFFF if instruction.wide_address else 0xFFFF
    step = -size if processor.eflags & DF else size
    source = processor.segment(instruction.segment if instruction.segment is not None else DS).base
    target = processor.segment(ES).base
    repeat = instruction.prefix in ("rep", "repne")
    for _ in range(min(regs[ECX] & mask, 1 if processor.eflags & TF else CHUNK) if repeat else 1):
        if name == "movs":
            memory.check_writable(target + (regs[EDI] & mask) & 0xFFFFFFFF, size)
        value = regs[EAX] if name == "stos" else memory.load(source + (regs[ESI] & mask) & 0xFFFFFFFF, size)
        if name == "lods":
            regs[EAX] = regs[EAX] & ~((1 << size * 8) - 1) & 0xFFFFFFFF | value
        else:
            memory.store(target + (regs[EDI] & mask) & 0xFFFFFFFF, size, value)
        for pointer, moves in ((ESI, name != "stos"), (EDI, name != "lods")):
            if moves:
                regs[pointer] = regs[pointer] & ~mask & 0xFFFFFFFF | regs[pointer] + step & mask
        if repeat:
            regs[ECX] = regs[ECX] & ~mask & 0xFFFFFFFF | regs[ECX] - 1 & mask
    return not repeat or not regs[ECX] & mask


_HANDLERS = {"mov": _move, "movzx": _widen, "movsx": _widen, "xchg": _exchange, "push": _push,
             **dict.fromkeys(("add", "adc", "sub", "sbb", "and", "or", "xor", "cmp", "test"), _calculate),
             **dict.fromkeys(("inc", "dec", "neg", "not"), _calculate)}


def writes(instruction: Instruction) -> bool:
    """Whether the instruction writes to memory, if it is one that `execute` knows: the name of its exit follows."""
    name, ops = instruction.mnemonic, instruction.operands
    if name in ("cmp", "test") or not ops:
        return False
    return ops[0].kind == "memory" and name != "push" or name == "xchg"

"""What an instruction's operands stand for on a `processor` (see segments.py)."""
from __future__ import annotations

from pvlab.machine.x86.cpu import SEGMENT_NAMES
from pvlab.machine.x86.decode import Memory, Operand, register_number


def address_of(processor, memory: Memory) -> int:
    """The linear address of a memory operand."""
    regs, address = processor.regs, memory.displacement
    if memory.base is not None:
        address += regs[memory.base]
    if memory.index is not None:
        address += regs[memory.index] * memory.scale
    return processor.segment(memory.segment).base + (address & memory.mask) & 0xFFFFFFFF


def read(processor, operand: Operand, size: int | None = None) -> int:
    """The value of a register, immediate or memory operand. May raise Fault."""
    size = size or operand.size
    if operand.kind == "immediate":
        return operand.value
    if operand.kind == "memory":
        data = processor.read_linear(address_of(processor, operand.value), size, processor.cpl == 3)
        return int.from_bytes(data, "little")
    if operand.value in SEGMENT_NAMES:
        return processor.segment(register_number(operand.value)).selector
    return processor.regs[register_number(operand.value)] & (1 << size * 8) - 1

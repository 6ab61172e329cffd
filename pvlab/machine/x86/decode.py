"""Decoding guest code, with capstone: what a block holds, and the one instruction at an exit."""
from __future__ import annotations

import functools
from collections.abc import Iterator
from typing import NamedTuple

from pvlab.machine.engine import NOWHERE
from pvlab.machine.x86 import cpu as c

# What the lab must stop before, because the engine gets it wrong: it executes port I/O without a look at CPL and IOPL
# (Unicorn's gen_check_io), and SYSENTER as a jump to nowhere in particular (helper_sysenter). CMPXCHG8B, LOOPE and LOOPNE
# it gets right only as the first instruction of a block, where a stop puts them; elsewhere it makes up flags, IF and VM
# among them, from the operands of the instruction before (QEMU forgot gen_update_cc_op).
STOP_BEFORE = frozenset(("in", "out", "insb", "insw", "insd", "outsb", "outsw", "outsd", "sysenter",
                         "cmpxchg8b", "loope", "loopne"))
_STRING = ("movs", "stos", "lods", "scas", "cmps", "ins", "outs")
_STRING_OPCODES = frozenset((*range(0xA4, 0xA8), *range(0xAA, 0xB0), *range(0x6C, 0x70)))
PREFIXES = frozenset((0x26, 0x2E, 0x36, 0x3E, 0x64, 0x65, 0x66, 0x67, 0xF0, 0xF2, 0xF3))


class Memory(NamedTuple):
    """A memory operand: linear address = segment's base + (base + index * scale + displacement & mask)."""

    segment: int
    base: int | None
    index: int | None
    scale: int
    displacement: int
    mask: int


class Operand(NamedTuple):
    """kind 'register' (value: capstone's name), 'immediate' (value: the number) or 'memory' (value: Memory)."""

    kind: str
    value: object
    size: int


class Instruction(NamedTuple):
    """mnemonic without prefixes; wide: 32-bit operand size; prefix: 'rep', 'repne', 'lock' or ''; text: for people."""

    mnemonic: str
    text: str
    size: int
    operands: tuple[Operand, ...]
    wide: bool
    wide_address: bool
    prefix: str
    segment: int | None
    code: bytes


@functools.cache
def _capstone(wide: bool, detail: bool):
    import capstone
    engine = capstone.Cs(capstone.CS_ARCH_X86, capstone.CS_MODE_32 if wide else capstone.CS_MODE_16)
    engine.detail = detail
    return engine


@functools.lru_cache(maxsize=8192)      # a guest that is run again has the same blocks
def describe_block(code: bytes, rest: bytes, address: int, wide: bool,
                   stop_before: frozenset[str]) -> tuple[list[int], int, list[int]]:
    """(offsets of the block's instructions, a REP string instruction that ends it or NOWHERE, points to stop before).

    `rest` is what follows the block: its last instruction may reach into it.
    """
    offsets, points, end, repeat, whole = [], [], 0, NOWHERE, code + rest
    for at, size, mnemonic, operands in _capstone(wide, False).disasm_lite(whole, address):
        if end >= len(code):
            break
        offsets.append(at - address)
        end = at - address + size
        name = mnemonic.rpartition(" ")[2]
        if name in stop_before or name in ("mov", "push") and _special_move(operands) in stop_before:
            points.append(at)
        repeat = at if name.startswith(_STRING) and is_repeated(whole[at - address:end]) else NOWHERE
    if end < len(code):        # no instruction, though the engine may take it for one: #UD (see Monitor.on_point)
        offsets.append(end)
        points.append(address + end)
        repeat = NOWHERE
    return offsets, repeat, points


def lines(code: bytes, address: int, count: int = 0) -> Iterator[tuple[int, int, str]]:
    """(address, size, text) of the first `count` (0: of all) instructions in 32-bit `code`, up to bytes that are none."""
    for at, size, mnemonic, operands in _capstone(True, False).disasm_lite(code, address, count):
        yield at, size, f"{mnemonic} {operands}".strip()


def is_repeated(code: bytes) -> bool:
    """Whether this is a string instruction with REP or REPNE. (Capstone is silent about REPNE MOVS, which repeats, too.)"""
    opcode = next((i for i, byte in enumerate(code) if byte not in PREFIXES), 0)
    return code[opcode] in _STRING_OPCODES and bool({0xF2, 0xF3} & set(code[:opcode]))


def _special_move(operands: str) -> str:
    """'mov-cr0' or 'mov-cr4' for writing that register, 'mov-dr' for a debug register, 'mov-from-cs' for reading CS or SS
    (by PUSH, too), '' for any other MOV or PUSH."""
    if operands.startswith("cr"):
        return f"mov-{operands[:3]}"
    if operands.endswith(("cs", "ss")):
        return "mov-from-cs"
    return "mov-dr" if "dr" in operands else ""


_SEGMENT_OF_PREFIX = {0x26: c.ES, 0x2E: c.CS, 0x36: c.SS, 0x3E: c.DS, 0x64: c.FS, 0x65: c.GS}
_REP = {0xF3: "rep", 0xF2: "repne", 0xF0: "lock"}


@functools.lru_cache(maxsize=4096)
def decode(code: bytes, address: int, wide: bool = True) -> Instruction | None:
    """The instruction at the beginning of `code` (up to 15 bytes), or None where there is none."""
    import capstone
    import capstone.x86 as cx
    found = next(_capstone(wide, True).disasm(code, address, 1), None)
    if found is None:
        return None
    operands = []
    for operand in found.operands:
        if operand.type == cx.X86_OP_REG:
            operands.append(Operand("register", found.reg_name(operand.reg), operand.size))
        elif operand.type == cx.X86_OP_IMM:
            operands.append(Operand("immediate", operand.imm & 0xFFFFFFFF, operand.size))
        elif operand.type == cx.X86_OP_MEM:
            operands.append(Operand("memory", _memory(found, operand.mem), operand.size))
    prefixes = [b for b in found.prefix if b]
    rep = next((_REP[b] for b in prefixes if b in _REP), "")
    segment = next((_SEGMENT_OF_PREFIX[b] for b in prefixes if b in _SEGMENT_OF_PREFIX), None)
    mnemonic = found.mnemonic.rpartition(" ")[2]
    if found.opcode[0] == 0xFF:            # capstone has one name for near and far jumps and calls through memory
        mnemonic = {3: "lcall", 5: "ljmp"}.get(found.modrm >> 3 & 7, mnemonic)
    return Instruction(mnemonic, f"{found.mnemonic} {found.op_str}".strip(), found.size, tuple(operands),
                       wide != (0x66 in prefixes), wide != (0x67 in prefixes), rep, segment, bytes(found.bytes))


def _memory(found, memory) -> Memory:
    name = found.reg_name
    base = register_number(name(memory.base)) if memory.base else None
    index = register_number(name(memory.index)) if memory.index else None
    if memory.segment:
        segment = c.SEGMENT_NAMES.index(name(memory.segment))
    else:
        segment = c.SS if base in (c.ESP, c.EBP) else c.DS
    return Memory(segment, base, index, memory.scale, memory.disp, 0xFFFFFFFF if found.addr_size == 4 else 0xFFFF)


def register_number(name: str) -> int:
    """eax, ax and al are 0, ecx, cx and cl are 1, …; ah to bh are 4 to 7 with size 1."""
    return _NUMBERS[name]


_NUMBERS = {name: i for i, name in enumerate(c.REGISTER_NAMES)}
_NUMBERS |= {name[1:]: i for i, name in enumerate(c.REGISTER_NAMES)}
_NUMBERS |= {name: i for i, name in enumerate(("al", "cl", "dl", "bl", "ah", "ch", "dh", "bh"))}
_NUMBERS |= {name: i for i, name in enumerate(c.SEGMENT_NAMES)}

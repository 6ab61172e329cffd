"""Decoding guest code: how long an instruction is, what its operands are, and what a block of code holds."""
from __future__ import annotations

import functools
from typing import NamedTuple

from pvlab.machine.engine import NOWHERE

# What the engine executes but the lab must see first: the clocks, which it stores as zero; STFLE, which it leaves
# without an answer; TPROT, which QEMU 5.0 forgot to make privileged; EPSW, which shows the real PSW; MVCL and CLCL, one
# of which may move or compare 16 MiB.
STCK, STCKE, STCKF, ECTG, STFLE, TPROT, EPSW, MVCL, CLCL, EX, EXRL = (
    0xB205, 0xB278, 0xB27C, 0xC801, 0xB2B0, 0xE501, 0xB98D, 0x0E, 0x0F, 0x44, 0xC600)
STOP_BEFORE = frozenset((STCK, STCKE, STCKF, ECTG, STFLE, TPROT, EPSW, MVCL, CLCL))
_TWO_BYTES = frozenset((0x01, 0xB2, 0xB3, 0xB9, 0xE5))       # formats whose opcode is the first two bytes
_LAST_BYTE = frozenset((0xE3, 0xE7, 0xEB, 0xEC, 0xED))       # formats whose opcode is the first and the last byte
_HALF = frozenset((0xA5, 0xA7, 0xC0, 0xC2, 0xC4, 0xC6, 0xC8, 0xCC))    # the first byte and bits 12-15


class Instruction(NamedTuple):
    """code: its bytes. executed_by: the length of the EX or EXRL whose target it is, or 0. size: bytes to step over."""

    code: bytes
    executed_by: int = 0

    @property
    def size(self) -> int:
        return self.executed_by or len(self.code)

    @property
    def opcode(self) -> int:
        return opcode(self.code)

    @property
    def r1(self) -> int:
        return self.code[1] >> 4

    @property
    def r3(self) -> int:
        """Also R2 of an RX instruction's index, and M3."""
        return self.code[1] & 15

    @property
    def rre(self) -> tuple[int, int]:
        """R1 and R2 of an RRE instruction."""
        return self.code[3] >> 4, self.code[3] & 15

    @property
    def base(self) -> tuple[int, int]:
        """(base register, displacement) of the operand in bytes 2 and 3; 20 bits, signed, in long formats."""
        base, displacement = self.code[2] >> 4, (self.code[2] & 15) << 8 | self.code[3]
        if len(self.code) == 6 and self.code[0] in _LAST_BYTE:
            displacement |= self.code[4] << 12
            displacement -= (displacement & 0x80000) << 1
        return base, displacement

    @property
    def base2(self) -> tuple[int, int]:
        """(base register, displacement) of the operand in bytes 4 and 5 (SS and SSE formats)."""
        return self.code[4] >> 4, (self.code[4] & 15) << 8 | self.code[5]


def length(first: int) -> int:
    """Bytes of an instruction, from its first byte's two high bits."""
    return (2, 4, 4, 6)[first >> 6]


def opcode(code: bytes) -> int:
    """One byte or, where the format has a second part of the opcode, two."""
    first = code[0]
    if first in _TWO_BYTES:
        return first << 8 | code[1]
    if first in _LAST_BYTE:
        return first << 8 | code[5]
    if first in _HALF:
        return first << 8 | code[1] & 15
    return first


@functools.lru_cache(maxsize=8192)
def describe_block(code: bytes, rest: bytes, address: int, executed: bool,
                   stop_before: frozenset[int] = STOP_BEFORE) -> tuple[list[int], int, list[int]]:
    """(offsets of the instructions that count, NOWHERE, points to stop before).

    The engine runs the target of an EXECUTE as a block of its own, at the EXECUTE's address (`executed`). So the target
    (`code`) counts and the EXECUTE does not. An odd address is a point: the engine would execute what stands there.
    """
    if executed:
        return [0], NOWHERE, [address] if opcode(code) in stop_before else []
    offsets, points, at = [], [address] if address & 1 else [], 0
    whole = code + rest
    while at < len(code):
        size = length(whole[at])
        name = opcode(whole[at:at + size].ljust(size, b"\0"))
        if name not in (EX, EXRL):
            offsets.append(at)
        if name in stop_before:
            points.append(address + at)
        at += size
    return offsets, NOWHERE, points


@functools.cache
def _capstone():
    import capstone
    return capstone.Cs(capstone.CS_ARCH_SYSZ, capstone.CS_MODE_BIG_ENDIAN)


@functools.lru_cache(maxsize=4096)
def text(code: bytes, name: str = "") -> str:
    """The instruction as a trace shows it; `name` serves where capstone does not know it."""
    found = next(_capstone().disasm_lite(code, 0), None)
    if found is None:
        return f"{name or '.byte'} {code.hex()}"
    return f"{found[2]} {found[3]}".strip()

"""The program-status word, and when one is invalid (z/Architecture Principles of Operation, chapter 4)."""
from __future__ import annotations

from typing import NamedTuple

PER, DAT, IO, EXTERNAL = 1 << 62, 1 << 58, 1 << 57, 1 << 56      # bits 1, 5, 6 and 7
KEY = 0xF << 52                                                  # bits 8-11
SHORT = 1 << 51                                                  # bit 12: an eight-byte PSW
MACHINE_CHECK, WAIT, PROBLEM = 1 << 50, 1 << 49, 1 << 48         # bits 13 to 15
SPACE, CC, PROGRAM_MASK = 3 << 46, 3 << 44, 0xF << 40            # bits 16-17, 18-19, 20-23
EXTENDED, BASIC = 1 << 32, 1 << 31                               # bits 31 and 32: 64-bit and 31-bit addressing
SYSTEM_MASK = 0xFF << 56                                         # what SSM, STOSM and STNSM change
_UNASSIGNED = ~(PER | DAT | IO | EXTERNAL | KEY | MACHINE_CHECK | WAIT | PROBLEM | SPACE | CC | PROGRAM_MASK
                | EXTENDED | BASIC) & (1 << 64) - 1
MASK64 = (1 << 64) - 1


class Psw(NamedTuple):
    """mask: bits 0 to 63; address: the next instruction."""

    mask: int
    address: int

    @classmethod
    def of(cls, data: bytes) -> "Psw":
        """From its sixteen bytes in storage."""
        return cls(int.from_bytes(data[:8], "big"), int.from_bytes(data[8:16], "big"))

    @classmethod
    def of_short(cls, word: int) -> "Psw":
        """From the eight bytes that LPSW loads: bit 12 is inverted, bits 33-63 are the address."""
        return cls((word ^ SHORT) & ~0x7FFFFFFF & MASK64, word & 0x7FFFFFFF)

    def to_bytes(self) -> bytes:
        return self.mask.to_bytes(8, "big") + self.address.to_bytes(8, "big")

    @property
    def valid(self) -> bool:
        """False: an early specification exception is recognised as soon as it is loaded."""
        mode = self.mask & (EXTENDED | BASIC)
        if self.mask & _UNASSIGNED or mode == EXTENDED:
            return False
        return self.address < {0: 1 << 24, BASIC: 1 << 31, EXTENDED | BASIC: 1 << 64}[mode]

    def __str__(self) -> str:
        return f"{self.mask:016x} {self.address:016x}"


def wrap(mask: int, address: int) -> int:
    """The address as the PSW's addressing mode truncates it."""
    if mask & EXTENDED:
        return address & MASK64
    return address & (0x7FFFFFFF if mask & BASIC else 0xFFFFFF)

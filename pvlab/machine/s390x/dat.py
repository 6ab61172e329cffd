"""Dynamic address translation: the tables that the engine walks by itself, walked once more for CP's own accesses and
for LRA and TPROT (z/Architecture Principles of Operation, chapter 3)."""
from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple

from pvlab.machine.s390x import psw
from pvlab.machine.s390x.faults import (ASCE_TYPE, PAGE_TRANSLATION, PROTECTION, REGION_FIRST, REGION_SECOND,
                                        REGION_THIRD, SEGMENT_TRANSLATION, TEID_DAT, TEID_FETCH, TEID_LOW, TEID_STORE,
                                        TRANSLATION_SPECIFICATION, Interruption)
from pvlab.machine.s390x.storage import Frames, Real, Storage, parts

_INVALID, _PROTECT, _REAL_SPACE, _LARGE = 0x20, 0x200, 0x20, 0x400
_PAGE_INVALID, _PAGE_RESERVED = 0x400, 0x800
_EDAT = 1 << 23                    # CR0: segment-table entries may map a megabyte
# Designation type: the exception of a missing entry, and the index's shift.
_LEVELS = {3: (REGION_FIRST, 53), 2: (REGION_SECOND, 42), 1: (REGION_THIRD, 31), 0: (SEGMENT_TRANSLATION, 20)}
# The control register of the address-space-control element, by PSW bits 16 and 17. Access-register mode counts as
# primary.
_SPACE = (1, 1, 7, 13)


class Missing(Interruption):
    """A translation exception; `entry` is the real address of the table entry that is not valid, or None."""

    def __init__(self, code: int, address: int, entry: int | None = None):
        super().__init__(code, address)
        self.entry = entry


class Page(NamedTuple):
    """real: of the byte; protected: DAT protection applies."""

    real: int
    protected: bool


def translate(real: Storage, cregs, mask: int, address: int) -> Page:
    """By the space that the PSW mask selects. Raises Missing, or Interruption for tables beyond storage."""
    asce = cregs[_SPACE[mask >> 46 & 3]]
    if asce & _REAL_SPACE:
        return Page(address, False)
    kind, table, limit = asce >> 2 & 3, asce & ~0xFFF, asce & 3
    first, top = 0, True
    if address >> _LEVELS[kind][1] + 11:
        raise Missing(ASCE_TYPE, address)
    for level in range(kind, -1, -1):
        code, shift = _LEVELS[level]
        index = address >> shift & 0x7FF
        entry = table + index * 8
        if not first <= index >> 9 <= limit:
            raise Missing(code, address, None if top else entry)
        value = real.load(entry & psw.MASK64, 8)
        if value & _INVALID:
            raise Missing(code, address, entry)
        if value >> 2 & 3 != level:
            raise Interruption(TRANSLATION_SPECIFICATION, address)
        table, first, limit, top = value & ~0xFFF, value >> 6 & 3, value & 3, False
    if value & _LARGE and cregs[0] & _EDAT:
        return Page(value & ~0xFFFFF | address & 0xFFFFF, bool(value & _PROTECT))
    entry = (value & ~0x7FF) + (address >> 12 & 0xFF) * 8
    page = real.load(entry & psw.MASK64, 8)
    if page & _PAGE_INVALID:
        raise Missing(PAGE_TRANSLATION, address, entry)
    if page & _PAGE_RESERVED:
        raise Interruption(TRANSLATION_SPECIFICATION, address)
    return Page(page & ~0xFFF | address & 0xFFF, bool((value | page) & _PROTECT))


class Logical(Real):
    """Logical addresses: as the current PSW has it, translated by DAT or real. `mask()` gives the PSW's mask."""

    def __init__(self, ram: Frames, changed: Callable[[int, int], None], real: Real, cregs, mask: Callable[[], int]):
        super().__init__(ram, changed, real._prefix)
        self._real, self._cregs, self._mask = real, cregs, mask

    def _plain(self, address: int, size: int) -> bool:
        """The usual case, in which a logical address is an absolute one."""
        ram = self.ram
        return (0x2000 <= address and address + size <= ram.size and address + size <= 1 << 24 and ram.fetch is None
                and not self._mask() & psw.DAT and not self._prefix())

    def read(self, address: int, size: int) -> bytes:
        return self.ram.bytes[address:address + size] if self._plain(address, size) else super().read(address, size)

    def write(self, address: int, data: bytes) -> None:
        if self._plain(address, len(data)):
            self.ram.bytes[address:address + len(data)] = data
            self._changed(address, len(data))
        else:
            super().write(address, data)

    def absolute(self, address: int, size: int, write: bool) -> Iterator[tuple[int, int]]:
        mask = self._mask()
        for start, length in parts(address, size, psw.wrap(mask, psw.MASK64)):
            yield from super().absolute(self._real_address(start, mask, write), length, write)

    def _real_address(self, address: int, mask: int, write: bool) -> int:
        """What DAT makes of it, where it is on; exceptions say whether it was a fetch or a store."""
        teid = TEID_STORE if write else TEID_FETCH
        try:
            if write and address < 0x2000 and address & 0xFFF < 512 and self._cregs[0] & 1 << 28:
                teid |= TEID_LOW
                raise Interruption(PROTECTION, address)
            if not mask & psw.DAT:
                return address
            page = translate(self._real, self._cregs, mask, address)
            if page.protected and write:
                teid |= TEID_DAT
                raise Interruption(PROTECTION, address)
            return page.real
        except Interruption as fault:
            fault.teid = teid
            raise

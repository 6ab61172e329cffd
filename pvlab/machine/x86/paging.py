"""32-bit page tables: a walker that does what the CPU's does, and a builder.

Both forms of 32-bit paging are read (Intel SDM vol. 3, chapter 4): the two-level one and PAE, with large pages. The
walker sets accessed and dirty bits as the CPU does: a directory's when it is passed, a page's when access is granted.
"""
from __future__ import annotations

import struct
from collections.abc import Callable
from typing import NamedTuple

from pvlab.machine.memory import Dead, Ram
from pvlab.machine.x86.cpu import CR0_PG, CR0_WP, CR4_PAE, CR4_PSE
from pvlab.machine.x86.faults import PAGE, Fault

PRESENT, WRITABLE, USER, ACCESSED, DIRTY, LARGE, GLOBAL = 1, 2, 4, 0x20, 0x40, 0x80, 0x100
NO_EXECUTE = 1 << 63
FRAME = 0x0000_00FF_FFFF_F000          # the engine takes 40 bits of physical address, a Core Duo would have 36
RESERVED = 0x7FFF_FF00_0000_0000
# page-fault error code (Intel SDM vol. 3, 4.7)
CODE_PRESENT, CODE_WRITE, CODE_USER, CODE_RESERVED, CODE_FETCH = 1, 2, 4, 8, 16


class Translation(NamedTuple):
    """Where a linear address leads, and what may be done there.

    `path` holds (level, physical address, entry) for each entry passed, the leaf last: level 3 is PAE's pointer
    table, 2 a directory, 1 a page table.
    """

    physical: int
    writable: bool
    user: bool
    executable: bool
    dirty: bool
    path: tuple[tuple[int, int, int], ...]


class Mmu(NamedTuple):
    """The control registers that say how addresses are translated."""

    cr0: int
    cr3: int
    cr4: int
    nxe: bool     # EFER.NXE: no-execute bits count


_PAE_LEVELS = ((3, 30, 3), (2, 21, 511), (1, 12, 511))        # (level, shift, mask of the index)
_TWO_LEVELS = ((2, 22, 1023), (1, 12, 1023))
_PSE36 = 0x1FE000                      # of a 4 MiB page's entry: bits 39 to 32 of the physical address
_u32, _u64 = struct.Struct("<I").unpack_from, struct.Struct("<Q").unpack_from


def walk(ram: Ram, mmu: Mmu, linear: int, write: bool = False, user: bool = False, fetch: bool = False,
         mark: bool = True) -> Translation:
    """Translate `linear` for this access, or raise Fault(14) with the error code that the CPU would give.

    `mark`: set accessed and dirty bits. Raises Dead where a table lies outside RAM.
    """
    cr0, cr3, cr4, nxe = mmu
    if not cr0 & CR0_PG:
        return Translation(linear, True, True, True, True, ())
    pae = cr4 & CR4_PAE
    code = CODE_WRITE * write | CODE_USER * user
    if fetch and pae and nxe:
        code |= CODE_FETCH
    if pae:
        levels, load, width, frame_mask, table = _PAE_LEVELS, _u64, 8, FRAME, cr3 & 0xFFFFFFE0
    else:
        levels, load, width, frame_mask, table = _TWO_LEVELS, _u32, 4, 0xFFFFF000, cr3 & 0xFFFFF000
    rights, no_execute, path = WRITABLE | USER, 0, []
    for level, shift, mask in levels:
        address = table + (linear >> shift & mask) * width
        try:
            entry = load(ram.bytes, address)[0]
        except struct.error:
            raise Dead(f"a page table at physical address {address:#x} is outside RAM") from None
        path.append((level, address, entry))
        if not entry & PRESENT:
            raise Fault(PAGE, code, linear)
        leaf = level == 1 or level == 2 and entry & LARGE and (pae or cr4 & CR4_PSE)
        if entry > 0xFFFFFFFF or leaf and level == 2:
            _check_reserved(entry, level, leaf, nxe, code, linear, pae)
        if level < 3:
            rights &= entry
            no_execute |= entry & NO_EXECUTE
        if leaf:
            break
        if mark and level == 2 and not entry & ACCESSED:
            ram.set_u32(address, entry & 0xFFFFFFFF | ACCESSED)
        table = entry & frame_mask

    if (user and not rights & USER or fetch and no_execute
            or write and not rights & WRITABLE and (user or cr0 & CR0_WP)):
        raise Fault(PAGE, code | CODE_PRESENT, linear)
    if mark:
        marked = entry | ACCESSED | DIRTY * write
        if marked != entry:
            ram.set_u32(address, marked & 0xFFFFFFFF)
            entry = marked
            path[-1] = level, address, entry
    offset = (1 << shift) - 1
    physical = entry & frame_mask & ~offset | linear & offset
    if shift == 22:
        physical |= (entry & _PSE36) << 19
    return Translation(physical, bool(rights & WRITABLE), bool(rights & USER), not no_execute, bool(entry & DIRTY),
                       tuple(path))


def _check_reserved(entry: int, level: int, leaf: bool, nxe: bool, code: int, linear: int, pae: int) -> None:
    """Raise a page fault for reserved bits in an entry."""
    forbidden = RESERVED if pae else 0
    if level == 3 or not nxe:
        forbidden |= NO_EXECUTE
    if leaf and level == 2:
        forbidden |= 0x1FE000 if pae else 0x200000
    if entry & forbidden:
        raise Fault(PAGE, code | CODE_PRESENT | CODE_RESERVED, linear)


class PageTables:
    """Builds PAE page tables in guest RAM, for tests and for guests that have no kernel of their own.

    `allocate()` returns the physical address of an unused page; `root` is what belongs into CR3.
    """

    def __init__(self, ram: Ram, allocate: Callable[[], int]):
        self.ram, self._allocate = ram, allocate
        self.root = allocate()
        ram.write(self.root, bytes(4096))

    def _table(self, address: int, flags: int) -> int:
        entry = self.ram.u64(address)
        if not entry & PRESENT:
            page = self._allocate()
            self.ram.write(page, bytes(4096))
            entry = page | flags
            self.ram.set_u64(address, entry)
        return entry & FRAME

    def map(self, linear: int, physical: int, flags: int = PRESENT | WRITABLE) -> int:
        """Map one 4 KiB page; returns the physical address of its entry."""
        directory = self._table(self.root + (linear >> 30) * 8, PRESENT)
        table = self._table(directory + (linear >> 21 & 511) * 8, PRESENT | WRITABLE | USER)
        entry = table + (linear >> 12 & 511) * 8
        self.ram.set_u64(entry, physical & FRAME | flags)
        return entry

"""32-bit page tables: a walker that does what the CPU's does, and a builder.

Both forms of 32-bit paging are read (Intel SDM vol. 3, chapter 4): the two-level one and PAE, with large pages. The
walker sets accessed and dirty bits as the CPU does: a directory's when it is passed, a page's when access is granted.
"""
from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from pvlab.machine.memory import Dead, Ram
from pvlab.machine.x86.cpu import CR0_PG, CR0_WP, CR4_PAE, CR4_PSE
from pvlab.machine.x86.faults import PAGE, Fault

PRESENT, WRITABLE, USER, ACCESSED, DIRTY, LARGE, GLOBAL = 1, 2, 4, 0x20, 0x40, 0x80, 0x100
NO_EXECUTE = 1 << 63
FRAME = 0x0000_000F_FFFF_F000          # a Core Duo has 36 bits of physical address
RESERVED = 0x7FFF_FFF0_0000_0000
# page-fault error code (Intel SDM vol. 3, 4.7)
CODE_PRESENT, CODE_WRITE, CODE_USER, CODE_RESERVED, CODE_FETCH = 1, 2, 4, 8, 16


class Step(NamedTuple):
    """One entry that a walk passed: level 3 (PAE pointer table), 2 (directory) or 1 (page table)."""

    level: int
    address: int
    entry: int


class Translation(NamedTuple):
    """Where a linear address leads, and what may be done there.

    `size` is 4 KiB, 2 MiB or 4 MiB; `path` holds the entries passed, the leaf last.
    """

    physical: int
    size: int
    writable: bool
    user: bool
    executable: bool
    dirty: bool
    path: tuple[Step, ...]


class Mmu(NamedTuple):
    """The control registers that say how addresses are translated."""

    cr0: int
    cr3: int
    cr4: int
    nxe: bool     # EFER.NXE: no-execute bits count


def _entry(ram: Ram, address: int, size: int) -> int:
    if address + size > ram.size:
        raise Dead(f"a page table at physical address {address:#x} is outside RAM")
    return ram.u64(address) if size == 8 else ram.u32(address)


def walk(ram: Ram, mmu: Mmu, linear: int, write: bool = False, user: bool = False, fetch: bool = False,
         mark: bool = True) -> Translation:
    """Translate `linear` for this access, or raise Fault(14) with the error code that the CPU would give.

    `mark`: set accessed and dirty bits. Raises Dead where a table lies outside RAM.
    """
    if not mmu.cr0 & CR0_PG:
        return Translation(linear, 4096, True, True, True, True, ())
    pae = bool(mmu.cr4 & CR4_PAE)
    code = CODE_WRITE * write | CODE_USER * user
    if fetch and pae and mmu.nxe:
        code |= CODE_FETCH
    path: list[Step] = []
    rights, no_execute = WRITABLE | USER, 0

    if pae:
        width = 8
        table = mmu.cr3 & 0xFFFFFFE0
        levels = ((3, 30, 3), (2, 21, 511), (1, 12, 511))
    else:
        width = 4
        table = mmu.cr3 & 0xFFFFF000
        levels = ((2, 22, 1023), (1, 12, 1023))
    for level, shift, mask in levels:
        address = table + (linear >> shift & mask) * width
        entry = _entry(ram, address, width)
        path.append(Step(level, address, entry))
        if not entry & PRESENT:
            raise Fault(PAGE, code, linear)
        leaf = level == 1 or level == 2 and entry & LARGE and (pae or mmu.cr4 & CR4_PSE)
        if pae:
            forbidden = RESERVED
            if entry & NO_EXECUTE and (level == 3 or not mmu.nxe):
                forbidden |= NO_EXECUTE
            if leaf and level == 2:
                forbidden |= 0x1FE000
            if entry & forbidden:
                raise Fault(PAGE, code | CODE_PRESENT | CODE_RESERVED, linear)
        if level < 3:
            rights &= entry
            no_execute |= entry & NO_EXECUTE
        if leaf:
            break
        if mark and level == 2 and not entry & ACCESSED:
            ram.set_u32(address, entry & 0xFFFFFFFF | ACCESSED)
        table = entry & (FRAME if pae else 0xFFFFF000)

    size = 4096 if level == 1 else 1 << shift
    writable = bool(rights & WRITABLE)
    allowed = (not user or rights & USER) and not (fetch and no_execute)
    if write and not writable and (user or mmu.cr0 & CR0_WP):
        allowed = False
    if not allowed:
        raise Fault(PAGE, code | CODE_PRESENT, linear)
    if mark:
        marked = entry | ACCESSED | DIRTY * write
        if marked != entry:
            ram.set_u32(address, marked & 0xFFFFFFFF)
            entry = marked
            path[-1] = Step(level, address, entry)
    frame = entry & (FRAME if pae else 0xFFFFF000) & ~(size - 1)
    return Translation(frame | linear & size - 1, size, writable, bool(rights & USER), not no_execute,
                       bool(entry & DIRTY), tuple(path))


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

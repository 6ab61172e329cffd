"""Shadow page tables with a place for the monitor: its memory is in every address space, where the guest has nothing.

The guest's own page tables say what is free. Should the guest come to use the place, the monitor moves elsewhere.
Supervisor entries keep user code out, and read-only ones the kernel from everything that emitted code does not write.
What is left open: the guest's kernel can read all of it and write the first page (see vmem.py) without a fault. VMware
took the range off the guest's segments, whose limits this engine does not enforce.

Guest pages that hold translated code are write-protected like page tables, and a `Watcher` is told of every change to
what the monitor has made something of.
"""
from __future__ import annotations

from typing import Protocol

from pvlab.machine.memory import Dead
from pvlab.machine.x86.cpu import CR0_PG, CR4_PAE
from pvlab.machine.x86.paging import FRAME, LARGE, PRESENT, USER, WRITABLE, Mmu
from pvlab.monitors.shadow import BASE, Key, Shadow

SPAN = 4 << 20            # one entry of a two-level directory, two of PAE's
_OPEN = PRESENT | WRITABLE | USER
_PLACES = (*range(0xFF80_0000, 0xC000_0000, -SPAN), *range(0xBF80_0000, 0, -SPAN))


class Watcher(Protocol):
    """Who must know that what a monitor has made of guest memory is out of date."""

    def entries_changed(self, frame: int, first: int, last: int) -> None:
        """Bytes first..last of a page table changed."""

    def table_lost(self, frame: int) -> None:
        """Writes to this page table are watched no more."""

    def table_shared(self, frame: int) -> None:
        """A page table may have come to be used as more than one."""

    def forgotten(self) -> None:
        """All shadows are gone."""

    def code_changed(self, frame: int, first: int, last: int) -> None:
        """Bytes first..last of a protected page changed."""


class SharedSpace(Shadow):
    """`entries` are for the monitor's pages; `base` is where they stand, or None where no place is free.

    in_the_way: the guest may have mapped something there; `settle` finds out.
    """

    def __init__(self, machine, entries: list[int], watcher: Watcher):
        self.base: int | None = None
        self.in_the_way = True
        self._entries, self._watcher = entries, watcher
        self._protected: set[int] = set()                     # guest frames that are not to be written unnoticed
        super().__init__(machine)

    def _forget(self) -> None:
        self._reserved: dict[int, int] = {}                   # shadow entry -> what it is where the guest has none
        self._ours: list[int] = []                            # the two page tables of our own
        self._bare = 0                                        # a directory with nothing else in it
        super()._forget()

    def _map_identity(self) -> int:
        if self.base is not None:
            self._ours = [self._allocate(), self._allocate()]
            for page, entry in enumerate(self._entries):
                self._memory.set_u64(self._ours[page >> 9] + (page & 511) * 8, entry)
            self._bare = self._allocate()
            self._reserve_directory(self._bare)
        root = super()._map_identity()
        self._reserve_root(root)
        for frame in self._protected:
            self._protect_identity(root, frame)
        return root

    # ------------------------------------------------------------------------------------------- our place
    def settle(self) -> bool:
        """See whether our place is still free, and find another if not. True: we have moved, or have none."""
        self.in_the_way = False
        if self.base is not None and self._is_free(self.base):
            self.use(self._mmu)
            return False
        self.base = next((place for place in _PLACES if self._is_free(place)), None)
        self.drop_all()
        return True

    def set_page(self, page: int, entry: int) -> None:
        """Change one of our pages. The caller flushes the TLB."""
        self._entries[page] = entry
        if self._ours:
            self._memory.set_u64(self._ours[page >> 9] + (page & 511) * 8, entry)

    def _is_free(self, base: int) -> bool:
        """Whether the guest's own tables have nothing there."""
        mmu, guest = self._mmu, self._guest
        if not mmu.cr0 & CR0_PG:
            return base >= guest.size
        try:
            if not mmu.cr4 & CR4_PAE:
                return not guest.u32((mmu.cr3 & 0xFFFFF000) + (base >> 22) * 4) & PRESENT
            pointer = guest.u64((mmu.cr3 & 0xFFFFFFE0) + (base >> 30) * 8)
            at = (pointer & FRAME) + (base >> 21 & 511) * 8
            return not pointer & PRESENT or not (guest.u64(at) | guest.u64(at + 8)) & PRESENT
        except Dead:                  # a table outside RAM: whoever uses it will hear of it
            return True

    def use(self, mmu: Mmu) -> None:
        super().use(mmu)
        if self.base is None or not mmu.cr0 & CR0_PG:
            return
        if not self._is_free(self.base):
            self.in_the_way = True
        try:      # the guest's directory for our place is watched, so that we notice what is mapped there later
            part, directory = self.base >> 30, mmu.cr3
            if self._pae:
                directory = self._guest.u64((mmu.cr3 & 0xFFFFFFE0) + part * 8)
            if not self._pae or directory & PRESENT:
                self._descend(self._root() + part * 8, (directory & FRAME, 2, part), PRESENT)
        except (MemoryError, Dead):   # no room: when shadows are made anew. Outside RAM: see _is_free
            pass

    def _reserve(self, slot: int, entry: int) -> None:
        self._reserved[slot] = entry
        self._memory.set_u64(slot, entry)

    def _reserve_directory(self, directory: int) -> None:
        for part, table in enumerate(self._ours):
            self._reserve(directory + ((self.base >> 21 & 511) + part) * 8, BASE + table | PRESENT | WRITABLE)

    def _reserve_root(self, root: int) -> None:
        if self.base is not None:
            self._reserve(root + (self.base >> 30) * 8, BASE + self._bare | PRESENT)

    def made(self, key: Key, table: int) -> None:
        if key[1] == 3:
            self._reserve_root(table)
        elif self.base is not None and key[1:] == (2, self.base >> 30):
            self._reserve_directory(table)
        if key[1] and self._traced.get(key[0] >> 12):
            self._watcher.table_shared(key[0] >> 12)

    def part_of(self, gigabyte: int) -> int:
        return gigabyte if self.base is not None and gigabyte == self.base >> 30 else 0

    def unused(self, slot: int) -> int:
        return self._reserved.get(slot, 0)

    # ------------------------------------------------------------------------------------------- code pages
    def protect(self, frame: int) -> None:
        """Writes to this guest page trap from now on."""
        if frame in self._protected:
            return
        self._protected.add(frame)
        for entry in self._leaves[frame]:
            self._memory.set_u64(entry, self._memory.u64(entry) & ~WRITABLE)
        if not self._mmu.cr0 & CR0_PG:
            self._protect_identity(self._identity, frame)
        self._machine.engine.flush_tlb()

    def unprotect(self, frame: int) -> None:
        """Writes to this guest page need not trap any more: its entries become writable when somebody writes."""
        self._protected.discard(frame)

    def is_protected(self, physical: int) -> bool:
        return physical >> 12 in self._protected

    def traces(self, physical: int) -> bool:
        return physical >> 12 in self._protected or super().traces(physical)

    def fill_identity(self, physical: int) -> None:
        if not self.is_protected(physical):
            slot = self._identity_slot(self._identity, physical >> 12)
            self._memory.set_u64(slot, self._memory.u64(slot) | WRITABLE)
            self._machine.engine.flush_tlb()

    def _protect_identity(self, root: int, frame: int) -> None:
        slot = self._identity_slot(root, frame)
        self._memory.set_u64(slot, self._memory.u64(slot) & ~WRITABLE)

    def _identity_slot(self, root: int, frame: int) -> int:
        """Where the entry of one 4 KiB page stands while the guest has no paging; a large page is split for it."""
        memory = self._memory
        upper = (memory.u64(root + (frame >> 18) * 8) & FRAME) - BASE + (frame >> 9 & 511) * 8
        entry = memory.u64(upper)
        if entry & LARGE:
            table = self._allocate()
            for page in range(512):
                memory.set_u64(table + page * 8, (entry & FRAME) + page * 4096 | _OPEN)
            memory.set_u64(upper, BASE + table | _OPEN)
        return (memory.u64(upper) & FRAME) - BASE + (frame & 511) * 8

    # ------------------------------------------------------------------------------------------- telling the watcher
    def guest_wrote(self, physical: int, size: int) -> None:
        frame, first, last = physical >> 12, physical & 4095, (physical & 4095) + size - 1
        if frame in self._protected:
            self._watcher.code_changed(frame, first, last)
        if self._traced.get(frame):
            self._watcher.entries_changed(frame, first, last)
        super().guest_wrote(physical, size)

    def _drop(self, slot: int) -> None:
        super()._drop(slot)
        if slot in self._reserved:
            self.in_the_way = True            # the guest has changed its own entry there

    def _untrace(self, frame: int) -> None:
        super()._untrace(frame)
        self._watcher.table_lost(frame)

    def reset(self) -> None:
        super().reset()
        self._watcher.forgotten()

    def sole_table(self, frame: int) -> int | None:
        """The physical address of the shadow of this guest page table, if it is a PAE page table, and nothing else."""
        keys = self._traced.get(frame) or ()
        if not self._pae or frame in self._protected or [key[1:] for key in keys] != [(1, 0)]:
            return None
        return BASE + self._tables[next(iter(keys))]

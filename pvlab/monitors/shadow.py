"""Shadow page tables: what the real CPU walks while the guest believes that its own tables are in use.

For each page table of the guest there is a shadow of it, filled entry by entry when the guest first needs one (a
*hidden* page fault, which the guest never sees). A guest page that has a shadow is write-protected: each write to it
traps, the write is made, and the shadow entries that came from what was there are dropped. So shadows are always
true, and a guest's TLB flushes need no work. KVM and Xen keep theirs in the same way.
"""
from __future__ import annotations

from collections import defaultdict

from pvlab.machine.memory import Dead, Ram
from pvlab.machine.x86.cpu import CR0_PG, CR4_PAE
from pvlab.machine.x86.paging import (
    ACCESSED, FRAME, LARGE, NO_EXECUTE, PRESENT, USER, WRITABLE, Mmu, Translation)

BASE = 0xF000_0000          # where the monitor's memory stands in the real machine's physical address space
SIZE = 16 << 20
_FLOOD = 8                  # writes to a traced page with no use in between: it is no page table any more
_OPEN = PRESENT | WRITABLE | USER

# A shadow table is known by (address, level, part): the address of the guest's table and its level. A table of the
# two-level form covers more than a PAE table can: `part` says which piece. Level 0 stands for 2 MiB of a large page: its
# address is where they are, its part the rights in the directory's entry.
Key = tuple[int, int, int]


class Shadow:
    def __init__(self, machine):
        self._machine, self._guest = machine, machine.ram
        self._memory = Ram(SIZE)
        machine.engine.map(self._memory, BASE)
        self._mmu: Mmu | None = None
        self._forget()

    def _forget(self) -> None:
        self._next = 0
        self._tables: dict[Key, int] = {}                     # shadow tables, by their offset in our memory
        self._traced: dict[int, set[Key]] = defaultdict(set)  # guest frame -> its shadows
        self._leaves: dict[int, set[int]] = defaultdict(set)  # guest frame -> shadow entries that map it
        self._maps: dict[int, int] = {}                       # shadow entry -> the guest frame it maps
        self._parents: dict[int, set[int]] = defaultdict(set)  # shadow table -> shadow entries that point to it
        self._writes: dict[int, int] = defaultdict(int)       # guest frame -> writes since it was last used
        self._identity = self._map_identity()

    def drop_all(self) -> None:
        """Forget every shadow: each is rebuilt when needed."""
        self.reset()
        if self._mmu is not None:
            self.use(self._mmu)

    def reset(self) -> None:
        self._forget()
        self._machine.engine.flush_tlb()

    # --------------------------------------------------------------- what a monitor in the same address space changes
    def made(self, key: Key, table: int) -> None:
        """A shadow table was made."""

    def part_of(self, gigabyte: int) -> int:
        """Which shadow of a PAE directory this gigabyte uses: all the same, unless one is special."""
        return 0

    def unused(self, slot: int) -> int:
        """The shadow entry that stands where the guest has none."""
        return 0

    def fill_identity(self, physical: int) -> None:
        """The guest has no paging, and may write to this page, although a shadow entry says otherwise."""

    # ------------------------------------------------------------------------------------------- building
    def _allocate(self) -> int:
        if self._next + 4096 > SIZE:
            raise MemoryError
        offset, self._next = self._next, self._next + 4096
        self._memory.write(offset, bytes(4096))
        return offset

    def _map_identity(self) -> int:
        """For a guest that has not switched paging on: linear addresses are physical ones."""
        root = self._allocate()
        for gigabyte in range(0, self._guest.size, 1 << 30):
            directory = self._allocate()
            self._memory.set_u64(root + (gigabyte >> 30) * 8, BASE + directory | PRESENT)
            for at in range(gigabyte, min(gigabyte + (1 << 30), self._guest.size), 1 << 21):
                entry = directory + (at >> 21 & 511) * 8
                if at + (1 << 21) <= self._guest.size:
                    self._memory.set_u64(entry, at | _OPEN | LARGE)
                    continue
                table = self._allocate()
                self._memory.set_u64(entry, BASE + table | _OPEN)
                for page in range(at, self._guest.size, 4096):
                    self._memory.set_u64(table + (page >> 12 & 511) * 8, page | _OPEN)
        return root

    def use(self, mmu: Mmu) -> None:
        """Put the shadow of this guest address space into the real CR3."""
        self._mmu = mmu
        try:
            root = self._root()
        except MemoryError:
            self.reset()
            root = self._root()
        if self._machine.cpu.cr[3] != BASE + root:       # the same shadow is as true as it was: nothing to flush
            self._machine.cpu.cr[3] = BASE + root
            self._machine.engine.flush_tlb()

    def _root(self) -> int:
        mmu = self._mmu
        if not mmu.cr0 & CR0_PG:
            return self._identity
        if mmu.cr4 & CR4_PAE:
            return self._table((mmu.cr3 & 0xFFFFFFE0, 3, 0), mmu.cr3 >> 12)
        return self._table((mmu.cr3 & 0xFFFFF000, 3, -1), None)   # the two-level form has no table at this level

    def _table(self, key: Key, frame: int | None) -> int:
        """The shadow of a guest table, made if need be. Its frame (None: there is none to watch) is write-protected."""
        table = self._tables.get(key)
        if table is None:
            table = self._tables[key] = self._allocate()
            if frame is not None:
                if not self._traced[frame]:
                    for entry in self._leaves[frame]:
                        self._memory.set_u64(entry, self._memory.u64(entry) & ~WRITABLE)
                    self._machine.engine.flush_tlb()
                self._traced[frame].add(key)
            self.made(key, table)
        return table

    def fill(self, linear: int, found: Translation) -> None:
        """Make the shadow entry for a linear address that the guest's own tables translate to `found`."""
        if not found.path:
            self.fill_identity(found.physical)
            return
        if found.physical >= self._guest.size:
            raise Dead(f"physical address {found.physical:#x} is not memory (mapped at {linear:#010x}; "
                       f"RAM ends at {self._guest.size:#x})")
        try:
            slot = self._slot(linear, found)
        except MemoryError:
            self.drop_all()
            slot = self._slot(linear, found)
        frame, own = found.physical >> 12, found.path[-1][2]   # rights of other levels stand in their shadows
        entry = found.physical & FRAME | PRESENT | own & USER | (own & NO_EXECUTE if self._pae else 0)
        if own & WRITABLE and found.dirty and not self.traces(found.physical):
            entry |= WRITABLE
        self._memory.set_u64(slot, entry)
        self._leaves[frame].add(slot)
        self._maps[slot] = frame
        for _, address, _ in found.path:
            self._writes.pop(address >> 12, None)

    @property
    def _pae(self) -> bool:
        return bool(self._mmu.cr4 & CR4_PAE)

    def _slot(self, linear: int, found: Translation) -> int:
        """Where the last shadow entry for `linear` stands; the tables on the way are made."""
        pae, mmu = self._pae, self._mmu
        directory = found.path[0][2] & FRAME if pae else mmu.cr3 & 0xFFFFF000
        part = self.part_of(linear >> 30) if pae else linear >> 30
        table = self._descend(self._root() + (linear >> 30) * 8, (directory, 2, part), PRESENT)
        slot = table + (linear >> 21 & 511) * 8
        level, _, entry = found.path[-1]
        if level == 2:
            rights, key = _OPEN, (found.physical & ~0x1FFFFF, 0, entry & ~(FRAME | ACCESSED))
        else:
            above = found.path[-2][2]
            rights = above & _OPEN | (above & NO_EXECUTE if pae else 0)
            key = above & (FRAME if pae else 0xFFFFF000), 1, 0 if pae else linear >> 21 & 1
        return self._descend(slot, key, rights) + (linear >> 12 & 511) * 8

    def _descend(self, slot: int, key: Key, rights: int) -> int:
        table = self._table(key, key[0] >> 12 if key[1] else None)
        self._memory.set_u64(slot, BASE + table | rights)
        self._parents[table].add(slot)
        return table

    # ------------------------------------------------------------------------------------------- keeping true
    def traces(self, physical: int) -> bool:
        """Whether writes to this guest page trap."""
        return bool(self._traced.get(physical >> 12))

    def open(self, linear: int) -> list[tuple[int, int]]:
        """Let writes to one page pass. Returns what stood in the shadow entries, for `close`."""
        read = self._memory.u64
        directory = read(self._root() + (linear >> 30) * 8) & FRAME
        upper = directory - BASE + (linear >> 21 & 511) * 8
        lower = (read(upper) & FRAME) - BASE + (linear >> 12 & 511) * 8
        before = [(slot, read(slot)) for slot in (upper, lower)]
        for slot, entry in before:
            self._memory.set_u64(slot, entry | WRITABLE)
        self._machine.engine.flush_tlb()
        return before

    def close(self, before: list[tuple[int, int]]) -> None:
        for slot, entry in before:
            self._memory.set_u64(slot, entry)
        self._machine.engine.flush_tlb()

    def guest_wrote(self, physical: int, size: int) -> None:
        """Guest memory [physical, physical + size), in one page, changed: drop the entries that came from it."""
        frame = physical >> 12
        keys = self._traced.get(frame)
        if not keys:
            return
        self._writes[frame] += 1
        in_use = any(level == 3 and address == self._mmu.cr3 & 0xFFFFFFE0 for address, level, _ in keys)
        if self._writes[frame] > _FLOOD and not in_use:
            self._untrace(frame)
            return
        first, last = physical & 4095, (physical & 4095) + size - 1
        for key in keys:
            self._drop_entries(key, first, last)
        self._machine.engine.flush_tlb()

    def _drop_entries(self, key: Key, first: int, last: int) -> None:
        """Bytes first..last of the guest table changed."""
        address, level, part = key
        table = self._tables[key]
        if level == 3:
            first, last = first - (address & 4095) >> 3, last - (address & 4095) >> 3
            slots = range(max(first, 0), min(last, 3) + 1)
        elif not self._pae:
            width = 2 if level == 2 else 1       # one entry of the two-level form is two of ours in a directory
            offset = part * (256 if level == 2 else 512)
            slots = range((first // 4 - offset) * width, (last // 4 - offset) * width + width)
        else:
            slots = range(first // 8, last // 8 + 1)
        for slot in slots:
            if 0 <= slot < 512:
                self._drop(table + slot * 8)

    def _drop(self, slot: int) -> None:
        frame = self._maps.pop(slot, None)
        if frame is not None:
            self._leaves[frame].discard(slot)
        self._memory.set_u64(slot, self.unused(slot))

    def _untrace(self, frame: int) -> None:
        """The page holds page tables no more: drop its shadows, and let it be written."""
        for key in self._traced.pop(frame):
            table = self._tables.pop(key)
            for slot in self._parents.pop(table, ()):
                if self._memory.u64(slot) & FRAME == BASE + table:
                    self._memory.set_u64(slot, self.unused(slot))
            for slot in range(table, table + 4096, 8):
                self._drop(slot)
        self._writes.pop(frame, None)
        self._machine.engine.flush_tlb()

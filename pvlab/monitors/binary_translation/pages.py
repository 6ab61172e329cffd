"""Which guest pages our translations come from, and whether they still do. adaptive.py keeps its windows the same way.

A unit holds as long as its linear page leads to the same bytes in the guest's current address space. Each entry of the
guest's page tables on the way is noted; all of them are watched by the shadow page tables already. What was found
out about one address space is kept for when the guest comes back to it.
"""
from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable

from pvlab.machine.memory import Dead
from pvlab.machine.x86.cpu import CR0_PG
from pvlab.machine.x86.faults import Fault
from pvlab.machine.x86.paging import ACCESSED, Translation
from pvlab.monitors.shadow import Shadow
from pvlab.monitors.vcpu import VirtualCpu


class KnownPages:
    """`drop(page)` is called when a linear page of the current address space is no longer what it was, and
    `depend(frame)` when something is found out by the page table in this guest frame. access: how the pages are used.
    """

    def __init__(self, vcpu: VirtualCpu, shadow: Shadow, drop: Callable[[int], None],
                 depend: Callable[[int], None] = lambda frame: None, **access: bool):
        self._vcpu, self._shadow, self._drop, self._depend, self._access = vcpu, shadow, drop, depend, access
        self.frames: dict[int, int] = {}                  # page -> guest frame, of what is in the cache
        self.forget()

    def forget(self) -> None:
        """Nothing is known of any address space: no page table is watched."""
        self._current: int | None = None                  # the address space in which `frames` is true
        self._known: dict[int, dict[int, int]] = defaultdict(dict)     # address space -> page -> frame
        # frame of a page table -> offset of an entry -> what was found by it: (address space, page)
        self._through: dict[int, dict[int, set[tuple[int, int]]]] = defaultdict(lambda: defaultdict(set))

    @property
    def are_true(self) -> bool:
        """Whether `frames` is true as it stands; otherwise `follow` makes it so."""
        return self._current == self._space

    @property
    def _space(self) -> int:
        return self._vcpu.cr3 if self._vcpu.cr0 & CR0_PG else -1

    def frame(self, address: int) -> int:
        """The guest frame that `address` leads to in ring 0. May raise Fault, and Dead."""
        page = address >> 12
        known = self._known[self._space].get(page)
        if known is None:
            found = self._vcpu.translate(address, **self._access)
            known = found.physical >> 12
            if found.physical >= self._vcpu.machine.ram.size:
                raise Dead(f"physical address {found.physical:#x} is not memory (used at {self._vcpu.eip:#010x}; "
                           f"RAM ends at {self._vcpu.machine.ram.size:#x})")
            self._note(page, address, found)
        return known

    def _note(self, page: int, address: int, found: Translation) -> None:
        if found.path:
            self._shadow.fill(address, found)             # from here on its tables are watched
        space = self._space
        self._known[space][page] = found.physical >> 12
        for _, entry, _ in found.path:
            self._depend(entry >> 12)
            self._through[entry >> 12][entry & 0xFF8].add((space, page))

    def depends_on(self, frame: int) -> bool:
        """Whether anything that is known was found out by the page table in this guest frame."""
        return bool(self._through.get(frame))

    # -- what changes
    def follow(self) -> None:
        """If the guest has gone to another address space, drop the pages that are not the same there."""
        while self._current != self._space:               # on the way, all may be forgotten once more
            self._current = self._space
            self._compare(self._known[self._current])

    def _compare(self, known: dict[int, int]) -> None:
        for page, frame in list(self.frames.items()):
            if known.get(page) == frame:
                continue
            try:      # a page that the CPU has not yet fetched from here must be marked when it is, and not now
                found = self._vcpu.translate(page << 12, mark=False, **self._access)
            except (Fault, Dead):
                found = None
            if found and found.physical >> 12 == frame and all(
                    entry & ACCESSED or level == 3 for level, _, entry in found.path):
                self._note(page, page << 12, found)
            else:
                self._drop(page)

    def entries_changed(self, frame: int, first: int, last: int) -> None:
        """Bytes first..last of a guest page table changed."""
        through = self._through.get(frame)
        if through:
            for offset in range(first & 0xFF8, last + 1, 8):
                self._lose(through.pop(offset, ()))

    def table_lost(self, frame: int) -> None:
        """A guest page table is not watched any more."""
        for found in self._through.pop(frame, {}).values():
            self._lose(found)

    def _lose(self, found) -> None:
        for space, page in sorted(found):
            self._known[space].pop(page, None)
            if space == self._current and page in self.frames:
                self._drop(page)

"""The translation cache: units where they run, the branches between them, and the hash table for what is not known
before it happens.

A direct branch first leads to an exit of its own. Once its target is translated, the branch is patched to go there
(chaining), and back when the target is dropped. Returns and indirect branches look the target up in a hash table, by
emitted code. A cache that is full is emptied and filled again.
"""
from __future__ import annotations

import struct
from bisect import bisect_right
from collections import defaultdict

from pvlab.monitors.binary_translation import vmem as v
from pvlab.monitors.binary_translation.code import EXIT, miss_stub
from pvlab.monitors.binary_translation.statistics import Statistics
from pvlab.monitors.binary_translation.translate import Site, Unit

_EMPTY = b"".join(struct.pack("<II", 2 if slot == 0xFFFF else 1, 0) for slot in range(v.SLOTS))   # match nothing there


class TranslationCache:
    """Units in `size` bytes of the monitor's memory, which stands at linear address `base`."""

    def __init__(self, memory: v.VirtualMemory, size: int, chaining: bool, statistics: Statistics):
        self._ram, self.size, self.chaining, self.statistics = memory.ram, size, chaining, statistics
        self.base = 0
        self.changed: list[tuple[int, int]] = []        # code that the engine must translate again
        self._clear()

    def _clear(self) -> None:
        self.units: dict[int, Unit] = {}                 # by guest address
        self._order: list[Unit] = []                     # by address in the cache, dropped ones included
        self._starts: list[int] = []
        self._waiting: dict[int, list[Site]] = defaultdict(list)    # branches to what is not translated
        self._exits: dict[int, Site] = {}                # behind each branch's own exit: the branch
        self._pages: dict[int, dict[Unit, None]] = defaultdict(dict)     # guest page -> units with a byte in it
        self._ram.write(v.TABLE, _EMPTY)
        stub = miss_stub(self.base)
        self.begin, self.miss = self.base + v.CACHE, self.base + v.CACHE
        self._next = self.begin + (len(stub) + 15 & ~15)
        self.behind_miss = self.miss + len(stub)
        self._ram.write(v.CACHE, stub)

    def flush(self, base: int | None = None) -> None:
        """Empty the cache; `base`: and have it there from now on."""
        self.changed.append((self.begin, self._next))
        self.base = self.base if base is None else base
        self._clear()

    # ------------------------------------------------------------------------------------------- units
    @property
    def next(self) -> int:
        """Where the next unit goes."""
        return self._next

    @property
    def used(self) -> int:
        """Bytes of the cache that are in use."""
        return self._next - self.begin

    def has_room(self, size: int) -> bool:
        return self.used + size <= self.size

    def add(self, unit: Unit) -> None:
        """A unit that was translated for address `next`."""
        self._ram.write(unit.at - self.base, unit.code)
        self._next = unit.at + (len(unit.code) + 15 & ~15)
        self._order.append(unit)
        self._starts.append(unit.at)
        self.units[unit.address] = unit
        for page in range(unit.address >> 12, (unit.end - 1 >> 12) + 1):
            self._pages[page][unit] = None
        for site in unit.sites:
            self._exits[site.stub + len(EXIT)] = site
            target = self.units.get(site.target)
            if target is not None and self.chaining:
                self._link(site, target)
            else:
                self._waiting[site.target].append(site)
        if self.chaining:
            for site in self._waiting.pop(unit.address, ()):
                self._link(site, unit)
        self.enter_in_table(unit)

    def enter_in_table(self, unit: Unit) -> None:
        """From now on a look-up finds this unit, and not what was in its slot."""
        slot = v.TABLE + 8 * (unit.address & 0xFFFF)
        self._ram.set_u32(slot, -unit.address)
        self._ram.set_u32(slot + 4, unit.at)

    def find(self, address: int) -> Unit | None:
        """The unit, dropped or not, that this address of the cache belongs to."""
        index = bisect_right(self._starts, address) - 1
        return self._order[index] if index >= 0 else None

    def all(self) -> list[Unit]:
        """Every unit in the cache, the latest first; those that have been dropped come last."""
        return sorted(reversed(self._order), key=lambda unit: self.units.get(unit.address) is not unit)

    def site(self, behind: int) -> Site | None:
        """The branch whose own exit ends at this address."""
        return self._exits.get(behind)

    def pages(self) -> list[int]:
        """The guest pages that units come from."""
        return list(self._pages)

    def in_page(self, page: int) -> list[Unit]:
        return list(self._pages.get(page, ()))

    def drop(self, unit: Unit) -> None:
        """Forget a unit: nobody comes here any more."""
        if self.units.get(unit.address) is not unit:
            return
        del self.units[unit.address]
        for page in range(unit.address >> 12, (unit.end - 1 >> 12) + 1):
            self._pages[page].pop(unit, None)
            if not self._pages[page]:
                del self._pages[page]
        for site in unit.incoming:
            self._patch(site, site.stub)
            site.linked = False
            self._waiting[site.target].append(site)
        unit.incoming = []
        for site in unit.sites:
            if site.linked:
                self.units[site.target].incoming.remove(site)
            elif site in self._waiting.get(site.target, ()):
                self._waiting[site.target].remove(site)
        slot = v.TABLE + 8 * (unit.address & 0xFFFF)
        if self._ram.u32(slot + 4) == unit.at:
            self._ram.write(slot, _EMPTY[slot - v.TABLE:slot - v.TABLE + 8])

    # ------------------------------------------------------------------------------------------- branches
    def _link(self, site: Site, unit: Unit) -> None:
        self._patch(site, unit.at)
        site.linked = True
        unit.incoming.append(site)
        self.statistics.chained += 1

    def _patch(self, site: Site, to: int) -> None:
        self._ram.set_u32(site.at - self.base, to - site.at - 4)
        self.changed.append((site.at, site.at + 4))

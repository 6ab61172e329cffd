"""The translation cache: units where they run, the branches between them, and the hash table for what is not known
before it happens.

A direct branch first leads to an exit of its own. Once its target is translated, the branch is patched to go there
(chaining), and back when the target is dropped. A jump that ends a unit is elided if the next unit is its target; the
exits stand at the cache's other end, so that nothing is between the two. Returns and indirect branches look the target
up in a hash table, by emitted code. A cache that is full is emptied and filled again.
"""
from __future__ import annotations

import struct
from bisect import bisect_right
from collections import defaultdict

from pvlab.machine.engine import NOWHERE
from pvlab.monitors.binary_translation import vmem as v
from pvlab.monitors.binary_translation.code import EXIT, miss_stub
from pvlab.monitors.binary_translation.statistics import Statistics
from pvlab.monitors.binary_translation.translate import JUMP, Site, Unit

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
        self.exits = self.begin + self.size              # the exits' end so far: they grow downwards
        self.behind_miss = self.miss + len(stub)
        self._ram.write(v.CACHE, stub)

    def flush(self, base: int | None = None) -> None:
        """Empty the cache; `base`: and have it there from now on."""
        self.changed.append((self.begin, self.begin + self.size))
        self.base = self.base if base is None else base
        self._clear()

    # ------------------------------------------------------------------------------------------- units
    def next_for(self, address: int) -> int:
        """Where the unit at this guest address goes if it is translated now."""
        site = self._elidable(address)
        return self._next if site is None else site.at - 1

    def _elidable(self, address: int) -> Site | None:
        """The jump that ends the unit translated last, if it leads to this guest address."""
        last = self._order[-1] if self._order and self.chaining else None
        if last is None or not last.sites or self.units.get(last.address) is not last:
            return None
        site = last.sites[-1]
        return site if site.last and site.target == address and not site.linked else None

    @property
    def used(self) -> int:
        """Bytes of the cache that are in use."""
        return self.size - (self.exits - self._next)

    def has_room(self, unit: Unit) -> bool:
        return unit.at + len(unit.code) + 16 <= self.exits - len(EXIT) * len(unit.sites)

    def add(self, unit: Unit) -> None:
        """A unit that was translated for this place."""
        before = self._elidable(unit.address)
        self._ram.write(unit.at - self.base, unit.code)
        self.exits -= len(EXIT) * len(unit.sites)
        self._ram.write(self.exits - self.base, EXIT * len(unit.sites))
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
                self._link(site, unit, elide=site is before and site.at - 1 == unit.at)
        self.enter_in_table(unit)

    def enter_in_table(self, unit: Unit) -> None:
        """From now on a look-up finds this unit, and not what was in its slot."""
        slot = v.TABLE + 8 * (unit.address & 0xFFFF)
        self._ram.set_u32(slot, -unit.address)
        self._ram.set_u32(slot + 4, unit.at)

    def find(self, address: int) -> Unit | None:
        """The unit, dropped or not, that this address of the cache belongs to."""
        index = bisect_right(self._starts, address) - 1
        unit = self._order[index] if index >= 0 else None
        return unit if unit and address - unit.at < len(unit.code) else None

    def describe(self, begin: int, end: int) -> tuple[list[int], int, list[int], int, bool]:
        """What the engine must know of a block (see machine/engine.py), which may go on in the unit that follows."""
        offsets, repeat, tally, at = [], NOWHERE, 0, begin
        first = self.find(begin)
        while at < end and (unit := self.find(at)):
            index = bisect_right(self._starts, at)
            stop = min(end, unit.at + len(unit.code), *self._starts[index:index + 1])
            retired, repeat, more = unit.describe(at - unit.at, stop - unit.at)
            offsets += [place - begin for place in retired]
            tally, at = tally + more, stop
        held = begin - first.at not in first.boundaries if first else begin + len(EXIT) not in self._exits
        return offsets, repeat, [], tally, held

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
            if site.elided:                              # the jump is put back over the beginning of what is dropped
                self._ram.write(site.at - 1 - self.base, b"\xe9")
                self.changed.append((site.at - 1, site.at))
                unit.notes.forget()
            self._patch(site, site.stub)
            site.linked = site.elided = False
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
    def _link(self, site: Site, unit: Unit, elide: bool = False) -> None:
        if elide:
            self.changed.append((unit.at, unit.at + JUMP))
        else:
            self._patch(site, unit.at)
        site.linked, site.elided = True, elide
        unit.incoming.append(site)
        self.statistics.chained += 1
        self.statistics.elided += elide

    def _patch(self, site: Site, to: int) -> None:
        self._ram.set_u32(site.at - self.base, to - site.at - 4)
        self.changed.append((site.at, site.at + 4))

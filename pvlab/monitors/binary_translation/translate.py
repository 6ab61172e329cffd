"""Translating: one unit of guest code becomes one piece of code for the cache.

A unit is at most twelve instructions, or ends with the first that ends it: control flow, a callout, bytes that are no
instruction. It stays in one page, as far as its last instruction does, so that what the guest does to a page concerns
the units of that page.
"""
from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Callable
from dataclasses import dataclass, field

from pvlab.machine.engine import NOWHERE
from pvlab.monitors.binary_translation import classify as k
from pvlab.monitors.binary_translation.classify import Guest, decode
from pvlab.monitors.binary_translation.code import EXIT, Code
from pvlab.monitors.binary_translation.emit import emit

LONGEST = 12
JUMP = 5                  # bytes of a JMP
_LAST = k.CONTROL_FLOW | {k.CALLOUT, k.WRITE_CALLOUT, k.INVALID}


@dataclass(eq=False)
class Site:
    """A direct branch of a unit: the place of its displacement, its own exit, and the guest address it goes to.

    last: it is a jump that ends the unit and does nothing else. If the unit that it goes to is translated next, it
    stands in the jump's place (elided).
    """

    unit: "Unit"
    at: int
    stub: int
    target: int
    last: bool
    linked: bool = False
    elided: bool = False


@dataclass(eq=False)
class Unit:
    """A translated unit. Addresses in the cache are linear; the lists are those of code.Code, by offset."""

    guest: tuple[Guest, ...]
    at: int
    code: bytearray
    notes: Code
    sites: list[Site] = field(default_factory=list)
    incoming: list[Site] = field(default_factory=list)      # branches of other units that lead here

    def __post_init__(self):
        self.starts = [offset for offset, _ in self.notes.places]
        self.boundaries = frozenset(self.starts)

    @property
    def address(self) -> int:
        """The guest address of the first instruction."""
        return self.guest[0].address

    @property
    def end(self) -> int:
        """The guest address behind the last."""
        return self.guest[-1].end

    def place(self, offset: int) -> int:
        """The guest's EIP at this offset."""
        return self.notes.places[bisect_right(self.starts, offset) - 1][1]

    def saved(self, offset: int) -> tuple[int, ...]:
        """The registers whose guest values are in the monitor's page at this offset."""
        saved = self.notes.saved
        return saved[bisect_right(saved, offset, key=lambda entry: entry[0]) - 1][1]

    def follows_sti(self, address: int) -> bool:
        """Whether the instruction before the one at this guest address is an STI of this unit."""
        return any(guest.end == address and guest.kind == k.STI for guest in self.guest)

    def describe(self, begin: int, end: int) -> tuple[list[int], int, int]:
        """Of the code between two offsets: where guest instructions retire, a repeated string instruction that ends it
        or NOWHERE (both as linear addresses), and what it adds to the tally."""
        notes, repeat = self.notes, self.notes.repeats.get(end)
        tally = len(_within(notes.looked_up, begin, end)) << 32 | len(_within(notes.emulated, begin, end))
        return ([self.at + at for at in _within(notes.retired, begin, end)],
                NOWHERE if repeat is None else self.at + repeat, tally)


def _within(offsets: list[int], begin: int, end: int) -> list[int]:
    return offsets[bisect_left(offsets, begin):bisect_left(offsets, end)]


def read_unit(code: bytes, address: int) -> tuple[Guest, ...]:
    """The instructions of the unit at `address`. `code` is what can be read from there on; at most one page and the
    rest of an instruction of it."""
    room = 4096 - (address & 4095)
    found: list[Guest] = []
    for guest in decode(code, address, LONGEST):
        if found and (guest.end - address > room or guest.kind == k.INVALID):
            break                       # the next page is another unit's
        if guest.kind == k.STI and len(found) == LONGEST - 1:
            break                       # what follows it must stand in the same unit: interrupts come only after that
        found.append(guest)
        if guest.kind in _LAST:
            break
    if found[-1].kind == k.STI:         # nothing can follow it here
        found[-1] = found[-1]._replace(kind=k.CALLOUT)
    return tuple(found)


def revise(guest: tuple[Guest, ...], kind_of: Callable[[Guest], str]) -> tuple[Guest, ...]:
    """The unit with other kinds for its instructions. It ends earlier if one of them does."""
    revised = []
    for instruction in guest:
        revised.append(instruction._replace(kind=kind_of(instruction)))
        if revised[-1].kind in _LAST:
            break
    return tuple(revised)


def translate(guest: tuple[Guest, ...], at: int, base: int, miss: int, exits: int) -> Unit:
    """The translation of a unit for the cache's linear address `at`. Each direct branch has an exit of its own, and
    leads there until it is chained: they stand below the address `exits`."""
    code = Code(at, base, miss)
    for index, instruction in enumerate(guest):
        emit(code, instruction, index)
    last = guest[-1]
    if last.kind not in _LAST:
        code.place(last.end & 0xFFFFFFFF)
        code.jump(last.end & 0xFFFFFFFF)
    end = code.end = len(code.bytes)
    code(bytes(max(JUMP - end, 0)))             # room for a jump, see cache.drop
    unit = Unit(guest, at, code.bytes, code)
    for number, (offset, target) in enumerate(code.sites, 1):
        stub, last = exits - number * len(EXIT), (end - JUMP, target) == code.places[-1] and offset == end - 4
        unit.sites.append(Site(unit, at + offset, stub, target, last))
        code.bytes[offset:offset + 4] = (stub - at - offset - 4).to_bytes(4, "little", signed=True)
    return unit

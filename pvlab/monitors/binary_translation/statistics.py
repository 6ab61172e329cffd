"""What a run's translator did, in numbers."""
from __future__ import annotations

from dataclasses import dataclass, fields

from pvlab.monitors.binary_translation.classify import line_of
from pvlab.monitors.binary_translation.code import EXIT
from pvlab.monitors.binary_translation.translate import Unit


@dataclass
class Statistics:
    """Counts of one run; sizes in bytes.

    units, instructions, ident  translated units, the guest instructions in them, and how many of these were copied
    in_cache, callouts, rewritten  the other guest instructions, by what became of them
    guest_bytes, cache_bytes    the size of what was translated, and of what it became
    retranslated                units at an address from which another had been translated before
    chained, elided             direct branches that were patched to lead to another unit, and those of them that were
                                left out because the unit follows
    looked_up, missed           returns and indirect branches that looked their target up, and did not find it
    emulated                    instructions that were emulated in the cache, as often as they ran
    flushes                     times the cache was full, and was emptied
    dropped                     units that were dropped because the guest changed their code or its mapping
    adapted                     instructions that got another translation because they trapped often
    """

    units: int = 0
    instructions: int = 0
    ident: int = 0
    rewritten: int = 0
    in_cache: int = 0
    callouts: int = 0
    guest_bytes: int = 0
    cache_bytes: int = 0
    retranslated: int = 0
    chained: int = 0
    elided: int = 0
    looked_up: int = 0
    missed: int = 0
    emulated: int = 0
    flushes: int = 0
    dropped: int = 0
    adapted: int = 0

    def count(self, unit: Unit, again: bool) -> None:
        """A unit was translated."""
        self.units += 1
        self.retranslated += again
        for guest in unit.guest:
            self.instructions += 1
            self.guest_bytes += len(guest.code)
            line = line_of(guest.kind)
            setattr(self, line, getattr(self, line) + 1)
        self.cache_bytes += unit.notes.end + len(EXIT) * len(unit.sites)

    @property
    def ident_fraction(self) -> float:
        """The part of the translated guest instructions that was copied."""
        return self.ident / self.instructions if self.instructions else 0.0

    @property
    def expansion(self) -> float:
        """Bytes of the cache for each byte of guest code."""
        return self.cache_bytes / self.guest_bytes if self.guest_bytes else 0.0

    @property
    def hits(self) -> int:
        """Look-ups that found their target in the cache."""
        return self.looked_up - self.missed

    def to_dict(self) -> dict:
        return {each.name: getattr(self, each.name) for each in fields(self)} | {
            "hits": self.hits, "ident_fraction": round(self.ident_fraction, 4), "expansion": round(self.expansion, 3)}

    def table(self):
        """The figures as a Table."""
        from pvlab.tables import Table
        rows = [["units translated", self.units], ["  of them again", self.retranslated],
                ["guest instructions in them", self.instructions], ["  IDENT", self.ident],
                ["  rewritten", self.rewritten], ["  emulated in the cache", self.in_cache],
                ["  callouts", self.callouts],
                ["IDENT, percent", f"{100 * self.ident_fraction:.1f}"], ["guest code, bytes", self.guest_bytes],
                ["cache, bytes", self.cache_bytes], ["code expansion", f"{self.expansion:.2f}"],
                ["branches chained", self.chained], ["  of them elided", self.elided],
                ["look-ups that hit", self.hits], ["look-ups that missed", self.missed],
                ["instructions emulated in the cache", self.emulated], ["instructions adapted", self.adapted],
                ["units dropped", self.dropped], ["cache flushes", self.flushes]]
        return Table(["", ""], rows, caption="Binary translation")

    def _repr_mimebundle_(self, include=None, exclude=None):
        return self.table().bundle()

    def __repr__(self) -> str:
        return self.table().text()

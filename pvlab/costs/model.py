"""Cost models: what was published about one machine, read from a TOML file beside this module.

A model has two kinds of rows. A *cell* says what an exit, an event or a device access costs on the machine; a bill is
made of cells that are `calibrated`. A *published* row is what a paper printed about an operation, for a prediction to
be set beside. A figure that went into a cell is marked `calibrated` there too: it can confirm nothing.

`reader.py` reads the files and refuses a figure without a source.
"""
from __future__ import annotations

from dataclasses import dataclass, replace

from pvlab.errors import PvlabError
from pvlab.tables import NONE, UNPUBLISHED, Table

KINDS = ("exit", "event", "access")
STATUSES = ("calibrated", "held-out")
# V: read in the primary document. V2: quoted from it by a named second source. D: derived from such figures.
CONFIDENCES = ("V", "V2", "D")
TECHNIQUES = ("native", "trap-and-emulate", "binary-translation", "paravirtual", "hardware-assisted", "hybrid",
              "denali", "cp")
# Where a cost's cycles are spent, and what tables call it. `undivided` is for a source that does not part the two.
PARTS = {"hardware": "hardware", "monitor": "monitor", "user": "user space", "undivided": "hardware and monitor"}


class CostError(PvlabError):
    """No such cost model, or a file that is not one; the message names the file and the cell."""


@dataclass(frozen=True)
class Cell:
    """What one exit, event or access costs.

    kind                 exit, event or access
    reasons, techniques  which ones it prices; reasons may be ("*",), and no techniques means all of them
    parts                {part: cycles}; None where the part exists but its cost was not published
    source, confidence, status, formula, note   as the file has them
    """

    kind: str
    reasons: tuple[str, ...]
    techniques: tuple[str, ...]
    parts: dict[str, int | None]
    source: str
    confidence: str
    status: str
    formula: str = ""
    note: str = ""

    @property
    def cycles(self) -> int:
        """The published parts together."""
        return sum(value or 0 for value in self.parts.values())

    @property
    def unpublished(self) -> tuple[str, ...]:
        return tuple(part for part, value in self.parts.items() if value is None)

    def rank(self, kind: str, reason: str, technique: str) -> int:
        """0 if the cell does not price this; else higher the more closely it was made for it."""
        every = self.reasons == ("*",) and reason != "world-switch"     # that is none of the guest's own exits
        if kind != self.kind or not (reason in self.reasons or every):
            return 0
        if self.techniques and technique not in self.techniques:
            return 0
        return 1 + 2 * (reason in self.reasons) + bool(self.techniques)


@dataclass(frozen=True)
class Figure:
    """One published figure: what `operation` took under `technique`; a relation where no number was printed."""

    operation: str
    technique: str
    value: float | None
    relation: str
    unit: str
    status: str
    source: str
    confidence: str
    note: str = ""


@dataclass(frozen=True)
class CostModel:
    """The published costs of one machine. `clock_mhz` is None where the source names no clock."""

    name: str
    machine: str
    year: int
    clock_mhz: int | None
    guest_cpi: float
    cells: tuple[Cell, ...]
    published: tuple[Figure, ...]
    note: str = ""

    @property
    def assumption(self) -> str:
        """What stands under every bill: the guest's own cycles are assumed."""
        cycles = f"{self.guest_cpi:,g} cycle{'s' * (self.guest_cpi != 1)}"
        return f"Assumed, not published: {cycles} for each guest instruction."

    def cell(self, kind: str, reason: str, technique: str) -> Cell | None:
        """The calibrated cell that prices this, or None. A named reason goes before "*", then a named technique."""
        found = [(cell.rank(kind, reason, technique), cell) for cell in self.cells if cell.status == "calibrated"]
        rank, best = max(found, key=lambda pair: pair[0], default=(0, None))
        return best if rank else None

    def with_part(self, cell: Cell, part: str, cycles: int | None) -> "CostModel":
        """The same model with another figure in one cell: a supposition, for those who ask what would be if."""
        changed = replace(cell, parts={**cell.parts, part: cycles}, confidence="supposed")
        return replace(self, cells=tuple(changed if c is cell else c for c in self.cells))

    def to_dict(self) -> dict:
        """What `pvlab costs --json` prints of it."""
        priced = [f"{cell.kind}:{reason}" for cell in self.cells if cell.status == "calibrated"
                  for reason in cell.reasons]
        return {"name": self.name, "machine": self.machine, "year": self.year, "clock_mhz": self.clock_mhz,
                "prices": priced, "published": len(self.published), "note": self.note}

    def table(self) -> Table:
        """The cells, with their sources."""
        rows = [[f"{cell.kind}: {', '.join(cell.reasons)}", ", ".join(cell.techniques) or "any technique",
                 *[_shown(cell, part) for part in PARTS], cell.source + (f"; {cell.formula}" if cell.formula else ""),
                 cell.confidence, cell.status] for cell in self.cells]
        clock = f", {self.clock_mhz:,} MHz" if self.clock_mhz else ""
        return Table(["what", "technique", *PARTS.values(), "source", "confidence", "status"], rows,
                     caption=f"{self.name}: {self.machine}, {self.year}{clock}; cycles", note=self.note)

    def published_table(self) -> Table:
        """What was printed about the machine; `held-out` rows are those that no cell was made from."""
        rows = [[f.operation, f.technique, f.relation or f"{f.value:,}", f.unit, f.status, f.source]
                for f in self.published]
        return Table(["operation", "technique", "published", "unit", "status", "source"], rows,
                     caption=f"{self.name}: published figures")

    def _repr_mimebundle_(self, include=None, exclude=None):
        return self.table().bundle()

    def __repr__(self) -> str:
        return self.table().text()


def _shown(cell: Cell, part: str):
    value = cell.parts.get(part, NONE)
    return UNPUBLISHED if value is None else value

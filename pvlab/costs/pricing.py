"""A bill: one run priced by one cost model.

Each happening is priced once. On the bare machine the events and accesses are what happened, and they are priced;
under a monitor each of them is the work of an exit (a fault that it reflects, a port that it emulates), so that only
exits are. What a technique lets happen without its monitor stands in `DIRECT`.

Nothing is guessed: what the model has no figure for is listed as unpriced, and a total with such a list is what could
be priced, not what it all cost.
"""
from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from pvlab.costs.model import PARTS, Cell, CostModel
from pvlab.costs.reader import cost_model
from pvlab.tables import UNPUBLISHED, Table, title_of
from pvlab.trace import Log, Run

# The techniques under which the CPU delivers events and reaches devices by itself.
DIRECT = ("native",)


@dataclass(frozen=True)
class Line:
    """All exits, events or accesses of one reason, and the cell that prices them (None if there is none)."""

    kind: str
    reason: str     # of an access: the device and the direction, `pit:read` or `pit:write`
    count: int
    cell: Cell | None

    @property
    def key(self) -> str:
        """The name in a bill: an exit's reason as it is; `event:` or `access:` before the others, which share names."""
        return self.reason if self.kind == "exit" else f"{self.kind}:{self.reason}"

    @property
    def cycles(self) -> int:
        """What could be priced of it."""
        return self.count * self.cell.cycles if self.cell else 0

    def part(self, name: str) -> int | None:
        """Cycles of one part; None where they were not published, or the cell has no such part."""
        value = self.cell.parts.get(name) if self.cell else None
        return None if value is None else self.count * value


@dataclass(frozen=True)
class Bill:
    """What a run cost on a model's machine, in whole cycles.

    guest   instructions times the model's `guest_cpi`. That one instruction takes so many cycles is an assumption of
            ours, not a published figure.
    lines   the rest, dearest first
    """

    costs: CostModel
    run: Run
    guest: int
    lines: tuple[Line, ...]

    @property
    def model(self) -> str:
        """The cost model's name."""
        return self.costs.name

    def _part(self, name: str) -> int:
        return sum(line.part(name) or 0 for line in self.lines)

    @property
    def hardware(self) -> int:
        """Cycles of the hardware's transitions."""
        return self._part("hardware")

    @property
    def monitor(self) -> int:
        """Cycles of the monitor's own work."""
        return self._part("monitor")

    @property
    def user(self) -> int:
        """Cycles of work in the host's user space (hosted I/O)."""
        return self._part("user")

    @property
    def undivided(self) -> int:
        """Cycles of hardware and monitor together, where the source does not part them."""
        return self._part("undivided")

    @property
    def total(self) -> int:
        """The guest's cycles and all that could be priced."""
        return self.guest + sum(line.cycles for line in self.lines)

    @property
    def by_reason(self) -> dict[str, int]:
        """{reason: cycles} of what could be priced, dearest first; an event is `event:…`, an access `access:…`."""
        return {line.key: line.cycles for line in self.lines if line.cell}

    @property
    def unpriced(self) -> dict[str, int]:
        """{reason: count} of what could not be priced.

        `cli` is an exit without any figure; `cli (monitor)` is one whose figure lacks the monitor's part.
        """
        found = {}
        for line in self.lines:
            if line.cell is None:
                found[line.key] = line.count
            else:
                found.update((f"{line.key} ({part})", line.count) for part in line.cell.unpublished)
        return found

    @property
    def without_figure(self) -> int:
        """How many exits, events and accesses have no figure at all."""
        return sum(line.count for line in self.lines if line.cell is None)

    @property
    def without_part(self) -> dict[str, int]:
        """{part: how many exits, events and accesses have a figure that lacks it}."""
        found = Counter()
        for line in self.lines:
            for part in line.cell.unpublished if line.cell else ():
                found[part] += line.count
        return dict(found)

    @property
    def sources(self) -> list[str]:
        """Where the figures of this bill were published."""
        return list(dict.fromkeys(line.cell.source for line in self.lines if line.cell))

    def to_dict(self) -> dict:
        """The `cycles` object that `pvlab run --json --costs MODEL` prints."""
        return {"model": self.model, "total": self.total, "guest": self.guest, "by_reason": self.by_reason,
                "unpriced": self.unpriced}

    def table(self) -> Table:
        """One row for the guest, one for each reason, and the total."""
        used = [part for part in PARTS if any(line.cell and part in line.cell.parts for line in self.lines)]
        rows = [["guest instructions (assumed)", self.run.instructions, *[None] * len(used), self.guest]]
        for line in self.lines:
            parts = [UNPUBLISHED if line.cell is None or part in line.cell.unpublished else line.part(part)
                     for part in used]
            rows.append([line.key, line.count, *parts, line.cycles if line.cell else UNPUBLISHED])
        whole = "total of what could be priced" if self.unpriced else "total"
        sums = [self._part(part) if any(line.part(part) for line in self.lines) else UNPUBLISHED for part in used]
        rows.append([whole, None, *sums, self.total])
        return Table(["what", "count", *[PARTS[part] for part in used], "cycles"], rows, note=self.note,
                     caption=f"{title_of(self.run)} under {self.run.monitor}, priced by {self.model}, in cycles")

    @property
    def note(self) -> str:
        """What a reader must know of the bill's numbers: its assumption, and what it leaves out."""
        said = [self.costs.assumption, self.costs.note]
        if self.without_figure:
            said.append(f"No cost was published for {self.without_figure:,} of these exits, events and accesses.")
        said += [f"The {PARTS[part]}'s part was not published and is not in the total." for part in self.without_part]
        if self.sources:
            said.append(f"Source: {'; '.join(self.sources)}.")
        return " ".join(sentence for sentence in said if sentence)

    def plot(self):
        """The bill as a Picture: cycles stacked by reason."""
        from pvlab.plots import cycles
        return cycles([self])

    def _repr_mimebundle_(self, include=None, exclude=None):
        return self.table().bundle()

    def __repr__(self) -> str:
        return self.table().text()


def bill(run: Run, model: str | CostModel) -> Bill:
    """The run priced by a cost model (its name, or the model itself). CostError if there is no such model."""
    if not isinstance(model, CostModel):
        model = cost_model(model)
    happened = {"exit": run.trace.exits.counts()}
    if run.monitor in DIRECT:
        happened |= {"event": run.trace.events.counts(), "access": _directions(run.trace.accesses)}
    technique = run.monitor.partition(",")[0]       # "trap-and-emulate, hosted" is that technique
    lines = [Line(kind, reason, count, model.cell(kind, reason, technique))
             for kind, counts in happened.items() for reason, count in counts.items()]
    lines.sort(key=lambda line: (-line.cycles, -line.count, line.key))
    return Bill(model, run, round(run.instructions * model.guest_cpi), tuple(lines))


def _directions(accesses: Log) -> dict[str, int]:
    """Accesses by device and direction, for a read does not cost what a write does."""
    found = Counter()
    for access in accesses:
        writes = any(word.startswith("out") for word in access.instruction.split()[:2])  # `rep outsb` is one, too
        found[f"{access.reason}:{'write' if writes else 'read'}"] += 1
    return found

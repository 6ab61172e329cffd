"""One guest under several techniques, side by side, and whether each kept faith with the bare machine."""
from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from pvlab.errors import PvlabError
from pvlab.tables import NONE, Table, title_of
from pvlab.trace import Run


@dataclass(frozen=True)
class Comparison:
    """Runs of the same guest, one for each technique.

    guest   the guest's name
    runs    in the order in which the techniques were given
    """

    guest: str
    runs: tuple[Run, ...]

    @property
    def faithful(self) -> dict[str, bool | None]:
        """{technique: did its run end with the bare machine's outcome and digest?}; None without a native run."""
        native = next((run for run in self.runs if run.monitor == "native"), None)
        return {run.monitor: native and (run.outcome, run.digest) == (native.outcome, native.digest)
                for run in self.runs}

    def reasons(self) -> list[str]:
        """The exits' reasons over all runs, most frequent first, ties by name."""
        total = Counter()
        for run in self.runs:
            total.update(run.trace.exits.counts())
        return sorted(total, key=lambda reason: (-total[reason], reason))

    def to_dict(self, costs: str | None = None) -> dict:
        """The object that `pvlab compare --json` prints; `costs` names the cost model of its bills."""
        return {"guest": self.guest, "runs": [run.to_dict(costs) for run in self.runs], "faithful": self.faithful}

    def bills(self, costs: str) -> list:
        """Each run priced by the same cost model."""
        return [run.bill(costs) for run in self.runs]

    def plot(self, costs: str | None = None):
        """A Picture: exits by reason and technique, or with a cost model's name the cycles, stacked by reason."""
        from pvlab.figures import plots
        return plots.cycles(self.bills(costs)) if costs else plots.exits(self.runs)

    def table(self) -> Table:
        """Exits by reason and technique, and how each run ended."""
        counts = [run.trace.exits.counts() for run in self.runs]
        rows = [[reason, *[count.get(reason, 0) for count in counts]] for reason in self.reasons()]
        said = {True: "yes", False: "no", None: NONE}
        rows += [["all exits", *[len(run.trace) for run in self.runs]],
                 ["instructions", *[run.instructions for run in self.runs]],
                 ["outcome", *[run.outcome for run in self.runs]],
                 ["faithful", *[said[answer] for answer in self.faithful.values()]]]
        return Table(["exits", *[run.monitor for run in self.runs]], rows, caption=title_of(self.runs[0]))

    def _repr_mimebundle_(self, include=None, exclude=None):
        return self.table().bundle()

    def __repr__(self) -> str:
        return self.table().text()


def compare(guest, monitors: Iterable | None = None, budget: int = 200_000_000,
            progress: Callable | None = None, disk: str | None = None) -> Comparison:
    """Run the guest under each of the monitors (names or instances; None means every technique for its instruction set).

    `budget` (guest instructions) and `progress` are handed to each run. `disk` is an image file's name, see
    Monitor.run: every run finds the file as it is, and what they write is forgotten.
    """
    from pvlab.monitors import monitor, techniques
    named = techniques(guest.image.arch) if monitors is None else monitors
    chosen = [monitor(m) if isinstance(m, str) else m for m in named]
    names = [m.name for m in chosen]
    if not names:
        raise PvlabError("nothing to compare: name at least one monitor")
    if len(set(names)) < len(names):
        raise PvlabError(f"a monitor is named twice: {', '.join(names)}")
    if disk is not None and not str(disk).endswith((":ro", ":cow")):
        disk = f"{disk}:cow"
    lent = {} if disk is None else {"disk": disk}
    return Comparison(guest.name, tuple(m.run(guest, budget=budget, progress=progress, **lent) for m in chosen))

"""The technique comparer: choose a workload, how often it runs, and a machine; see what each technique exits for."""
from __future__ import annotations

from collections.abc import Sequence

from pvlab.costs import cost_model
from pvlab.figures.plots import exits
from pvlab.tables import NONE, Table
from pvlab.widgets.base import MODEL, Shown, choice, compared, models, names, workloads


_COUNTS = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000)
_REASONS = 6    # so many fit on a screen together with the controls and the cycles; the table has them all


class Comparer(Shown):
    """See `comparer`."""

    title = "Techniques, side by side"

    def __init__(self, workload: str, n: int, costs: str, guest: str, monitors: Sequence[str] | None):
        self.guest, self.workloads, self.monitors = guest, workloads(guest), names(monitors)
        self.workload, self.n, self.costs = workload, n, cost_model(costs).name
        self.comparison()

    def comparison(self):
        """The runs for the controls as they stand."""
        return compared(self.guest, self.workload, self.n, self.monitors)

    def controls(self) -> list:
        return [choice(self, "workload", "Workload", self.workloads),
                choice(self, "n", "Times (n)", sorted({*_COUNTS, self.n})),
                choice(self, "costs", "Priced by", models())]

    def state(self) -> list:
        found = self.comparison()
        faithful = {True: "yes", False: "no", None: NONE}
        ends = Table(["technique", "outcome", "faithful", "guest instructions"],
                     [[run.monitor, run.outcome, faithful[found.faithful[run.monitor]], run.instructions]
                      for run in found.runs], caption="How each run ended")
        return [exits(found.runs, _REASONS), found.plot(self.costs), ends]

    def sentence(self) -> str:
        runs = self.comparison().runs
        said = [f"{run.monitor}: {len(run.trace):,} exits in {run.instructions:,} guest instructions" for run in runs]
        broken = [name for name, kept in self.comparison().faithful.items() if kept is False]
        if broken:
            said.append(f"not faithful: {', '.join(broken)}")
        return f"{self.workload}: {self.workloads[self.workload]}; {self.n:,} times. {'; '.join(said)}."


def comparer(workload: str = "syscall", n: int = 100, costs: str = MODEL, guest: str = "kernel",
             monitors: Sequence[str] | None = None) -> Comparer:
    """A widget that compares techniques on one workload, live: exits by reason, and cycles stacked by reason.

    workload, n, costs   what it shows first; the controls change them
    guest                a guest with the parameters `workload` and `n`
    monitors             names of techniques; all of them unless given

    Runs are kept, so that going back to a choice is instant. Bad input raises PvlabError here, and is one line in the
    widget when a control causes it.
    """
    return Comparer(workload, n, costs, guest, monitors)

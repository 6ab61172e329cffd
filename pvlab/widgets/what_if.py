"""The cost explorer: a model's figures as sliders, and what an exit may cost before a technique is too slow."""
from __future__ import annotations

from pvlab.experiments.comparison import Comparison
from pvlab.costs import Cell, CostModel, bill, cost_model
from pvlab.costs.model import PARTS
from pvlab.errors import PvlabError
from pvlab.widgets import breakeven
from pvlab.widgets.base import MODEL, Shown, choice, compared, models, names, slider, workloads

# How far the sliders go, in cycles, and the slowdowns to choose from, in percent.
_MOST = 10_000
_TOLERATED = (1, 2, 5, 10, 20, 50, 100, 200, 500)


class Explorer(Shown):
    """See `explorer`."""

    title = "What may an exit cost?"

    def __init__(self, comparison: Comparison | None, workload: str, n: int, costs: str, tolerated: int, guest: str):
        if comparison and not any(run.monitor == "native" for run in comparison.runs):
            raise PvlabError("the explorer sets techniques against the bare machine: the comparison has no native run")
        if comparison and len(comparison.runs) < 2:
            raise PvlabError("the explorer sets techniques against the bare machine: the comparison has no other run")
        self.given, self.guest, self.n = comparison, guest, n
        self.workloads = {} if comparison else workloads(guest)
        self.workload, self.costs, self.tolerated, self.supposed = workload, cost_model(costs).name, tolerated, 0
        self.changed: dict[tuple[int, str], int] = {}     # (cell's place in the model, part): cycles
        self.comparison()

    def comparison(self) -> Comparison:
        """The runs that are priced."""
        return self.given or compared(self.guest, self.workload, self.n, names(None))

    def model(self) -> CostModel:
        """The chosen model, with the reader's figures in it."""
        model = cost_model(self.costs)
        for (place, part), cycles in self.changed.items():
            model = model.with_part(model.cells[place], part, cycles)
        return model

    def figures(self) -> list[tuple[int, str, Cell]]:
        """The published figures that price anything here: (the cell's place in the model, part, the cell)."""
        model = cost_model(self.costs)
        used = {id(line.cell) for run in self.comparison().runs for line in bill(run, model).lines if line.cell}
        return [(place, part, cell) for place, cell in enumerate(model.cells) if id(cell) in used
                for part, value in cell.parts.items() if value is not None]

    def state(self) -> list:
        return [breakeven.picture(self.outcomes())]

    def outcomes(self) -> list[breakeven.Outcome]:
        """Each technique against the bare machine, for the controls as they stand."""
        return breakeven.outcomes(self.comparison(), self.model(), self.supposed, self.tolerated / 100)

    def sentence(self) -> str:
        return breakeven.sentence(self.outcomes())

    def controls(self) -> list:
        import ipywidgets
        self._sliders, self._arranged = ipywidgets.VBox(), None
        again = ipywidgets.Button(description="Published figures", tooltip="Put every slider back")
        again.on_click(lambda _: self._put_back())
        workload = [choice(self, "workload", "Workload", self.workloads)] if self.workloads else []
        return [*workload, choice(self, "costs", "Model", models()), self._sliders, again]

    def arrange(self) -> None:
        """A slider for each figure that prices something and one for what is unpublished; what is tolerated."""
        now = self.workload, self.costs
        if self._arranged == now:
            return
        if self._arranged and self._arranged[1] != self.costs:      # another model: the reader's figures were not its
            self.changed.clear()
            self.supposed = 0
        rows = [self._slider_of(place, part, cell) for place, part, cell in self.figures()]
        if any(one.unknown for one in self.outcomes()):
            rows.append(slider("unpublished part of an exit", self.supposed, _MOST, self._suppose,
                               "nothing published: what you suppose"))
        rows.append(choice(self, "tolerated", "Tolerated slowdown, %", sorted({*_TOLERATED, self.tolerated})))
        self._sliders.children, self._arranged = rows, now

    def _slider_of(self, place: int, part: str, cell: Cell):
        published = cell.parts[part]

        def put(cycles: int) -> None:
            self.changed[place, part] = cycles
            self.refresh()

        return slider(f"{_names(cell)} ({PARTS[part]})", self.changed.get((place, part), published),
                      max(_MOST, 3 * published), put, f"published: {published:,} cycles")

    def _suppose(self, cycles: int) -> None:
        self.supposed = cycles
        self.refresh()

    def _put_back(self) -> None:
        self.changed.clear()
        self.supposed, self._arranged = 0, None
        self.refresh()


def _names(cell: Cell) -> str:
    """What a cell prices, as a bill names it."""
    if cell.reasons == ("*",):
        return f"every {cell.kind}"
    return ", ".join(reason if cell.kind == "exit" else f"{cell.kind}:{reason}" for reason in cell.reasons)


def explorer(comparison: Comparison | None = None, workload: str = "syscall", n: int = 100, costs: str = MODEL,
             tolerated: int = 10, guest: str = "kernel") -> Explorer:
    """A widget that asks what an exit may cost before a technique becomes untolerated.

    comparison   runs to price, the native one among them; unless given, the guest's `workload`, `n` times, under
                 every technique, with a control to choose the workload
    costs        the cost model whose figures become sliders
    tolerated     the slowdown that one tolerates, in percent of the bare machine's cycles
    """
    return Explorer(comparison, workload, n, costs, tolerated, guest)

"""How dear may an exit be? The arithmetic and the figure of the cost explorer.

A run under a monitor costs its guest's cycles and, for each exit, some cycles more. Set against the bare machine's
cycles that is a straight line over the cost of one exit; where it crosses the slowdown that one tolerates is the
break-even cost. It grows with the number of instructions that the guest runs between two exits.
"""
from __future__ import annotations

from dataclasses import dataclass

from pvlab.experiments.comparison import Comparison
from pvlab.costs import Bill, CostModel, bill, cost_models
from pvlab.figures.picture import INK, Picture, blank, style
from pvlab.tables import NONE, Table, title_of

_LINES = (("#0072B2", "-"), ("#D55E00", "--"), ("#009E73", "-."), ("#CC79A7", ":"))


@dataclass(frozen=True)
class Outcome:
    """One technique's run against the native run.

    native, bill   the two bills, by the same model
    supposed       cycles that the reader supposes for what was not published of each exit
    tolerated      the slowdown that the reader tolerates: 0.1 is ten percent
    """

    native: Bill
    bill: Bill
    supposed: int
    tolerated: float

    @property
    def exits(self) -> int:
        return len(self.bill.run.trace)

    @property
    def instructions_per_exit(self) -> float | None:
        return self.bill.run.instructions / self.exits if self.exits else None

    @property
    def unknown(self) -> int:
        """Exits whose cost, or a part of it, was not published."""
        return sum(line.count for line in self.bill.lines if line.cell is None or line.cell.unpublished)

    @property
    def cycles(self) -> int:
        """What could be priced, and what is supposed."""
        return self.bill.total + self.supposed * self.unknown

    @property
    def per_exit(self) -> float | None:
        """Cycles of an exit, on average; None if none of them has a published or a supposed cost."""
        return (self.cycles - self.bill.guest) / self.exits if self.cycles > self.bill.guest else None

    def slowdown(self, per_exit: float) -> float:
        """Times the native cycles, were an exit to cost so much."""
        return (self.bill.guest + per_exit * self.exits) / max(self.native.total, 1)

    @property
    def break_even(self) -> float | None:
        """Cycles of an exit at which the run loses just what is tolerated; None without exits."""
        if not self.exits:
            return None
        return max(0.0, (self.native.total * (1 + self.tolerated) - self.bill.guest) / self.exits)


def outcomes(comparison: Comparison, model: CostModel, supposed: int, tolerated: float) -> list[Outcome]:
    """Every technique but the native one against it, which must be among the comparison's runs."""
    native = next(run for run in comparison.runs if run.monitor == "native")
    reference = bill(native, model)
    return [Outcome(reference, bill(run, model), supposed, tolerated) for run in comparison.runs if run is not native]


def sentence(found: list[Outcome]) -> str:
    """What the numbers say."""
    said = []
    for one in found:
        name = one.bill.run.monitor
        if not one.exits:
            said.append(f"{name} never exits: no cost of an exit can slow it.")
            continue
        said.append(f"Under {name} one exit comes after {_few(one.instructions_per_exit)} guest instructions, on "
                    f"average.")
        if one.per_exit is None:
            said.append("What these exits cost on this machine was not published: suppose a cost.")
        else:
            said.append(f"At {_few(one.per_exit)} cycles an exit the run takes {one.slowdown(one.per_exit):,.2f} times "
                        f"the bare machine's cycles.")
        said.append(f"It loses no more than {one.tolerated:.0%} while an exit costs {_few(one.break_even)} cycles or "
                    f"less.")
        if one.unknown and one.per_exit is not None:
            which = "each exit" if one.unknown == one.exits else f"{one.unknown:,} of the {one.exits:,} exits"
            said.append(f"The cost of {which} was not published, or not all of it: {one.supposed:,} cycles are "
                        f"supposed for what is missing.")
    return " ".join(said)


def picture(found: list[Outcome]) -> Picture:
    """Slowdown over the cost of one exit, with the break-even point and where published figures stand."""
    first = found[0]
    model, run = first.bill.costs, first.bill.run
    names = [one.bill.run.monitor for one in found]

    def row(title, value):
        return [title, *[value(one) for one in found]]

    rows = [
        row("exits", lambda one: one.exits),
        row("guest instructions", lambda one: one.bill.run.instructions),
        row("guest instructions for each exit", lambda one: _shown(one.instructions_per_exit)),
        row("exits with a part not published", lambda one: one.unknown),
        row("cycles supposed for that part", lambda one: one.supposed),
        row("cycles of an exit", lambda one: _shown(one.per_exit)),
        row("cycles in all", lambda one: one.cycles),
        row("native cycles", lambda one: one.native.total),
        row("times native", lambda one: _shown(one.per_exit and one.slowdown(one.per_exit))),
        row("tolerated slowdown, %", lambda one: float(one.tolerated * 100)),
        row("break-even: cycles of an exit", lambda one: _shown(one.break_even)),
    ]
    missing = first.native.without_figure
    note = f" {missing:,} events and accesses of the bare machine have no published cost here and count as nothing."
    table = Table(["", *names], rows, caption=f"What an exit may cost: {title_of(run)}, {model.name}",
                  note=model.assumption + (note if missing else ""))
    alt = (f"Line chart of the slowdown over the cost of one exit, {title_of(run)}, {model.name}, on logarithmic axes. "
           + sentence(found))
    return Picture(_draw(found, f"What an exit may cost: {title_of(run)}"), table, alt)


def _draw(found: list[Outcome], title: str):
    import numpy as np
    from matplotlib.ticker import LogLocator
    costly = [one for one in found if one.exits]
    bearable = 1 + found[0].tolerated
    reach = [max(x, 1.0) for one in costly for x in (one.per_exit, one.break_even) if x]
    low, high = min([10.0, *(x / 2 for x in reach)]), max([20_000.0, *(x * 2 for x in reach)])
    top = max([bearable, *(one.slowdown(high) for one in costly)]) * 2
    with style():
        figure, (axes,) = blank(4.8, title)
        axes.set_xscale("log")
        axes.set_yscale("log")
        x = np.geomspace(low, high, 200)
        axes.axhspan(1e-9, bearable, facecolor="#E8E8E8", zorder=0)
        axes.text(0.99, 0.02, f"at most {found[0].tolerated:.0%} slower", transform=axes.transAxes, ha="right",
                  fontsize=11, color=INK)
        for one, (colour, dashes) in zip(costly, _LINES * len(costly)):
            axes.plot(x, one.slowdown(x), color=colour, linestyle=dashes, linewidth=2.5, label=one.bill.run.monitor)
            if one.break_even:
                axes.plot(one.break_even, bearable, "D", color=colour, markeredgecolor=INK, markersize=10)
                axes.annotate(f"break-even: {_few(one.break_even)} cycles", (one.break_even, bearable),
                              xytext=(12, -18), textcoords="offset points", fontsize=12, color=INK)
            if one.per_exit:
                height = one.slowdown(one.per_exit)
                axes.plot(one.per_exit, height, "o", color=colour, markeredgecolor=INK, markersize=11)
                at_left = one.per_exit < (low * high) ** 0.5
                axes.annotate(f"{_few(one.per_exit)} cycles: {height:,.2f} times", (one.per_exit, height),
                              xytext=(0 if at_left else -12, 12), textcoords="offset points", fontsize=12, color=INK,
                              ha="left" if at_left else "right")
        _mark_published(axes)
        axes.set_xlim(low, high)
        axes.set_ylim(0.3, top)
        for axis in (axes.xaxis, axes.yaxis):
            ends = (low, high) if axis is axes.xaxis else (0.3, top)
            axis.set_major_locator(LogLocator(subs=(1, 2, 5) if ends[1] < 4000 * ends[0] else (1,)))
            axis.set_major_formatter(lambda value, _: f"{value:,.0f}" if value >= 1 else f"{value:g}")
            axis.set_minor_formatter(lambda value, _: "")
        axes.set_xlabel("cycles of one exit, hardware and monitor")
        axes.set_ylabel("times native")
        if len(costly) > 1:
            axes.legend(fontsize=11, loc="center left")
    return figure


def _mark_published(axes) -> None:
    """Along the upper edge: the hardware's round trips that ATC 2012 published, each by its year."""
    marks = sorted((model.cell("exit", "cli", "hardware-assisted").cycles, f"’{model.year % 100:02}")
                   for model in cost_models() if model.name.startswith("vmx-"))
    for i, (cycles, year) in enumerate(marks):      # in two lines, for some are close together
        end = (0.955, 0.905)[i % 2]
        axes.axvline(cycles, ymin=end, color=INK, linewidth=1.4)
        axes.text(cycles, end - 0.01, year, transform=axes.get_xaxis_transform(), fontsize=10, va="top", color=INK,
                  ha="center" if i else "right")
    axes.text(0.01, 0.985, "published VMX round trips, by year:", transform=axes.transAxes, fontsize=11, va="top",
              color=INK)


def _few(value: float) -> str:
    """A number with as many decimals as tell it from its neighbours."""
    return f"{value:,.0f}" if value >= 10 else f"{value:,.1f}"


def _shown(value: float | None):
    return NONE if value is None else float(value)

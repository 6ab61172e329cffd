"""What each workload of the kernel costs in exits, for each time it does its thing, under one technique after another.

Setting up takes exits as well, and translating does. Both are done once: so a workload is run n times and 2n times, and
the difference, divided by n, is what one iteration takes when everything is warm.
"""
from __future__ import annotations

from collections.abc import Iterable

from pvlab.errors import PvlabError
from pvlab.figures.picture import INK, Picture, blank, style
from pvlab.tables import NONE, Table
from pvlab.trace import Run

# Colour, marker, face and size of each technique: a later one is seen inside an earlier one at the same place.
_LOOKS = (("#D55E00", "o", "white", 17), ("#0072B2", "D", "#0072B2", 9), ("#009E73", "s", "white", 6),
          ("#CC79A7", "^", "white", 4))


class PerIteration:
    """{workload: {technique: {reason: exits of one iteration}}}. None: it ran otherwise than native."""

    def __init__(self, found: dict[str, dict[str, dict[str, float] | None]], techniques: list[str]):
        self.found, self.techniques = found, techniques

    def __getitem__(self, workload: str) -> dict[str, dict[str, float] | None]:
        return self.found[workload]

    def total(self, workload: str, technique: str) -> float | None:
        exits = self.found[workload][technique]
        return None if exits is None else sum(exits.values())

    def table(self) -> Table:
        """Exits of one iteration: how many under each technique, and which under the last."""
        last = self.techniques[-1]
        rows = []
        for workload, exits in self.found.items():
            totals = [self.total(workload, name) for name in self.techniques]
            rows.append([workload, *[NONE if total is None else _whole(total) for total in totals],
                         NONE if exits[last] is None else spelled(exits[last])])
        return Table(["workload", *self.techniques, f"which, under {last}"], rows, caption="Exits of one iteration",
                     note=f"{NONE}: the workload does not do under this technique what it does on the bare machine.")

    def plot(self, up_to: int = 25) -> Picture:
        """A row for each workload, with a mark for each technique; most exits on top. What has more than `up_to` is not
        drawn, but named."""
        def most(workload: str) -> float:
            return max(self.total(workload, name) or 0 for name in self.techniques)

        def said(workload: str, between: str) -> str:
            totals = [self.total(workload, name) for name in self.techniques]
            return between.join("breaks" if total is None else f"{total:g}" for total in totals)
        order = sorted(self.found, key=lambda workload: (most(workload), workload))
        beyond = [workload for workload in reversed(order) if most(workload) > up_to]
        order = [workload for workload in order if workload not in beyond]
        title = "Exits of one iteration"
        with style():
            figure, (axes,) = blank(1.7 + 0.42 * len(order), title)
            for y, workload in enumerate(order):
                totals = [self.total(workload, name) for name in self.techniques]
                axes.hlines(y, 0, most(workload), color="#D0D0D0", linewidth=4, zorder=1)
                for total, look in zip(totals, _LOOKS):
                    if total is not None:
                        axes.plot(total, y, clip_on=False, zorder=2, **_marker(*look))
                axes.text(most(workload) + 0.8, y, said(workload, " → "), va="center", fontsize=12, color=INK)
            for name, look in zip(self.techniques, _LOOKS):
                axes.plot([], [], label=name, **_marker(*look))
            axes.set_yticks(range(len(order)), order)
            axes.tick_params(axis="y", length=0)
            axes.set_ylim(-0.7, len(order) - 0.3)
            axes.set_xlim(-0.5, max(map(most, order)) * 1.15 + 2)
            axes.set_xlabel("\n".join(["exits to the monitor, for each iteration", *(
                f"not drawn: {workload}, {said(workload, ' → ')}" for workload in beyond)]))
            axes.legend(loc="lower right", fontsize=13)
        told = "; ".join(f"{workload} {said(workload, ' and ')}" for workload in [*beyond, *reversed(order)])
        return Picture(figure, self.table(), f"Dot chart. {title}, under {' and '.join(self.techniques)}: {told}.")

    def _repr_mimebundle_(self, include=None, exclude=None):
        return self.table().bundle()

    def __repr__(self) -> str:
        return self.table().text()


def per_iteration(workloads: Iterable[str] | None = None,
                  monitors: Iterable = ("trap-and-emulate", "binary-translation"), n: int = 50) -> PerIteration:
    """Exits of one iteration of the kernel's workloads (all, unless given) under each monitor (a name or an instance).

    n: iterations of the shorter run; the longer one has twice as many.
    """
    from pvlab.guests import guest, known_guests
    from pvlab.monitors import monitor
    known = next(entry for entry in known_guests() if entry.name == "kernel").parameters["workload"].choices
    chosen = [monitor(each) if isinstance(each, str) else each for each in monitors]
    names = [each.name for each in chosen]
    if len(set(names)) < len(names) or not names:
        raise PvlabError("give at least one monitor, and none of them twice")
    found = {}
    for workload in known if workloads is None else workloads:
        guests = [guest("kernel", workload=workload, n=times) for times in (n, 2 * n)]
        native = monitor("native").run(guests[0])
        found[workload] = {each.name: grown(*runs, n) if _alike(native, runs[0]) else None
                           for each in chosen for runs in [[each.run(one) for one in guests]]}
    return PerIteration(found, names)


def grown(few: Run, many: Run, n: int) -> dict[str, float]:
    """{reason: exits} that the longer run has more, for each of its n further iterations; most frequent first."""
    before, after = few.trace.by_reason(), many.trace.by_reason()
    more = {reason: (after.get(reason, 0) - before.get(reason, 0)) / n for reason in {**before, **after}}
    largest_first = sorted(more.items(), key=lambda pair: (-pair[1], pair[0]))
    return {reason: _whole(count) for reason, count in largest_first if count}


def spelled(exits: dict[str, float]) -> str:
    """{"iret": 1, "io:write": 13} in words: "io:write 13, iret 1"."""
    return ", ".join(f"{reason} {count:g}" for reason, count in exits.items()) or "none"


def _marker(colour: str, marker: str, face: str, size: int) -> dict:
    return {"color": colour, "marker": marker, "linestyle": "", "markerfacecolor": face, "markeredgewidth": 2.4,
            "markersize": size}


def _alike(native: Run, run: Run) -> bool:
    return (run.outcome, run.digest) == (native.outcome, native.digest)


def _whole(number: float) -> float | int:
    return int(number) if number == int(number) else number

"""The same work in several ways: the exits of each, for one unit of the work, and what they are made of."""
from __future__ import annotations

from collections.abc import Mapping

from pvlab.errors import PvlabError
from pvlab.experiments.iterations import grown, spelled
from pvlab.figures.picture import INK, Picture, blank, style
from pvlab.figures.plots import look, order
from pvlab.tables import Table

_DIGITS = 2       # significant digits of a part of an exit


class PerUnit:
    """{way: {reason: exits of one unit}}. `unit` is what is counted, as "block that is moved"."""

    def __init__(self, found: dict[str, dict[str, float]], unit: str, title: str):
        self.found, self.unit, self.title = found, unit, title

    def __getitem__(self, way: str) -> dict[str, float]:
        return self.found[way]

    def total(self, way: str) -> float:
        return sum(self.found[way].values())

    def table(self) -> Table:
        rows = [[way, _said(self.total(way)), spelled({reason: float(_said(n)) for reason, n in exits.items()})]
                for way, exits in self.found.items()]
        return Table(["way", "exits", "which"], rows, caption=f"{self.title}: exits for each {self.unit}")

    def plot(self) -> Picture:
        """A bar for each way, made of its reasons, with its length at the end."""
        longest = max(map(self.total, self.found))
        reasons = sorted({reason for exits in self.found.values() for reason in exits}, key=order)
        with style():
            figure, (axes,) = blank(2.0 + 0.62 * len(self.found), f"{self.title}: exits for each {self.unit}")
            for y, (way, exits) in enumerate(self.found.items()):
                left = 0
                for reason in reasons:
                    count = exits.get(reason, 0)
                    if count:
                        axes.barh(y, count, left=left, height=0.62, **look(reason))
                        if count > longest * 0.015 * len(reason):
                            axes.text(left + count / 2, y, reason, ha="center", va="center", fontsize=12, color=INK,
                                      bbox={"facecolor": "white", "edgecolor": "none", "pad": 1.5, "alpha": 0.85})
                        left += count
                axes.text(left + longest * 0.015, y, _said(left), va="center", fontsize=15, fontweight="bold",
                          color=INK)
            axes.set_yticks(range(len(self.found)), list(self.found))
            axes.set_ylim(len(self.found) - 0.5, -0.5)
            axes.set_xlim(0, longest * 1.12)
            axes.tick_params(axis="y", length=0)
            axes.set_xlabel(f"exits to the monitor, for each {self.unit}")
        told = "; ".join(f"{way} {_said(self.total(way))}" for way in self.found)
        return Picture(figure, self.table(), f"Bar chart. {self.title}, exits for each {self.unit}: {told}.")

    def _repr_mimebundle_(self, include=None, exclude=None):
        return self.table().bundle()

    def __repr__(self) -> str:
        return self.table().text()


def per_unit(guest: str, ways: Mapping[str, Mapping[str, int | str]], monitor=None, unit: str = "iteration",
             per: int = 1, title: str = "") -> PerUnit:
    """Exits of one unit of a guest's work, in each of several ways.

    guest   the name of a guest with a parameter n
    ways    {name of the way: the guest's parameters, with n}: each is run n times and 2n times, so that what is done
            once does not count
    per     units in each of the n: 2 where a block is read and written
    """
    from pvlab.guests import guest as find
    from pvlab.monitors import monitor as find_monitor
    found = {}
    for way, parameters in ways.items():
        n = parameters.get("n")
        if not isinstance(n, int) or n < 1:
            raise PvlabError(f"the way '{way}' needs a number n of times")
        subjects = [find(guest, **{**parameters, "n": times}) for times in (n, 2 * n)]
        name = monitor or ("cp" if subjects[0].image.arch == "s390x" else "native")
        few, many = ((find_monitor(name) if isinstance(name, str) else name).run(subject) for subject in subjects)
        found[way] = grown(few, many, n * per)
    if not found:
        raise PvlabError("there is no way to compare: give at least one")
    return PerUnit(found, unit, title or guest)


def _said(number: float) -> str:
    """4, 1, 0.067: whole numbers as they are, parts with two significant digits."""
    return f"{number:g}" if number == int(number) else f"{number:.{_DIGITS}g}"

"""Sweeps: one guest over a grid of parameters, under each monitor, on as many processors as there are."""
from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from itertools import product

from pvlab.errors import PvlabError
from pvlab.experiments.spread import spread
from pvlab.tables import NONE, Table


@dataclass(frozen=True)
class Sweep:
    """What came of each point of the grid under each monitor, in the grid's order.

    rows: {"parameters": {name: value}, "faithful": True, False or None} and what `pvlab run --json` says of a run, but
    its output and seconds: "monitor", "outcome", "instructions", "exits": {reason: count}, "cycles", "digest", …
    """

    guest: str
    parameters: tuple[str, ...]
    rows: tuple[dict, ...]

    def table(self) -> Table:
        """One line for each run: parameters, monitor, instructions, exits, outcome."""
        priced = any(row["cycles"] for row in self.rows)
        said = {True: "yes", False: "no", None: NONE}
        lines = [[*(row["parameters"].get(name) for name in self.parameters), row["monitor"], row["instructions"],
                  sum(row["exits"].values()), *([row["cycles"]["total"]] if priced else []), row["outcome"],
                  said[row["faithful"]]] for row in self.rows]
        headers = [*self.parameters, "monitor", "instructions", "exits", *(["cycles"] if priced else []), "outcome",
                   "faithful"]
        return Table(headers, lines, caption=f"{self.guest}: {len(self.rows)} runs")

    def _repr_mimebundle_(self, include=None, exclude=None):
        return self.table().bundle()

    def __repr__(self) -> str:
        return self.table().text()


def sweep(guest: str, grid: Mapping[str, Iterable], monitors: Iterable[str] | None = None, costs: str | None = None,
          budget: int = 200_000_000, jobs: int | None = None, scheduler: str | None = None,
          progress: Callable[[int, int], None] | None = None) -> Sweep:
    """Run a guest, by its name or the path of its file, at each point of a grid under each monitor.

    grid        {parameter: its values}: every combination is a point
    monitors    names; None means every technique for the guest
    costs       a cost model's name: the runs are priced
    jobs, scheduler     processes here, or a dask.distributed cluster (see spread)
    progress    called with (points done, points)

    A run's result does not depend on where it ran. Raises what `guest` and `compare` do.
    """
    from pvlab import cost_model, monitor
    names = None if monitors is None else list(monitors)
    for name in names or ():
        monitor(name)
    if costs is not None:
        cost_model(costs)
    values = {name: list(choices) for name, choices in grid.items()}
    points = [dict(zip(values, point)) for point in product(*values.values())]
    if not points:
        raise PvlabError(f"nothing to sweep: {' and '.join(name for name in values if not values[name])} has no values")
    tasks = [{"guest": str(guest), "parameters": point, "monitors": names, "costs": costs, "budget": budget}
             for point in points]
    found: dict[int, list[dict]] = {}
    for position, rows in spread(at_point, tasks, jobs, scheduler):
        if isinstance(rows, Exception):
            raise rows
        found[position] = rows
        if progress is not None:
            progress(len(found), len(points))
    return Sweep(str(guest), tuple(values), tuple(row for position in sorted(found) for row in found[position]))


def at_point(task: Mapping) -> list[dict]:
    """The rows of one point: what travels is plain data, and the guest is built where it runs."""
    from pvlab import compare, guest
    compared = compare(guest(task["guest"], **task["parameters"]), task["monitors"], budget=task["budget"])
    return [{key: value for key, value in run.to_dict(task["costs"]).items() if key not in ("output", "seconds")}
            | {"parameters": task["parameters"], "faithful": compared.faithful[run.monitor]} for run in compared.runs]

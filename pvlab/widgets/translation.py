"""The translation stepper: a unit's guest code beside what runs in its place, as it is chained and translated anew."""
from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

from pvlab.errors import PvlabError
from pvlab.monitors.binary_translation import BinaryTranslation
from pvlab.monitors.binary_translation.explain import Explanation, explain
from pvlab.tables import Table
from pvlab.widgets.base import Shown, choice, workloads

_UNITS = 12       # to choose from: those that changed most


class Step(NamedTuple):
    """A unit as it stood from some moment on: after so many guest instructions and exits."""

    at: int
    exits: int
    unit: Explanation

    def shown(self) -> list[tuple[str, ...]]:
        """(guest address, instruction, what it is, what runs) for each instruction in the cache."""
        return [("" if line.address is None else f"{line.address:08x}", line.text, line.what, host.text)
                for line in self.unit.lines for host in line.cache]


class _Recorder(BinaryTranslation):
    """Notes each unit that runs, and again whenever it is another."""

    def start(self) -> None:
        super().start()
        self.history: dict[int, list[Step]] = {}

    def _into_cache(self, unit) -> None:
        changed = {unit} | {self.cache.find(begin) for begin, _ in self.cache.changed}
        for each in sorted((u for u in changed if u and self.cache.units.get(u.address) is u), key=lambda u: u.address):
            self._note(each.address)
        super()._into_cache(unit)

    def _note(self, address: int) -> None:
        steps = self.history.setdefault(address, [])
        now = Step(self.machine.instructions, len(self.trace), explain(self, self.guest, address))
        if not steps or now.shown() != steps[-1].shown():
            steps.append(now)


@lru_cache(maxsize=8)
def recorded(guest: str, workload: str, n: int) -> dict[int, list[Step]]:
    """{guest address: the steps of the unit there}: first those of which an instruction was done in several ways, then
    those that changed most."""
    import pvlab
    recorder = _Recorder()
    recorder.guest = pvlab.guest(guest, workload=workload, n=n)
    recorder.run(recorder.guest)

    def rank(pair) -> tuple:
        address, steps = pair
        ways = {tuple(line.what for line in step.unit.lines) for step in steps}
        return -len(ways), -len(steps), -steps[-1].at, address
    return dict(sorted(recorder.history.items(), key=rank))


class Stepper(Shown):
    """See `stepper`."""

    title = "A unit, and what runs in its place"

    def __init__(self, workload: str, n: int, at: int | None, step: int, guest: str):
        self.guest, self.workloads, self.workload, self.n = guest, workloads(guest), workload, n
        if workload not in self.workloads:
            raise PvlabError(f"there is no workload '{workload}'")
        self.unit = self._first() if at is None else at
        if self.unit not in self.history:
            raise PvlabError(f"no unit that ran begins at {self.unit:#010x}")
        self.step = min(step, len(self.steps))

    @property
    def history(self) -> dict[int, list[Step]]:
        return recorded(self.guest, self.workload, self.n)

    @property
    def steps(self) -> list[Step]:
        return self.history[self.unit]

    def _first(self) -> int:
        return next(iter(self.history))

    def state(self) -> list:
        now, before = self.steps[self.step - 1], self.steps[self.step - 2].shown() if self.step > 1 else []
        rows, last = [], None
        for row in now.shown():
            again = row[:3] == last
            rows.append([*(("", "", "") if again else row[:3]), row[3], "new" if before and row not in before else ""])
            last = row[:3]
        return [Table(["guest", "instruction", "is", "what runs", "changed"], rows,
                      caption=f"{self.guest} workload={self.workload}: the unit at {self.unit:#010x}, "
                              f"step {self.step} of {len(self.steps)}")]

    def sentence(self) -> str:
        now = self.steps[self.step - 1]
        when = f"After {now.at:,} guest instructions and {now.exits:,} exits: "
        if self.step == 1:
            return when + "the unit has been translated, and is about to run."
        return when + _difference(self.steps[self.step - 2], now)

    def controls(self) -> list:
        import ipywidgets
        self._below, self._arranged = ipywidgets.VBox(), None
        return [choice(self, "workload", "Workload", self.workloads), self._below]

    def arrange(self) -> None:
        """The units of this workload, and the steps of this unit."""
        now = self.workload, self.unit
        if self._arranged == now:
            return
        if self._arranged and self._arranged[0] != self.workload:
            self.unit = self._first()
        if self._arranged:
            self.step = 1
        units = list(self.history)[:_UNITS]
        if self.unit not in units:
            units.append(self.unit)
        labels = {f"{address:#010x}, {len(self.history[address])} steps": address for address in units}
        self._below.children = [_named(self, "unit", "Unit", labels),
                                choice(self, "step", "Step", range(1, len(self.steps) + 1))]
        self._arranged = self.workload, self.unit


def _named(shown: Shown, name: str, label: str, options: dict[str, int]):
    control = choice(shown, name, label, options.values())
    control.options = list(options.items())
    control.value = getattr(shown, name)
    return control


def _difference(before: Step, now: Step) -> str:
    """What has happened to a unit between two steps."""
    was = {line.address: line.what for line in before.unit.lines}
    adapted = [f"{line.text.split()[0]} was {was[line.address]} and is {line.what} now" for line in now.unit.lines
               if line.address in was and was[line.address] != line.what]
    if adapted:
        return f"translated anew: {', '.join(adapted)}."
    if [row[:3] for row in before.shown()] != [row[:3] for row in now.shown()]:
        return "translated anew, because the guest's code or what is known of it has changed."
    new = [row[3].strip("()") for row in now.shown() if row not in before.shown()]
    if all("exit to" in text for text in new):
        return f"the unit that a branch led to is gone: {', '.join(new)}."
    return f"chained: {', '.join(new)}."


def stepper(workload: str = "page-table-update", n: int = 40, at: int | None = None, step: int = 1,
            guest: str = "kernel") -> Stepper:
    """A widget that shows a unit of the guest's code beside its translation, step by step as that changes.

    workload, n, guest   what runs under binary translation
    at                   the guest address at which the unit begins; the one that changes most unless given
    step                 which of its steps is shown first, from 1
    """
    return Stepper(workload, n, at, step, guest)

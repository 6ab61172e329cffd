"""Adams and Agesen's nanobenchmarks: counted in the lab, priced by a model of one figure, beside what they published.

The model has two rules, and neither knows the figure that it is held against:

- A fault that is reflected costs what it costs on the bare machine, and what the translator added to a division by zero
  (3,223 less 889 cycles). That one figure is calibrated; page faults and system calls follow from it.
- What is done in the cache costs what it costs natively, and one cycle (the cost model's assumption) for each
  instruction of the cache beyond the guest's own. Those are counted in the lab's translator, which is not theirs.

For trap-and-emulate nothing was published on that machine. What its exits cost at least can be supposed: each is an
exception, and no exception was published there that is cheaper than a division by zero.
"""
from __future__ import annotations

from typing import NamedTuple

from pvlab.costs import CostModel, Figure, cost_model
from pvlab.experiments.iterations import grown, spelled
from pvlab.machine.x86.decode import lines
from pvlab.monitors import BinaryTranslation, TrapAndEmulate
from pvlab.tables import NONE, Table

_TRANSLATION = "binary-translation"


class Nanobenchmark(NamedTuple):
    """The paper's name, the workload of the kernel that does the same, and the exit that is its subject, if any is."""

    name: str
    workload: str
    exit: str = ""


NANOBENCHMARKS = (
    Nanobenchmark("syscall", "syscall", "int"), Nanobenchmark("in", "port-io", "io:read"),
    Nanobenchmark("cr8wr", "control-register"), Nanobenchmark("call/ret", "call-return"),
    Nanobenchmark("pgfault", "page-fault", "page-fault:guest"), Nanobenchmark("divzero", "divide-error", "exception"),
    Nanobenchmark("ptemod", "page-table-update"))


class Counted(NamedTuple):
    """One iteration: {reason: exits} under both techniques, and the instructions of the cache beyond the guest's."""

    trapped: dict[str, float]
    translated: dict[str, float]
    extra: float


class CountingTranslation(BinaryTranslation):
    """Binary translation that counts, in `cached`, the instructions of the cache that run, and `stood_for` the guest's
    instructions for which they do (its other statistics of a run are then void)."""

    def start(self) -> None:
        super().start()
        machine, ram, describe = self.machine, self.memory.ram, self.machine.describe_cached

        def counted(address: int, size: int) -> tuple:
            retired, repeat, points, _, held = describe(address, size)
            code = ram.read(address - self.cache.base, size)
            return retired, repeat, points, sum(1 for _ in lines(code, address)) << 32 | len(retired), held
        machine.describe_cached = counted

    @property
    def cached(self) -> int:
        return self.machine.state.tally >> 32

    @property
    def stood_for(self) -> int:
        return self.machine.state.tally & 0xFFFFFFFF


def count(workload: str, n: int = 100) -> Counted:
    """What one more iteration of a workload takes once everything is warm: from runs of n and of 2n."""
    from pvlab.guests import guest
    monitor, runs, extra = CountingTranslation(), [], []
    guests = [guest("kernel", workload=workload, n=times) for times in (n, 2 * n)]
    for each in guests:
        runs.append(monitor.run(each))
        extra.append(monitor.cached - monitor.stood_for)
    trapped = [TrapAndEmulate().run(each) for each in guests]
    return Counted(grown(*trapped, n), grown(*runs, n), (extra[1] - extra[0]) / n)


class Prediction(NamedTuple):
    """A nanobenchmark's cycles under translation: as published (or the relation), as predicted, and by what sum.

    `predicted` is None where the model has no rule; `relative` says that it is what translation adds to native.
    """

    benchmark: Nanobenchmark
    native: Figure
    published: Figure
    counted: Counted
    predicted: float | None
    formula: str

    @property
    def error(self) -> float | None:
        """(predicted - published) / published; None without two numbers, or where the one went into the other."""
        if self.predicted is None or self.published.value is None or self.published.status == "calibrated":
            return None
        return self.predicted / self.published.value - 1


def predictions(model: str | CostModel = "p4-672-2006", n: int = 100) -> list[Prediction]:
    """All nanobenchmarks, counted and predicted."""
    costs = model if isinstance(model, CostModel) else cost_model(model)
    return [_predict(costs, each, count(each.workload, n)) for each in NANOBENCHMARKS]


def _predict(costs: CostModel, benchmark: Nanobenchmark, counted: Counted) -> Prediction:
    figures = {figure.technique: figure for figure in costs.published
               if figure.operation.startswith(benchmark.name + ":")}
    published = figures[_TRANSLATION]
    native = figures.get("native")
    predicted, formula = None, "no rule: what a callout costs was not published"
    if not benchmark.exit:
        base = native.value if native and native.value else costs.guest_cpi     # one instruction, if no more is known
        predicted = base + counted.extra * costs.guest_cpi
        formula = f"{base:g} + {counted.extra:g} further instructions of the cache"
    elif cell := costs.cell("exit", benchmark.exit, _TRANSLATION):
        predicted = cell.cycles
        formula = " + ".join(f"{value:,}" for value in cell.parts.values() if value) + (
            " more than native" if cell.unpublished else "")
    return Prediction(benchmark, native, published, counted, predicted, formula)


def table(found: list[Prediction]) -> Table:
    """Predicted beside published, with the error of those that are held out."""
    rows = []
    for each in found:
        published = each.published.relation or int(each.published.value)
        error = NONE if each.error is None else f"{each.error:+.0%}"
        if each.published.status == "calibrated":
            error = "calibrated"
        native = NONE if each.native is None else each.native.relation or int(each.native.value)
        rows.append([each.benchmark.name, _shown(native), _shown(published),
                     NONE if each.predicted is None else f"{each.predicted:,.0f}", error, each.formula])
    return Table(["nanobenchmark", "native", "translation, published", "predicted", "error", "predicted as"], rows,
                 caption="Cycles under binary translation on a Pentium 4 672",
                 note="Published figures and relations: Adams and Agesen, ASPLOS 2006, as quoted in openbsd-tests, "
                      "at_vmm.cc.")


def exits_table(found: list[Prediction], model: str | CostModel = "p4-672-2006") -> Table:
    """What was counted in one iteration of each workload, and what trap-and-emulate's exits would cost at least."""
    costs = model if isinstance(model, CostModel) else cost_model(model)
    least = costs.cell("event", "divide-error", "native").cycles
    rows = [[each.benchmark.workload, spelled(each.counted.trapped), int(least * sum(each.counted.trapped.values())),
             spelled(each.counted.translated), f"{each.counted.extra:g}"] for each in found]
    headers = ["workload", "trap-and-emulate", "supposed, at least", "binary-translation", "further instructions"]
    return Table(headers, rows,
                 caption="Counted: exits of one iteration, and instructions of the cache beyond the guest's own",
                 note=f"Supposed: {least} cycles for each exit of trap-and-emulate, which a division by zero takes "
                      "natively on that machine; the monitor's work comes to it, and nobody published that.")


def _shown(value: int | str) -> str:
    return f"{value:,}" if isinstance(value, int) else value

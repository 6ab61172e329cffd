"""What happened in a run: exits, events and device accesses, in order.

Three words that the whole course uses (see the README's glossary):

- an *exit* is a transfer of control from the guest to its monitor, whatever its cause;
- an *event* is an interrupt or exception delivered to the guest;
- an *access* is a read or write of a device.

On the bare machine there are no exits, but there are events and accesses.
"""
from __future__ import annotations

import hashlib
from array import array
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

from pvlab.machine.s390x.faults import CLASSES, PROGRAM
from pvlab.machine.x86.faults import EXCEPTIONS
from pvlab.reasons import REASONS

if TYPE_CHECKING:
    from pvlab.costs import Bill

# Interrupts and exceptions that a guest can receive.
EVENTS = tuple(dict.fromkeys((*EXCEPTIONS.values(), "int", "interrupt",
                              *(f"program:{name}" for name in (*PROGRAM.values(), "other")),
                              *(name for name in CLASSES.values() if name != "program"))))

# How a run can end.
OUTCOMES = {
    "halted": "the CPU halted with nothing left to wake it",
    "shutdown": "the guest switched its machine off",
    "budget": "the run spent its budget",
    "crashed": "the guest did what no CPU can continue from",
}


class Exit(NamedTuple):
    """One record of a log.

    `reason` is the name of an exit, an event or a device; `address` the guest-virtual address of the instruction;
    `instruction` its text; `at` the number of guest instructions retired before it.
    """

    reason: str
    address: int
    instruction: str
    at: int


class Log(Sequence):
    """Records in order, 12 bytes each, so that two million of them fit in any laptop.

    What a record says besides its time is its *site*: a program has few of those, however often it comes by.
    """

    def __init__(self, names: Iterable[str] | None = None):
        """`names` closes the set of reasons; None leaves it open (device names)."""
        self._names = None if names is None else frozenset(names)
        self._sites: list[tuple[str, int, str]] = []
        self._number: dict[tuple[str, int, str], int] = {}
        self._site, self._at = array("I"), array("Q")

    def add(self, reason: str, address: int, instruction: str, at: int) -> None:
        site = reason, address, instruction
        number = self._number.get(site)
        if number is None:
            if self._names is not None and reason not in self._names:
                raise ValueError(f"'{reason}' is not in the table of names that reasons.py and trace.py hold")
            number = self._number[site] = len(self._sites)
            self._sites.append(site)
        self._site.append(number)
        self._at.append(at)

    def counts(self) -> dict[str, int]:
        """How often each reason occurs, most frequent first, ties by name."""
        found: Counter[str] = Counter()
        for number, n in Counter(self._site).items():
            found[self._sites[number][0]] += n
        return dict(sorted(found.items(), key=lambda pair: (-pair[1], pair[0])))

    def __len__(self) -> int:
        return len(self._at)

    def __getitem__(self, index):
        if isinstance(index, slice):
            return [self[i] for i in range(*index.indices(len(self)))]
        return Exit(*self._sites[self._site[index]], self._at[index])

    def __iter__(self) -> Iterator[Exit]:
        sites = self._sites
        for number, at in zip(self._site, self._at):
            yield Exit(*sites[number], at)


class Counts(dict):
    """{reason: count}, which shows itself as a table."""

    def _repr_mimebundle_(self, include=None, exclude=None):
        from pvlab.tables import Table
        total = sum(self.values())
        return Table(["reason", "count", "meaning"],
                     [[name, n, REASONS.get(name, "")] for name, n in self.items()] + [["all", total, ""]],
                     caption="Exits by reason").bundle()


@dataclass
class Trace:
    """The exits, events and device accesses of one run."""

    exits: Log = field(default_factory=lambda: Log(REASONS))
    events: Log = field(default_factory=lambda: Log(EVENTS))
    accesses: Log = field(default_factory=Log)

    def by_reason(self) -> Counts:
        """Exits by reason, most frequent first."""
        return Counts(self.exits.counts())

    def __len__(self) -> int:
        return len(self.exits)


def digest(parts: Iterable) -> str:
    """SHA-256 over the parts, each with its length (8 bytes, little-endian) before it.

    A part is bytes, or a disk (see devices/backends): its contents.
    """
    total = hashlib.sha256()
    for part in parts:
        pieces, length = ([part], len(part)) if isinstance(part, bytes) else (part.pieces(), part.sectors * 512)
        total.update(length.to_bytes(8, "little"))
        for piece in pieces:
            total.update(piece)
    return total.hexdigest()


@dataclass
class Run:
    """One guest, run once under one monitor: what it did and how it ended.

    guest, parameters   the guest's name and the parameters it was given
    monitor             the technique's name
    outcome, detail     one of OUTCOMES, and a sentence that names what happened and where
    output              the console's bytes
    instructions        guest instructions retired
    digest              SHA-256 of the console output, disk contents and declared result area, see `digest()`
    result              the bytes of the declared result area
    seconds             host seconds: the one field that differs between two runs
    """

    guest: str
    parameters: dict
    monitor: str
    outcome: str
    detail: str
    output: bytes
    instructions: int
    trace: Trace
    digest: str
    result: bytes = b""
    seconds: float = 0.0

    @property
    def text(self) -> str:
        """The console output as text, with backslash escapes for bytes that are not."""
        return self.output.decode("utf-8", "backslashreplace")

    def bill(self, model: str) -> "Bill":
        """The trace priced by the cost model of that name (`pvlab costs` lists them)."""
        from pvlab.costs import bill
        return bill(self, model)

    def to_dict(self, costs: str | None = None) -> dict:
        """The object that `pvlab run --json` prints."""
        return {
            "guest": self.guest, "monitor": self.monitor, "parameters": self.parameters,
            "outcome": self.outcome, "detail": self.detail, "output": self.text,
            "instructions": self.instructions, "exits": dict(self.trace.by_reason()),
            "events": self.trace.events.counts(), "accesses": self.trace.accesses.counts(),
            "cycles": self.bill(costs).to_dict() if costs else None,
            "digest": self.digest, "seconds": self.seconds,
        }

    def table(self):
        """The run as a Table: what `run` shows in a notebook and in a terminal."""
        from pvlab.tables import Table
        rows = [["outcome", f"{self.outcome}: {self.detail}" if self.detail else self.outcome],
                ["output", self.text], ["instructions", self.instructions], ["exits", len(self.trace)]]
        rows += [[f"  {name}", n] for name, n in self.trace.by_reason().items()]
        for title, log in (("events", self.trace.events), ("accesses", self.trace.accesses)):
            if len(log):
                rows.append([title, len(log)])
                rows += [[f"  {name}", n] for name, n in log.counts().items()]
        rows.append(["digest", self.digest[:16]])
        options = " ".join(f"{k}={v}" for k, v in self.parameters.items())
        return Table(["", ""], rows, caption=f"{self.guest} {options}".strip() + f" under {self.monitor}")

    def _repr_mimebundle_(self, include=None, exclude=None):
        return self.table().bundle()

    def __repr__(self) -> str:
        return self.table().text()

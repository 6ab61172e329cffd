"""The run loop, once: enter the guest, take the exit, handle it, go on. A technique is what it does differently."""
from __future__ import annotations

import os
import time
from collections.abc import Callable

from pvlab.devices.backends.disk import Disk
from pvlab.devices.backends.lend import lent, plugged
from pvlab.devices.backends.network import Port
from pvlab.devices.backends.source import Source
from pvlab.devices.debug import PowerOff
from pvlab.errors import PvlabError
from pvlab.machine.engine import Why
from pvlab.machine.memory import Dead
from pvlab.trace import Run, Trace, digest

BUDGET = 200_000_000   # guest instructions
# A guest that does little but exit, repeat a REP or rewrite its code would take hours over its budget of instructions.
# So what else the host does for it is weighed, and limited, too: a stop of the engine weighs 100 (it takes the host some
# ten microseconds, an instruction a few nanoseconds), and a guest may have its budget once more, and this:
VISIT, ALLOWANCE = 100, 20_000_000
_STOPS = 5000          # stops between two reports of progress: some 0.1 s
_PATIENCE = 2000       # device events that a halted guest sleeps through before we say that all are masked


class Ended(Exception):
    """The run is over: the outcome and a sentence about it."""

    def __init__(self, outcome: str, detail: str = ""):
        super().__init__(outcome, detail)
        self.outcome, self.detail = outcome, detail


class Monitor:
    """Runs a guest. After a run, `machine`, `board` and `trace` are there to be looked at.

    What an instruction set decides stands in a subclass (x86.py), and what a technique does differently in a subclass
    of that.
    """

    name = ""
    description = ""
    arch = "x86"        # the instruction set of the guests that it runs

    def run(self, guest, budget: int = BUDGET, progress: Callable[[int, int], None] | None = None,
            disk: Disk | str | os.PathLike | None = None, network: Port | None = None,
            pcap: str | os.PathLike | None = None) -> Run:
        """Boot the guest and run it to its end.

        disk: a back end, or an image file's name as `open_disk` takes it; it enters the digest. Without one the
        machine has a scratch disk of its own, which enters the digest once the guest has touched it. network: the
        port for the machine's cable; without one its other end is `peer` (see backends/source.py). pcap: a file for
        what passes there.

        budget: guest instructions after which the run is stopped, with the outcome "budget"; stops of the engine have
        a limit that follows from it (see ALLOWANCE). progress(done, budget) is called now and then.
        """
        if budget < 1:
            raise PvlabError(f"a budget of {budget} instructions is none: give at least 1")
        if guest.image.arch != self.arch:
            raise PvlabError(f"'{self.name}' runs guests for {self.arch}, and '{guest.name}' is for {guest.image.arch}")
        self.peer = Source(lambda: self.now) if network is None else None
        with lent(disk) as self.disk, plugged(network or self.peer.port, pcap, lambda: self.now) as self.network:
            return self._run(guest, budget, progress)

    def _run(self, guest, budget: int, progress: Callable[[int, int], None] | None) -> Run:
        began = time.perf_counter()
        self.trace = Trace()
        self.left_by_timer = False
        self._idle = 0            # nanoseconds skipped while the guest waited
        self._visits = 0
        self.prepare(guest)
        self.start()
        try:
            while True:
                self._loop(budget)
                if progress:
                    progress(self.machine.instructions, budget)
        except Ended as end:
            outcome, detail = end.outcome, end.detail
        except PowerOff as off:
            outcome, detail = "shutdown", f"status {off.status}"
            self.machine.state.instructions += 1     # what the guest did it with
        except Dead as dead:
            outcome, detail = "crashed", str(dead)
        output = bytes(self.board.console.output)
        result = b"" if guest.image.result is None else self.machine.ram.read(*guest.image.result)
        disks = [self.disk] if getattr(self.disk, "touched", True) else []
        return Run(guest.name, dict(guest.parameters), self.name, outcome, detail, output, self.machine.instructions,
                   self.trace, digest([output, *disks, result]), result, time.perf_counter() - began)

    # ------------------------------------------------------------------------------------------- the loop
    def _loop(self, budget: int) -> None:
        """Enter, exit, handle, until a slice is over: so many stops, or the machine's own slice of blocks."""
        machine, board, state = self.machine, self.board, self.machine.state
        for _ in range(_STOPS):
            if state.instructions >= budget or state.extra + VISIT * self._visits >= budget + ALLOWANCE:
                raise Ended("budget", self._spent(budget))
            until = self.take_interrupt() or budget
            event = board.next_event()
            if event is not None:
                until = min(until, max(event - self._idle, machine.instructions + 1))
            why = self.enter(until)
            self.left_by_timer = why is Why.DEADLINE and event is not None and self.now >= event
            if why is not Why.DEADLINE:
                self.dispatch(why)
            elif machine.instructions < until:
                return

    def _spent(self, budget: int) -> str:
        machine = self.machine
        if machine.instructions >= budget:
            return f"stopped at {machine.pc:#010x} after {machine.instructions:,} instructions"
        return (f"stopped at {machine.pc:#010x} after {self._visits:,} stops and {machine.instructions:,} instructions: "
                "more stops than the budget allows")

    @property
    def now(self) -> int:
        """Virtual time in nanoseconds: one for each guest instruction, and those that the guest slept through."""
        return self.machine.instructions + self._idle

    def wait(self) -> None:
        """The guest halts with interrupts enabled: let virtual time pass until a device asks for it."""
        for _ in range(_PATIENCE):
            if self.board.interrupt_pending():
                return
            event = self.board.next_event()
            if event is None:
                break
            self._idle += max(event - self.now, 0)
        raise Ended("halted", f"HLT before {self.machine.pc:#010x}: no device will interrupt")

    # ------------------------------------------------------------------------------ what a technique may change
    def prepare(self, guest) -> None:
        """Make `machine` and `board`, and load the guest."""
        raise NotImplementedError

    def start(self) -> None:
        """Prepare the machine that has just been loaded for the technique."""

    def take_interrupt(self) -> int | None:
        """Deliver a device's interrupt if the guest can take one now.

        Otherwise see to it that we are called when it can; the answer may be an instruction count to stop at.
        """
        raise NotImplementedError

    def enter(self, until: int) -> Why:
        """Let the guest run until something stops the engine, or `until` instructions have retired."""
        return self.machine.enter(until)

    def dispatch(self, why: Why) -> None:
        """Handle a stop of the engine that is no deadline. What asks for the monitor's work adds to `_visits`."""
        raise NotImplementedError

    def leave(self, reason: str, instruction: str) -> None:
        """The guest leaves for its monitor. On the bare machine there is none, and nothing to note."""

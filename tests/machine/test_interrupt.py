"""Ctrl-C, and the notebook's stop button.

A guest that never ends is part of the course, so a learner must be able to stop it. Python looks for signals between
two of its own instructions, and inside the engine there are none: a Ctrl-C would wait for the guest. So the engine is
left after each slice of blocks; and where native code calls back into Python, an exception must not be lost on the
way through C. After that the notebook's kernel goes on, and the next run knows nothing of the one before.

The bound is generous, because other tests may be running: the slice itself is some ten milliseconds.
"""
import _thread
import itertools
import threading
import time

import pytest
from machine.bare import CODE, DATA, MIB, bare, build

import pvlab.machine.x86.machine
from pvlab.guests import guest
from pvlab.guests.catalogue import Guest
from pvlab.guests.image import Image
from pvlab.machine.engine import Engine
from pvlab.monitors import Native, TrapAndEmulate

BOTH = pytest.mark.parametrize("monitor", [Native, TrapAndEmulate], ids=lambda m: m.name)
BOUND = 3      # seconds


def endless(text):
    code, symbols = build(text)
    return Guest("endless", "", {}, Image(CODE, [(CODE, code, len(code))], symbols, None, DATA), 8 * MIB)


class CtrlC:
    """Presses Ctrl-C, from another thread, as soon as somebody calls this."""

    def __init__(self):
        self.running, self.at = threading.Event(), None
        self._thread = threading.Thread(target=self._press, daemon=True)
        self._thread.start()

    def _press(self):
        if self.running.wait(60):
            self.at = time.perf_counter()
            _thread.interrupt_main()

    def __call__(self, *_):
        self.running.set()


ENDLESS = [    # what keeps the host busy, and a budget worth some seconds, which ends a run whose Ctrl-C was lost
    ("a loop", "1: jmp 1b", 10**9),
    ("a loop of many blocks", "1: .rept 200; jmp .+2; .endr; jmp 1b", 10**9),
    ("REPs", "1: mov $0x100000, %ecx; mov $0x200000, %esi; rep lodsb; jmp 1b", 10**9),
    ("ports", "1: in $0x80, %al; jmp 1b", 500_000),
    ("REPs over a port", "1: mov $0x100000, %ecx; mov $0x200000, %esi; mov $0x80, %edx; rep outsb; jmp 1b", 10**6),
    ("code that rewrites the next block", "1: incl 2f + 1; jmp 2f; 2: mov $0, %eax; jmp 1b", 500_000),
    ("code that rewrites itself", "1: mov $0, %eax; incl 1b + 1; jmp 1b", 300_000),
]
LOOP = 3 * 10**9


@BOTH
@pytest.mark.parametrize("name, text, budget", ENDLESS, ids=[row[0] for row in ENDLESS])
def test_ctrl_c_stops_a_guest_that_never_ends(name, text, budget, monitor, monkeypatch):
    """Ctrl-C is pressed when the first look at a block says that the guest has begun."""
    ctrl_c, describe = CtrlC(), pvlab.machine.x86.machine.describe_block

    def begun(*arguments):
        ctrl_c()
        return describe(*arguments)
    monkeypatch.setattr(pvlab.machine.x86.machine, "describe_block", begun)
    with pytest.raises(KeyboardInterrupt):
        monitor().run(endless(text), budget=budget)
    assert time.perf_counter() - ctrl_c.at < BOUND



@BOTH
def test_ctrl_c_between_two_slices(monitor):
    """The other place: the guest has been running for a while, and somebody watches its progress."""
    ctrl_c = CtrlC()
    with pytest.raises(KeyboardInterrupt):
        monitor().run(endless("1: jmp 1b"), budget=LOOP, progress=ctrl_c)
    assert time.perf_counter() - ctrl_c.at < BOUND


@BOTH
def test_after_ctrl_c_the_same_monitor_runs_the_next_guest_as_ever(monitor):
    expected = monitor().run(guest("hello"))
    stopped = monitor()
    with pytest.raises(KeyboardInterrupt):
        stopped.run(endless("1: incl 0x200000; jmp 1b"), budget=LOOP, progress=CtrlC())
    for again in (stopped, monitor()):
        run = again.run(guest("hello"))
        assert (run.outcome, run.output, run.instructions, run.digest) == (
            expected.outcome, expected.output, expected.instructions, expected.digest)
        assert run.trace.by_reason() == expected.trace.by_reason()


def once(error):
    """A function that raises once, and then calls the one it stands for."""
    def wrap(function):
        left = [error]

        def wrapped(*arguments):
            if left:
                raise left.pop()
            return function(*arguments)
        return wrapped
    return wrap


@BOTH
@pytest.mark.parametrize("error", [KeyboardInterrupt, MemoryError, ValueError])
def test_what_is_raised_while_a_block_is_described_reaches_the_caller(error, monitor, monkeypatch):
    """The description is asked for by native code in the middle of a run: C would swallow an exception."""
    monkeypatch.setattr(pvlab.machine.x86.machine, "describe_block", once(error("now"))(
        pvlab.machine.x86.machine.describe_block))
    with pytest.raises(error, match="now"):
        bare("mov $3, %eax; hlt", monitor)
    result = bare("mov $3, %eax; hlt", monitor)
    assert (result.outcome, result.count, result.regs[0]) == ("halted", 2, 3)


@BOTH
def test_what_is_raised_while_a_block_is_given_up_reaches_the_caller(monitor, monkeypatch):
    """The other call from native code into Python: code that overwrites the block it stands in."""
    monkeypatch.setattr(Engine, "uncount", once(KeyboardInterrupt("now"))(Engine.uncount))
    with pytest.raises(KeyboardInterrupt, match="now"):
        bare("xor %eax, %eax; nop; movb $0x90, 1f; nop; 1: inc %eax; hlt", monitor)

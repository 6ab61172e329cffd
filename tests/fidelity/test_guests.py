"""The lab's own guests under every technique: who is faithful to the bare machine, and who is not."""
import pytest

import pvlab
from pvlab.guests.catalogue import WORKLOADS
from pvlab.monitors import BinaryTranslation, Native, TrapAndEmulate

FAITHFUL = [workload for workload in WORKLOADS if workload != "interrupt-flags"]


def both(name, monitor=TrapAndEmulate, **parameters):
    guest = pvlab.guest(name, **parameters)
    return Native().run(guest), monitor().run(guest)


def happened(log):
    return [(record.reason, record.address, record.instruction, record.at) for record in log]


@pytest.mark.parametrize("n", [1, 50])
@pytest.mark.parametrize("monitor, workload", [
    *((TrapAndEmulate, workload) for workload in FAITHFUL), *((BinaryTranslation, workload) for workload in WORKLOADS)])
def test_a_technique_is_faithful_where_nothing_sensitive_is_silent_to_it(monitor, workload, n):
    native, emulated = both("kernel", monitor, workload=workload, n=n)
    assert (native.outcome, native.digest, native.output) == (emulated.outcome, emulated.digest, emulated.output)
    assert native.instructions == emulated.instructions
    assert happened(native.trace.accesses) == happened(emulated.trace.accesses)
    if workload == "timer":     # which instruction of a busy program a tick finds may differ; how many ticks, not
        assert native.trace.events.counts() == emulated.trace.events.counts()
    else:
        assert happened(native.trace.events) == happened(emulated.trace.events)


@pytest.mark.parametrize("monitor", [TrapAndEmulate, BinaryTranslation])
def test_hello_is_faithful(monitor):
    native, emulated = both("hello", monitor)
    assert (native.outcome, native.digest, native.instructions) == (
        emulated.outcome, emulated.digest, emulated.instructions)


def test_the_kernel_that_saves_and_restores_the_interrupt_flag_never_wakes():
    """POPF does not set IF outside ring 0, and nobody is told: so the timer's interrupt is never taken."""
    native, emulated = both("kernel", workload="interrupt-flags", n=3)
    assert native.outcome == "shutdown" and native.trace.events.counts() == {"interrupt": 1}
    assert emulated.outcome == "halted" and emulated.trace.events.counts() == {}
    assert "HLT with interrupts disabled" in emulated.detail
    assert native.digest != emulated.digest


def test_what_the_sensitive_instructions_show_differs():
    native, emulated = both("sensitive")
    assert native.outcome == emulated.outcome == "shutdown"
    assert native.digest != emulated.digest
    seen = dict(line.split(" ", 1) for line in native.text.splitlines())
    shown = dict(line.split(" ", 1) for line in emulated.text.splitlines())
    assert seen.keys() == shown.keys()
    differing = {name for name in seen if seen[name] != shown[name]}
    assert {"sgdt", "sidt", "sldt", "str", "pushf", "popf", "push-cs", "mov-from-cs"} <= differing
    assert {"pop-es", "mov-to-es", "jmp-far", "int"}.isdisjoint(differing), "these trap, and are emulated"


def test_what_the_sensitive_instructions_show_is_the_same_under_translation():
    native, translated = both("sensitive", BinaryTranslation)
    assert (native.outcome, native.text, native.digest) == (translated.outcome, translated.text, translated.digest)
    assert native.instructions == translated.instructions


def test_two_runs_of_one_guest_are_the_same_to_the_record():
    first, second = both("kernel", workload="page-fault", n=20), both("kernel", workload="page-fault", n=20)
    for one, other in zip(first, second):
        assert happened(one.trace.exits) == happened(other.trace.exits)
        assert happened(one.trace.events) == happened(other.trace.events)
        assert {k: v for k, v in one.to_dict().items() if k != "seconds"} == \
            {k: v for k, v in other.to_dict().items() if k != "seconds"}

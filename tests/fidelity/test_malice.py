"""Guests that mean harm cannot take the process with them.

2,000 of them run here, in the test's own process, on the bare machine and under trap-and-emulate, and others under
binary translation: if one could kill it, there would be no result. Each ends with an outcome, and none runs for longer
than its budget allows.
"""
import random
from collections import Counter

from fidelity.malice import HARM, build

import pvlab.monitors.base
from pvlab.monitors import BinaryTranslation, Native, TrapAndEmulate

BUDGET, ALLOWANCE, STOPS = 5_000, 50_000, 50       # small: harm is done at once or not at all
KINDS = sorted(HARM)


def guest(seed):
    numbers = random.Random(seed)
    steps = [(numbers.choice(KINDS), numbers.getrandbits(32)) for _ in range(numbers.randrange(2, 9))]
    return build(seed, steps).guest(f"hostile {seed}"), {name for name, _ in steps}


def end(made, monitor):
    """The guest's run, which has come to an end that is told, and in time."""
    run = monitor.run(made, BUDGET)
    assert run.detail, f"{made.name} under {run.monitor} ended as '{run.outcome}', and nothing says why"
    assert run.instructions < BUDGET + 4096, f"{made.name} under {run.monitor} did not stop in time"
    return run


def test_hostile_guests_end_with_an_outcome(hostile, tell, monkeypatch):
    monkeypatch.setattr(pvlab.monitors.base, "ALLOWANCE", ALLOWANCE)
    monkeypatch.setattr(pvlab.monitors.base, "_STOPS", STOPS)
    kinds, outcomes = Counter(), Counter()
    for seed in range(hostile):
        made, harms = guest(seed)
        kinds.update(harms)
        outcomes.update(end(made, monitor).outcome for monitor in (Native(), TrapAndEmulate()))
    tell(f"hostile guests: {hostile} ran under both monitors, and the process is alive. Outcomes: "
         + ", ".join(f"{name} {count}" for name, count in outcomes.most_common()))
    assert set(kinds) == set(HARM) or hostile < 200
    assert len(outcomes) == 4 or hostile < 200, "harm that always ends in the same way is not doing much"


def test_hostile_guests_under_translation_end_with_an_outcome(hostile, tell, monkeypatch):
    monkeypatch.setattr(pvlab.monitors.base, "ALLOWANCE", 20 * ALLOWANCE)      # for a translation weighs much
    monkeypatch.setattr(pvlab.monitors.base, "_STOPS", STOPS)
    first, number = 100_000, -(-hostile // 10)
    outcomes = Counter(end(guest(seed)[0], BinaryTranslation()).outcome for seed in range(first, first + number))
    tell(f"hostile guests: {number} ran under translation. Outcomes: "
         + ", ".join(f"{name} {count}" for name, count in outcomes.most_common()))
    assert len(outcomes) == 4 or hostile < 2000


def test_the_same_hostile_guest_ends_in_the_same_way_twice(monkeypatch):
    monkeypatch.setattr(pvlab.monitors.base, "ALLOWANCE", ALLOWANCE)
    for seed in range(40):
        made, _ = guest(seed)
        for monitor in (Native, TrapAndEmulate):
            one, other = monitor().run(made, BUDGET), monitor().run(made, BUDGET)
            assert (one.outcome, one.detail, one.instructions, one.output) == (
                other.outcome, other.detail, other.instructions, other.output)
            assert list(one.trace.exits) == list(other.trace.exits)
            assert list(one.trace.events) == list(other.trace.events)

"""Guests that mean harm to CP: random instructions, privileged ones and DIAGNOSE among them. Each ends with an outcome
and a sentence, within its budget, in the test's own process; and twice in the same way."""
from collections import Counter
from functools import partial

import pvlab.monitors.base
from monitors.cp.hostile import build
from pvlab.monitors.cp import Cp

BUDGET, ALLOWANCE, STOPS = 5_000, 20_000, 50
MONITORS = (Cp, partial(Cp, cpus=2), partial(Cp, frames=16), partial(Cp, epsw_hole=True))


def run(seed, monkeypatch):
    monkeypatch.setattr(pvlab.monitors.base, "ALLOWANCE", ALLOWANCE)
    monkeypatch.setattr(pvlab.monitors.base, "_STOPS", STOPS)
    return MONITORS[seed % len(MONITORS)]().run(build(seed), BUDGET)


def test_hostile_guests_end_with_an_outcome(hostile, tell, monkeypatch):
    outcomes = Counter()
    for seed in range(hostile // 4):
        found = run(seed, monkeypatch)
        outcomes[found.outcome] += 1
        assert found.detail, f"seed {seed} ended as '{found.outcome}', and nothing says why"
        assert found.instructions < BUDGET + 4096, f"seed {seed} did not stop in time"
    tell(f"hostile guests for CP: {hostile // 4} ran, and the process is alive. Outcomes: "
         + ", ".join(f"{name} {count}" for name, count in outcomes.most_common()))
    assert set(outcomes) >= {"crashed", "halted", "budget"} or hostile < 400


def test_the_same_hostile_guest_ends_in_the_same_way_twice(monkeypatch):
    for seed in range(16):
        one, other = run(seed, monkeypatch), run(seed, monkeypatch)
        assert (one.outcome, one.detail, one.instructions, one.output, one.digest) == (
            other.outcome, other.detail, other.instructions, other.output, other.digest)
        assert list(one.trace.exits) == list(other.trace.exits)
        assert list(one.trace.events) == list(other.trace.events)

"""Random programs end alike on the bare machine and under trap-and-emulate.

They run in all four rings, with their own GDT, IDT, task state and page tables, and use every privileged instruction;
what they leave out is what trap-and-emulate cannot see (lesson 03). Everything must agree: registers, flags, segments,
control registers, output, the events and how many instructions came before each, and every byte of memory, accessed
and dirty bits of page tables included.
"""
from collections import Counter

from fidelity import actions  # noqa: F401 - registers the actions
from fidelity.compare import both, differences
from fidelity.programs import ACTIONS, build
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pvlab.machine.x86.faults import EXCEPTIONS

RARELY = 20                # each thing below happens in one program of so many at least

INSTRUCTIONS = (
    "cli", "sti", "hlt", "mov-cr0", "mov-cr2", "mov-cr3", "mov-cr4", "mov-dr", "clts", "lmsw", "lgdt", "lidt", "lldt",
    "ltr", "invlpg", "wbinvd", "rdmsr", "wrmsr", "rdtsc", "iret", "sysenter", "sysexit", "segment-load", "far-transfer",
    "io:read", "io:write")
OTHER_EXITS = ("page-table-write", "page-fault:shadow", "page-fault:guest", "int", "exception")
# What no guest on this machine can meet: no NMI, no machine or alignment checks, no SIMD exceptions in QEMU.
NEVER = ("nmi", "alignment-check", "machine-check", "simd-error")
FAULTS = tuple(name for name in EXCEPTIONS.values() if name not in NEVER)
TRANSFERS = ("call-gate", "call-gate-parameters", "call-gate-same-ring", "far-jump", "far-call", "return-to-outer-ring",
             "return")
ALL = (*INSTRUCTIONS, *OTHER_EXITS, *(f"event {name}" for name in (*FAULTS, "int", "interrupt")),
       *(f"transfer {name}" for name in TRANSFERS))

# An action is done with numbers that follow from the program's seed and its own, so that a failing program can lose
# actions one by one and keep what it does with the others.
STEPS = st.lists(st.tuples(st.sampled_from(sorted(ACTIONS)), st.integers(0, 255)), min_size=25, max_size=40)


def program(seed, steps):
    return build(seed, [(name, f"{seed} {number} {name}") for name, number in steps])


def seen(built, run):
    """What happened in a run under trap-and-emulate, in the words of ALL."""
    exits, events = run.trace.exits, run.trace.events
    found = set(exits.counts()) | {f"event {name}" for name in events.counts()}
    executed = {exit.address for exit in exits} - {event.address for event in events if event.reason != "debug"}
    return found | {f"transfer {name}" for name, places in built.marks.items() if places & executed}


def test_random_programs_end_alike_under_both_monitors(programs, tell):
    coverage, count = Counter(), 0

    @settings(max_examples=programs, derandomize=True, database=None, deadline=None,
              suppress_health_check=list(HealthCheck))
    @given(st.integers(0, 2**64 - 1), STEPS)
    def check(seed, steps):
        nonlocal count
        built = program(seed, steps)
        native, emulated = both(built.guest())
        assert not differences(native, emulated)
        assert native.run.outcome == "shutdown"
        coverage.update(seen(built, emulated.run))
        count += 1

    check()
    tell(f"random programs: {count} ended alike under both monitors. How many of them had each:")
    for start in range(0, len(ALL), 6):
        tell("  " + ", ".join(f"{name} {coverage[name]}" for name in ALL[start:start + 6]))
    assert count >= programs
    assert not {name: coverage[name] for name in ALL if coverage[name] * RARELY < count}

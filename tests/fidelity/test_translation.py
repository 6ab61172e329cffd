"""Random programs for the translator end alike on the bare machine and under binary translation.

They run their kernel code in ring 0 and use what trap-and-emulate cannot see: sensitive instructions, beside privileged
ones, calls, returns and jumps of every form, faults in the middle of a unit, and code that writes over itself. As in
test_programs.py everything must agree: registers and flags after each program, segments, control registers, output,
events with their addresses and how many instructions came before each, and every byte of memory.
"""
from collections import Counter

import pytest
from fidelity import actions  # noqa: F401 - registers the actions
from fidelity.batches import Batch, steps_for
from fidelity.compare import Ending, Watched, differences, smaller
from fidelity.world import QUIET_IRQ, segments

import pvlab
from pvlab.machine.x86.faults import EXCEPTIONS

RARELY = 20                # each construct occurs in one program of so many at least
TOGETHER = 10              # programs in one guest
PARTS = 3                  # of the test
QUIET = segments(True)[1][QUIET_IRQ]

CONSTRUCTS = (
    "pushf", "popf", "sgdt-sidt", "sldt-str", "smsw", "read-segment", "lar-lsl", "verr-verw",
    "privileged", "iret", "far-transfer", "interrupt let in", "interrupt in a loop",
    "direct-call", "indirect-call", "return", "return-and-release", "return-address", "indirect-jump", "condition",
    "loop", "middle of an instruction", "long-unit", "page-crossing", "jump to nowhere", "pop from nowhere",
    "page-fault in a unit", "divide-error in a unit", "invalid-opcode in a unit", "general-protection in a unit",
    "own code: next instruction", "own code: same unit", "own code: itself", "own code: another unit",
    "own code: a jump's target", "own code: another mapping", "own code: remapped", "own code: copied",
    "own code: across pages")


def programs_from(seed, count=TOGETHER):
    return [(number, steps_for(number)) for number in range(seed * TOGETHER, seed * TOGETHER + count)]


def ending(monitor, guest):
    """How a guest ends; a timer's interrupt in a loop may come at another of its instructions."""
    found = Ending(monitor, guest)
    found.events = [(name, *where) if name != "interrupt" else name for name, *where in found.events]
    found.accesses = [access[:3] if access.address >> 8 == QUIET >> 8 else access for access in found.accesses]
    return found


def compared(seed, programs, monitor=None):
    """What differs, and for each program which constructs it had."""
    batch, native = Batch(seed, programs), Watched()
    guest = batch.guest()
    bare, other = ending(native, guest), ending(monitor or pvlab.monitor("binary-translation"), guest)
    faulted = {event.address for event in bare.run.trace.events if event.reason in EXCEPTIONS.values()}
    return differences(bare, other), batch.constructs(native.executed, faulted)


@pytest.mark.parametrize("part", range(PARTS))
def test_random_programs_end_alike_under_binary_translation(part, programs, tell):
    batches = -(-max(programs, 3000) // (PARTS * TOGETHER))
    count, coverage = batches * TOGETHER, Counter()
    for seed in range(part * batches, (part + 1) * batches):
        batch = programs_from(seed)
        different, found = compared(seed, batch)
        if different:
            least = smaller(batch, lambda fewer: bool(compared(seed, fewer)[0]))
            raise AssertionError(f"seed {seed}, programs {least}: {compared(seed, least)[0]}")
        for constructs in found:
            coverage.update(constructs)
    tell(f"random programs for the translator, part {part + 1} of {PARTS}: {count} ended alike. How many had each:")
    for start in range(0, len(CONSTRUCTS), 6):
        tell("  " + ", ".join(f"{name} {coverage[name]}" for name in CONSTRUCTS[start:start + 6]))
    assert not {name: coverage[name] for name in CONSTRUCTS if coverage[name] * RARELY < count}

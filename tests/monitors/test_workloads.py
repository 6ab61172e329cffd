"""What each workload of the teaching kernel costs in exits, for each time it does its thing.

The table is the course's promise: lesson 02 prints it, learners predict it. It holds because set-up does not depend
on n, so the exits of two runs differ by exactly n times the row. Counts are those of the guest's code and of the
monitor's rules, never of the host: they are the same on every run.
"""
import pytest

import pvlab
from pvlab.guests.catalogue import WORKLOADS

PER_ITERATION = {
    "compute": {},
    "syscall": {"int": 1, "iret": 1},
    "context-switch": {"int": 1, "mov-cr3": 1, "iret": 1},
    # the fault, what the handler asks and changes (unmap one page, map another), the return, and the shadow's new entry
    "page-fault": {"page-fault:guest": 1, "mov-cr2": 1, "page-table-write": 2, "invlpg": 1, "iret": 1,
                   "page-fault:shadow": 1},
    "page-table-update": {"page-table-write": 1, "invlpg": 1, "page-fault:shadow": 1},
    # fork and exit; into the child and back; six entries built and six cleared; four first uses in a new address space
    "fork": {"int": 2, "iret": 2, "mov-cr3": 2, "page-table-write": 12, "page-fault:shadow": 4},
    "interrupt-flags": {"cli": 1},                     # PUSHF and POPF leave no trace, which is what breaks it
    "port-io": {"io:read": 1},
    "divide-error": {"exception": 1, "iret": 1},
    "call-return": {},
    "timer": {"interrupt": 1, "io:write": 1, "iret": 1},
    "idle": {"sti": 1, "hlt": 1, "io:write": 1, "iret": 1, "cli": 1},
    "console": {"int": 1, "io:write": 13, "iret": 1},   # a line has 13 characters
    "control-register": {"mov-cr2": 2},                # written, and read back
    # seven registers and two ends of interrupt; two looks at the status and 256 words; a wait
    "disk-read": {"io:read": 258, "io:write": 9, "sti": 1, "hlt": 1, "iret": 1, "cli": 2},
    "disk-write": {"io:read": 3, "io:write": 265, "sti": 1, "hlt": 1, "iret": 1, "cli": 2},
    # TDT, and the interrupt handler's five accesses (see test_io.py)
    "net-send": {"mmio:read": 3, "mmio:write": 3, "io:write": 2, "iret": 1},
    "net-receive": {"mmio:read": 3, "mmio:write": 3, "io:write": 2, "sti": 1, "hlt": 1, "iret": 1, "cli": 2},
}


def exits(workload, n):
    return pvlab.TrapAndEmulate().run(pvlab.guest("kernel", workload=workload, n=n)).trace.by_reason()


def test_the_table_has_every_workload():
    assert set(PER_ITERATION) == set(WORKLOADS)


@pytest.mark.parametrize("workload", PER_ITERATION)
def test_exits_are_n_times_the_table(workload):
    few, some, many = (exits(workload, n) for n in (10, 13, 60))
    for counts, more in ((some, 3), (many, 50)):
        grown = {reason: counts[reason] - few.get(reason, 0) for reason in counts if counts[reason] != few.get(reason, 0)}
        assert grown == {reason: more * number for reason, number in PER_ITERATION[workload].items()}


@pytest.mark.parametrize("workload, n", [
    ("syscall", 3000), ("page-fault", 900), ("page-table-update", 1500), ("fork", 130)])
def test_no_iteration_is_cheaper_or_dearer_late_in_a_run(workload, n):
    """Shadow page tables are dropped and made anew as they are needed, and a window of pages comes round again."""
    few, many = exits(workload, 2), exits(workload, n)
    assert {reason: many[reason] - few.get(reason, 0) for reason in many if many[reason] != few.get(reason, 0)} == \
        {reason: (n - 2) * number for reason, number in PER_ITERATION[workload].items()}


@pytest.mark.parametrize("workload", ["fork", "timer"])
def test_a_second_run_is_the_same_to_the_exit(workload):
    guest = pvlab.guest("kernel", workload=workload, n=3)
    first, second = (pvlab.TrapAndEmulate().run(guest) for _ in range(2))
    assert list(first.trace.exits) == list(second.trace.exits)
    assert first.to_dict() | {"seconds": 0} == second.to_dict() | {"seconds": 0}


@pytest.mark.parametrize("workload", PER_ITERATION)
def test_only_the_hole_makes_a_difference(workload):
    native, trapped = pvlab.compare(pvlab.guest("kernel", workload=workload, n=7),
                                    [pvlab.Native(), pvlab.TrapAndEmulate()]).runs
    assert len(native.trace) == 0
    if workload == "interrupt-flags":
        assert (native.outcome, trapped.outcome) == ("shutdown", "halted")
        assert native.digest != trapped.digest
        assert [record.reason for record in trapped.trace.exits][-1] == "hlt"
        return
    assert (trapped.outcome, trapped.digest, trapped.text) == (native.outcome, native.digest, native.text)
    assert trapped.instructions == native.instructions
    assert trapped.trace.events.counts() == native.trace.events.counts()
    assert trapped.trace.accesses.counts() == native.trace.accesses.counts()

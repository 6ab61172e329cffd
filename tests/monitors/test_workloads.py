"""What each workload of the teaching kernel costs in exits, for each time it does its thing.

The tables are the course's promise: lessons 02 and 05 print them, learners predict them. They hold because set-up does
not depend on n, so the exits of two runs differ by exactly n times the row; under translation, once all is translated
and adapted. Counts are those of the guest's code and of the monitor's rules, never of the host: they are the same on
every run.
"""
import pytest

import pvlab
from pvlab.guests.catalogue import WORKLOADS
from pvlab.monitors import monitor

TRAPPED = {
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
TRANSLATED = {
    "compute": {},
    "syscall": {"int": 1, "iret": 1},
    "context-switch": {"int": 1, "mov-cr3": 1, "iret": 1},
    # reading CR2 and writing page tables is done in the cache, and what is left is the fault, and telling the real CPU
    "page-fault": {"page-fault:guest": 1, "invlpg": 1, "iret": 1, "page-fault:shadow": 1},
    "page-table-update": {"invlpg": 1, "page-fault:shadow": 1},
    "fork": {"int": 2, "iret": 2, "mov-cr3": 2, "write-callout": 6, "page-fault:shadow": 3},
    "interrupt-flags": {},
    "port-io": {"io:read": 1},
    "divide-error": {"exception": 1, "iret": 1},
    "call-return": {},
    "timer": {"interrupt": 1, "io:write": 1, "iret": 1},
    "idle": {"hlt": 1, "io:write": 1, "iret": 1},
    "console": {"int": 1, "io:write": 13, "iret": 1},
    "control-register": {},
    # STI is a callout where an interrupt is waiting
    "disk-read": {"io:read": 258, "io:write": 9, "sti": 1, "hlt": 1, "iret": 1},
    "disk-write": {"io:read": 3, "io:write": 265, "sti": 1, "hlt": 1, "iret": 1},
    "net-send": {"mmio:read": 3, "mmio:write": 3, "io:write": 2, "iret": 1},
    "net-receive": {"mmio:read": 3, "mmio:write": 3, "io:write": 2, "hlt": 1, "iret": 1},
}
PER_ITERATION = {"trap-and-emulate": TRAPPED, "binary-translation": TRANSLATED}
EACH = [(name, workload) for name, rows in PER_ITERATION.items() for workload in rows]


def exits(name, workload, n):
    return monitor(name).run(pvlab.guest("kernel", workload=workload, n=n)).trace.by_reason()


def grown(few, many):
    return {reason: many[reason] - few.get(reason, 0) for reason in many if many[reason] != few.get(reason, 0)}


def test_the_tables_have_every_workload():
    assert all(set(rows) == set(WORKLOADS) for rows in PER_ITERATION.values())


@pytest.mark.parametrize("name, workload", EACH)
def test_exits_are_n_times_the_table(name, workload):
    start = 10 if name == "trap-and-emulate" else 60
    few, some, many = (exits(name, workload, start + more) for more in (0, 3, 50))
    for counts, more in ((some, 3), (many, 50)):
        assert grown(few, counts) == {reason: more * number for reason, number in PER_ITERATION[name][workload].items()}


@pytest.mark.parametrize("name, workload, n", [
    ("trap-and-emulate", "syscall", 3000), ("trap-and-emulate", "page-fault", 900),
    ("trap-and-emulate", "page-table-update", 1500), ("trap-and-emulate", "fork", 130),
    ("binary-translation", "page-fault", 900), ("binary-translation", "fork", 130)])
def test_no_iteration_is_cheaper_or_dearer_late_in_a_run(name, workload, n):
    """Shadow page tables are dropped and made anew as they are needed, and a window of pages comes round again."""
    start = 2 if name == "trap-and-emulate" else 60
    few, many = exits(name, workload, start), exits(name, workload, n)
    assert grown(few, many) == {
        reason: (n - start) * number for reason, number in PER_ITERATION[name][workload].items()}


@pytest.mark.parametrize("name", PER_ITERATION)
@pytest.mark.parametrize("workload", ["fork", "timer"])
def test_a_second_run_is_the_same_to_the_exit(name, workload):
    guest = pvlab.guest("kernel", workload=workload, n=3)
    first, second = (monitor(name).run(guest) for _ in range(2))
    assert list(first.trace.exits) == list(second.trace.exits)
    assert first.to_dict() | {"seconds": 0} == second.to_dict() | {"seconds": 0}


@pytest.mark.parametrize("name, workload", EACH)
def test_only_the_hole_makes_a_difference(name, workload):
    native, other = pvlab.compare(pvlab.guest("kernel", workload=workload, n=7), ["native", name]).runs
    assert len(native.trace) == 0
    if (name, workload) == ("trap-and-emulate", "interrupt-flags"):
        assert (native.outcome, other.outcome) == ("shutdown", "halted")
        assert native.digest != other.digest
        assert [record.reason for record in other.trace.exits][-1] == "hlt"
        return
    assert (other.outcome, other.digest, other.text) == (native.outcome, native.digest, native.text)
    assert other.instructions == native.instructions
    assert other.trace.events.counts() == native.trace.events.counts()
    assert other.trace.accesses.counts() == native.trace.accesses.counts()

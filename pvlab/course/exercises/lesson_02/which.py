"""Tell a workload by the exits of its run."""
from pvlab import TrapAndEmulate, guest
from pvlab.course.exercises.model import Exercise, graded, require

STATEMENT = """
Somebody ran the teaching kernel under trap and emulate and kept only the counts: `{"int": 41, "iret": 41, …}`.
Which workload was it? Write `which(exits)`, which returns the workload's name: `compute`, `call-return`, `syscall`,
`context-switch`, `divide-error`, `page-fault`, `page-table-update`, `fork`, `timer`, `idle`, `interrupt-flags`,
`port-io` or `console`. `n` was at least 30 in every run.

The kernel boots in each run, with a few dozen exits of its own, and prints a report at the end. So look for what is
there in numbers. `exits_of(workload, n)` makes examples.

**Expected result:** the names of the three runs that the check makes. The hidden checks run all of them.
"""

GIVEN = '''
def exits_of(workload, n):
    """The exits of one run, by reason."""
    guest = pvlab.guest("kernel", workload=workload, n=n)
    return dict(pvlab.TrapAndEmulate().run(guest).trace.by_reason())
'''

SOLUTION = """
def which(exits):
    ### BEGIN SOLUTION
    many = {reason for reason, count in exits.items() if count >= 30}
    if "page-fault:guest" in many: return "page-fault"
    if "invlpg" in many: return "page-table-update"
    if "exception" in many: return "divide-error"
    if "io:read" in many: return "port-io"
    if "interrupt" in many: return "timer"
    if "hlt" in many: return "idle"
    if "cli" in many: return "interrupt-flags"
    if "int" in many:
        if "page-table-write" in many: return "fork"
        if "mov-cr3" in many: return "context-switch"
        return "console" if exits["io:write"] > 13 * 30 else "syscall"
    return "compute" if exits.get("int", 0) else "call-return"      # compute is a program, and programs end by INT
    ### END SOLUTION
"""

PUBLIC = """
with pvlab.check("ex02-which") as check:
    for workload, n in (("syscall", 30), ("fork", 40), ("compute", 50)):
        check(f"a run of {workload}", which(exits_of(workload, n)), workload)
"""

GROUPS = {
    "memory": (("page-fault", "page-table-update", "fork"),
               "true faults, flushes and copied address spaces each have a reason of their own"),
    "system calls": (("syscall", "context-switch", "divide-error"),
                     "all three return by IRET: what brings them into the kernel, and what else do they do there?"),
    "time": (("timer", "idle", "interrupt-flags"), "who halts, who is interrupted, who only clears a flag?"),
    "devices": (("port-io", "console"), "one reads a port; the other writes 13 characters for each system call"),
    "no exits of their own": (("compute", "call-return"),
                              "only boot and the report exit here. One of the two runs a user program, which must end"),
}


def hidden(student, rng, variant):
    # each n is large enough to tell the workload by, and small enough that the runs take no time
    counts = {name: rng.randrange(30, 60) for names, _ in GROUPS.values() for name in names}

    def group(names, feedback):
        def test():
            for name in names:
                run = TrapAndEmulate().run(guest("kernel", workload=name, n=counts[name]))
                exits = dict(run.trace.by_reason())
                require(student.call("which", exits) == name,
                        f"one of {', '.join(names)} is taken for another: {feedback}")
        return test
    return [graded(title, 1, group(*of)) for title, of in GROUPS.items()]


EXERCISE = Exercise(
    id="ex02-which", title="Which workload was it?", points=5, minutes=20,
    statement=STATEMENT, given=GIVEN, solution=SOLUTION, public=PUBLIC, hidden=hidden,
    hints=(
        "Look at the lesson's table of exits for each iteration. Which reasons belong to one workload alone?",
        "Call a reason *frequent* if it occurs at least 30 times. Four workloads have a frequent reason that no other "
        "has: `page-fault:guest`, `exception`, `io:read`, `interrupt`. What does `hlt` tell?",
        "What is left with a frequent `int`: `fork` writes page tables, `context-switch` loads CR3, `console` has 13 "
        "port writes for each INT, and `syscall` nothing more. Without a frequent reason: `call-return` has no INT at "
        "all, because it never runs a user program.",
    ))

"""Predict the exits that binary translation leaves."""
import functools

from pvlab import guest, monitor
from pvlab.course.exercises.model import Exercise, graded, require

STATEMENT = """
These are exits for one iteration under **trap and emulate**, as lesson 02 counted them:

{{rows}}

Predict them for **binary translation**, once the code is warm: all units translated, and what traps often adapted.

**Expected result:** the check counts how many of your five are right, and says no more. Write all five before you run
it.
"""

# exits for one iteration under trap and emulate, by reason (lesson 02), and how the row is described
ROWS = {
    "interrupt-flags": "cli 1", "call-return": "none", "control-register": "mov-cr2 2",
    "syscall": "int 1, iret 1", "context-switch": "int 1, iret 1, mov-cr3 1", "port-io": "io:read 1",
    "divide-error": "exception 1, iret 1", "timer": "interrupt 1, io:write 1, iret 1",
        "console": "io:write 13, int 1, iret 1",
    "page-fault": "page-fault:guest 1, mov-cr2 1, page-table-write 2, invlpg 1, iret 1, page-fault:shadow 1",
    "page-table-update": "page-table-write 1, invlpg 1, page-fault:shadow 1",
    "idle": "sti 1, hlt 1, io:write 1, iret 1, cli 1",
}
_NONE, _SAME, _FEWER = ("interrupt-flags", "call-return", "control-register"), (
    "syscall", "context-switch", "port-io", "divide-error", "timer", "console"), ("page-fault", "page-table-update",
                                                                                  "idle")
_ANSWERS = dict.fromkeys(_NONE, 0) | {"syscall": 2, "context-switch": 3, "port-io": 1, "divide-error": 2, "timer": 3,
                                      "console": 15, "page-fault": 4, "page-table-update": 2, "idle": 3}

SOLUTION = """
predicted = {
    ### BEGIN SOLUTION
    {{answers}}
    ### END SOLUTION
}
"""

PUBLIC = """
def exits(workload, n=60):
    \"\"\"Exits for one iteration: the difference of two runs.\"\"\"
    guests = [pvlab.guest("kernel", workload=workload, n=k) for k in (n, 2 * n)]
    runs = [pvlab.BinaryTranslation().run(guest) for guest in guests]
    return (len(runs[1].trace) - len(runs[0].trace)) / n

with pvlab.check("ex05-exits") as check:
    if None in predicted.values():
        raise NotImplementedError
    right = sum(exits(workload) == number for workload, number in predicted.items())
    check.that("your five predictions", right == 5, f"{right} of {len(predicted)} are right")
"""


@functools.lru_cache(maxsize=64)
def measured(workload: str) -> float:
    """Exits for one iteration: for all students the same, so once for a class."""
    runs = [monitor("binary-translation").run(guest("kernel", workload=workload, n=n)) for n in (60, 120)]
    return (len(runs[1].trace) - len(runs[0].trace)) / 60


def choose(rng):
    chosen = [*rng.sample(_NONE, 1), *rng.sample(_SAME, 2), *rng.sample(_FEWER, 2)]
    rng.shuffle(chosen)
    return {"workloads": chosen}


def words(variant):
    chosen = variant["workloads"]
    rows = ["| workload | exits |", "|---|---|", *(f"| `{name}` | {ROWS[name]} |" for name in chosen)]
    return {"rows": "\n".join(rows), "answers": "\n    ".join(f'"{name}": {_ANSWERS[name]},' for name in chosen),
            "blanks": "\n    ".join(f'"{name}": None,' for name in chosen)}


def hidden(student, rng, variant):
    def group(names, feedback):
        def test():
            answer = student.value("predicted")
            require(type(answer) is dict, "predicted must be a dict from workloads to numbers")
            for name in variant["workloads"]:
                if name in names:
                    require(type(answer.get(name)) is int, f"the prediction for {name} must be a whole number")
                    require(answer[name] == measured(name), f"{name}: {feedback}")
        return test
    return [
        graded("what vanishes", 1, group(_NONE, "nothing of it needs the monitor: it is copied, or emulated in the "
                                                "cache")),
        graded("what stays", 1, group(_SAME, "where control crosses between rings, a device is asked or CR3 is "
                                             "loaded, the monitor is needed as before")),
        graded("what becomes less", 2, group(_FEWER, "CLI, STI, reading CR2 and (adapted) a write to a page table "
                                                     "need no exit any more; what else in this row does?")),
    ]


EXERCISE = Exercise(
    id="ex05-exits", title="What is left?", points=4, minutes=10,
    statement=STATEMENT, solution=SOLUTION, public=PUBLIC, hidden=hidden, stub="{{blanks}}", variant=choose,
                    words=words,
    hints=(
        "Go through each row reason by reason: is this done in the cache, or must the monitor come?",
        "In the cache: CLI, STI, PUSHF, POPF, reading control registers, writing CR2, and a store to a page table "
        "once its instruction has been adapted.",
        "Left are: INT and IRET, exceptions and interrupts, ports, HLT, INVLPG, loading CR3, true and hidden page "
        "faults. `pvlab compare kernel -p workload=idle` shows one.",
    ))

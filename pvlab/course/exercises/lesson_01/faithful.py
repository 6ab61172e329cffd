"""Say in code what equivalence means: compare two runs."""
from pvlab import Native, TrapAndEmulate, guest
from pvlab.course.exercises.model import Exercise, graded, require

STATEMENT = """
Popek and Goldberg's first property is equivalence. The course calls a technique *faithful* for a guest if the guest
ends with the same **outcome** and the same **digest** as on the bare machine. Write `faithful(native, other)`.

Both arguments are dicts, as `pvlab run --json` prints them: `guest`, `monitor`, `outcome`, `output`, `instructions`,
`exits`, `digest` and others. The digest covers all that the guest is answerable for: what it printed, what it
wrote to its disk, and the result that it left in memory. Return `True` or `False`.

**Expected result:** `True` for 5 system calls, `False` for 5 rounds of `interrupt-flags`. The hidden checks compare
other runs, real ones and some in which a single thing differs.
"""

GIVEN = '''
def runs_of(workload):
    """The same guest on the bare machine and under the monitor, as two dicts."""
    guest = pvlab.guest("kernel", workload=workload, n=5)
    return [monitor.run(guest).to_dict() for monitor in (pvlab.Native(), pvlab.TrapAndEmulate())]
'''

SOLUTION = """
def faithful(native, other):
    ### BEGIN SOLUTION
    return native["outcome"] == other["outcome"] and native["digest"] == other["digest"]
    ### END SOLUTION
"""

PUBLIC = """
with pvlab.check("ex01-faithful") as check:
    _ = faithful(*runs_of("syscall"))
    check("5 system calls", faithful(*runs_of("syscall")), True)
    check("5 rounds of interrupt-flags", faithful(*runs_of("interrupt-flags")), False)
"""


def hidden(student, rng, variant):
    def record(run):
        return {name: value for name, value in run.to_dict().items() if name != "seconds"}

    def pair(workload, n):
        of = guest("kernel", workload=workload, n=n)
        return [record(monitor.run(of)) for monitor in (Native(), TrapAndEmulate())]

    good = pair(rng.choice(("console", "port-io", "call-return")), rng.randrange(3, 30))
    bad = pair("interrupt-flags", rng.randrange(2, 40))
    other_digest = f"{rng.getrandbits(256):064x}"

    def says(native, other, expected, feedback):
        require(student.call("faithful", native, other) is expected, feedback)

    def real():
        says(*good, True, "two runs that end alike and leave the same digest are faithful")
        says(*bad, False, "a kernel that hangs under the monitor, and does not on the bare machine, is not faithful")

    def digests():
        says(*good, True, "two runs that end alike and leave the same digest are faithful")
        says(good[0], good[1] | {"digest": other_digest}, False,
             "the same printed line is not enough: a guest also answers for its disk and its result area, and the "
             "digest has them all")

    def outcomes():
        says(*good, True, "two runs that end alike and leave the same digest are faithful")
        says(good[0], good[1] | {"outcome": "budget"}, False, "the outcome must be the same, too")

    def allowances():
        says(good[0], good[1] | {"outcome": "halted"}, False, "the outcome must be the same, too")
        says(good[0], good[1] | {"instructions": good[1]["instructions"] + rng.randrange(1, 9), "monitor": "another"},
             True, "exits, instructions and the monitor's name may differ: they are not what the guest answers for")
    return [graded("real runs", 1, real), graded("the digest", 1, digests), graded("the outcome", 1, outcomes),
            graded("what may differ", 1, allowances)]


EXERCISE = Exercise(
    id="ex01-faithful", title="What equivalent means", points=4, minutes=10,
    statement=STATEMENT, given=GIVEN, solution=SOLUTION, public=PUBLIC, hidden=hidden,
    hints=(
        "Print both dicts of `runs_of(\"syscall\")`. Which fields differ although nothing is wrong?",
        "Two fields decide. One says how the run ended, the other stands for all that the guest is answerable for.",
        "`native[\"outcome\"] == other[\"outcome\"]`, and the same for one more field. Return the two joined by `and`.",
    ))

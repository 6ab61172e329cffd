"""What may an exit cost? The third property, reckoned."""
from pvlab import TrapAndEmulate, guest
from pvlab.course.exercises.model import Exercise, graded, require

STATEMENT = """
A workload executes so many guest instructions and leaves for its monitor so many times. One instruction takes one
cycle (our assumption, as in the lesson). Its owner tolerates a slowdown of some per cent.

Write `break_even(instructions, exits, percent)`: the greatest **whole number** of cycles that one exit may cost, all
exits together costing no more than the tolerated part. Where there is no exit at all, any cost will do: return
`None`.

**Expected result:** 3 for the lesson's 1,000 system calls at 10 % (78,601 instructions, 2,098 exits). The hidden
checks use other workloads and percentages.
"""

SOLUTION = """
def break_even(instructions, exits, percent):
    ### BEGIN SOLUTION
    if exits == 0:
        return None
    return instructions * percent // (100 * exits)
    ### END SOLUTION
"""

PUBLIC = """
with pvlab.check("ex01-breakeven") as check:
    check("1,000 system calls, 10 %", break_even(78_601, 2_098, 10), 3)
    check("1,000 rounds of compute, 10 %", break_even(6_539_484, 99, 10), 6605)
"""


def hidden(student, rng, variant):
    workload = rng.choice(("fork", "page-fault", "context-switch", "port-io"))
    run = TrapAndEmulate().run(guest("kernel", workload=workload, n=rng.randrange(5, 25)))
    measured = run.instructions, len(run.trace)

    def right(instructions, exits, percent, feedback):
        answer = student.call("break_even", instructions, exits, percent)
        require(answer is None or type(answer) is int, "the answer is a whole number (an int), or None")
        require(answer == instructions * percent // (100 * exits), feedback)

    # percentages for which rounding is of no consequence: that has a check of its own
    parts = {percent: run.instructions * percent / (100 * len(run.trace)) % 1 for percent in range(5, 200)}
    clear = [percent for percent, part in parts.items() if 0.05 < part < 0.45]
    usually = rng.sample(clear if len(clear) > 1 else list(parts), 2)

    def usual():
        for percent in usually:
            right(*measured, percent, "the exits may take percent / 100 of the instructions' cycles, shared among them")

    def whole():
        exits, cycles, percent = rng.randrange(100, 999), rng.randrange(20, 90), 100
        right(exits * cycles + exits - 1, exits, percent,
              "round down: one cycle more for each exit would be more than is tolerated")
        right(exits * cycles, exits, percent, "exactly the tolerated cost is allowed")

    def large():
        exits, cycles = rng.randrange(1000, 10_000), rng.randrange(10**17, 10**18) | 1
        right(exits * cycles, exits, 100,
              "use whole numbers throughout: a float loses the last digits of a large count")

    def none():
        right(*measured, usually[0], "first get the usual case right")
        require(student.call("break_even", measured[0], 0, 10) is None, "without exits the answer is None")
    return [graded("a measured workload", 2, usual), graded("round down", 1, whole),
            graded("large counts", 1, large), graded("no exits", 1, none)]


EXERCISE = Exercise(
    id="ex01-breakeven", title="What an exit may cost", points=5, minutes=15,
    statement=STATEMENT, solution=SOLUTION, public=PUBLIC, hidden=hidden,
    stub="raise NotImplementedError",
    hints=(
        "How many cycles may all exits take together? Begin with 100 instructions and 10 %.",
        "All exits together may take `instructions * percent / 100` cycles. Each of them may take its share.",
        "Do it in whole numbers, with one division at the end: `//` divides and rounds down. And what if `exits` is 0?",
    ))

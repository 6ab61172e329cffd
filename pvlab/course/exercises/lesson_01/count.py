"""Predict instructions and exits of a small guest, for any amount of work."""
from pvlab import TrapAndEmulate
from pvlab.course.exercises.guests import assembled, with_word
from pvlab.course.exercises.model import Exercise, graded, require

STATEMENT = """
The guest below prints `n` dots, and a new line behind every {{width}} of them. Predict a run of it under trap and
emulate: write `predict(n)`, which gives the list `[instructions, exits]` for any `n` from 0 up.

The start-up routine executes 6 instructions before `main`, and the power switch is the last instruction of all.

**Expected result:** `predict(1)` and `predict({{width}})` agree with the two runs that the check makes. The hidden
checks run the guest for other `n`.
"""

GIVEN = '''
from pathlib import Path
from tempfile import TemporaryDirectory

DOTS = """
        .globl  main, dots
main:   mov     dots, %ecx              # dots that are left
        mov     ${{width}}, %ebx                # room that is left in this line
        test    %ecx, %ecx
        jz      end
next:   mov     $'.', %al
        out     %al, $0xE9
        dec     %ebx
        jnz     on
        mov     $10, %al                # the line is full
        out     %al, $0xE9
        mov     ${{width}}, %ebx
on:     dec     %ecx
        jnz     next
end:    xor     %eax, %eax
        out     %al, $0xF4
        hlt
dots:   .long   COUNT
"""
folder = TemporaryDirectory()

def dots(n):
    """The guest that prints n dots."""
    file = Path(folder.name, "dots.S")
    file.write_text(DOTS.replace("COUNT", str(n)))
    return pvlab.guest(file)
'''

SOLUTION = """
def predict(n):
    ### BEGIN SOLUTION
    lines = n // {{width}}                      # full lines, each with a new line behind it
    return [6 + 4 + 6 * n + 3 * lines + 2, n + lines + 1]
    ### END SOLUTION
"""

PUBLIC = """
with pvlab.check("ex01-count") as check:
    for n in (1, {{width}}):
        mine = predict(n)
        run = pvlab.TrapAndEmulate().run(dots(n))
        check(f"{n} dots: [instructions, exits]", mine, [run.instructions, len(run.trace)])
"""


def hidden(student, rng, variant):
    source = EXERCISE.fill(GIVEN, variant).split('"""')[1].replace("COUNT", "0")
    guest, width = assembled(source), variant["width"]

    def measured(n):
        run = TrapAndEmulate().run(with_word(guest, "dots", n))
        return [run.instructions, len(run.trace)]

    def part(index, numbers, feedback):
        def test():
            for n in numbers:
                answer = student.call("predict", n)
                require(type(answer) is list and len(answer) == 2 and all(type(x) is int for x in answer),
                        "predict must return a list of two whole numbers, [instructions, exits]")
                require(answer[index] == measured(n)[index], feedback)
        return test

    short, several = rng.randrange(2, width), width * rng.randrange(2, 6) + rng.randrange(1, width)
    full = width * rng.randrange(2, 9)

    def nothing():
        require(student.call("predict", short) == measured(short), "first get a single short line right")
        require(student.call("predict", 0) == measured(0), "for n = 0 the loop is not entered: follow JZ")
    return [
        graded("instructions in one short line", 1, part(0, [short],
               "count again what one dot executes, and what is executed once")),
        graded("instructions in several lines", 1, part(0, [several, full],
               "a full line executes three more instructions; how many lines are full?")),
        graded("exits", 1, part(1, [short, several, full],
               "each OUT is an exit: the dots, the new lines, and one at the very end")),
        graded("no dots at all", 1, nothing),
    ]


EXERCISE = Exercise(
    id="ex01-count", title="Count before the machine does", points=4, minutes=10,
    statement=STATEMENT, given=GIVEN, solution=SOLUTION, public=PUBLIC, hidden=hidden,
    variant=lambda rng: {"width": rng.choice((4, 5, 6, 7, 8, 9))},
    hints=(
        "Sort the instructions of `main` into three kinds: executed once, once for each dot, once for each full line.",
        "Six instructions are executed for each dot (from `next` to `jnz on`, and the two at `on`), three more for "
        "each full line. `n // width` is the number of full lines.",
        "Only OUT exits. One OUT for each dot, one for each full line, one that switches the machine off. "
        "Instructions: 6 in the start-up routine, 4 before the loop, 2 behind it, and what hint 2 says.",
    ))

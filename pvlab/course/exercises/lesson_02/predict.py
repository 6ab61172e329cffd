"""Predict which lines of a kernel's function exit, and how often."""
from collections import Counter

from pvlab import TrapAndEmulate
from pvlab.course.exercises.guests import assembled
from pvlab.course.exercises.model import Exercise, graded, require

STATEMENT = """
Read the function `round_` in the guest below. Which exits does **one** call of it cause under trap and emulate?

Write a dict from the reason of an exit to its count, for example `{"cli": 2, "io:read": 1}`. Leave out what does
not occur. The reasons are those of the lesson's tables (`pvlab.trace.REASONS` has them all).

**Expected result:** the check says how many of your entries are right, and no more: it runs the guest for 1 and for
2 rounds and takes the difference. Write your prediction before you run it.
"""

GIVEN = '''
GUEST = """
        .globl  main, rounds
round_:
{{lines}}
        ret

main:   mov     rounds, %esi
        test    %esi, %esi
        jz      end
again:  call    round_
        dec     %esi
        jnz     again
end:    xor     %eax, %eax
        out     %al, $0xF4
        hlt

word:   .long   0
rounds: .long   COUNT
"""
'''

SOLUTION = """
### BEGIN SOLUTION
predicted = {{answer}}
### END SOLUTION
"""

PUBLIC = """
from pathlib import Path
from tempfile import TemporaryDirectory

def exits(rounds):
    with TemporaryDirectory() as folder:
        file = Path(folder, "round.S")
        file.write_text(GUEST.replace("COUNT", str(rounds)))
        return pvlab.TrapAndEmulate().run(pvlab.guest(file)).trace.by_reason()

with pvlab.check("ex02-predict") as check:
    if predicted is None:
        raise NotImplementedError
    once, twice = exits(1), exits(2)
    more = {reason: count - once.get(reason, 0) for reason, count in twice.items()}
    real = {reason: count for reason, count in more.items() if count}
    right = sum(predicted.get(reason) == count for reason, count in real.items())
    wrong = sorted(set(predicted) - set(real))
    check.that("what you have", right == len(real), f"{right} of {len(real)} reasons are right")
    check.that("nothing else", not wrong, f"{len(wrong)} of your reasons do not occur")
"""

# A piece of a function: its lines, and the exits that one execution of them causes.
PIECES = (
    ("cli\nincl    word\nsti", {"cli": 1, "sti": 1}),
    ("mov     %cr0, %eax\nor      $8, %eax\nmov     %eax, %cr0", {"mov-cr0": 2}),
    ("clts", {"clts": 1}),
    ("pushf\npop     %eax\npush    %eax\npopf", {}),
    ("in      $0x80, %al\nin      $0x80, %al\nin      $0x80, %al", {"io:read": 3}),
    ("mov     $'.', %al\nout     %al, $0xE9\nout     %al, $0xE9", {"io:write": 2}),
    ("smsw    %ax\nmov     %eax, word", {}),
    ("invlpg  word", {"invlpg": 1}),
    ("mov     %cs, %eax\npush    %eax\npop     word", {}),
    ("wbinvd", {"wbinvd": 1}),
    ("mov     %cr3, %eax\nmov     %eax, %cr3", {"mov-cr3": 2}),
    ("str     %ax\nsldt    %ax", {}),
)
_SILENT = [number for number, piece in enumerate(PIECES) if not piece[1]]
_LOUD = [number for number, piece in enumerate(PIECES) if piece[1]]


def choose(rng):
    pieces = rng.sample(_LOUD, 4) + rng.sample(_SILENT, 2)
    rng.shuffle(pieces)
    return {"pieces": pieces}


def words(variant):
    pieces = [PIECES[number] for number in variant["pieces"]]
    answer: Counter = Counter()
    for _, exits in pieces:
        answer.update(exits)
    lines = "\n".join(f"        {line}" for piece, _ in pieces for line in piece.splitlines())
    return {"lines": lines, "answer": dict(answer)}


def hidden(student, rng, variant):
    source = EXERCISE.fill(GIVEN, variant).split('"""')[1]
    n = rng.randrange(3, 40)

    def exits(rounds):
        run = TrapAndEmulate().run(assembled(source.replace("COUNT", str(rounds))))
        return run.trace.by_reason()
    few, many = exits(0), exits(n)
    real = {reason: (count - few.get(reason, 0)) // n for reason, count in many.items() if count > few.get(reason, 0)}

    def predicted():
        answer = student.value("predicted")
        require(type(answer) is dict and all(type(count) is int for count in answer.values()),
                "predicted must be a dict from reasons to whole numbers")
        return answer

    def reasons():
        answer = predicted()
        missing, more = len(real.keys() - answer.keys()), len(answer.keys() - real.keys())
        require(not more, f"{more} of your reasons do not occur: which instructions here run in ring 1 in silence?")
        require(not missing, f"{missing} reasons are missing: which instructions here are privileged?")

    def counts():
        reasons()
        wrong = [reason for reason in real if predicted()[reason] != real[reason]]
        require(not wrong, f"{len(wrong)} of the counts are wrong: reading a control register is an exit as well")
    return [graded("which reasons", 2, reasons), graded("how often", 1, counts)]


EXERCISE = Exercise(
    id="ex02-predict", title="Read a function as the monitor does", points=3, minutes=10,
    statement=STATEMENT, given=GIVEN, solution=SOLUTION, public=PUBLIC, hidden=hidden, stub="predicted = None",
    variant=choose, words=words,
    hints=(
        "Go line by line and ask of each instruction: does it trap in ring 1? `pvlab.probe` tells.",
        "Two groups of lines here cause no exit at all, although they look at the machine. "
        "Arithmetic, moves, calls and returns cause none either.",
        "Reading a control register traps as writing it does, and each IN or OUT is one exit. PUSHF, POPF, SMSW, STR, "
        "SLDT and reading CS trap in no ring.",
    ))

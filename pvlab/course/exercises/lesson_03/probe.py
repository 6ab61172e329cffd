"""Predict what an instruction does in ring 1."""
import pvlab
from pvlab.course.exercises.model import Exercise, graded, require

STATEMENT = """
Each line below runs on the bare CPU, once in ring 0 and once in ring 1, with IF = 1 before. Predict ring 1:

- `"traps"`: it raises an exception, although it runs in ring 0;
- `"differs"`: it does not trap, and leaves another EAX or another IF than in ring 0;
- `"same"`: it does not trap, and leaves both as in ring 0.

These are the lines:

{{listed}}

The code segment of ring 0 has the selector 8, its data segment 16.

**Expected result:** the check says how many are right, and no more. Predict all six before you run it.
"""

CODES = ("cli", "push $2; popf", "push $0x202; popf", "mov %cs, %eax", "push %ss; pop %eax", "hlt", "smsw %ax",
         "mov %cr0, %eax", "mov $8, %ecx; lar %ecx, %eax", "mov $16, %ecx; verr %cx; setz %al", "push %ds; pop %es",
         "in $0x80, %al", "pushf; pop %eax", "ljmp $8, $1f; 1:", "clts", "mov %ds, %ecx; and $3, %ecx; mov %ecx, %eax")
_TRAPS, _DIFFERS, _SAME = (0, 5, 7, 11, 13, 14), (1, 3, 4, 8, 9, 15), (2, 6, 10, 12)

SOLUTION = """
predicted = {
    ### BEGIN SOLUTION
    {{answers}}
    ### END SOLUTION
}
"""

PUBLIC = """
with pvlab.check("ex03-probe") as check:
    if None in predicted.values():
        raise NotImplementedError
    right = 0
    for code, said in predicted.items():
        ring0, ring1 = pvlab.probe(code).outcomes
        left = [(ring.interrupts, ring.registers["eax"]) for ring in (ring0, ring1)]
        same = "same" if left[0] == left[1] else "differs"
        right += said == ("traps" if ring1.trap else same)
    check.that("your six predictions", right == 6, f"{right} of {len(predicted)} are right")
"""


def truth(code: str) -> str:
    ring0, ring1 = pvlab.probe(code).outcomes
    if ring1.trap:
        return "traps"
    alike = (ring0.interrupts, ring0.registers["eax"]) == (ring1.interrupts, ring1.registers["eax"])
    return "same" if alike else "differs"


def choose(rng):
    chosen = [*rng.sample(_TRAPS, 2), *rng.sample(_DIFFERS, 2), *rng.sample(_SAME, 2)]
    rng.shuffle(chosen)
    return {"codes": chosen}


def words(variant):
    codes = [CODES[number] for number in variant["codes"]]
    answers = [f'"{code}": "{_listed(number)}",' for code, number in zip(codes, variant["codes"])]
    return {"listed": "\n".join(f"- `{code}`" for code in codes), "answers": "\n    ".join(answers),
            "blanks": "\n    ".join(f'"{code}": None,' for code in codes)}


def _listed(number: int) -> str:
    return "traps" if number in _TRAPS else "differs" if number in _DIFFERS else "same"


def hidden(student, rng, variant):
    real = {CODES[number]: truth(CODES[number]) for number in variant["codes"]}

    def kind(which, feedback):
        def test():
            answer = student.value("predicted")
            require(type(answer) is dict, "predicted must be a dict from the six lines to words")
            require({code for code in real if answer.get(code) == which} == {code for code in real
                                                                             if real[code] == which},
                    feedback)
        return test
    return [
        graded("what traps", 1, kind("traps", "not all that you say traps does, or something else does: which of "
                                              "these are privileged?")),
        graded("what differs", 1, kind("differs", "two of the lines show the ring, or lose a change of IF, in "
                                                  "silence: which?")),
        graded("what is the same", 1, kind("same", "two of the lines do in ring 1 what they do in ring 0, as far as "
                                                   "EAX and IF tell: which?")),
    ]


EXERCISE = Exercise(
    id="ex03-probe", title="Traps, differs, or the same?", points=3, minutes=10,
    statement=STATEMENT, solution=SOLUTION, public=PUBLIC, hidden=hidden, stub="{{blanks}}", variant=choose,
                    words=words,
    hints=(
        "Privileged instructions trap: they are the ones that are of no use to a user program. Two of the six do.",
        "What shows the ring differs: CS and SS carry it in their two lowest bits, and LAR and VERR answer according "
        "to it. POPF drops a change of IF in ring 1.",
        "POPF with IF = 1, where IF was 1 before, changes nothing in either ring. PUSHF and SMSW show the same real "
        "register in both. `pvlab.probe(\"…\")` settles the rest.",
    ))

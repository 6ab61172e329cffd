"""A classifier of instructions, tested against the CPU."""
from pvlab.course.exercises.model import Exercise, graded, require
from pvlab.machine.x86.probe import outcome

STATEMENT = """
`pvlab.probe` makes the experiment; write what follows from it. `classify(ring0, ring1)` gets what the same
instructions did in ring 0 and in ring 1, each as a dict: `trap` (the name of an exception, or `None`), `interrupts` (IF
afterwards, True or False) and `registers` (`{"eax": …, …}` afterwards). It returns

- `"privileged"` if they trap in ring 1 and not in ring 0;
- `"silent"` if they trap in neither and leave something different: sensitive, and nobody is told;
- `"innocuous"` otherwise, as far as this experiment can tell.

**Expected result:** the classes of the nine instructions in the check. The hidden checks probe other instructions,
with other registers, and with interrupts off before.
"""

GIVEN = '''
def outcomes(code, interrupts=True):
    """What the instructions did in ring 0 and in ring 1, as two dicts."""
    return [vars(outcome) for outcome in pvlab.probe(code, interrupts=interrupts).outcomes]
'''

SOLUTION = """
def classify(ring0, ring1):
    ### BEGIN SOLUTION
    if ring1["trap"] and not ring0["trap"]:
        return "privileged"
    if ring0["trap"] or ring1["trap"]:
        return "innocuous"
    same = ring0["interrupts"] == ring1["interrupts"] and ring0["registers"] == ring1["registers"]
    return "innocuous" if same else "silent"
    ### END SOLUTION
"""

PUBLIC = """
EXAMPLES = {
    "cli": "privileged", "mov %cr3, %eax": "privileged", "hlt": "privileged",
    "push $2; popf": "silent", "mov %cs, %ebx": "silent", "mov $8, %ecx; lar %ecx, %edx": "silent",
    "mov $7, %eax": "innocuous", "ud2": "innocuous", "push $0x202; popf": "innocuous"}
with pvlab.check("ex03-classify") as check:
    for code, expected in EXAMPLES.items():
        check(code, classify(*outcomes(code)), expected)
"""


def hidden(student, rng, variant):
    register = rng.choice((0, 1, 2, 3, 5, 6, 7))
    number = [rng.randrange(256) for _ in range(3)] + [rng.randrange(1, 128)]
    other_flags = rng.choice((0x4, 0x40, 0x80, 0x801)) | 2

    def popf(flags):
        return bytes([0x68, *flags.to_bytes(4, "little"), 0x9D])
    privileged = [bytes([0xFA]), bytes([0xFB]), bytes([0xF4]), bytes([0x0F, 0x20, 0xC0 | register]),
                  bytes([0x0F, 0x06]),
                  bytes([0xE4, rng.randrange(256)]), bytes([0x0F, 0x22, 0xD8])]
    shown = [bytes([0x8C, 0xC8 | register]), bytes([0x8C, 0xD0 | register]), bytes([0x0E, 0x58 | register]),
             bytes([0xB9, 8, 0, 0, 0, 0x0F, 0x02, 0xC1]), bytes([0xB9, 8, 0, 0, 0, 0x0F, 0x03, 0xD9])]
    usual = [bytes([0xB8 | register, *number]), bytes([0x81, 0xC0 | register, *number]), bytes([0x9C, 0x58 | register]),
             bytes([0x66, 0x0F, 0x01, 0xE0 | register])]
    both = [bytes([0x0F, 0x0B]), bytes([0x31, 0xC9, 0xF7, 0xF1])]

    def expect(codes, wanted, feedback, interrupts=True):
        for code in codes:
            ring0, ring1 = (vars(outcome(code, ring, interrupts)) for ring in (0, 1))
            require(student.call("classify", ring0, ring1) == wanted, feedback)

    def one_of_each():
        expect(rng.sample(privileged, 1), "privileged", "what traps in ring 1 and runs in ring 0 is privileged")
        expect([b"\x8C\xC8"], "silent", "what leaves another register in ring 1, without a trap, is silent")
        expect(usual[:1], "innocuous", "what does the same in both rings is innocuous")

    def traps():
        one_of_each()
        expect(privileged, "privileged", "what traps in ring 1 and runs in ring 0 is privileged")

    def registers():
        one_of_each()
        expect(shown, "silent", "any register may tell the two rings apart, and not EAX alone")

    def flags():
        one_of_each()
        expect([popf(other_flags)], "silent", "a change of IF that is lost in ring 1 makes the instruction silent")
        expect([popf(other_flags | 0x200)], "silent", "look at IF whatever it was before", interrupts=False)

    def others():
        one_of_each()
        expect(usual, "innocuous", "what does the same in both rings is innocuous")
        expect([popf(other_flags)], "innocuous", "look at what was left, and not at the name of the instruction",
               interrupts=False)
        expect(both, "innocuous", "what traps in both rings traps for another reason than privilege")
    return [graded("privileged", 1, traps), graded("registers", 1, registers), graded("the interrupt flag", 2, flags),
            graded("innocuous", 1, others)]


EXERCISE = Exercise(
    id="ex03-classify", title="A classifier", points=5, minutes=15,
    statement=STATEMENT, given=GIVEN, solution=SOLUTION, public=PUBLIC, hidden=hidden,
    hints=(
        "Ask about the traps first. There are four cases: a trap in neither, in ring 1 only, in both (and in ring 0 "
        "only, which does not occur).",
        "If neither trapped, compare what was left: `interrupts` and the whole dict `registers`.",
        "Two dicts are compared by `==`, all keys at once. UD2 traps in both rings: that is `\"innocuous\"` here.",
    ))

"""Cut code into translation units."""
from pvlab import guest
from pvlab.course.exercises.model import Exercise, graded, require, same
from pvlab.monitors.binary_translation import classify
from pvlab.monitors.binary_translation.translate import read_unit

STATEMENT = """
The translator takes a unit from where the guest is about to execute: at most **twelve** instructions, or fewer if one
of them ends it. Control flow ends a unit, because nobody knows where it goes on; a callout ends it, because the
monitor takes over.

Write `cut(kinds)`. `kinds` lists what a stretch of instructions is, one behind the other: `"ident"`, `"in-cache"`,
`"rewritten"` (a jump, branch, call or return) or `"callout"`. Return the list of the units' lengths if the stretch is
executed from its beginning to its end, each unit beginning where the one before ended.

**Expected result:** the four stretches of the check. The hidden checks have others, and code of the teaching kernel.
"""

SOLUTION = """
def cut(kinds):
    ### BEGIN SOLUTION
    lengths, length = [], 0
    for kind in kinds:
        length += 1
        if kind in ("rewritten", "callout") or length == 12:
            lengths.append(length)
            length = 0
    return lengths + [length] if length else lengths
    ### END SOLUTION
"""

PUBLIC = """
with pvlab.check("ex05-units") as check:
    check("a loop", cut(["ident", "in-cache", "ident", "rewritten"]), [4])
    check("two callouts", cut(["callout", "ident", "callout"]), [1, 2])
    check("thirty moves", cut(["ident"] * 30), [12, 12, 6])
    check("nothing", cut([]), [])
"""

_LINES = {"ident": "ident", "rewritten": "rewritten", "in_cache": "in-cache", "callouts": "callout"}


def stretches(rng, count: int):
    """(kinds, lengths of the units) of stretches of the teaching kernel's own code, cut by the lab's translator."""
    image = guest("kernel").image
    address, code, _ = max(image.segments, key=lambda segment: len(segment[1]))
    base = image.symbols["trap"] & 0xF0000000      # the kernel's addresses are physical ones and this
    starts = sorted(at for name, at in image.symbols.items() if not name.startswith("."))
    found = []
    for _ in range(200):
        at = rng.choice(starts) - base
        if not address <= at < address + len(code) - 400:
            continue
        kinds, lengths, end = [], [], (at | 4095) - 200
        while at < end and len(kinds) < 60:
            unit = read_unit(code[at - address:at - address + 200], at)
            if any(one.kind in (classify.INVALID, classify.STI) for one in unit):
                break
            kinds += [_LINES[classify.line_of(one.kind)] for one in unit]
            lengths.append(len(unit))
            at = unit[-1].address + len(unit[-1].code)
        if len(lengths) > 2:
            found.append((kinds, lengths))
        if len(found) == count:
            return found
    return found


def hidden(student, rng, variant):
    def right(kinds, lengths, feedback):
        require(same(student.call("cut", kinds), lengths), feedback)

    def plain(count):
        return [rng.choice(("ident", "ident", "in-cache")) for _ in range(count)]

    def ends():
        for last in ("rewritten", "callout"):
            one, other = rng.randrange(0, 10), rng.randrange(0, 10)
            right([*plain(one), last, *plain(other), last], [one + 1, other + 1],
                  f"an instruction that is {last} is the last of its unit")

    def twelve():
        for rest in (0, 1, rng.randrange(2, 11)):
            right(plain(24 + rest), [12, 12] + [rest] * (rest > 0), "a unit has at most twelve instructions")
        right([*plain(11), "callout", *plain(3)], [12, 3], "a callout may be the twelfth")
        right([*plain(12), "rewritten", *plain(3)], [12, 1, 3], "after twelve a new unit begins, whatever follows")

    def rest():
        ends()
        right(plain(5), [5], "a stretch may end in the middle of a unit: that unit counts as well")
        right([*plain(3), "rewritten"], [4], "where the stretch ends with a unit, there is no empty one behind it")

    def kernel():
        for kinds, lengths in stretches(rng, 6):
            right(kinds, lengths, "a stretch of the kernel's code is cut wrongly")
    return [graded("what ends a unit", 1, ends), graded("twelve", 1, twelve), graded("the rest", 1, rest),
            graded("the kernel's own code", 1, kernel)]


EXERCISE = Exercise(
    id="ex05-units", title="Cut into units", points=4, minutes=15,
    statement=STATEMENT, solution=SOLUTION, public=PUBLIC, hidden=hidden,
    hints=(
        "Count instructions. When does the count go back to 0?",
        "Append the count and begin anew after an instruction that is `\"rewritten\"` or `\"callout\"`, and after the "
        "twelfth.",
        "What is left at the end is a unit, too, unless the count is 0.",
    ))

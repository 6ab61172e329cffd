"""Write a DIAGNOSE code: compare two areas of storage for the guest."""
from pvlab import guest
from pvlab.course.control import AREAS, AnsweredBy
from pvlab.course.exercises.model import Exercise, graded, require, same

STATEMENT = """
Give the guest a hypercall of your own: **DIAGNOSE X'104', compare two areas**. The convention:

| | on entry | on return |
|---|---|---|
| Rx | address of the first area | |
| Rx+1 | length of both in bytes, at most 4,096 | how many bytes are equal, from the first one on |
| Ry | address of the second area | |

Condition code 0: all bytes are equal. 1: at the first difference the first area's byte is lower. 2: it is higher. 3:
the length is above 4,096; nothing was read, and Rx+1 is as it was. An area that is not wholly in storage is an
addressing exception, program interruption 5.

A hypercall runs with the monitor's rights, so check before you read. Your code is two functions:

- `plan(registers, storage)` is asked first. `registers` is a dict with `rx`, `rx1`, `ry`, `ry1` (contents, 64 bits),
  `storage` the size of the guest's storage in bytes. Return `{"read": [[address, length], …]}` to have those areas
  read, or `{"cc": n}` to answer at once, or `{"interrupt": code}`.
- `finish(registers, contents)` gets what was read, a list of bytes for each area. Return `{"cc": n, "rx1": number}`.

**Expected result:** the [guest](../../pvlab/course/areas.s390x.c) whose areas differ at byte 10 prints `cc=1
equal=10`. The hidden checks have other areas, and guests that lie.
"""

GIVEN = """
from pvlab.course.control import AREAS, AnsweredBy      # the guest; a CP that asks your functions
"""

SOLUTION = """
### BEGIN SOLUTION
def plan(registers, storage):
    length = registers["rx1"]
    if length > 4096:
        return {"cc": 3}
    areas = [[registers["rx"], length], [registers["ry"], length]]
    if any(address + length > storage for address, length in areas):
        return {"interrupt": 5}
    return {"read": areas}


def finish(registers, contents):
    one, other = contents
    for equal, (a, b) in enumerate(zip(one, other)):
        if a != b:
            return {"cc": 1 if a < b else 2, "rx1": equal}
    return {"cc": 0, "rx1": len(one)}
### END SOLUTION
"""

STUB = """
def plan(registers, storage):
    raise NotImplementedError


def finish(registers, contents):
    raise NotImplementedError
""".strip()

PUBLIC = """
with pvlab.check("ex04-compare") as check:
    registers = {"rx": 0x20000, "rx1": 64, "ry": 0x30000, "ry1": 0}
    check("what to read", plan(registers, 1 << 25), {"read": [[0x20000, 64], [0x30000, 64]]})
    cp = AnsweredBy(0x104, plan, finish)
    for parameters, expected in (({"at": 10}, "cc=1 equal=10"), ({"at": 99}, "cc=0 equal=64")):
        run = cp.run(pvlab.guest(AREAS, **parameters), budget=2_000_000)
        check(f"the guest with {parameters}", run.text.strip(), expected)
"""


def hidden(student, rng, variant):
    storage = rng.choice((1 << 24, 1 << 25, 24 << 20))

    def plan(*arguments):
        return student.call("plan", *arguments)

    def finish(*arguments):
        return student.call("finish", *arguments)

    def planned(wanted, feedback, rx, length, ry):
        answer = plan({"rx": rx, "rx1": length, "ry": ry, "ry1": rng.randrange(1 << 64)}, storage)
        require(same(answer, wanted), feedback)

    def address():
        return rng.randrange(1 << 12, storage - 8192)

    def reads():
        for length in (1, rng.randrange(2, 4000), 4096):
            one, other = address(), address()
            planned({"read": [[one, length], [other, length]]}, "plan must have both areas read, the one at Rx first",
                    one, length, other)

    def finished(contents, wanted, feedback):
        require(same(finish({"rx": 0x2000, "rx1": len(contents[0]), "ry": 0x3000, "ry1": 0}, contents), wanted),
                feedback)

    def compares():
        reads()
        size = rng.randrange(20, 200)
        one = [rng.randrange(1, 255) for _ in range(size)]
        finished([one, one], {"cc": 0, "rx1": size}, "areas that are equal: condition code 0, and all bytes counted")
        for place in (0, rng.randrange(1, size - 1), size - 1):
            for step, cc in ((1, 1), (-1, 2)):
                other = [*one]
                other[place] += step
                if place + 1 < size:
                    other[place + 1] = rng.randrange(256)       # what follows the first difference does not matter
                finished([one, other], {"cc": cc, "rx1": place},
                         "the first difference decides: 1 where the first area is lower there, 2 where it is higher")

    def empty():
        compares()
        planned({"read": [[0x2000, 0], [0x3000, 0]]}, "a length of 0 is allowed", 0x2000, 0, 0x3000)
        finished([[], []], {"cc": 0, "rx1": 0}, "areas of no bytes are equal")

    def too_long():
        reads()
        for length in (4097, 1 << 20, 1 << 63):
            planned({"cc": 3}, "a length above 4,096 is answered at once with condition code 3, whatever the "
                               "addresses are",
                    rng.choice((address(), 1 << 60)), length, address())

    def outside():
        reads()
        for one, length, other in ((storage - 10, 11, 0x1000), (0x1000, 11, storage - 10), (storage, 1, 0x1000),
                                   (0x1000, 16, 1 << 63)):
            planned({"interrupt": 5}, "an area that is not wholly in storage is an addressing exception (5): check "
                                      "both areas, and their ends", one, length, other)
        planned({"read": [[storage - 10, 10], [0, 10]]}, "an area may end with storage, and begin at 0", storage - 10,
                10, 0)

    def guests():
        cp = AnsweredBy(0x104, plan, finish)
        length = rng.randrange(100, 4000)
        for parameters, wanted in (({"at": rng.randrange(length), "delta": rng.randrange(1, 256)}, None),
                                   ({}, f"cc=0 equal={length}"),
                                   ({"length": 5000}, "cc=3 equal=5000")):
            run = cp.run(guest(AREAS, **{"seed": rng.randrange(1 << 31), "length": length, **parameters}),
                         budget=2_000_000)
            require(run.outcome == "shutdown", f"the guest does not come to its end: {run.outcome}")
            said = run.text.strip()
            if wanted is None:
                require(said in (f"cc=1 equal={parameters['at']}", f"cc=2 equal={parameters['at']}"),
                        "the guest's areas differ in one byte, and your answer does not say so")
            else:
                require(said == wanted, "the guest reads another answer than the convention has")
    return [graded("what to read", 1, reads), graded("the comparison", 2, compares), graded("no bytes", 1, empty),
            graded("too long", 1, too_long), graded("outside storage", 2, outside), graded("a guest asks", 1, guests)]


EXERCISE = Exercise(
    id="ex04-compare", title="A hypercall of your own", points=8, minutes=45,
    statement=STATEMENT, given=GIVEN, solution=SOLUTION, public=PUBLIC, hidden=hidden, stub=STUB,
    hints=(
        "`plan` decides in this order: is the length too large? Is an area outside? Else read both.",
        "An area is outside if `address + length > storage`. Both areas can be.",
        "`finish`: go along `zip(one, other)` with `enumerate`, and answer at the first pair that differs: its number "
        "is how many bytes were equal. If there is none, condition code 0 and the whole length.",
    ))

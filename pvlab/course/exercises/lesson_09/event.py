"""Event index: must the other side be notified?"""
from pvlab.course.exercises.model import Exercise, graded, require

STATEMENT = """
With the event index, each side of a virtqueue writes into the ring *from which entry on* it wants to be notified. The
other side must then ask, whenever its own index has gone up: was that entry passed just now?

Write `wanted(event, before, now)`. All three are 16-bit counters that run from 0 to 65,535 and then begin again at 0.
`before` is the index when this was last asked, `now` the index of today; between the two, the entries numbered
`before`, `before + 1`, … `now - 1` were added (modulo 65,536), at most 32,768 of them. Return `True` if the entry
with the number `event` is among them, else `False`.

**Expected result:** the six cases of the check. The hidden checks have thousands, most of them where the counters begin
again.
"""

SOLUTION = """
def wanted(event, before, now):
    ### BEGIN SOLUTION
    return (now - event - 1) % 65536 < (now - before) % 65536
    ### END SOLUTION
"""

PUBLIC = """
CASES = [((5, 5, 6), True), ((6, 5, 6), False), ((4, 5, 6), False), ((7, 5, 10), True),
         ((5, 5, 5), False), ((65535, 65534, 1), True)]
with pvlab.check("ex09-event") as check:
    for case, expected in CASES:
        check("event {}, before {}, now {}".format(*case), wanted(*case), expected)
"""


def truth(event: int, before: int, now: int) -> bool:
    """By counting: the meaning, and not the formula."""
    return (event - before) % 65536 in range((now - before) % 65536)


def hidden(student, rng, variant):
    def right(cases, feedback):
        for event, before, now in cases:
            require(student.call("wanted", event, before, now) is truth(event, before, now), feedback)

    def around(before, count):
        """Events at and beside both ends, and some elsewhere."""
        now = (before + count) % 65536
        near = [(end + step) % 65536 for end in (before, now) for step in (-2, -1, 0, 1, 2)]
        return [(event, before, now) for event in [*near, *(rng.randrange(65536) for _ in range(4))]]

    def usual():
        for _ in range(20):
            right(around(rng.randrange(3, 30_000), rng.randrange(1, 300)),
                  "of the entries before, …, now - 1 both ends count: before does, now does not")

    def wrapped():
        usual()
        for _ in range(20):
            count = rng.randrange(2, 300)
            right(around(65536 - rng.randrange(1, count), count),
                  "where the counters begin again at 0, compare differences modulo 65,536, and not the numbers "
                                                                  "themselves")

    def nothing():
        usual()
        for _ in range(10):
            right(around(rng.randrange(65536), 0), "where nothing was added, nobody is to be notified")
    return [graded("usual counters", 1, usual), graded("counters that begin again", 1, wrapped),
            graded("nothing added", 1, nothing)]


EXERCISE = Exercise(
    id="ex09-event", title="Was it passed just now?", points=3, minutes=10,
    statement=STATEMENT, solution=SOLUTION, public=PUBLIC, hidden=hidden,
    hints=(
        "Forget about 16 bits first: `before <= event < now`. Where does it go wrong?",
        "How far is the event behind `before`? How far is `now`? Both are differences, and modulo 65,536 they are "
        "right wherever the counters stand: `(now - before) % 65536`.",
        "`(event - before) % 65536 < (now - before) % 65536`. (Linux and the specification turn it round: "
        "`now - event - 1 < now - before`.)",
    ))

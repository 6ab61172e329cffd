"""Count the exits of disk I/O, way by way."""
from pvlab import Cp, guest
from pvlab.course.exercises.model import Exercise, graded, require, same

STATEMENT = """
The guest `s390-disk-copy` copies `blocks` blocks from one disk to another: it reads up to `batch` of them with one
request, writes them with another, and goes on. Predict the exits of the requests. Write `exits(by, blocks, batch)`,
which returns a dict from reason to count:

- `"channel"`: a channel program for each request: start it, wait, take its status, return from the interruption;
- `"x18"`: DIAGNOSE X'18' for each request;
- `"x250"`: DIAGNOSE X'250' for each request, and twice more at the beginning: each disk must be made ready first.

Leave out what does not belong to the requests (finding the devices, and the end of the run).

**Expected result:** for 5 blocks, 2 with each request: `{"ssch": 6, "lpswe": 12, "tsch": 6}` by channel programs. The
hidden checks run the guest with other numbers.
"""

GIVEN = '''
REASONS = ("ssch", "lpswe", "tsch", "diagnose:0x18", "diagnose:0x250")

def counted(by, blocks, batch):
    """What CP counts of those reasons."""
    run = pvlab.Cp().run(pvlab.guest("s390-disk-copy", by=by, n=blocks, batch=batch))
    return {reason: n for reason, n in run.trace.by_reason().items() if reason in REASONS}
'''

SOLUTION = """
def exits(by, blocks, batch):
    ### BEGIN SOLUTION
    requests = 2 * -(-blocks // batch)          # read and write, the last request perhaps a short one
    if by == "channel":
        return {"ssch": requests, "lpswe": 2 * requests, "tsch": requests}
    if by == "x18":
        return {"diagnose:0x18": requests}
    return {"diagnose:0x250": requests + 2}
    ### END SOLUTION
"""

PUBLIC = """
with pvlab.check("ex04-requests") as check:
    for by, blocks, batch in (("channel", 5, 2), ("x18", 6, 3), ("x250", 4, 1)):
        mine = exits(by, blocks, batch)
        check(f"{blocks} blocks, {batch} with each request, {by}", mine, counted(by, blocks, batch))
"""

_REASONS = ("ssch", "lpswe", "tsch", "diagnose:0x18", "diagnose:0x250")


def hidden(student, rng, variant):
    def right(by, blocks, batch, feedback):
        run = Cp().run(guest("s390-disk-copy", by=by, n=blocks, batch=batch))
        real = {reason: n for reason, n in run.trace.by_reason().items() if reason in _REASONS}
        require(same(student.call("exits", by, blocks, batch), real), feedback)

    def single():
        right("channel", rng.randrange(3, 12), 1, "a channel program has four exits, and a block is read and written")

    def batches():
        batch = rng.randrange(2, 8)
        right("channel", batch * rng.randrange(2, 5), batch, "a batch makes one request of several blocks")

    def short():
        single()
        batch = rng.randrange(3, 9)
        for by in ("channel", "x18"):
            right(by, batch * rng.randrange(1, 4) + rng.randrange(1, batch), batch,
                  "the last request may be a short one: round up")

    def diagnoses():
        single()
        batch = rng.randrange(2, 6)
        right("x18", batch * rng.randrange(2, 5), batch, "DIAGNOSE X'18' is one exit for a request")
        right("x250", batch * rng.randrange(2, 5), batch, "DIAGNOSE X'250' is one exit for a request, and one to "
                                                          "begin with for each disk")
    return [graded("channel programs, block by block", 1, single), graded("batches", 1, batches),
            graded("a short last request", 1, short), graded("DIAGNOSE", 1, diagnoses)]


EXERCISE = Exercise(
    id="ex04-requests", title="What a request costs", points=4, minutes=15,
    statement=STATEMENT, given=GIVEN, solution=SOLUTION, public=PUBLIC, hidden=hidden,
    hints=(
        "First the number of requests. Each block is read once and written once.",
        "`blocks / batch`, rounded up, and twice that. In whole numbers: `-(-blocks // batch)` rounds up.",
        "A channel program: 1 `ssch`, 1 `tsch`, 2 `lpswe` (one loads the waiting PSW, one returns from the "
        "interruption). A DIAGNOSE: 1. X'250' has 2 more at the beginning.",
    ))

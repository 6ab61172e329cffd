"""The disk behind the ring: what to do about one request."""
import struct

from pvlab import Native, guest
from pvlab.course.exercises.model import Exercise, graded, require, same
from pvlab.course.virtqueues import DiskBy

STATEMENT = """
A request of a virtio disk begins with a header of 16 bytes, all little-endian: 4 bytes *type*, 4 bytes that do not
matter, 8 bytes *sector*. Data follow, and one byte of status for the device to write. Decide what the device does:
write `serve(request, disk)`.

`request` is a dict: `header` (a list of 16 bytes), `given` (how many bytes of data the driver gives behind it) and
`room` (how many bytes there are for the device to fill, the status left out). `disk` has `sectors`, its size, and
`read_only`. A sector has 512 bytes. Return a dict with `status`, `move`, `sector` and `count` (in sectors):

| type | what | status | move |
|---|---|---|---|
| 0 | read `room` bytes from the sector on | 0 | `"read"` |
| 1 | write `given` bytes from the sector on | 0 | `"write"` |
| 4 | flush | 0 | `None` |
| any other | not supported | 2 | `None` |

Status 1 (an I/O error), and no move, is the answer to a read or write that is not of whole sectors, that goes beyond
the disk's end, to a write to a disk that is read-only, to a read that also gives data and to a write that also has
room. Where nothing moves, `sector` and `count` are 0.

**Expected result:** the kernel writes six sectors to your disk and reads six from it as on the bare machine. The hidden
checks send other requests, honest and not.
"""

GIVEN = """
from pvlab.course.virtqueues import DiskBy      # trap and emulate, whose disk is your function

DISK = {"sectors": 100, "read_only": False}
HEADER = [0, 0, 0, 0,  0, 0, 0, 0,  5, 0, 0, 0, 0, 0, 0, 0]      # read, from sector 5
"""

SOLUTION = """
def serve(request, disk):
    ### BEGIN SOLUTION
    header = bytes(request["header"])
    kind, sector = int.from_bytes(header[:4], "little"), int.from_bytes(header[8:], "little")
    given, room = request["given"], request["room"]
    nothing = {"move": None, "sector": 0, "count": 0}
    if kind == 4:
        return {"status": 0, **nothing}
    if kind not in (0, 1):
        return {"status": 2, **nothing}
    size, other = (room, given) if kind == 0 else (given, room)
    beyond = sector + size // 512 > disk["sectors"]
    if size % 512 or other or beyond or kind == 1 and disk["read_only"]:
        return {"status": 1, **nothing}
    return {"status": 0, "move": "write" if kind else "read", "sector": sector, "count": size // 512}
    ### END SOLUTION
"""

PUBLIC = """
with pvlab.check("ex09-request") as check:
    check("read two sectors", serve({"header": HEADER, "given": 0, "room": 1024}, DISK),
          {"status": 0, "move": "read", "sector": 5, "count": 2})
    check("read half a sector", serve({"header": HEADER, "given": 0, "room": 256}, DISK),
          {"status": 1, "move": None, "sector": 0, "count": 0})
    for workload in ("disk-write", "disk-read"):
        guest = pvlab.guest("kernel", workload=workload, device="virtio", n=6)
        bare, run = pvlab.Native().run(guest), DiskBy(serve=serve).run(guest, budget=500_000)
        check(f"what {workload} prints on your disk", run.text, bare.text)
        check.that(f"the bytes of {workload}", run.digest == bare.digest, "its digest is another")
"""


def hidden(student, rng, variant):
    sectors = rng.randrange(50, 5000)
    disk = {"sectors": sectors, "read_only": False}

    def request(kind, sector, given=0, room=0):
        return {"header": list(struct.pack("<IIQ", kind, rng.randrange(1 << 32), sector)), "given": given, "room": room}

    def says(feedback, wanted, *what, on=None, **more):
        answer = student.call("serve", request(*what, **more), on or disk)
        expected = dict(zip(("status", "move", "sector", "count"), wanted))
        require(same(answer, expected), feedback)

    def moves():
        for count in (1, rng.randrange(2, 9)):
            sector = rng.randrange(sectors - count)
            says("a read of whole sectors on the disk is carried out", (0, "read", sector, count), 0, sector,
                 room=512 * count)
            says("a write of whole sectors on the disk is carried out", (0, "write", sector, count), 1, sector,
                 given=512 * count)
        says("a request may end with the disk's last sector", (0, "read", sectors - 3, 3), 0, sectors - 3, room=1536)

    def kernel():
        for workload in ("disk-write", "disk-read"):
            of = guest("kernel", workload=workload, device="virtio", n=rng.randrange(5, 12), depth=rng.randrange(1, 4))
            bare = Native().run(of)
            run = DiskBy(serve=lambda *arguments: student.call("serve", *arguments)).run(of, 3 * bare.instructions)
            require((run.outcome, run.digest) == (bare.outcome, bare.digest),
                    f"{workload} does not leave the same bytes as on the bare machine: it ends in '{run.outcome}'")

    def others():
        moves()
        says("a flush succeeds, and moves nothing", (0, None, 0, 0), 4, 0)
        for kind in (2, 3, 8, rng.randrange(9, 1 << 32)):
            says("another type is not supported: status 2", (2, None, 0, 0), kind, rng.randrange(sectors), room=512)

    def bounds():
        moves()
        for sector, count in ((sectors - 2, 3), (sectors, 1), (1 << 40, 1), ((1 << 64) - 1, 2)):
            says("what goes beyond the disk's end is an I/O error", (1, None, 0, 0), 0, sector, room=512 * count)
            says("what goes beyond the disk's end is an I/O error", (1, None, 0, 0), 1, sector, given=512 * count)

    def forms():
        moves()
        says("what is not of whole sectors is an I/O error", (1, None, 0, 0), 0, 1, room=512 + rng.randrange(1, 512))
        says("a write to a disk that is read-only is an I/O error", (1, None, 0, 0), 1, 1, given=512,
             on=disk | {"read_only": True})
        says("a disk that is read-only can be read", (0, "read", 1, 1), 0, 1, room=512, on=disk | {"read_only": True})
        says("a read that also gives data is an I/O error, and so is a write with room", (1, None, 0, 0), 0, 1,
             given=512, room=512)
        says("a read that also gives data is an I/O error, and so is a write with room", (1, None, 0, 0), 1, 1,
             given=512, room=512)
    return [graded("reads and writes", 1, moves), graded("a kernel's disk", 1, kernel),
            graded("flush and other types", 1, others),
            graded("the disk's end", 1, bounds), graded("requests of a wrong form", 2, forms)]


EXERCISE = Exercise(
    id="ex09-request", title="The disk behind the ring", points=6, minutes=40,
    statement=STATEMENT, given=GIVEN, solution=SOLUTION, public=PUBLIC, hidden=hidden,
    hints=(
        "`int.from_bytes(bytes(header[:4]), \"little\")` is the type, and the same with `header[8:]` the sector.",
        "Put what is common first: for a read `size` is `room` and the other is `given`; for a write the other way "
        "round. Then one condition decides about status 1.",
        "Status 1 if `size % 512`, or if the other is not 0, or if `sector + size // 512 > disk[\"sectors\"]`, or for "
        "a write if the disk is read-only.",
    ))

"""The device side of a virtqueue: which chains the driver offers, and which of them cannot be followed."""
import struct

from pvlab import Native, guest
from pvlab.course.exercises.model import Exercise, graded, require, same
from pvlab.course.virtqueues import DiskBy
from pvlab.devices.virtio.queue import Dma, Queue, RingError
from pvlab.machine.memory import Ram

STATEMENT = """
Now the ring itself. The driver has put its chains into memory and raised its index; the device looks. Write
`take(size, table, available, taken)`:

- `size`: the queue has so many entries, a power of two;
- `table`: the descriptor table, a list of `size` lists `[address, length, flags, next]`. Flag 1 (NEXT): the chain goes
  on with descriptor `next`. Flag 2 (WRITE): the device writes this part; without it, it reads;
- `available`: a dict with `flags`, `index` and `ring`, a list of `size` heads;
- `taken`: how many chains the device has taken so far.

`index` and `taken` are 16-bit counters that begin again at 0 after 65,535. The chains from `taken` up to `index`
wait, and the head of chain number k stands in `ring[k % size]`. Return

- `{"chains": [{"head": …, "parts": [[address, length, writes], …]}, …]}`: all that wait, in order, with `writes` True
  or False;
- `{"broken": why}`, a sentence of yours, where the driver has broken the rules: more chains wait than the queue has
  entries; a head or `next` is no descriptor of the table; a chain is a loop (it has more parts than the table); a part
  that the device reads comes after one that it writes.

**Expected result:** four rings of the check, and then the kernel reads its disk by your code. The hidden checks have
other rings, and drivers that lie.
"""

GIVEN = """
from pvlab.course.virtqueues import DiskBy      # trap and emulate, whose disk is your function

NEXT, WRITE = 1, 2
TABLE = [[0x1000, 16, NEXT, 1], [0x2000, 512, NEXT | WRITE, 2], [0x3000, 1, WRITE, 0], [0, 0, 0, 0]]
CHAIN = {"head": 0, "parts": [[0x1000, 16, False], [0x2000, 512, True], [0x3000, 1, True]]}
"""

SOLUTION = """
def take(size, table, available, taken):
    ### BEGIN SOLUTION
    count = (available["index"] - taken) % 65536
    if count > size:
        return {"broken": f"{count} chains in a queue of {size}"}
    chains = []
    for k in range(taken, taken + count):
        head = number = available["ring"][k % size]
        parts = []
        while True:
            if number >= size or len(parts) == size:
                return {"broken": f"the chain at {head} leads outside, or round and round"}
            address, length, flags, following = table[number]
            writes = bool(flags & 2)
            if parts and parts[-1][2] and not writes:
                return {"broken": f"the chain at {head} has a part to read after one to write"}
            parts.append([address, length, writes])
            if not flags & 1:
                break
            number = following
        chains.append({"head": head, "parts": parts})
    return {"chains": chains}
    ### END SOLUTION
"""

PUBLIC = """
def ring(index, *heads):
    return {"flags": 0, "index": index, "ring": [*heads, 0, 0, 0, 0][:4]}

with pvlab.check("ex09-chains") as check:
    check("nothing waits", take(4, TABLE, ring(7), 7), {"chains": []})
    check("one chain", take(4, TABLE, ring(1), 0), {"chains": [CHAIN]})
    loop = [TABLE[0], [0x2000, 512, NEXT | WRITE, 1], *TABLE[2:]]
    check("a loop", sorted(take(4, loop, ring(1), 0)), ["broken"])
    check("an index that jumps", sorted(take(4, TABLE, ring(6), 1)), ["broken"])
    guest = pvlab.guest("kernel", workload="disk-read", device="virtio", n=8, depth=4)
    bare, run = pvlab.Native().run(guest), DiskBy(take=take).run(guest, budget=1_000_000)
    check("what the kernel prints", run.text, bare.text)
"""


def truth(size: int, table: list, available: dict, taken: int) -> list | None:
    """What the lab's own device makes of it: the chains, or None where it refuses."""
    memory, queue = Ram(1 << 20), Queue(32768)
    queue.size, queue.descriptors, queue.driver, queue.device = size, 0x10000, 0xA0000, 0xC0000
    memory.write(queue.descriptors, b"".join(struct.pack("<QIHH", *entry) for entry in table))
    memory.write(queue.driver, struct.pack(f"<{2 + size}H", available["flags"], available["index"], *available["ring"]))
    queue.enable(Dma(memory))
    queue.next_available = taken
    try:
        heads = [available["ring"][(taken + i) % size] for i in range(queue.waiting())]
        return [{"head": head, "parts": [list(part) for part in queue._follow(head)]} for head in heads]
    except RingError:
        return None


def honest(rng, size: int, count: int, taken: int) -> tuple:
    """A ring with so many chains, of descriptors in any order."""
    free, table, ring = list(range(size)), [[rng.randrange(1 << 40), rng.randrange(1 << 20), 0, rng.randrange(size)]
                                            for _ in range(size)], [rng.randrange(size) for _ in range(size)]
    rng.shuffle(free)
    for k in range(count):
        parts = [free.pop() for _ in range(min(rng.randrange(1, 5), len(free) - (count - k - 1)))]
        reads = rng.randrange(len(parts) + 1)
        for i, number in enumerate(parts):
            table[number][2] = 2 * (i >= reads) | (i < len(parts) - 1)
            if i < len(parts) - 1:
                table[number][3] = parts[i + 1]
        ring[(taken + k) % size] = parts[0]
    return size, table, {"flags": rng.randrange(2), "index": (taken + count) % 65536, "ring": ring}, taken


def hidden(student, rng, variant):
    def right(arguments, feedback):
        require(same(student.call("take", *arguments), {"chains": truth(*arguments)}), feedback)

    def refused(arguments, feedback):
        require(truth(*arguments) is None, "this ring is in order")     # no more than a safeguard: the lab must agree
        answer = student.call("take", *arguments)
        require(type(answer) is dict and type(answer.get("broken")) is str and "chains" not in answer, feedback)

    def one():
        right(honest(rng, 8, 1, rng.randrange(100)), "one chain waits: its head is in ring[taken % size]")
        right(honest(rng, 8, 0, rng.randrange(100)), "where index and taken are the same, nothing waits")

    def several():
        for size in (8, 64, 256):
            count = rng.randrange(2, size // 2)
            right(honest(rng, size, count, rng.randrange(10_000)),
                  "several chains wait, from taken up to index, round the end of the ring")

    def wrapped():
        one()
        for _ in range(3):
            count = rng.randrange(3, 8)
            right(honest(rng, 16, count, 65536 - rng.randrange(1, count)),
                  "index and taken begin again at 0: take their difference modulo 65,536")

    def spoiled(change, feedback):
        def test():
            one()
            for _ in range(3):
                size, table, available, taken = honest(rng, 16, 1, rng.randrange(1000))
                change(table, available, taken)
                refused((size, table, available, taken), feedback)
        return test

    def loop(table, available, taken):
        head, other = available["ring"][taken % 16], rng.randrange(16)
        table[head][2:], table[other][2:] = [1, other], [1, head]

    def outside(table, available, taken):
        if rng.randrange(2):
            available["ring"][taken % 16] = rng.randrange(16, 65536)
        else:
            table[available["ring"][taken % 16]][2:] = [1, rng.randrange(16, 65536)]

    def jump(table, available, taken):
        available["index"] = (taken + rng.randrange(17, 60_000)) % 65536

    def order(table, available, taken):
        head = available["ring"][taken % 16]
        other = (head + 1) % 16
        table[head][2:], table[other][2:] = [3, other], [0, 0]

    def kernel():
        for workload in ("disk-read", "disk-write"):
            of = guest("kernel", workload=workload, device="virtio", n=rng.randrange(6, 16), depth=rng.randrange(2, 6))
            bare = Native().run(of)
            run = DiskBy(take=lambda *arguments: student.call("take", *arguments)).run(of, 3 * bare.instructions)
            require((run.outcome, run.digest) == (bare.outcome, bare.digest),
                    f"{workload} does not leave the same bytes as on the bare machine: it ends in '{run.outcome}'")
    return [
        graded("one chain", 1, one), graded("several chains", 1, several),
            graded("counters that begin again", 1, wrapped),
        graded("a kernel's disk", 2, kernel),
        graded("loops", 1, spoiled(loop, "a chain that is a loop must be refused, and must not be followed for ever")),
        graded("descriptors that are not there", 1,
               spoiled(outside, "a head or next outside the table must be refused")),
        graded("an index that jumps", 1, spoiled(jump, "more chains than the queue has entries must be refused")),
        graded("parts in the wrong order", 1, spoiled(order, "a part to read after one to write must be refused")),
    ]


EXERCISE = Exercise(
    id="ex09-chains", title="The device side of a virtqueue", points=9, minutes=75,
    statement=STATEMENT, given=GIVEN, solution=SOLUTION, public=PUBLIC, hidden=hidden,
    hints=(
        "First the count: `(available[\"index\"] - taken) % 65536`. Then a loop over the chains, and inside it a loop "
        "along each chain.",
        "Along a chain: take `address, length, flags, following = table[number]`; append; stop if flag 1 is not set; "
        "else go on with `number = following`.",
        "Four things are refused. Before the loop: `count > size`. In it, before the table is read: `number >= size`, "
        "and `len(parts) == size` (a loop). After it is read: the last part was written, and this one is not.",
    ))

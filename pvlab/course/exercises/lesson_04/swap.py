"""Deliver an interruption: the swap of PSWs, virtual and real."""
import struct

from pvlab import guest
from pvlab.course.control import Interruptions
from pvlab.course.exercises.model import Exercise, graded, require, same
from pvlab.machine.s390x import psw
from pvlab.monitors.cp.vcpu import OWN

STATEMENT = """
An interruption on a mainframe is a swap: the machine stores the PSW at one place of low storage, and loads another one
from a second place. For a virtual machine CP does it, with the *virtual* PSW. Write `interrupt(kind, psw, core)`.

`psw` is `[mask, address]`, the virtual PSW, two 64-bit numbers. `core` is the list of the guest's first 512 bytes.

| kind | the old PSW goes to | the new one comes from |
|---|---|---|
| `"external"` | 0x130 | 0x1B0 |
| `"svc"` | 0x140 | 0x1C0 |
| `"program"` | 0x150 | 0x1D0 |
| `"io"` | 0x170 | 0x1F0 |

A PSW in storage has 16 bytes: the mask and then the address, big-endian. Return a dict with

- `at`: where the old PSW is stored, and `stored`: its 16 bytes, a list of numbers;
- `virtual`: the new virtual PSW, `[mask, address]`;
- `real`: the mask with which the real CPU goes on. It is the new virtual mask without the bits that are CP's affair
  (`OWN`: which interruptions are allowed, wait, problem state), and **with** the problem-state bit: whatever the guest
  believes, it runs in the problem state.

**Expected result:** the check takes one interruption by hand, and then compares all that a guest gets which waits for
its timer. The hidden checks look at other guests.
"""

GIVEN = """
from pvlab.course.control import Interruptions      # a CP that notes each interruption

PROBLEM = 1 << 48                                   # bit 15 of the mask: the problem state
OWN = {{own}}                            # bits of the mask that are CP's
"""

SOLUTION = """
def interrupt(kind, psw, core):
    ### BEGIN SOLUTION
    old = {"external": 0x130, "svc": 0x140, "program": 0x150, "io": 0x170}[kind]
    new = bytes(core[old + 0x80:old + 0x90])
    stored = psw[0].to_bytes(8, "big") + psw[1].to_bytes(8, "big")
    mask, address = int.from_bytes(new[:8], "big"), int.from_bytes(new[8:], "big")
    return {"at": old, "stored": list(stored), "virtual": [mask, address], "real": mask & ~OWN | PROBLEM}
    ### END SOLUTION
"""

PUBLIC = """
CORE = [0] * 512
CORE[0x1B0:0x1C0] = [0, 0, 0, 1, 0x80, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0x02, 0x40]
with pvlab.check("ex04-swap") as check:
    check("an external interruption", interrupt("external", [0x0101000180000000, 0x10500], CORE), {
        "at": 0x130, "stored": [1, 1, 0, 1, 0x80, 0, 0, 0, 0, 0, 0, 0, 0, 1, 5, 0],
        "virtual": [0x180000000, 0x10240], "real": 0x1000180000000}, base=16)
    cp = Interruptions()
    cp.run(pvlab.guest("s390-timer", n=3))
    for number, (arguments, expected) in enumerate(cp.seen, 1):
        check(f"interruption {number} of the timer", interrupt(*arguments), expected, base=16)
"""

_OLD = {"external": 0x130, "svc": 0x140, "program": 0x150, "io": 0x170}


def hidden(student, rng, variant):
    def case(kind, problem=False, enabled=True):
        """A virtual PSW, and low storage with a new PSW of this kind and others elsewhere."""
        core = [rng.randrange(256) for _ in range(512)]
        mask = psw.EXTENDED | psw.BASIC | rng.randrange(4) << 44
        mask |= psw.PROBLEM * problem | (psw.IO | psw.EXTERNAL) * enabled
        new = psw.EXTENDED | psw.BASIC | psw.MACHINE_CHECK * rng.randrange(2), rng.randrange(1 << 24) * 2
        core[_OLD[kind] + 0x80:_OLD[kind] + 0x90] = struct.pack(">QQ", *new)
        old = [mask, rng.randrange(1 << 24) * 2]
        wanted = {"at": _OLD[kind], "stored": list(struct.pack(">QQ", *old)), "virtual": list(new),
                  "real": new[0] & ~OWN | psw.PROBLEM}
        return [kind, old, core], wanted

    def part(name, feedback, **more):
        def test():
            for kind in _OLD:
                arguments, wanted = case(kind, **more)
                answer = student.call("interrupt", *arguments)
                require(type(answer) is dict and answer.keys() == wanted.keys(),
                        "interrupt must return a dict with at, stored, virtual and real")
                for field in name:
                    require(same(answer[field], wanted[field]), feedback)
        return test

    def guests():
        for name, parameters in (("s390-timer", {"n": rng.randrange(2, 8)}), ("s390-epsw", {}),
                                 ("s390-disk-copy", {"by": "channel", "n": rng.randrange(2, 6)})):
            cp = Interruptions()
            cp.run(guest(name, **parameters))
            for arguments, wanted in cp.seen:
                require(same(student.call("interrupt", *arguments), wanted),
                        f"an interruption of the guest {name} does not arrive as it "
                                                                             "should")
    return [
        graded("the old PSW", 1, part(("at", "stored"), "the old PSW is the virtual one, mask first, big-endian, at "
                                                        "the place of its kind")),
        graded("the old PSW of a program", 1, part(("at", "stored"), "the PSW of a program in the virtual problem "
                                                                     "state is stored as it is",
                                                   problem=True, enabled=False)),
        graded("the new PSW", 1, part(("virtual",), "the new PSW comes from the place of its kind, 0x80 behind the "
                                                    "old one")),
        graded("the real CPU", 1, part(("virtual", "real"), "the real CPU runs in the problem state, and with none of "
                                                            "the bits that are CP's")),
        graded("interruptions of real guests", 1, guests),
    ]


EXERCISE = Exercise(
    id="ex04-swap", title="Swap the PSWs", points=5, minutes=30,
    statement=STATEMENT, given=GIVEN, solution=SOLUTION, public=PUBLIC, hidden=hidden,
    words=lambda variant: {"own": f"{OWN:#018x}"},
    hints=(
        "A dict from kind to the first address is enough: each new PSW stands 0x80 bytes behind the old one.",
        "`number.to_bytes(8, \"big\")` and `int.from_bytes(data, \"big\")` go between numbers and bytes; "
        "`bytes(core[a:b])` makes bytes of a piece of the list.",
        "What is stored is `psw` as you got it. What is loaded is the new PSW as it stands there. Only `real` differs: "
        "`mask & ~OWN | PROBLEM`.",
    ))

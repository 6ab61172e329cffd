"""Reflect a system call: what the CPU does for INT n, done for the guest's own kernel."""
from pvlab import guest
from pvlab.course.exercises.model import Exercise, graded, require, same
from pvlab.course.workbench import Reflections

STATEMENT = """
`int $0x80` lands in the monitor, for the real interrupt table is the monitor's. To **reflect** it, the monitor does
what the CPU would have done with the guest's own table. Write `reflect(vector, vcpu, gate, tss)`.

- `vcpu` is a dict: `cpl`, `cs`, `eip` (already behind the INT), `eflags`, `ss`, `esp`.
- `gate` is the guest's descriptor for this vector, 8 bytes as one number. Bits 0-15 and 48-63 are the handler's
  address, bits 16-31 the selector of its code segment (privilege level 0 here), bits 45-46 the gate's own privilege
  level (DPL), bit 40 tells a trap gate (1) from an interrupt gate (0).
- `tss` is a dict with `ss0` and `esp0`, the stack for ring 0.

Return a dict with the new `cs`, `eip`, `eflags`, `ss`, `esp`, and `pushed`: the 32-bit words in the order in which
they are pushed. The rules for a handler in ring 0:

1. If the gate's DPL is below `cpl`, the program may not use it: return `{"fault": [13, vector * 8 + 2]}`.
2. From an outer ring (`cpl` above 0) the stack is exchanged for that of the TSS, and the old SS and ESP are pushed
   there first. In ring 0 the stack stays.
3. Then EFLAGS, CS and EIP are pushed, as they were.
4. An interrupt gate clears IF (bit 9), a trap gate does not. Both clear TF (bit 8) and NT (bit 14).

**Expected result:** the check has a call from ring 3 and one from ring 0, and compares the system calls of a run of
the kernel. The hidden checks do the same with other runs and other gates.
"""

GIVEN = '''
from pvlab.course.workbench import Reflections      # trap and emulate, which notes each INT

USER = {"cpl": 3, "cs": 0x1B, "eip": 0x400102, "eflags": 0x3302, "ss": 0x23, "esp": 0x5FFFF0}
KERNEL = {"cpl": 0, "cs": 0x08, "eip": 0xC0100102, "eflags": 0x202, "ss": 0x10, "esp": 0xC0117FF0}
GATE = 0xC010EE0000081500                           # an interrupt gate that ring 3 may use
TSS = {"ss0": 0x10, "esp0": 0xC0118000}
'''

SOLUTION = """
def reflect(vector, vcpu, gate, tss):
    ### BEGIN SOLUTION
    if gate >> 45 & 3 < vcpu["cpl"]:
        return {"fault": [13, vector * 8 + 2]}
    pushed, ss, esp = [], vcpu["ss"], vcpu["esp"]
    if vcpu["cpl"] > 0:
        pushed, ss, esp = [ss, esp], tss["ss0"], tss["esp0"]
    pushed += [vcpu["eflags"], vcpu["cs"], vcpu["eip"]]
    gone = 1 << 8 | 1 << 14 | (0 if gate >> 40 & 1 else 1 << 9)
    return {"cs": gate >> 16 & 0xFFFF, "eip": gate & 0xFFFF | gate >> 32 & 0xFFFF0000,
            "eflags": vcpu["eflags"] & ~gone, "ss": ss, "esp": esp - 4 * len(pushed), "pushed": pushed}
    ### END SOLUTION
"""

PUBLIC = """
with pvlab.check("ex02-reflect") as check:
    check("from ring 3", reflect(0x80, USER, GATE, TSS), {
        "cs": 8, "eip": 0xC0101500, "eflags": 0x3002, "ss": 0x10, "esp": 0xC0117FEC,
        "pushed": [0x23, 0x5FFFF0, 0x3302, 0x1B, 0x400102]}, base=16)
    check("from ring 0", reflect(0x80, KERNEL, GATE, TSS), {
        "cs": 8, "eip": 0xC0101500, "eflags": 0x002, "ss": 0x10, "esp": 0xC0117FE4,
        "pushed": [0x202, 8, 0xC0100102]}, base=16)
    monitor = Reflections()
    monitor.run(pvlab.guest("kernel", workload="syscall", n=3))
    for number, (arguments, expected) in enumerate(monitor.seen, 1):
        check(f"system call {number} of the kernel", reflect(*arguments), expected, base=16)
"""


def expected(vector, vcpu, gate, tss):
    """The architecture's rules, for cases that the kernel does not bring."""
    if gate >> 45 & 3 < vcpu["cpl"]:
        return {"fault": [13, vector * 8 + 2]}
    outer = vcpu["cpl"] > 0
    pushed = [vcpu["ss"], vcpu["esp"]] * outer + [vcpu["eflags"], vcpu["cs"], vcpu["eip"]]
    return {"cs": gate >> 16 & 0xFFFF, "eip": gate & 0xFFFF | gate >> 32 & 0xFFFF0000,
            "eflags": vcpu["eflags"] & ~(0x4100 if gate >> 40 & 1 else 0x4300), "ss": tss["ss0"]
            if outer else vcpu["ss"],
            "esp": (tss["esp0"] if outer else vcpu["esp"]) - 4 * len(pushed), "pushed": pushed}


def hidden(student, rng, variant):
    def case(cpl, dpl=3, trap=0):
        address = rng.randrange(1 << 32)
        gate = (address & 0xFFFF0000) << 32 | (0x8E | trap | dpl << 5) << 40 | 8 << 16 | address & 0xFFFF
        vcpu = {"cpl": cpl, "cs": 8 + 16 * (cpl > 0) | cpl, "eip": rng.randrange(1 << 32),
                "eflags": 2 | rng.choice((0x200, 0x4300, 0x4B01)), "ss": 0x20 | cpl,
                "esp": rng.randrange(1 << 12, 1 << 30) * 4}
        return rng.randrange(0x20, 0x100), vcpu, gate, {"ss0": 0x10, "esp0": rng.randrange(1 << 12, 1 << 30) * 4}

    def right(arguments, wanted, feedback):
        require(same(student.call("reflect", *arguments), wanted), feedback)

    def kernel():
        monitor = Reflections()
        monitor.run(guest("kernel", workload=rng.choice(("syscall", "context-switch", "fork")), n=rng.randrange(5, 15)))
        for arguments, wanted in monitor.seen:
            right(arguments, wanted, "a system call of the running kernel does not arrive as it should: compare with "
                                     "the rules, and with the order in which the words are pushed")

    def inner():
        for _ in range(5):
            arguments = case(0)
            right(arguments, expected(*arguments), "from ring 0 the stack stays, and SS and ESP are not pushed")

    def flags():
        for _ in range(5):
            for trap in (0, 1):
                arguments = case(3, trap=trap)
                right(arguments, expected(*arguments), "what is pushed are the old flags; an interrupt gate clears "
                                                       "IF, a trap gate does not, and both clear TF and NT")

    def closed():
        arguments = case(3)
        right(arguments, expected(*arguments), "first get a call from ring 3 right")
        for cpl, dpl in ((3, 0), (3, 2), (1, 0), (3, 3)):
            arguments = case(cpl, dpl)
            right(arguments, expected(*arguments), "a gate whose DPL is below cpl is closed: general protection, with "
                                                   "error code vector * 8 + 2. Bits 45 and 46 are the DPL")
    return [graded("system calls of a running kernel", 2, kernel), graded("from ring 0", 1, inner),
            graded("the flags", 1, flags), graded("a closed gate", 1, closed)]


EXERCISE = Exercise(
    id="ex02-reflect", title="Reflect a system call", points=5, minutes=40,
    statement=STATEMENT, given=GIVEN, solution=SOLUTION, public=PUBLIC, hidden=hidden,
    hints=(
        "Do the rules in their order, and keep `pushed`, `ss` and `esp` as three variables that the second rule may "
        "exchange.",
        "`gate >> 45 & 3` is the DPL. `gate & 0xFFFF` is the low half of the address; the high half is in bits 48-63, "
        "and `gate >> 32 & 0xFFFF0000` puts it where it belongs.",
        "`esp` in the answer is the stack's start less 4 bytes for each pushed word. The flags that are pushed are the "
        "old ones; those with which the handler begins have bits 8, 14 and (interrupt gate) 9 cleared.",
    ))

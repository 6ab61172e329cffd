"""Follow the two interrupt flags through a program."""
from pvlab import Native, TrapAndEmulate
from pvlab.course.exercises.guests import assembled, with_bytes
from pvlab.course.exercises.model import Exercise, graded, require, same

STATEMENT = """
A kernel executes a program of four instructions only: `cli`, `sti`, `pushf`, `popf`. Work out what it sees. Write
`follow(program, monitored)`, where `program` is a list of these words, and `monitored` says whether the kernel runs
under trap and emulate (True) or on the bare machine (False).

Return `[seen, enabled]`: `seen` is the list of the IF bits (0 or 1) that the PUSHFs stored, in order; `enabled` is 0
or 1 at the end, as it counts: on the bare machine the CPU's IF, under the monitor the virtual IF. POPF takes the
flags from the stack that the last PUSHF without a POPF has put there. IF is off at the start, on both machines
(as the guest believes), and programs are well formed.

**Expected result:** for the idiom `sti, pushf, cli, popf`: `[[1], 1]` on the bare machine, `[[1], 0]` under the
monitor. The hidden checks run other programs on the real thing, and compare.
"""

SOLUTION = """
def follow(program, monitored):
    ### BEGIN SOLUTION
    enabled, stack, seen = 0, [], []
    for instruction in program:
        if instruction == "cli":
            enabled = 0
        elif instruction == "sti":
            enabled = 1
        elif instruction == "pushf":
            stack.append(1 if monitored else enabled)       # the real IF is always 1 under the monitor
            seen.append(stack[-1])
        else:
            flag = stack.pop()
            if not monitored:
                enabled = flag                              # in ring 1 the CPU drops the change, and nobody hears of it
    return [seen, enabled]
    ### END SOLUTION
"""

PUBLIC = """
IDIOM = ["sti", "pushf", "cli", "popf"]
with pvlab.check("ex03-flags") as check:
    check("on the bare machine", follow(IDIOM, False), [[1], 1])
    check("under the monitor", follow(IDIOM, True), [[1], 0])
    check("PUSHF after CLI, on the bare machine", follow(["cli", "pushf"], False), [[0], 0])
"""

# The program is put where the NOPs are; PUSHF is followed by code that keeps what it stored.
GUEST = """
        .globl  main, program
main:   mov     $seen, %edi
program:
        .fill   600, 1, 0x90
        mov     $0, %al
        out     %al, $0xF4
        hlt
        .section .pvlab.result, "aw"
seen:   .skip   400
"""
# …; mov (%esp), %eax; stosl
_CODE = {"cli": b"\xfa", "sti": b"\xfb", "pushf": b"\x9c\x8b\x04\x24\xab", "popf": b"\x9d"}


def real(program: list[str], monitored: bool) -> list:
    """What the machine says."""
    monitor = TrapAndEmulate() if monitored else Native()
    run = monitor.run(with_bytes(assembled(GUEST), "program", b"".join(_CODE[word] for word in program)))
    count = program.count("pushf")
    flags = [int.from_bytes(run.result[4 * i:4 * i + 4], "little") >> 9 & 1 for i in range(count)]
    return [flags, int(monitor.vcpu.interrupts) if monitored else monitor.machine.cpu.eflags >> 9 & 1]


def programs(rng, length: int) -> list[str]:
    """A random program: each POPF has its PUSHF."""
    found, depth = [], 0
    for _ in range(length):
        word = rng.choice(("cli", "sti", "pushf", "popf") if depth else ("cli", "sti", "pushf"))
        depth += (word == "pushf") - (word == "popf")
        found.append(word)
    return found


def hidden(student, rng, variant):
    runs: dict = {}

    def right(program, monitored, feedback):
        words = (*program, monitored)
        if words not in runs:
            runs[words] = real(program, monitored)
        require(same(student.call("follow", program, monitored), runs[words]), feedback)

    fixed = ["sti", "pushf", "cli", "pushf", "popf", "popf"], programs(rng, 20)

    def bare():
        for program in fixed:
            right(program, False, "on the bare machine PUSHF shows IF and POPF sets it, both at once")

    def shown():
        bare()
        for program in (["cli", "pushf"], ["sti", "pushf", "cli", "pushf"]):
            right(program, True, "under the monitor PUSHF runs on the real CPU: whose IF does it show?")

    def dropped():
        bare()
        for program in (["sti", "pushf", "cli", "popf"], ["sti", "pushf", "pushf", "cli", "popf"]):
            right(program, True, "under the monitor POPF runs on the real CPU, in ring 1: what becomes of IF, and who "
                                 "hears of it?")

    def long():
        bare()
        for length in (30, 60):
            program = ["cli", "pushf", *programs(rng, length), "pushf", "cli", "popf"]
            right(program, True, "a longer program under the monitor goes wrong: POPF takes the last PUSHF's flags")
    return [graded("on the bare machine", 1, bare), graded("what PUSHF shows", 2, shown),
            graded("what POPF does", 2, dropped), graded("longer programs", 1, long)]


EXERCISE = Exercise(
    id="ex03-flags", title="Follow two flags", points=6, minutes=25,
    statement=STATEMENT, solution=SOLUTION, public=PUBLIC, hidden=hidden,
    hints=(
        "Begin with the bare machine: a variable for IF, and a list as the stack.",
        "Under the monitor CLI and STI trap, and change the virtual IF. PUSHF and POPF do not trap. Which IF does the "
        "real CPU have all the time?",
        "Under the monitor PUSHF always stores 1, and POPF changes nothing, neither the real IF nor the virtual one. "
        "It still takes its flags off the stack.",
    ))

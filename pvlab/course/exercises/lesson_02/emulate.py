"""Write the emulation of five privileged instructions; each exit of a real kernel is then answered by it."""
from pvlab import Native, guest
from pvlab.course.exercises.model import Exercise, graded, require, same
from pvlab.course.workbench import EmulatedBy
from pvlab.machine.x86.cpu import REGISTER_NAMES

STATEMENT = """
Write the middle of the monitor: `emulate(instruction, vcpu)` does to the virtual CPU what one privileged instruction
would have done to the real one, and returns the new virtual CPU.

`instruction` is a dict: `mnemonic`, `operands` (a list of register names) and `size` in bytes. The instructions are
`cli`, `sti`, `hlt`, and `mov` between a general register and `cr2` or `cr3`, such as
`{"mnemonic": "mov", "operands": ["cr3", "eax"], "size": 3}`. The first operand is the target.

`vcpu` is a dict: `cpl` and `iopl` (0 to 3), `interrupts` (True or False: the virtual IF), `shadow` and `halted` (both
False when you get it), `eip`, the eight general registers (`eax`, …) and `cr2`, `cr3`.

- An instruction that succeeds moves `eip` behind itself.
- CLI and STI are allowed if `cpl` is not above `iopl`. The others need `cpl` 0.
- What is not allowed changes nothing: return the dict `{"fault": [13, 0]}`, a general-protection exception with
  error code 0, which the monitor then delivers to the guest's kernel.
- STI with interrupts off sets `shadow`: no interrupt may come before the next instruction has retired.
- HLT sets `halted`.

**Expected result:** the check tries your function on four states, and then runs the kernel's workload `idle` on
your emulation. The hidden checks run other workloads, and try other states.
"""

GIVEN = '''
from pvlab.course.workbench import EmulatedBy       # trap and emulate, with your function in it

def vcpu(**changed):
    """A virtual CPU in ring 0 with interrupts on."""
    registers = dict.fromkeys("eax ecx edx ebx esp ebp esi edi cr2 cr3".split(), 0)
    return {"cpl": 0, "iopl": 0, "interrupts": True, "shadow": False, "halted": False,
            "eip": 0x1000, **registers, **changed}

CLI, STI = ({"mnemonic": name, "operands": [], "size": 1} for name in ("cli", "sti"))
FROM_CR2 = {"mnemonic": "mov", "operands": ["ebx", "cr2"], "size": 3}
'''

SOLUTION = """
def emulate(instruction, vcpu):
    ### BEGIN SOLUTION
    name, operands = instruction["mnemonic"], instruction["operands"]
    if vcpu["cpl"] > (vcpu["iopl"] if name in ("cli", "sti") else 0):
        return {"fault": [13, 0]}
    after = dict(vcpu)
    after["eip"] = (vcpu["eip"] + instruction["size"]) % 2**32
    if name == "cli":
        after["interrupts"] = False
    elif name == "sti":
        after["shadow"] = not vcpu["interrupts"]
        after["interrupts"] = True
    elif name == "hlt":
        after["halted"] = True
    else:
        target, source = operands
        after[target] = vcpu[source]
    return after
    ### END SOLUTION
"""

PUBLIC = """
with pvlab.check("ex02-emulate") as check:
    check("CLI in ring 0", emulate(CLI, vcpu()), vcpu(interrupts=False, eip=0x1001))
    check("STI with interrupts off", emulate(STI, vcpu(interrupts=False)),
          vcpu(shadow=True, eip=0x1001))
    check("MOV EBX, CR2", emulate(FROM_CR2, vcpu(cr2=0x480000)),
          vcpu(cr2=0x480000, ebx=0x480000, eip=0x1003))
    check("CLI in ring 3", emulate(CLI, vcpu(cpl=3)), {"fault": [13, 0]})
    guest = pvlab.guest("kernel", workload="idle", n=3)
    bare, run = pvlab.Native().run(guest), EmulatedBy(emulate).run(guest, budget=200_000)
    check("how the kernel ends on your emulation", run.outcome, bare.outcome)
    check("what it prints", run.text, bare.text)
"""

def hidden(student, rng, variant):
    def state(**changed):
        registers = {name: rng.randrange(1 << 32) for name in (*REGISTER_NAMES, "cr2")}
        return {"cpl": 0, "iopl": 0, "interrupts": rng.random() < 0.5, "shadow": False, "halted": False,
                "eip": rng.randrange(1 << 31), **registers, "cr3": rng.randrange(1 << 20) << 5, **changed}

    def instruction(name, *operands):
        return {"mnemonic": name, "operands": list(operands), "size": 3 if operands else 1}

    def expect(what, before, feedback, **changes):
        expected = {**before, "eip": before["eip"] + what["size"], **changes}
        require(same(student.call("emulate", what, before), expected), feedback)

    def cli():
        for on in (True, False):
            expect(instruction("cli"), state(interrupts=on),
                   "CLI clears interrupts, moves eip and leaves all else as it is",
                   interrupts=False)

    def sti():
        expect(instruction("sti"), state(interrupts=False),
               "STI with interrupts off sets interrupts, and holds them back for one instruction (shadow)",
               interrupts=True, shadow=True)
        expect(instruction("sti"), state(interrupts=True), "STI with interrupts on holds nothing back", interrupts=True)

    def privileges():
        cli()
        for cpl, iopl in ((3, 0), (1, 0), (3, 2)):
            for name in ("cli", "sti"):
                answer = student.call("emulate", instruction(name), state(cpl=cpl, iopl=iopl))
                require(same(answer, {"fault": [13, 0]}), "CLI and STI fault where cpl is above iopl")
        expect(instruction("cli"), state(cpl=3, iopl=3), "CLI and STI are allowed where cpl is not above iopl",
               interrupts=False)
        for what in (instruction("hlt"), instruction("mov", "eax", "cr2"), instruction("mov", "cr3", "ecx")):
            answer = student.call("emulate", what, state(cpl=rng.randrange(1, 4), iopl=3))
            require(same(answer, {"fault": [13, 0]}),
                    "HLT and MOV with control registers need ring 0, whatever iopl is")

    def control():
        for register in rng.sample(REGISTER_NAMES, 3):
            for number in ("cr2", "cr3"):
                before = state()
                expect(instruction("mov", register, number), before, "MOV from a control register: the first operand "
                       "is the target", **{register: before[number]})
                before = state() | {register: rng.randrange(1 << 20) << 5}
                expect(instruction("mov", number, register), before, "MOV to a control register: the first operand "
                       "is the target", **{number: before[register]})

    def kernel():
        for workload in ("idle", "page-fault", "context-switch"):
            of = guest("kernel", workload=workload, n=rng.randrange(2, 6))
            bare = Native().run(of)
            run = EmulatedBy(lambda *arguments: student.call("emulate", *arguments)).run(of,
                                                                                         budget=2 * bare.instructions)
            require((run.outcome, run.digest) == (bare.outcome, bare.digest),
                    f"the kernel's workload {workload} does not end on your emulation as on the bare machine: it ends "
                    f"in '{run.outcome}'")
    return [graded("CLI", 1, cli), graded("STI", 2, sti), graded("who may", 2, privileges),
            graded("control registers", 1, control), graded("a kernel runs on it", 2, kernel)]


EXERCISE = Exercise(
    id="ex02-emulate", title="Emulate, and a kernel runs on it", points=8, minutes=60,
    statement=STATEMENT, given=GIVEN, solution=SOLUTION, public=PUBLIC, hidden=hidden,
    hints=(
        "Read `emulate.cli` and `emulate.sti` in [pvlab/monitors/emulate.py](../../pvlab/monitors/emulate.py): the "
        "first question is always whether the virtual CPU may.",
        "Copy the dict first (`after = dict(vcpu)`), so that a fault can return without a change. Then move `eip` "
        "once, for all instructions alike.",
        "For MOV: `target, source = operands`, and `after[target] = vcpu[source]`. It needs no other case, for control "
        "registers and general ones are all keys of the same dict.",
        "STI: `shadow` is True only if interrupts were off before. Look at the old value before you set the new one.",
    ))

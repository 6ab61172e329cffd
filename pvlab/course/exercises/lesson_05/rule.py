"""A translator's rules for CLI, STI, PUSHF and POPF."""
import functools
import re

from pvlab import Native, TrapAndEmulate
from pvlab.course.exercises.guests import assembled, load
from pvlab.course.exercises.model import Exercise, graded, require
from pvlab.course.rules import FLAGS, SEEN, guest_of, program_of

STATEMENT = """
Write the translator's rules. `translate(instruction)` gets one instruction of the guest's kernel as a text, and
returns the list of instructions that run in its place, in AT&T assembly. Most are copied. Four are not: `cli`, `sti`,
`pushf` and `popf`. For them the virtual interrupt flag stands in memory, in the 32-bit word `virtual_if`: 1 or 0.

What must hold:

1. `cli` and `sti` change `virtual_if`.
2. `pushf` pushes the flags with the **virtual** IF in bit 9. (The real one is always 1.)
3. `popf` takes the flags from the stack, all of them, and `virtual_if` becomes their bit 9.
4. Nothing else changes, neither a register nor a flag that the guest's instruction leaves alone, nor ESP. Carry and
  zero of an ADD must survive the CLI behind it.
5. Nothing exits.

Use instructions, registers, numbers, `virtual_if`, and labels that are numbers (`1:`, `jz 1f`). You may push and pop.

**Expected result:** three short programs leave on your translation, in ring 1, what they leave on the bare machine. The
hidden checks run longer ones.
"""

GIVEN = '''
from pathlib import Path
from tempfile import TemporaryDirectory
from pvlab.course.rules import compared         # a program natively, and translated in ring 1

PROGRAMS = [["sti", "pushf", "pop %eax"],
            ["movl $-1, %eax", "addl $1, %eax", "sti", "adcl $5, %ebx"],
            ["sti", "pushf", "cli", "incl %ecx", "popf"]]
'''

SOLUTION = '''
def translate(instruction):
    ### BEGIN SOLUTION
    if instruction == "cli":
        return ["movl $0, virtual_if"]              # a MOV leaves all flags alone
    if instruction == "sti":
        return ["movl $1, virtual_if"]
    if instruction == "pushf":
        return ["pushf", "pushf",                   # one for the guest, one to restore the flags by
                "andl $~0x200, 4(%esp)",
                "cmpl $0, virtual_if", "je 1f", "orl $0x200, 4(%esp)", "1: popf"]
    if instruction == "popf":
        return ["pushl %eax", "movl 4(%esp), %eax", "shrl $9, %eax", "andl $1, %eax", "movl %eax, virtual_if",
                "popl %eax", "popf"]
    return [instruction]
    ### END SOLUTION
'''

PUBLIC = """
with pvlab.check("ex05-rule") as check:
    for number, program in enumerate(PROGRAMS, 1):
        lines = [line for instruction in program for line in translate(instruction)]
        bare, translated, exits = compared(program, lines)
        check(f"program {number}", translated, bare, base=16)
        check(f"exits of program {number}", exits, [])
"""

OF_IF = [word for word in range(SEEN) if word != FLAGS]
_ALLOWED = re.compile(r"(\d:\s*)?[a-z]{1,8}(\s+[^;#\"\\\n.]*)?")
_NAMES = {"virtual_if", *(size + name for size in ("", "e") for name in "ax bx cx dx si di bp sp".split()),
          *(name + half for name in "abcd" for half in "lh")}


def checked(lines) -> list[str]:
    """The answer of `translate`, if it is nothing but instructions."""
    require(type(lines) is list and len(lines) <= 40 and all(type(line) is str and len(line) <= 80 for line in lines),
            "translate must return a list of instructions, each a text")
    for line in lines:
        operands = re.sub(r"^(\d:\s*)?[a-z]+", "", line.strip())
        names = set(re.findall(r"[A-Za-z_]\w*", re.sub(r"0x[0-9a-fA-F]+|\b\d[fb]\b", "", operands)))
        require(_ALLOWED.fullmatch(line.strip()) and names <= _NAMES,
                "a translation may have instructions, registers, numbers, numbered labels and virtual_if, and nothing "
                "else")
    return lines


def hidden(student, rng, variant):
    @functools.cache
    def rules(instruction):
        return tuple(checked(student.call("translate", instruction)))

    def number():
        return rng.choice((1, -1, 0x7FFFFFFF, rng.randrange(1 << 16)))

    def register():
        return rng.choice(("%eax", "%ebx", "%ecx", "%edx", "%esi", "%edi", "%ebp"))

    def arithmetic(count):
        return [rng.choice((f"addl ${number()}, {register()}", f"cmpl {register()}, {register()}",
                            f"subl ${number()}, {register()}",
                            f"negl {register()}", f"incl {register()}")) for _ in range(count)]

    def use_of_flags():
        return ["setc %al", "setz %bl", "sets %cl", "seto %dl", f"adcl ${number()}, %esi"]

    changes, carries = ("cli", "sti"), (["movl $-1, %ebp", "addl $1, %ebp"], ["movl $1, %ebp", "subl $2, %ebp"])
    flags = [["cli"], ["sti"], ["sti", "cli"], ["cli", "sti", *arithmetic(2)]]
    shown = [[change, *arithmetic(2), "pushf", f"pop {register()}"] for change in changes]
    taken = [["sti", *arithmetic(2), "pushf", "cli", *arithmetic(2), "popf", *use_of_flags()],
             ["cli", *arithmetic(2), "pushf", "orl $0x200, (%esp)", "popf"],
             ["sti", *arithmetic(2), "pushf", "andl $~0x200, (%esp)", "popf"],
             ["sti", *arithmetic(1), "pushf", "cli", *arithmetic(1), "pushf", *arithmetic(1), "popf", "popf"]]
    survive = [[*carry, what, *use_of_flags()] for carry in carries for what in changes] + [
        [*carry, "pushf", *use_of_flags(), "leal 4(%esp), %esp"] for carry in carries]
    copied = [[*arithmetic(6), *use_of_flags(), f"leal 8({register()}), {register()}", "xorl %eax, %edx", "pushl %ecx",
               "popl %esi"]]
    groups = {"flags": flags, "shown": shown, "taken": taken, "survive": survive, "copied": copied}
    programs = [program for group in groups.values() for program in group]

    @functools.cache
    def results():
        bare = Native().run(assembled(guest_of([program_of(program) for program in programs], "bare")))
        translations = [[line for instruction in program for line in rules(instruction)] for program in programs]
        built = student.build(guest_of([program_of(lines) for lines in translations], "translated", c=True))
        done = TrapAndEmulate().run(load(built), budget=1_000_000)
        require(done.outcome == "shutdown", f"the translated programs do not come to their end: {done.outcome}. Is "
                                            f"the stack as it was?")
        return bare.result, done.result, sorted(set(done.trace.by_reason()) - {"io:write"})

    def group(name, feedback):
        def test():
            bare, translated, noticed = results()
            require(not noticed, f"the translation leaves for the monitor ({', '.join(noticed)}): use nothing that "
                                 f"traps")
            for index, program in enumerate(programs):
                if program in groups[name]:
                    # where flags survive is another check
                    for word in range(SEEN) if name not in ("flags", "shown") else OF_IF:
                        part = slice(4 * (SEEN * index + word), 4 * (SEEN * index + word + 1))
                        require(bare[part] == translated[part], feedback)
        return test
    return [
        graded("CLI and STI", 1, group("flags", "after CLI virtual_if is 0, after STI it is 1")),
        graded("what PUSHF shows", 2, group("shown", "PUSHF must push the virtual IF in bit 9, and all other flags as "
                                                     "they are")),
        graded("what POPF takes", 2, group("taken", "POPF must take all flags, and virtual_if from bit 9 of what it "
                                                    "pops")),
        graded("flags survive", 2, group("survive", "carry, zero and the others must be after CLI, STI and PUSHF what "
                                                    "they were before")),
        graded("the rest is copied", 1, group("copied", "an instruction that is none of the four is copied as it is")),
    ]


EXERCISE = Exercise(
    id="ex05-rule", title="A translator's rules", points=8, minutes=60,
    statement=STATEMENT, given=GIVEN, solution=SOLUTION, public=PUBLIC, hidden=hidden,
    hints=(
        "`movl $0, virtual_if` is all of CLI: MOV leaves the flags alone. `andl $0, virtual_if` would not.",
        "For PUSHF execute PUSHF twice: one image is the guest's, and after you have worked on it (at `4(%esp)`) a "
        "POPF takes the other one, so that all flags are as before.",
        "In the guest's image clear bit 9 (`andl $~0x200, 4(%esp)`) and set it if `virtual_if` is not 0.",
        "For POPF borrow a register: push EAX, load the image from `4(%esp)`, shift it right by 9, keep one bit, "
        "store it in `virtual_if`, pop EAX. A real POPF at the end takes the rest, and drops IF by itself.",
    ))

"""A scanner: find in a listing what must be patched."""
from pvlab.course.exercises.model import Exercise, graded, require, same

STATEMENT = """
VirtualBox once ran guest kernels in ring 1, after a scanner had found the instructions that would have done the wrong
thing there in silence. Write such a scanner for the monitor of this course. `scan(listing)` gets a disassembly, a list
of `[mnemonic, operands]` as capstone writes it, and returns the list of the indexes that must be patched.

To be patched is what **is sensitive and does not trap under our monitor**:

- PUSHF and POPF (capstone: `pushfd` and `popfd`, or `pushf` and `popf` with 16 bits);
- SGDT, SIDT, SLDT, SMSW, STR;
- LAR, LSL, VERR, VERW;
- what copies CS or SS to somewhere: `mov eax, cs`, `mov word ptr [ebx], ss`, `push cs`, `push ss`.

Not to be patched is what traps anyway: privileged instructions, and (because the real descriptor table is empty) loads
of segment registers, far jumps, calls and returns, and IRET. And a *memory operand* may name a segment without
copying its selector: `mov eax, dword ptr cs:[ebx]` reads memory, and is harmless.

**Expected result:** in the listing of the check, the lines 1, 4 and 6. The hidden checks have longer listings.
"""

SOLUTION = """
def scan(listing):
    ### BEGIN SOLUTION
    always = {"pushf", "pushfd", "popf", "popfd", "sgdt", "sidt", "sldt", "smsw", "str", "lar", "lsl", "verr", "verw"}
    found = []
    for index, (mnemonic, operands) in enumerate(listing):
        last = operands.split(", ")[-1]         # what is copied: the source of MOV, the only operand of PUSH
        if mnemonic in always or mnemonic in ("mov", "push") and last in ("cs", "ss"):
            found.append(index)
    return found
    ### END SOLUTION
"""

PUBLIC = """
LISTING = [["mov", "eax, dword ptr [esp + 4]"], ["pushfd", ""], ["pop", "eax"], ["cli", ""],
           ["mov", "ecx, cs"], ["mov", "es, eax"], ["sgdt", "[esp]"],
           ["mov", "eax, dword ptr cs:[ebx]"], ["iretd", ""]]
with pvlab.check("ex03-scan") as check:
    check("a listing of nine lines", scan(LISTING), [1, 4, 6])
    check("an empty listing", scan([]), [])
"""

_REGISTERS = ("eax", "ecx", "edx", "ebx", "esi", "edi", "ebp")


def hidden(student, rng, variant):
    def register():
        return rng.choice(_REGISTERS)

    def memory(size="dword"):
        return f"{size} ptr [{register()} + {hex(rng.randrange(1, 128))}]"
    flags = [["pushfd", ""], ["popfd", ""], ["pushf", ""], ["popf", ""]]
    tables = [["sgdt", f"[{register()}]"], ["sidt", f"[{register()} + 8]"], ["sldt", "ax"], ["smsw", "ax"],
              ["str", memory("word")],
              ["smsw", memory("word")]]
    rights = [["lar", f"{register()}, {register()}"], ["lsl", f"{register()}, {memory()}"], ["verr", "cx"],
              ["verw", memory("word")]]
    copies = [["mov", f"{register()}, cs"], ["mov", f"{memory('word')}, ss"], ["push", "cs"], ["push", "ss"],
              ["mov", f"{register()}, ss"]]
    plain = [["mov", f"{register()}, {register()}"], ["push", register()], ["pop", memory()],
             ["add", f"{register()}, {hex(rng.randrange(1, 99))}"],
             ["nop", ""], ["ret", ""], ["call", hex(0xC0100000 + rng.randrange(1 << 16))], ["pushal", ""],
             ["popal", ""]]
    trapping = [["cli", ""], ["sti", ""], ["hlt", ""], ["lgdt", f"[{register()}]"], ["mov", f"cr3, {register()}"],
                ["mov", f"{register()}, cr2"], ["mov", f"ss, {register()}"], ["mov", f"ds, {memory('word')}"],
                ["pop", "ss"],
                ["pop", "es"], ["iretd", ""], ["ljmp", "8:0x100000"], ["retf", ""], ["in", "al, dx"], ["ltr", "ax"],
                ["lldt", "ax"]]
    harmless = [["mov", f"{register()}, dword ptr cs:[{register()}]"], ["push", f"dword ptr ss:[{register()}]"],
                ["mov", f"dword ptr ss:[{register()}], {register()}"], ["mov", f"{register()}, ds"], ["push", "es"],
                ["mov", f"{register()}, gs"]]

    def right(kinds, feedback):
        listing = [line for kind in kinds for line in kind] + plain
        rng.shuffle(listing)
        wanted = [index for index, line in enumerate(listing)
                  if any(line in kind for kind in (flags, tables, rights, copies))]
        require(same(student.call("scan", listing), wanted), feedback)
    return [
        graded("flags", 1, lambda: right([flags], "PUSHF and POPF must be found, with 32 bits and with 16, and "
                                                  "nothing else")),
        graded("tables", 1, lambda: right([tables], "what stores a system register must be found: SGDT, SIDT, SLDT, "
                                                    "SMSW, STR")),
        graded("descriptors", 1, lambda: right([rights], "LAR, LSL, VERR and VERW answer according to the privilege "
                                                         "level")),
        graded("CS and SS", 1, lambda: right([copies], "what copies CS or SS shows the ring, to a register, to memory "
                                                       "or to the stack")),
        graded("no false alarm", 2, lambda: right([copies, tables, trapping, harmless, flags, rights],
               "something is patched that needs no patch, or left out among others: loads of segment registers trap, "
               "a segment in a memory operand is not copied, and DS, ES, FS and GS show what the guest has put there")),
    ]


EXERCISE = Exercise(
    id="ex03-scan", title="A scanner", points=6, minutes=25,
    statement=STATEMENT, solution=SOLUTION, public=PUBLIC, hidden=hidden,
    hints=(
        "Most lines are decided by the mnemonic alone: a set of thirteen words.",
        "For MOV and PUSH the operands decide. What is copied is the *last* operand; the first operand of MOV is "
        "where it goes.",
        "`operands.split(\", \")[-1]` is the last operand. It must be exactly `cs` or `ss`: `\"cs\" in operands` also "
        "finds `dword ptr cs:[ebx]`, and the `mov ss, eax` that traps.",
    ))

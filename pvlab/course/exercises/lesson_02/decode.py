"""A decoder for the instructions that raise #GP outside ring 0."""
from pvlab.course.exercises.model import Exercise, graded, require
from pvlab.machine.x86.decode import decode
from pvlab.monitors import emulate

STATEMENT = """
The CPU says *general protection* and no more. What the guest wanted stands in its code, at EIP. Write the decoder:
`decode(code)` gets up to 15 bytes as a list of numbers and returns `[reason, length]`, the reason of the exit and
the length of the instruction in bytes (by which the monitor moves EIP). For anything else it returns `None`: that
fault is the guest's own, and the monitor reflects it. Code is 32-bit.

| instruction | bytes | reason |
|---|---|---|
| HLT, CLI, STI, IRET | `F4`, `FA`, `FB`, `CF` | `hlt`, `cli`, `sti`, `iret` |
| IN from a constant port, OUT to one | `E4 ib`, `E5 ib`; `E6 ib`, `E7 ib` | `io:read`; `io:write` |
| IN from port DX, OUT to it | `EC`, `ED`; `EE`, `EF` | `io:read`; `io:write` |
| CLTS, WBINVD, WRMSR, RDMSR | `0F 06`, `0F 09`, `0F 30`, `0F 32` | `clts`, `wbinvd`, `wrmsr`, `rdmsr` |
| MOV from and to control register 0, 2, 3 or 4 | `0F 20 /r`, `0F 22 /r` | `mov-cr0`, `mov-cr2`, … |
| LGDT, LIDT, INVLPG (a memory operand) | `0F 01 /2`, `0F 01 /3`, `0F 01 /7` | `lgdt`, `lidt`, `invlpg` |

`ib` is one byte more. `/r` is a ModRM byte: two bits *mod*, three bits *reg*, three bits *rm*. In MOV its *reg* is
the number of the control register. `/2` is a ModRM byte whose *reg* is 2. A memory operand has *mod* 0, 1 or 2; *rm*
4 means that a SIB byte follows; then come 0, 1 or 4 bytes of displacement (mod 0, 1, 2). Two exceptions, both with
mod 0: *rm* 5, and a SIB byte whose low three bits are 5, have a displacement of 4. *mod* 3 is a register: there is no
such LGDT, LIDT or INVLPG. A prefix `66` (operand size) may stand before any of these, and counts.

**Expected result:** the check has ten instructions. The hidden checks have hundreds.
"""

SOLUTION = '''
def decode(code):
    ### BEGIN SOLUTION
    if code[:1] == [0x66]:
        rest = decode(code[1:])
        return rest and [rest[0], rest[1] + 1]
    plain = {0xF4: "hlt", 0xFA: "cli", 0xFB: "sti", 0xCF: "iret"}
    first = code[0]
    if first in plain:
        return [plain[first], 1]
    if first in range(0xE4, 0xE8):
        return ["io:write" if first & 2 else "io:read", 2]
    if first in range(0xEC, 0xF0):
        return ["io:write" if first & 2 else "io:read", 1]
    if first != 0x0F or len(code) < 2:
        return None
    second = code[1]
    two = {0x06: "clts", 0x09: "wbinvd", 0x30: "wrmsr", 0x32: "rdmsr"}
    if second in two:
        return [two[second], 2]
    if second not in (0x01, 0x20, 0x22):
        return None
    mod, reg, rm = code[2] >> 6, code[2] >> 3 & 7, code[2] & 7
    if second != 0x01:
        return [f"mov-cr{reg}", 3] if reg in (0, 2, 3, 4) else None
    reason = {2: "lgdt", 3: "lidt", 7: "invlpg"}.get(reg)
    if reason is None or mod == 3:
        return None
    length = 3 + {0: 0, 1: 1, 2: 4}[mod]
    if rm == 4:
        length += 1
        rm = code[3] & 7
    if mod == 0 and rm == 5:
        length += 4
    return [reason, length]
    ### END SOLUTION
'''

PUBLIC = """
EXAMPLES = {
    "cli": ([0xFA, 0x90], ["cli", 1]),
    "in $0x80, %al": ([0xE4, 0x80], ["io:read", 2]),
    "out %al, %dx": ([0xEE], ["io:write", 1]),
    "out %ax, %dx": ([0x66, 0xEF], ["io:write", 2]),
    "mov %cr2, %eax": ([0x0F, 0x20, 0xD0], ["mov-cr2", 3]),
    "rdmsr": ([0x0F, 0x32], ["rdmsr", 2]),
    "invlpg (%eax)": ([0x0F, 0x01, 0x38], ["invlpg", 3]),
    "lgdt 0x1234": ([0x0F, 0x01, 0x15, 0x34, 0x12, 0, 0], ["lgdt", 7]),
    "invlpg 8(%esp)": ([0x0F, 0x01, 0x7C, 0x24, 8], ["invlpg", 5]),
    "mov (%eax), %eax": ([0x8B, 0x00], None),
}
with pvlab.check("ex02-decode") as check:
    for text, (code, expected) in EXAMPLES.items():
        check(text, decode(code), expected)
"""

_ONE = ((0xF4,), (0xFA,), (0xFB,), (0xCF,), (0x0F, 0x06), (0x0F, 0x09), (0x0F, 0x30), (0x0F, 0x32))
_OTHER = ((0x90,), (0x8B, 0x00), (0x0F, 0xA2), (0x0F, 0x0B), (0x9C,), (0x9D,), (0x40,), (0x0F, 0x01, 0xE0),
          (0xFF, 0xE0), (0x0F, 0xAF, 0xC1), (0x0F, 0x01, 0x00), (0xC3,), (0x89, 0xD8))


def truth(code: bytes) -> list | None:
    """What the lab's own decoder and emulator say."""
    found = decode(code, 0)
    if found is None:
        return None
    if found.mnemonic in ("in", "out"):
        return ["io:read" if found.mnemonic == "in" else "io:write", found.size]
    known = emulate.find(found)
    return [known[0], found.size] if known else None


def hidden(student, rng, variant):
    def tail():
        return [rng.randrange(256) for _ in range(8)]

    def check(codes, feedback):
        for code in codes:
            code = list(code) + tail()
            expected, answer = truth(bytes(code)), student.call("decode", code)
            about = f" ({expected[0]})" if expected else " (not an instruction of the table)"
            require(answer == expected, feedback + about)

    def plain():
        check([code for _ in range(2) for code in _ONE], "an instruction without operands is decoded wrongly")

    def ports():
        codes = [(first, *([rng.randrange(256)] if first < 0xEC else []))
                 for first in (*range(0xE4, 0xE8), *range(0xEC, 0xF0))]
        check(rng.sample(codes, 8), "a port instruction is decoded wrongly: bit 1 of the opcode tells IN from OUT")

    def control():
        codes = [(0x0F, rng.choice((0x20, 0x22)), 0xC0 | number << 3 | rng.randrange(8)) for number in (0, 2, 3, 4) * 3]
        check(codes, "MOV with a control register: its number is in bits 3 to 5 of the ModRM byte")

    def memory(mods, rms, sibs, feedback):
        def test():
            check([(0x0F, 0x01, mod << 6 | reg << 3 | rm, sib) for mod in mods for rm in rms for sib in sibs
                   for reg in (2, 3, 7)], feedback)
        return test

    def prefixed():
        codes = [(0x66, *code) for code in (*_ONE[4:], (0xED,), (0xE7, 9), (0x0F, 0x22, 0xD8), (0x0F, 0x01, 0x50, 4))]
        check(codes, "a prefix 66 counts as one byte of the instruction, and changes nothing else")

    def others():
        check(_ONE[:3], "an instruction without operands is decoded wrongly")
        check(_OTHER, "what is not in the table must give None, so that its fault is reflected")

    sib = [rng.randrange(256) & ~7 | low for low in (0, 3, 5, 7)]
    return [
        graded("one-byte and two-byte instructions", 1, plain), graded("ports", 1, ports),
        graded("control registers", 1, control),
        graded("memory operands without SIB", 2, memory((0, 1, 2), (0, 1, 3, 5, 6), (rng.randrange(256),),
               "a memory operand has a wrong length: mod gives the displacement, and mod 0 with rm 5 has four bytes")),
        graded("memory operands with SIB", 1, memory((0, 1, 2), (4,), sib,
               "rm 4 means that a SIB byte follows; with mod 0, a SIB base of 5 has a displacement of 4")),
        graded("the prefix 66", 1, prefixed), graded("other instructions", 1, others),
    ]


EXERCISE = Exercise(
    id="ex02-decode", title="Decode what trapped", points=8, minutes=60,
    statement=STATEMENT, solution=SOLUTION, public=PUBLIC, hidden=hidden,
    hints=(
        "Begin with a dict from the first byte to the reason, for the instructions of one byte. Then the ports, then a "
        "second dict for what follows `0F`.",
        "For the prefix, call yourself: `rest = decode(code[1:])`, and add 1 to the length if `rest` is not None.",
        "ModRM: `mod, reg, rm = code[2] >> 6, code[2] >> 3 & 7, code[2] & 7`. The length is 3, and 1 or 4 bytes of "
        "displacement for mod 1 or 2, and 1 for a SIB byte (rm 4).",
        "The exception: with mod 0, four more bytes if rm is 5, or if rm is 4 and `code[3] & 7` is 5.",
    ))

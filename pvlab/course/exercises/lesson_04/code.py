"""Decode a DIAGNOSE instruction."""
from pvlab.course.exercises.model import Exercise, graded, require, same
from pvlab.machine.s390x.decode import Instruction

STATEMENT = """
DIAGNOSE has four bytes: `83 xy bd dd`. The digit *x* is the number of register Rx, *y* that of Ry, *b* that of a base
register, and *ddd* a displacement of 12 bits. The code that is asked for is the displacement plus the content of the
base register; a *b* of 0 means that there is none. Of the sum only the last 16 bits count.

Write `decode(code, registers)`: `code` is a list of four bytes, `registers` the contents of the sixteen registers.
Return `[rx, ry, number]`, or `None` for another instruction.

**Expected result:** the four instructions of the check. The hidden checks have other ones.
"""

SOLUTION = """
def decode(code, registers):
    ### BEGIN SOLUTION
    if code[0] != 0x83:
        return None
    base, displacement = code[2] >> 4, (code[2] & 15) << 8 | code[3]
    number = displacement + (registers[base] if base else 0)
    return [code[1] >> 4, code[1] & 15, number % 65536]
    ### END SOLUTION
"""

PUBLIC = """
REGISTERS = [0x1000 * number for number in range(16)]
with pvlab.check("ex04-code") as check:
    check("diag %r2, %r4, 8", decode([0x83, 0x24, 0x00, 0x08], REGISTERS), [2, 4, 8])
    check("diag %r2, %r4, 0x250", decode([0x83, 0x24, 0x02, 0x50], REGISTERS), [2, 4, 0x250])
    check("diag %r14, %r0, 0x18(%r1)", decode([0x83, 0xE0, 0x10, 0x18], REGISTERS), [14, 0, 0x1018])
    check("lpsw 0", decode([0x82, 0x00, 0x00, 0x00], REGISTERS), None)
"""


def truth(code: bytes, registers: list[int]) -> list | None:
    """What the lab's own decoder says."""
    if code[0] != 0x83:
        return None
    found = Instruction(code)
    base, displacement = found.base
    return [found.r1, found.r3, displacement + (registers[base] if base else 0) & 0xFFFF]


def hidden(student, rng, variant):
    registers = [rng.randrange(1, 0x8000) for _ in range(16)]

    def right(feedback, code, of=registers):
        require(same(student.call("decode", list(code), of), truth(bytes(code), of)), feedback)

    def fields():
        for _ in range(8):
            right("the digits of the second byte are Rx and Ry; the displacement has twelve bits",
                  (0x83, rng.randrange(256), rng.randrange(16), rng.randrange(256)))

    def base():
        fields()
        for number in range(1, 16):
            right("the content of the base register is added",
                  (0x83, rng.randrange(256), number << 4 | rng.randrange(16), rng.randrange(256)))

    def truncated():
        fields()
        for number in (5, 9, 14):
            right("only the last 16 bits of the sum count", (0x83, 0x24, number << 4 | 15, 0xFF),
                  [rng.randrange(1 << 63, 1 << 64) for _ in range(16)])

    def others():
        fields()
        for first in rng.sample([byte for byte in range(256) if byte != 0x83], 6):
            right("another instruction is no DIAGNOSE", (first, 0x24, 0x00, 0x08))
    return [graded("registers and displacement", 1, fields), graded("the base register", 1, base),
            graded("sixteen bits", 1, truncated), graded("other instructions", 1, others)]


EXERCISE = Exercise(
    id="ex04-code", title="What was asked?", points=4, minutes=10,
    statement=STATEMENT, solution=SOLUTION, public=PUBLIC, hidden=hidden,
    hints=(
        "`code[1] >> 4` is the first digit of a byte, `code[1] & 15` the second.",
        "The displacement is the second digit of byte 2, and byte 3: `(code[2] & 15) << 8 | code[3]`.",
        "Register 0 cannot be a base: with *b* = 0 nothing is added. At the end take the sum modulo 65,536.",
    ))

"""Ordinary instructions, in any ring; faults that take one of them; and code that changes itself."""
from fidelity import world as w
from fidelity.programs import FREE, action, place, word
from machine.assembler import EAX, ECX, EDI, EDX, ESI


@action()
def arithmetic(p, r):
    code = p.code
    for _ in range(r.randrange(3, 12)):
        a, b = r.choice(FREE), r.choice(FREE)
        pair = bytes([0xC0 | a << 3 | b])
        memory = bytes([a << 3 | 5])
        op = r.randrange(8) << 3
        choice = r.randrange(14)
        if choice < 3:
            code(bytes([op | 1]), pair)                                   # op %a, %b
        elif choice == 3:
            code(bytes([op | 3]), memory, place(r))                      # op mem, %a
        elif choice == 4:
            code(bytes([op | 1]), memory, place(r))                      # op %a, mem
        elif choice == 5:
            code("81", bytes([0xC0 | op | b]), word(r))                  # op $imm, %b
        elif choice == 6:
            code("c1", bytes([0xC0 | r.choice((0, 8, 0x10, 0x18, 0x20, 0x28, 0x38)) | b, r.randrange(1, 32)]))
        elif choice == 7:
            code("0f af", pair)                                           # imul
        elif choice == 8:
            code("0f", bytes([r.choice((0xA3, 0xAB, 0xB3, 0xBB, 0xB6, 0xB7, 0xBE, 0xBF))]), pair)
            code("39", pair)                                              # cmp: bt leaves flags undefined
        elif choice == 9:
            code("0f", bytes([0x40 | r.randrange(16)]), pair)             # cmov
        elif choice == 10:
            code("0f", bytes([0x90 | r.randrange(16), 0xC0 | r.choice((0, 1, 2, 3, 5, 6, 7))]))   # set
        elif choice == 11:
            # sahf, lahf, cmc, clc, stc, cwde, cdq, salc, daa, aaa, aam
            code(r.choice(("9e", "9f", "f5", "f8", "f9", "98", "99", "d6", "27", "37", "d4 0a")))
        elif choice == 12:
            code(r.choice(("0f c1", "0f b1", "87", "89", "8b")), memory, place(r))   # xadd, cmpxchg, xchg, mov
        else:
            code(r.choice(("f0 0f c1", "f0 0f b1", "f0 01", "f0 29")), memory, w.SCRATCH + 4 * r.randrange(64))


@action()
def branches(p, r):
    """A counted loop with a conditional jump in it, and a call."""
    code = p.code
    code.mov(ECX, r.randrange(1, 9))
    top = code.here
    code("40 a8 01", bytes([0x70 | r.randrange(16), 1]), "43")            # inc %eax; test $1, %al; jcc 1f; inc %ebx; 1:
    code("e8", 2, "eb 02 46 c3")                                          # call 1f; jmp 2f; 1: inc %esi; ret; 2:
    code("49")                                                            # dec %ecx
    code.jump("0f 85", top)


@action()
def divide(p, r):
    code = p.code
    code.mov(EDX, r.choice((0, 0, 1, word(r))))
    code.mov(ECX, r.choice((0, 3, word(r))))
    p.risky(r.choice(("f7 f1", "f7 f9", "66 f7 f1", "f6 f1")))            # div, idiv


@action()
def strings(p, r):
    code = p.code
    code("fd" if r.random() < 0.3 else "fc")
    code.mov(ESI, place(r, 0xE00) + 0x100)
    code.mov(EDI, place(r, 0xE00) + 0x100)
    code.mov(ECX, r.randrange(0, 12))
    code(r.choice(("", "f3", "f2")), r.choice(("a4", "a5", "aa", "ab", "ac", "ad", "ae", "af", "a6", "a7", "66 a5")))


@action()
def stack(p, r):
    code = p.code
    choice = r.randrange(6)
    if choice == 0:
        code("60 61")                                                     # pusha; popa
    elif choice == 1:
        code("68", word(r), "58 6a", bytes([r.randrange(256)]), "5b")    # push; pop
    elif choice == 2:
        code("c8", bytes([r.randrange(64), 0, 0]), "c9")                  # enter; leave
    elif choice == 3:
        code("66 68 34 12 66 58")                                         # 16-bit push and pop
    elif choice == 4:
        code("1e 06 07 1f 0f a0 0f a8 0f a9 0f a1")                       # push ds, es; pop es, ds; then fs and gs
    else:
        code("ff 35", place(r), "8f 05", place(r))                      # push mem; pop mem


@action()
def exchange(p, r):
    """CMPXCHG8B, which compares and stores eight bytes."""
    p.code(r.choice(("", "f0")), "0f c7 0d", w.SCRATCH + 8 * r.randrange(64))


@action()
def x87(p, r):
    """Floating point; where exceptions are not masked and CR0.NE says so, a division by zero is one."""
    code = p.code
    with p.recovering():
        code("db e3 d9 eb d9 e8 de c1 db 1d", place(r))                  # fninit; fldpi; fld1; faddp; fistpl
    if r.random() < 0.5:
        code.set(w.SCRATCH, 0x33F)
        with p.recovering():
            code("db e3")
            if r.random() < 0.7:
                code("66 81 25", w.SCRATCH, "fb ff d9 2d", w.SCRATCH)     # unmask it: fldcw
            code("d9 e8 d9 ee de f9 9b")                                  # fld1; fldz; fdivp; fwait
    code("db e2")


@action()
def bounds(p, r):
    p.code.set(w.SCRATCH, r.randrange(4))
    p.code.set(w.SCRATCH + 4, r.randrange(4, 9))
    p.code.mov(EAX, r.randrange(12))
    p.risky("62 05", w.SCRATCH)


@action()
def other_faults(p, r):
    """Faults and traps that take one instruction."""
    code = p.code
    choice = r.randrange(4)
    if choice == 0:
        p.risky("0f 0b")                                                  # ud2
    elif choice == 1:
        code("b0 7f", bytes([0x04, r.choice((0, 1))]))                    # add to 127: overflow or not
        p.risky("ce")                                                     # into
    elif choice == 2:
        code("cc")                                                        # int3
    else:
        p.risky("f0 90")                                                  # a lock prefix where none may be


@action()
def own_code(p, r):
    """Code that changes the code behind it, with and without a jump in between."""
    code = p.code
    hole = code.hole("c6 05")
    code(bytes([r.choice((0x40, 0x43, 0x90))]))                           # movb $opcode, 1f
    if r.random() < 0.5:
        code("eb 00")
    code("40" * r.randrange(3))
    code.fill(hole)
    code("90 41")                                                         # 1: nop; inc %ecx

"""Emulation in the cache: a few instructions on the virtual CPU's memory, where the monitor would cost thousands."""
from __future__ import annotations

from pvlab.machine.x86.cpu import TF
from pvlab.monitors.binary_translation import vmem as v
from pvlab.monitors.binary_translation.classify import Guest
from pvlab.monitors.binary_translation.code import NEW_BLOCK, A, C, D, SI, Code

_IF, _IOPL, _NT, _RF, _VM = 0x200, 0x3000, 0x4000, 0x10000, 0x20000


def cli(code: Code, guest: Guest, index: int) -> None:
    code.set(v.INTERRUPTS, 0)
    code.retire()


def sti(code: Code, guest: Guest, index: int) -> None:
    """With an interrupt waiting, STI is a callout."""
    code.save(C)
    code.load(C, v.PENDING)
    code("e3 08")                                                 # jecxz none
    code.load(C, v.ECX)
    code.callout(index)
    code.restore(C)                                              # none:
    code.set(v.INTERRUPTS, _IF)
    code.retire()


def pushf(code: Code, guest: Guest, index: int) -> None:
    """The real flags, in which IF is 1 and IOPL 0, with the virtual ones in their place: added, not compared."""
    code("9c")
    code.save(A, C)
    code("8b 04 24")                                              # mov eax, [esp]
    code.load(C, v.INTERRUPTS)
    code("8d 84 08", (-_IF & 0xFFFFFFFF).to_bytes(4, "little"))   # lea eax, [eax + ecx - IF]
    code.load(C, v.LEVEL)
    code("8d 04 08 89 04 24")                                     # lea eax, [eax + ecx]; mov [esp], eax
    code.restore(A, C)
    code.retire()


def popf(code: Code, guest: Guest, index: int) -> None:
    """A callout where the new flags need more than IF, or IF is set with an interrupt waiting. It may use the flags:
    POPF replaces them all."""
    code.save(A, C)
    code("8b 04 24")                                              # mov eax, [esp]
    code.load(C, v.PENDING)
    code("81 c9", (TF | _IOPL | _NT | _RF | _VM).to_bytes(4, "little"))   # or ecx, those
    code("21 c1 74 0d")                                           # and ecx, eax; jz fast
    code.load(A, v.EAX)
    code.load(C, v.ECX)
    code.callout(index)
    code("25", _IF.to_bytes(4, "little"))                         # fast: and eax, IF
    code.store(v.INTERRUPTS, A)
    code.set(v.LEVEL, 0)
    code.restore(A, C)
    code("9d")                                                    # popf: in ring 1 it leaves IF and IOPL alone
    code.retire()


_CONTROL = {0: v.CR0, 2: v.CR2, 3: v.CR3, 4: v.CR4}


def read_control(code: Code, guest: Guest, index: int) -> None:
    modrm = guest.code[guest.modrm]
    code.load(modrm & 7, _CONTROL[modrm >> 3 & 7])
    code.retire()


def write_cr2(code: Code, guest: Guest, index: int) -> None:
    code.store(v.CR2, guest.code[guest.modrm] & 7)
    code.retire()


def _word_of(guest: Guest) -> int:
    """Which word SLDT, STR, SMSW, MOV from CS or SS, and PUSH CS or SS read."""
    opcode, register = guest.code[guest.opcode:guest.modrm], guest.code[guest.modrm:guest.modrm + 1]
    if opcode in (b"\x0e", b"\x16"):
        return v.CS_WORD if opcode == b"\x0e" else v.SS_WORD
    number = register[0] >> 3 & 7
    if opcode == b"\x8c":
        return v.CS_WORD if number == 1 else v.SS_WORD
    if opcode == b"\x0f\x00":
        return v.TR if number else v.LDT
    return v.CR0


def push_word(code: Code, guest: Guest, index: int) -> None:
    code("ff 35", code.word(_word_of(guest)))
    code.retire()


def read_word(code: Code, guest: Guest, index: int) -> None:
    """Into a register, all 32 bits, but of SMSW 16; into memory, 16."""
    modrm, word = guest.code[guest.modrm], _word_of(guest)
    if modrm >= 0xC0:
        if word == v.CR0:
            code("66 8b", (modrm & 7) << 3 | 5, code.word(word))
        else:
            code.load(modrm & 7, word)
    else:
        scratch = _unused(guest)
        code.save(scratch)
        code.load(scratch, word)
        code(guest.segment_prefix, "66 89", modrm & 0xC7 | scratch << 3, guest.code[guest.modrm + 1:])
        code.restore(scratch)
    code.retire()


def store_table(code: Code, guest: Guest, index: int) -> None:
    """SGDT and SIDT: the limit, and the base two bytes further on."""
    interrupts = guest.code[guest.modrm] >> 3 & 7
    scratch = _unused(guest)
    operand, displacement = _far_form(guest.code[guest.modrm:], scratch)
    code.save(scratch)
    for word, prefix, offset in ((v.IDT_LIMIT if interrupts else v.GDT_LIMIT, "66", 0),
                                 (v.IDT_BASE if interrupts else v.GDT_BASE, "", 2)):
        code.load(scratch, word)
        code(guest.segment_prefix, prefix, "89", operand, (displacement + offset & 0xFFFFFFFF).to_bytes(4, "little"))
    code.restore(scratch)
    code.retire()


def store(code: Code, guest: Guest, index: int) -> None:
    """A store to a page table, through its window; then the shadow entry goes. Without a window it is a callout."""
    opcode, operand, immediate = guest.code[guest.opcode], guest.code[guest.modrm:], b""
    wide = opcode == 0x0F
    if opcode == 0xC7:
        operand, immediate = operand[:-4], operand[-4:]
    elif opcode == 0xA3:                                                # EAX, to an address without ModRM
        operand = b"\x05" + guest.code[1:]
    code.save(A, C, D)
    code("8d", operand[0] & 0xC7 | D << 3, operand[1:])                # lea edx, the operand
    code("9f 0f 90 c0")                                                 # lahf; seto al
    code.store(v.FLAGS, A)
    code("89 d0 25", (0xFFFFF007 if wide else 0xFFFFF003).to_bytes(4, "little"))   # mov eax, edx; and eax, page + rest
    code("89 d1 c1 e9 0c 83 e1 3f 01 c9")                               # mov ecx, edx; shr 12; and 63; add ecx, ecx
    code("3b 04 cd", code.word(v.KNOWN), "74 1b")                       # cmp eax, [known + ecx * 8]; je open
    _restore_flags(code)
    for register in (A, C, D):
        code.load(register, v.SAVED[register])
    code.callout(index)
    code("8b 04 cd", code.word(v.KNOWN + 4), "01 d0")                   # open: mov eax, [...]; add eax, edx
    code.store(v.WINDOW, A)
    code("81 e2 f8 0f 00 00 03 14 cd", code.word(v.KNOWN + 8))          # and edx, 0xff8; add edx, [...]
    code.store(v.SHADOW, D)
    _restore_flags(code)
    code.restore(A, C, D)
    source = operand[0] >> 3 & 7
    pointer = A if not wide and source == SI and not immediate else SI
    code.save(pointer)
    code.load(pointer, v.WINDOW)
    if wide:
        code(NEW_BLOCK, guest.prefixes, "0f c7 0e")                     # cmpxchg8b [esi]
    elif immediate:
        code("c7 06", immediate)
    else:
        code("89", source << 3 | pointer)
    code.load(pointer, v.SHADOW)
    code("c7", pointer, bytes(4), "c7", 0x40 | pointer, 4, bytes(4))    # both halves of the shadow entry
    code.restore(pointer)
    code.set(v.STALE, 1)
    code.retire()


def _restore_flags(code: Code) -> None:
    code.load(A, v.FLAGS)
    code("04 7f 9e")                                                    # add al, 0x7f; sahf


def _registers_of(guest: Guest) -> set[int]:
    """The registers that make up a memory operand's address."""
    modrm = guest.code[guest.modrm]
    if modrm & 7 != 4:
        return set() if modrm & 0xC7 == 5 else {modrm & 7}
    sib = guest.code[guest.modrm + 1]
    return {sib & 7, sib >> 3 & 7}


def _unused(guest: Guest) -> int:
    return min({A, C, D} - _registers_of(guest))


def _far_form(operand: bytes, register: int) -> tuple[bytes, int]:
    """A memory operand in the form with a displacement of 32 bits: (ModRM with `register` and SIB, displacement)."""
    mod, rest = operand[0] >> 6, operand[0] & 7
    sib = operand[1:2] if rest == 4 else b""
    displacement = int.from_bytes(operand[1 + len(sib):], "little", signed=True)
    absolute = mod == 0 and (rest == 5 or sib and sib[0] & 7 == 5)
    return bytes([(0 if absolute else 0x80) | register << 3 | rest]) + sib, displacement

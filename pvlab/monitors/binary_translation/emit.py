"""Emitted sequences: what stands in the cache for each guest instruction.

A sequence may use EAX, ECX or EDX for itself if it saves them first, and must leave the flags as the guest's
instruction does: so a comparison is an LEA and a JECXZ, which touch none. For each byte the notes say to which guest
instruction it belongs and which registers are saved, so a fault at any of them is the guest's own fault.
"""
from __future__ import annotations

from pvlab.machine.x86.cpu import TF
from pvlab.monitors.binary_translation import classify as k
from pvlab.monitors.binary_translation import vmem as v
from pvlab.monitors.binary_translation.classify import Guest

EXIT = b"\xcd\x2f"                      # INT n: leaves the cache for the monitor. The number says nothing.
NEW_BLOCK = b"\xeb\x00"                 # JMP to what follows, which the engine gets right only at the beginning of a
                                        # block: CMPXCHG8B, LOOPE and LOOPNE (see machine/x86/decode.py)
_IF, _IOPL, _NT, _RF, _VM = 0x200, 0x3000, 0x4000, 0x10000, 0x20000
_A, _C, _D, _SI = 0, 1, 2, 6


class Code:
    """Code of one unit under construction, at linear address `at`; the monitor's memory begins at `base`.

    places    [(offset, guest address)]: from here on, this is the guest's EIP; a block that begins here can be stopped
    saved     [(offset, registers)]: from here on, the guest's values of these are in the monitor's page
    retired   offsets of the last bytes at which a guest instruction is done
    emulated, looked_up     those of `retired` that are of instructions emulated in the cache, and of look-ups
    repeats   {end: beginning} of repeated string instructions
    sites     [(offset of a 32-bit displacement, guest address)] of direct branches
    callouts  {offset behind an EXIT: index of the guest instruction}
    """

    def __init__(self, at: int, base: int, miss: int):
        self.at, self.base, self._miss = at, base, miss
        self.bytes = bytearray()
        self.places: list[tuple[int, int]] = []
        self.saved: list[tuple[int, tuple[int, ...]]] = [(0, ())]
        self.retired: list[int] = []
        self.emulated: list[int] = []
        self.looked_up: list[int] = []
        self.repeats: dict[int, int] = {}
        self.sites: list[tuple[int, int]] = []
        self.callouts: dict[int, int] = {}

    def __call__(self, *parts: bytes | int | str) -> None:
        """Add bytes, a byte, or hexadecimal digits."""
        for part in parts:
            self.bytes += bytes.fromhex(part) if isinstance(part, str) else bytes([part]) if isinstance(part, int) else part

    def word(self, offset: int) -> bytes:
        """The linear address of a word of the monitor's memory, as it stands in an instruction."""
        return (self.base + offset).to_bytes(4, "little")

    # -- notes
    def place(self, guest: int) -> None:
        self.places.append((len(self.bytes), guest))

    def retire(self) -> None:
        """The guest's instruction is done when the last byte so far has been executed."""
        self.retired.append(len(self.bytes) - 1)

    # -- registers and words of the monitor's page
    def save(self, *registers: int) -> None:
        for register in registers:
            self.store(v.SAVED[register], register)
        self.saved.append((len(self.bytes), registers))

    def restore(self, *registers: int) -> None:
        for register in registers:
            self.load(register, v.SAVED[register])
        self.saved.append((len(self.bytes), ()))

    def load(self, register: int, word: int) -> None:
        self("a1" if register == _A else bytes([0x8B, register << 3 | 5]), self.word(word))

    def store(self, word: int, register: int) -> None:
        self("a3" if register == _A else bytes([0x89, register << 3 | 5]), self.word(word))

    def set(self, word: int, value: int) -> None:
        self("c7 05", self.word(word), value.to_bytes(4, "little"))

    # -- leaving
    def jump(self, guest: int, opcode: str = "e9") -> None:
        """A direct branch to a guest address; the cache fills it in."""
        self(opcode)
        self.sites.append((len(self.bytes), guest))
        self(bytes(4))

    def callout(self, index: int) -> None:
        self(EXIT)
        self.callouts[len(self.bytes)] = index

    def look_up(self) -> None:
        """Go to the translation of the guest address in EAX, with EAX and ECX saved. The last of the sequence."""
        self.looked_up.append(self.retired[-1])
        self("0f b7 c8")                                         # movzx ecx, ax        the slot
        self("8b 0c cd", self.word(v.TABLE))                     # mov ecx, [table + ecx * 8]   minus its guest address
        self("8d 0c 01")                                         # lea ecx, [ecx + eax]         0 if it is this one
        self("e3 05")                                            # jecxz hit
        self("e9", (self._miss - self.at - len(self.bytes) - 5).to_bytes(4, "little", signed=True))
        self("0f b7 c8")                                         # hit: movzx ecx, ax
        self("8b 0c cd", self.word(v.TABLE + 4))                 # mov ecx, [table + 4 + ecx * 8]
        self.store(v.GO, _C)
        self.restore(_A, _C)
        self("ff 25", self.word(v.GO))                           # jmp [go]


def miss_stub(base: int) -> bytes:
    """What a look-up that finds nothing jumps to: it leaves with the guest address in the monitor's page."""
    code = Code(0, base, 0)
    code.store(v.TARGET, _A)
    code.restore(_A, _C)
    code(EXIT)
    return bytes(code.bytes)


def emit(code: Code, guest: Guest, index: int) -> None:
    """Add the translation of one guest instruction, which is number `index` of its unit."""
    code.place(guest.address)
    _EMIT[guest.kind](code, guest, index)
    if guest.kind in k.IN_CACHE:
        code.emulated.append(code.retired[-1])


def _ident(code: Code, guest: Guest, index: int) -> None:
    if _is_cmpxchg8b(guest):
        code(NEW_BLOCK)
    begin = len(code.bytes)
    code(guest.code)
    code.retire()
    if guest.is_repeated_string:
        code.repeats[len(code.bytes)] = begin


def _is_cmpxchg8b(guest: Guest) -> bool:
    at = guest.opcode
    return guest.code[at:at + 2] == b"\x0f\xc7" and guest.code[at + 2] >> 3 & 7 == 1


def _callout(code: Code, guest: Guest, index: int) -> None:
    code.callout(index)


# -- control flow ---------------------------------------------------------------------------------------------------
def _jump(code: Code, guest: Guest, index: int) -> None:
    code.jump(guest.target)
    code.retire()


def _branch(code: Code, guest: Guest, index: int) -> None:
    code.jump(guest.target, f"0f {0x80 | guest.code[guest.modrm - 1] & 15:02x}")
    code.retire()
    code.place(guest.end)
    code.jump(guest.end)


def _loop(code: Code, guest: Guest, index: int) -> None:
    """LOOP, LOOPE, LOOPNE and JECXZ reach 127 bytes only: over a jump to what follows."""
    if guest.code[guest.opcode] < 0xE2:
        code(NEW_BLOCK)
    code(guest.code[:-1], 5)
    code.retire()
    code.place(guest.end)
    code.jump(guest.end)
    code.place(guest.target)
    code.jump(guest.target)


def _push_return(code: Code, guest: Guest) -> None:
    code("68", (guest.end & 0xFFFFFFFF).to_bytes(4, "little"))       # the guest's stack has the guest's address


def _call(code: Code, guest: Guest, index: int) -> None:
    _push_return(code, guest)
    code.jump(guest.target)
    code.retire()


def _operand(code: Code, guest: Guest) -> None:
    """Load the guest's operand, a register or memory, into EAX."""
    operand = guest.code[guest.modrm:]
    code(guest.segment_prefix, "8b", operand[0] & 0xC7, operand[1:])


def _jump_indirect(code: Code, guest: Guest, index: int) -> None:
    code.save(_A, _C)
    _operand(code, guest)
    code.retire()
    code.look_up()


def _call_indirect(code: Code, guest: Guest, index: int) -> None:
    code.save(_A, _C)
    _operand(code, guest)
    _push_return(code, guest)
    code.retire()
    code.look_up()


def _return(code: Code, guest: Guest, index: int) -> None:
    release = int.from_bytes(guest.code[-2:], "little") if guest.code[guest.opcode] == 0xC2 else 0
    code.save(_A, _C)
    code("8b 04 24")                                              # mov eax, [esp]
    if release:
        code("8d a4 24", (release + 4).to_bytes(4, "little"))     # lea esp, [esp + 4 + release]
    else:
        code("8d 64 24 04")
    code.retire()
    code.look_up()


# -- emulated in the cache -------------------------------------------------------------------------------------------
def _cli(code: Code, guest: Guest, index: int) -> None:
    code.set(v.INTERRUPTS, 0)
    code.retire()


def _sti(code: Code, guest: Guest, index: int) -> None:
    """With an interrupt waiting, STI is a callout."""
    code.save(_C)
    code.load(_C, v.PENDING)
    code("e3 08")                                                 # jecxz none
    code.load(_C, v.ECX)
    code.callout(index)
    code.restore(_C)                                              # none:
    code.set(v.INTERRUPTS, _IF)
    code.retire()


def _pushf(code: Code, guest: Guest, index: int) -> None:
    """The real flags, in which IF is 1 and IOPL 0, with the virtual ones in their place: added, not compared."""
    code("9c")
    code.save(_A, _C)
    code("8b 04 24")                                              # mov eax, [esp]
    code.load(_C, v.INTERRUPTS)
    code("8d 84 08", (-_IF & 0xFFFFFFFF).to_bytes(4, "little"))   # lea eax, [eax + ecx - IF]
    code.load(_C, v.LEVEL)
    code("8d 04 08 89 04 24")                                     # lea eax, [eax + ecx]; mov [esp], eax
    code.restore(_A, _C)
    code.retire()


def _popf(code: Code, guest: Guest, index: int) -> None:
    """A callout where the new flags need more than IF, or IF is set with an interrupt waiting. It may use the flags:
    POPF replaces them all."""
    code.save(_A, _C)
    code("8b 04 24")                                              # mov eax, [esp]
    code.load(_C, v.PENDING)
    code("81 c9", (TF | _IOPL | _NT | _RF | _VM).to_bytes(4, "little"), "21 c1 74 0d")   # or ecx, those; and ecx, eax; jz
    code.load(_A, v.EAX)
    code.load(_C, v.ECX)
    code.callout(index)
    code("25", _IF.to_bytes(4, "little"))                         # and eax, IF
    code.store(v.INTERRUPTS, _A)
    code.set(v.LEVEL, 0)
    code.restore(_A, _C)
    code("9d")                                                    # popf: in ring 1 it leaves IF and IOPL alone
    code.retire()


_CONTROL = {0: v.CR0, 2: v.CR2, 3: v.CR3, 4: v.CR4}


def _read_control(code: Code, guest: Guest, index: int) -> None:
    modrm = guest.code[guest.modrm]
    code.load(modrm & 7, _CONTROL[modrm >> 3 & 7])
    code.retire()


def _write_cr2(code: Code, guest: Guest, index: int) -> None:
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


def _push_word(code: Code, guest: Guest, index: int) -> None:
    code("ff 35", code.word(_word_of(guest)))
    code.retire()


def _read_word(code: Code, guest: Guest, index: int) -> None:
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


def _store_table(code: Code, guest: Guest, index: int) -> None:
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


def _store(code: Code, guest: Guest, index: int) -> None:
    """A store to a page table, through its window; then the shadow entry goes. Without a window it is a callout."""
    operand = guest.code[guest.modrm:]
    immediate = b"\xc7"[:guest.code[guest.opcode] == 0xC7]
    wide = guest.code[guest.opcode] == 0x0F
    if immediate:
        operand, immediate = operand[:-4], operand[-4:]
    code.save(_A, _C, _D)
    code("8d", operand[0] & 0xC7 | _D << 3, operand[1:])                # lea edx, the operand
    code("9f 0f 90 c0")                                                 # lahf; seto al
    code.store(v.FLAGS, _A)
    code("89 d0 25", (0xFFFFF007 if wide else 0xFFFFF003).to_bytes(4, "little"))   # mov eax, edx; and eax, page + rest
    code("89 d1 c1 e9 0c 83 e1 3f 01 c9")                               # mov ecx, edx; shr 12; and 63; add ecx, ecx
    code("3b 04 cd", code.word(v.KNOWN), "74 1b")                       # cmp eax, [known + ecx * 8]; je open
    _restore_flags(code)
    for register in (_A, _C, _D):
        code.load(register, v.SAVED[register])
    code.callout(index)
    code("8b 04 cd", code.word(v.KNOWN + 4), "01 d0")                   # open: mov eax, [...]; add eax, edx
    code.store(v.WINDOW, _A)
    code("81 e2 f8 0f 00 00 03 14 cd", code.word(v.KNOWN + 8))          # and edx, 0xff8; add edx, [...]
    code.store(v.SHADOW, _D)
    _restore_flags(code)
    code.restore(_A, _C, _D)
    source = operand[0] >> 3 & 7
    pointer = _A if not wide and source == _SI and not immediate else _SI
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
    code.load(_A, v.FLAGS)
    code("04 7f 9e")                                                    # add al, 0x7f; sahf


def _registers_of(guest: Guest) -> set[int]:
    """The registers that make up a memory operand's address."""
    modrm = guest.code[guest.modrm]
    if modrm & 7 != 4:
        return set() if modrm & 0xC7 == 5 else {modrm & 7}
    sib = guest.code[guest.modrm + 1]
    return {sib & 7, sib >> 3 & 7}


def _unused(guest: Guest) -> int:
    return min({_A, _C, _D} - _registers_of(guest))


def _far_form(operand: bytes, register: int) -> tuple[bytes, int]:
    """A memory operand in the form that has a displacement of 32 bits: (ModRM with `register` and SIB, displacement)."""
    mod, rest = operand[0] >> 6, operand[0] & 7
    sib = operand[1:2] if rest == 4 else b""
    displacement = int.from_bytes(operand[1 + len(sib):], "little", signed=True)
    absolute = mod == 0 and (rest == 5 or sib and sib[0] & 7 == 5)
    return bytes([(0 if absolute else 0x80) | register << 3 | rest]) + sib, displacement


_EMIT = {
    k.IDENT: _ident, k.CALLOUT: _callout, k.INVALID: _callout,
    k.JUMP: _jump, k.BRANCH: _branch, k.LOOP: _loop, k.CALL: _call, k.JUMP_INDIRECT: _jump_indirect,
    k.CALL_INDIRECT: _call_indirect, k.RETURN: _return,
    k.CLI: _cli, k.STI: _sti, k.PUSHF: _pushf, k.POPF: _popf,
    k.READ_CONTROL: _read_control, k.WRITE_CR2: _write_cr2, k.READ_WORD: _read_word,
    k.PUSH_WORD: _push_word, k.STORE_TABLE: _store_table, k.STORE: _store, k.WRITE_CALLOUT: _callout,
}

"""Code of one unit under construction: its bytes, and notes on them.

For each byte the notes say to which guest instruction it belongs and which of the guest's registers are saved, so a
fault at any of them is the guest's own fault.
"""
from __future__ import annotations

from pvlab.monitors.binary_translation import vmem as v

EXIT = b"\xcd\x2f"                      # INT n: leaves the cache for the monitor. The number says nothing.
NEW_BLOCK = b"\xeb\x00"                 # JMP to what follows, which the engine gets right only at the beginning of a
                                        # block: CMPXCHG8B, LOOPE and LOOPNE (see machine/x86/decode.py)
A, C, D, SI = 0, 1, 2, 6                # registers by number


class Code:
    """Code of one unit under construction, at linear address `at`; the monitor's memory begins at `base`.

    begins    where the translation of each guest instruction begins; `tail`: where that of the last ends, `end`: where
              all of it does
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
        self.begins: list[int] = []
        self.tail = self.end = 0
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
            if isinstance(part, str):
                part = bytes.fromhex(part)
            self.bytes += bytes([part]) if isinstance(part, int) else part

    def word(self, offset: int) -> bytes:
        """The linear address of a word of the monitor's memory, as it stands in an instruction."""
        return (self.base + offset).to_bytes(4, "little")

    # -- notes
    def forget(self) -> None:
        """The code has been overwritten: no instruction retires in it any more."""
        for notes in (self.retired, self.emulated, self.looked_up, self.repeats):
            notes.clear()

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
        self("a1" if register == A else bytes([0x8B, register << 3 | 5]), self.word(word))

    def store(self, word: int, register: int) -> None:
        self("a3" if register == A else bytes([0x89, register << 3 | 5]), self.word(word))

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
        self.store(v.GO, C)
        self.restore(A, C)
        self("ff 25", self.word(v.GO))                           # jmp [go]


def miss_stub(base: int) -> bytes:
    """What a look-up that finds nothing jumps to: it leaves with the guest address in the monitor's page."""
    code = Code(0, base, 0)
    code.store(v.TARGET, A)
    code.restore(A, C)
    code(EXIT)
    return bytes(code.bytes)

"""Machine code by hand: a tiny assembler for programs that are made by the hundred, and the guests they become.

A compiler call for each would take too long. What is written once and read by people is in assembly text instead, and
built by the lab's own toolchain: see `assemble`.
"""
import struct
import tempfile
from pathlib import Path

from pvlab.guests import guest as own_guest
from pvlab.guests.catalogue import Guest
from pvlab.guests.image import Image

MIB = 1 << 20
EAX, ECX, EDX, EBX, ESP, EBP, ESI, EDI = range(8)


def u32(*values):
    """32-bit words, little-endian."""
    return b"".join(struct.pack("<I", value & 0xFFFFFFFF) for value in values)


class Code:
    """Machine code that grows from a fixed address. Calling it adds bytes and gives the address of the first."""

    def __init__(self, origin):
        self.origin, self.bytes = origin, bytearray()

    @property
    def here(self):
        return self.origin + len(self.bytes)

    def __call__(self, *parts):
        """Add parts: text is hexadecimal digits, a number is 32 bits, bytes are bytes."""
        at = self.here
        for part in parts:
            if isinstance(part, str):
                part = bytes.fromhex(part)
            elif isinstance(part, int):
                part = u32(part)
            self.bytes += part
        return at

    def hole(self, opcode=""):
        """An opcode with a 32-bit operand to be filled in later; gives what `fill` wants."""
        self(opcode, 0)
        return len(self.bytes) - 4

    def fill(self, hole, value=None, relative=False):
        """Put an address (this place, if none is given) into a hole; relative to the hole's end for a jump."""
        value = self.here if value is None else value
        self.bytes[hole:hole + 4] = u32(value - (self.origin + hole + 4) if relative else value)

    def jump(self, opcode, target):
        """A relative jump or call (opcodes e9, e8, 0f 8x) to a known address."""
        self(opcode)
        self(target - (self.here + 4))

    # The instructions that everything needs.
    def mov(self, register, value):
        return self(bytes([0xB8 + register]), value)

    def load(self, register, address):
        return self("8b", bytes([register << 3 | 5]), address)

    def store(self, address, register):
        return self("89", bytes([register << 3 | 5]), address)

    def set(self, address, value):
        return self("c7 05", address, value)

    def stop(self, status=0):
        """Switch the machine off."""
        return self("b0", bytes([status]), "e6 f4")


def handmade(segments, entry, memory=4 * MIB, name="handmade", parameters=None):
    """A guest from [(physical address, bytes)]."""
    parts = [(at, bytes(data), len(data)) for at, data in sorted(segments) if data]
    end = max(at + size for at, _, size in parts)
    return Guest(name, "made by a test", parameters or {}, Image(entry, parts, {}, None, end), memory)


def assemble(text, **parameters):
    """A guest from AT&T assembly that begins at `main`, on a stack, as any small guest does."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "guest.S"
        path.write_text(f".globl main\n{text}\n")
        return own_guest(path, **parameters)

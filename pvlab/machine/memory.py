"""Guest RAM: one buffer that the lab owns and the engine maps, so that reading it costs no call into the engine."""
from __future__ import annotations

import ctypes
import mmap
import struct

_U32, _U64 = struct.Struct("<I"), struct.Struct("<Q")


class Dead(Exception):
    """The guest did what no CPU continues from, or what the lab does not model. The message says what and where."""


class Ram:
    """`size` bytes of guest-physical memory from address 0. Addresses beyond it raise Dead."""

    def __init__(self, size: int):
        self.size = size
        self.bytes = mmap.mmap(-1, size)
        self.host_address = ctypes.addressof(ctypes.c_char.from_buffer(self.bytes))

    def read(self, address: int, size: int) -> bytes:
        if address < 0 or address + size > self.size:
            raise Dead(f"physical address {address:#x} is outside RAM ({self.size:#x} bytes)")
        return self.bytes[address:address + size]

    def write(self, address: int, data: bytes) -> None:
        if address < 0 or address + len(data) > self.size:
            raise Dead(f"physical address {address:#x} is outside RAM ({self.size:#x} bytes)")
        self.bytes[address:address + len(data)] = data

    def u32(self, address: int) -> int:
        return _U32.unpack(self.read(address, 4))[0]

    def u64(self, address: int) -> int:
        return _U64.unpack(self.read(address, 8))[0]

    def set_u32(self, address: int, value: int) -> None:
        self.write(address, _U32.pack(value & 0xFFFFFFFF))

    def set_u64(self, address: int, value: int) -> None:
        self.write(address, _U64.pack(value & 0xFFFFFFFFFFFFFFFF))

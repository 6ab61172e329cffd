"""Guest RAM: one buffer that the lab owns and the engine maps, so that reading it costs no call into the engine."""
from __future__ import annotations

import ctypes
import mmap
import struct
from collections.abc import Callable

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
            raise self._outside(address)
        return self.bytes[address:address + size]

    def write(self, address: int, data: bytes) -> None:
        if address < 0 or address + len(data) > self.size:
            raise self._outside(address)
        self.bytes[address:address + len(data)] = data

    def u32(self, address: int) -> int:
        return self._load(_U32, address)

    def u64(self, address: int) -> int:
        return self._load(_U64, address)

    def set_u32(self, address: int, value: int) -> None:
        self._store(_U32, address, value & 0xFFFFFFFF)

    def set_u64(self, address: int, value: int) -> None:
        self._store(_U64, address, value & 0xFFFFFFFFFFFFFFFF)

    def _load(self, form: struct.Struct, address: int) -> int:
        try:
            return form.unpack_from(self.bytes, address)[0]
        except struct.error:
            raise self._outside(address) from None

    def _store(self, form: struct.Struct, address: int, value: int) -> None:
        try:
            form.pack_into(self.bytes, address, value)
        except struct.error:
            raise self._outside(address) from None

    def _outside(self, address: int) -> Dead:
        return Dead(f"physical address {address:#x} is outside RAM ({self.size:#x} bytes)")


class Dma:
    """RAM as a device sees it, which reaches past the CPU: `wrote(address, size)` is told of each change.

    `used(size)` is told of every access, so that what a guest makes its devices do can be weighed.
    """

    def __init__(self, ram: Ram, wrote: Callable[[int, int], None], used: Callable[[int], None]):
        self.size, self._ram, self._wrote, self._used = ram.size, ram, wrote, used

    def read(self, address: int, size: int) -> bytes:
        self._used(size)
        return self._ram.read(address, size)

    def write(self, address: int, data: bytes) -> None:
        self._used(len(data))
        self._ram.write(address, data)
        self._wrote(address, len(data))

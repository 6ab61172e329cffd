"""Two ports that PC emulators offer for experiments, with the addresses that QEMU and Bochs gave them."""
from __future__ import annotations


class PowerOff(Exception):
    """The guest switched its machine off; `status` is the value it wrote."""

    def __init__(self, status: int):
        super().__init__(status)
        self.status = status


class DebugConsole:
    """Port 0xE9: each byte written is printed; a read gives 0xE9 (Bochs; QEMU's `-debugcon`)."""

    name = "debug-console"

    def __init__(self):
        self.output = bytearray()

    def read(self, port: int, size: int) -> int:
        return 0xE9

    def write(self, port: int, size: int, value: int) -> None:
        self.output += (value & (1 << size * 8) - 1).to_bytes(size, "little")


class DebugExit:
    """Port 0xF4: a write switches the machine off (QEMU's `isa-debug-exit`)."""

    name = "debug-exit"

    def read(self, port: int, size: int) -> int:
        return 0

    def write(self, port: int, size: int, value: int) -> None:
        raise PowerOff(value & (1 << size * 8) - 1)

"""The I/O ports and memory-mapped I/O: who answers at which address."""
from __future__ import annotations

from collections.abc import Callable
from typing import Protocol


class PortDevice(Protocol):
    """A device on the port bus. `size` is 1, 2 or 4 bytes; `port` is the full port number."""

    name: str

    def read(self, port: int, size: int) -> int: ...

    def write(self, port: int, size: int, value: int) -> None: ...


class MmioDevice(Protocol):
    """A device whose registers are in memory. `size` is 1, 2 or 4 bytes; `offset` counts from its first register."""

    name: str

    def read(self, offset: int, size: int) -> int: ...

    def write(self, offset: int, size: int, value: int) -> None: ...


class Ports:
    """The 65,536 ports. Where no device answers, reads give all ones and writes vanish, as on a PC's bus."""

    def __init__(self):
        self._devices: dict[int, PortDevice] = {}

    def attach(self, device: PortDevice, *ports: int) -> None:
        for port in ports:
            if port in self._devices:
                raise ValueError(f"port {port:#x} belongs to {self._devices[port].name} already")
            self._devices[port] = device

    def replace(self, other: Callable[[PortDevice], PortDevice]) -> None:
        """Put `other(device)` in the place of each device."""
        made = {device: other(device) for device in dict.fromkeys(self._devices.values())}
        self._devices = {port: made[device] for port, device in self._devices.items()}

    def name(self, port: int) -> str:
        """What a trace calls an access to this port."""
        device = self._devices.get(port)
        return device.name if device else f"port-{port:#x}"

    def read(self, port: int, size: int) -> int:
        device = self._devices.get(port)
        full = (1 << size * 8) - 1
        return device.read(port, size) & full if device else full

    def write(self, port: int, size: int, value: int) -> None:
        device = self._devices.get(port)
        if device:
            device.write(port, size, value)


class Mmio:
    """Guest-physical addresses above RAM at which devices answer. `used`: whether one was ever asked for."""

    def __init__(self):
        self.used = False
        self._windows: list[tuple[int, int, MmioDevice]] = []

    def attach(self, device: MmioDevice, base: int, size: int) -> None:
        """Let the device answer at [base, base + size)."""
        for begin, end, other in self._windows:
            if base < end and begin < base + size:
                raise ValueError(f"addresses {base:#x} to {base + size - 1:#x} belong to {other.name} in part")
        self._windows.append((base, base + size, device))

    def replace(self, other: Callable[[MmioDevice], MmioDevice]) -> None:
        """Put `other(device)` in the place of each device."""
        self._windows = [(begin, end, other(device)) for begin, end, device in self._windows]

    def find(self, address: int, size: int = 1) -> tuple[MmioDevice, int] | None:
        """The device that answers at all of [address, address + size), and the offset in it; or None."""
        for begin, end, device in self._windows:
            if begin <= address and address + size <= end:
                self.used = True
                return device, address - begin
        return None

"""The I/O ports: who answers at which address."""
from __future__ import annotations

from typing import Protocol


class PortDevice(Protocol):
    """A device on the port bus. `size` is 1, 2 or 4 bytes; `port` is the full port number."""

    name: str

    def read(self, port: int, size: int) -> int: ...

    def write(self, port: int, size: int, value: int) -> None: ...


class Ports:
    """The 65,536 ports. Where no device answers, reads give all ones and writes vanish, as on a PC's bus."""

    def __init__(self):
        self._devices: dict[int, PortDevice] = {}

    def attach(self, device: PortDevice, *ports: int) -> None:
        for port in ports:
            if port in self._devices:
                raise ValueError(f"port {port:#x} belongs to {self._devices[port].name} already")
            self._devices[port] = device

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

"""A hosted monitor (type 2): its device models are a program of the host's, and to ask it is to switch worlds.

VMware Workstation was built so (Sugerman, Venkitachalam and Lim, USENIX 2001). The monitor has the CPU to itself while
the guest runs; for a device it puts the host's world back, whose kernel runs the device model in user space, and then
its own again. The paper's first two remedies are here: the monitor serves what needs nothing of the host, and packets
to be sent wait for a switch that happens anyway.
"""
from __future__ import annotations

from collections.abc import Callable

from pvlab.devices import e1000
from pvlab.devices.virtio.mmio import REGISTERS

IN_MONITOR = frozenset(("pic", "pit"))         # devices that no hosted monitor leaves to user space
# Registers that a monitor can serve alone, since nothing outside the guest follows from them.
_UART, _ATA = 0x3F8, 0x1F0
SHORTCUTS = {
    "e1000": frozenset((e1000.STATUS, e1000.ICR, e1000.ICS, e1000.IMS, e1000.IMC)),
    "uart": frozenset((_UART + 1, _UART + 2, _UART + 5)),
    "ata": frozenset((0x3F6, *range(_ATA + 1, _ATA + 7))),
    **dict.fromkeys(("virtio-block", "virtio-net", "virtio-console"),
                    frozenset(REGISTERS[name][0] for name in ("InterruptStatus", "InterruptACK"))),
}
# Writes that say "send", and say no less when only the last of them arrives.
SENDS = {"e1000": frozenset((e1000.TDT,)), "virtio-net": frozenset((REGISTERS["QueueNotify"][0],))}


class Host:
    """The other world. `leave(reason)` records the switch.

    shortcuts: the monitor serves the registers in SHORTCUTS itself. combine: how many sends may wait for a switch.
    """

    def __init__(self, leave: Callable[[str], None], shortcuts: bool, combine: int):
        self._leave, self._shortcuts, self._combine = leave, shortcuts, combine
        self._waiting: dict[tuple[object, int, int], tuple[int, int]] = {}     # last write of each kind: (size, value)
        self._count = 0

    def take_over(self, board) -> None:
        """Put the board's devices into user space."""
        for bus in (board.ports, board.mmio):
            bus.replace(lambda device: device if device.name in IN_MONITOR else _UserSpace(device, self))

    def serves(self, device, at: int) -> bool:
        """Whether the monitor need not ask for this register."""
        return self._shortcuts and at in SHORTCUTS.get(device.name, ())

    def switch(self) -> None:
        """Go to the host and come back; what waited goes along."""
        self._leave("world-switch")
        waiting, self._waiting, self._count = self._waiting, {}, 0
        for (device, at, _), (size, value) in waiting.items():
            device.write(at, size, value)

    def settle(self) -> None:
        """The guest is about to sleep, or an interrupt comes from the host: nothing waits any longer."""
        if self._waiting:
            self.switch()

    def send(self, device, at: int, size: int, value: int) -> bool:
        """Let a send wait, if it may."""
        if self._combine < 2 or at not in SENDS.get(device.name, ()):
            return False
        queue = value if device.name == "virtio-net" else 0      # each queue has its own notification
        self._waiting.pop((device, at, queue), None)
        self._waiting[device, at, queue] = size, value
        self._count += 1
        if self._count >= self._combine:
            self.switch()
        return True


class _UserSpace:
    """A device whose model is in user space."""

    def __init__(self, device, host: Host):
        self.name, self._device, self._host = device.name, device, host

    def read(self, at: int, size: int) -> int:
        if not self._host.serves(self._device, at):
            self._host.switch()
        return self._device.read(at, size)

    def write(self, at: int, size: int, value: int) -> None:
        if self._host.send(self._device, at, size, value):
            return
        if not self._host.serves(self._device, at):
            self._host.switch()
        self._device.write(at, size, value)

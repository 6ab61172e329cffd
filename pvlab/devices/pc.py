"""The board: which devices a guest finds, at which ports and addresses, and what raises interrupts."""
from __future__ import annotations

from collections.abc import Callable

from pvlab.devices.ata import AtaDisk
from pvlab.devices.bus import Mmio, Ports
from pvlab.devices.debug import DebugConsole, DebugExit
from pvlab.devices.e1000 import SIZE as E1000_SIZE
from pvlab.devices.e1000 import E1000
from pvlab.devices.pic import PicPair
from pvlab.devices.pit import Pit
from pvlab.devices.uart import Uart
from pvlab.devices.virtio.block import VirtioBlock
from pvlab.devices.virtio.mmio import SIZE as VIRTIO_SIZE
from pvlab.devices.virtio.mmio import Worker
from pvlab.devices.virtio.network import VirtioNetwork

# Interrupt lines of a PC, and what is left for virtio.
TIMER_LINE, UART_LINE, E1000_LINE, ATA_LINE = 0, 4, 11, 14
BLOCK_LINE, NETWORK_LINE, CONSOLE_LINE, ENTROPY_LINE, BALLOON_LINE = 5, 10, 9, 12, 15
VIRTIO_BASE = 0xFEB0_0000      # where QEMU's `microvm` has virtio-mmio, a device every 512 bytes
E1000_BASE = 0xFEBC_0000       # where QEMU's PC firmware puts the card's registers; here it is no PCI device
MAC = bytes.fromhex("525400123456")
# The host's thread behind virtio-net sends 158,100 packets a second, as measured by Maffione (2013) in QEMU with KVM on
# an i5-2450M: 6,325 ns each. How long it takes to wake up is an assumption.
WAKE, EACH = 10_000, 6_325


class Pc:
    """A PC as far as the course needs it.

    clock() is virtual time in nanoseconds. memory: guest RAM for devices that reach it themselves. disk and network:
    back ends (see backends/), each of which every kind of device on the board serves; None leaves those devices out.
    """

    def __init__(self, clock: Callable[[], int], memory=None, disk=None, network=None):
        self.clock, self.memory = clock, memory
        self.ports, self.mmio, self.pic = Ports(), Mmio(), PicPair()
        self.pic.attach(self.ports)
        self.console = DebugConsole()
        self.ports.attach(self.console, 0xE9)
        self.ports.attach(DebugExit(), 0xF4)
        self.pit = Pit(clock, lambda: self.pic.raise_line(TIMER_LINE))
        self.ports.attach(self.pit, *range(0x40, 0x44))
        self._timed = [self.pit]       # devices that act by themselves
        self._timed_mmio = []          # and those that do once their registers have been used
        self.uart = Uart(0x3F8, self.console.output.append, self.line(UART_LINE))
        self.ports.attach(self.uart, *range(0x3F8, 0x400))
        if disk is not None:
            self.ports.attach(AtaDisk(disk, self.line(ATA_LINE)), *range(0x1F0, 0x1F8), 0x3F6)
            self._virtio(0, VirtioBlock(disk, memory, self.line(BLOCK_LINE)))
        if network is not None:        # one cable for both cards: it serves the one that has a driver
            card = E1000(memory, self.line(E1000_LINE), clock, network, MAC)
            self.mmio.attach(card, E1000_BASE, E1000_SIZE)
            self.add_timed(card)
            self._virtio(1, VirtioNetwork(network, memory, self.line(NETWORK_LINE), Worker(clock, WAKE, EACH), MAC))

    def _virtio(self, slot: int, device) -> None:
        self.mmio.attach(device, VIRTIO_BASE + slot * VIRTIO_SIZE, VIRTIO_SIZE)
        self.add_timed(device)

    def add_timed(self, device) -> None:
        """Have a device's `advance` called when the time of its `next_event` has come, from the first use of MMIO on."""
        self._timed_mmio.append(device)

    def _acting(self) -> list:
        if self._timed_mmio and self.mmio.used:
            self._timed += self._timed_mmio
            self._timed_mmio = []
        return self._timed

    def line(self, number: int) -> Callable[[bool], None]:
        """What drives an interrupt line: the controllers see its rising edge."""
        was = False

        def drive(level: bool) -> None:
            nonlocal was
            if level and not was:
                self.pic.raise_line(number)
            was = level
        return drive

    def interrupt_pending(self) -> bool:
        """Whether a device asks for the CPU now."""
        for device in self._acting():
            device.advance()
        return self.pic.pending()

    def acknowledge(self) -> int:
        """The vector of the interrupt that the CPU takes."""
        return self.pic.acknowledge()

    def next_event(self) -> int | None:
        """The virtual nanosecond at which a device will act by itself, or None."""
        return min((at for device in self._acting() if (at := device.next_event()) is not None), default=None)

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
from pvlab.devices.virtio.balloon import VirtioBalloon
from pvlab.devices.virtio.block import VirtioBlock
from pvlab.devices.virtio.console import VirtioConsole
from pvlab.devices.virtio.entropy import VirtioEntropy
from pvlab.devices.virtio.mmio import SIZE as VIRTIO_SIZE
from pvlab.devices.virtio.mmio import VirtioMmio, Worker
from pvlab.devices.virtio.network import VirtioNetwork

# Interrupt lines of a PC, and what is left for virtio.
TIMER_LINE, UART_LINE, E1000_LINE, ATA_LINE = 0, 4, 11, 14
BLOCK_LINE, NETWORK_LINE, CONSOLE_LINE, ENTROPY_LINE, BALLOON_LINE = 5, 10, 9, 12, 15
VIRTIO_BASE, SLOTS = 0xFEB0_0000, 8     # where QEMU's `microvm` has virtio-mmio, a device every 512 bytes
E1000_BASE = 0xFEBC_0000                # where QEMU's PC firmware puts the card's registers; here it is no PCI device
MAC = bytes.fromhex("525400123456")
# The host's thread behind virtio-net sends 158,100 packets a second, as measured by Maffione (2013) in QEMU with KVM on
# an i5-2450M: 6,325 ns each. How long it takes to wake up is an assumption, and so is the disk's time for a request.
WAKE, PACKET, REQUEST = 10_000, 6_325, 20_000


class Pc:
    """A PC as far as the course needs it.

    clock() is virtual time in nanoseconds. memory: guest RAM for devices that reach it themselves. disk and network:
    back ends (see backends/), each of which every kind of device on the board serves; None leaves those devices out.
    """

    def __init__(self, clock: Callable[[], int], memory=None, disk=None, network=None):
        self.ports, self.mmio, self.pic = Ports(), Mmio(), PicPair()
        self.devices: dict[str, object] = {}    # those below, by their names
        self._timed = []               # devices that act by themselves
        self._timed_mmio = []          # and those that do once any registers in memory have been used
        self.pic.attach(self.ports)
        self.pit = Pit(clock, lambda: self.pic.raise_line(TIMER_LINE))
        self.ports.attach(self.pit, *range(0x40, 0x44))
        self._timed.append(self.pit)
        self.console = DebugConsole()
        self.ports.attach(self.console, 0xE9)
        self.ports.attach(DebugExit(), 0xF4)
        output = self.console.output   # of all consoles, in the order in which they were written to
        self._at_ports(Uart(0x3F8, output.append, self.line(UART_LINE)), *range(0x3F8, 0x400))
        if disk is not None:
            self._at_ports(AtaDisk(disk, self.line(ATA_LINE)), *range(0x1F0, 0x1F8), 0x3F6)
        if memory is None:
            return
        if disk is not None:
            self._virtio(0, VirtioBlock(disk, memory, self.line(BLOCK_LINE), Worker(clock, WAKE, REQUEST)), True)
        if network is not None:        # one cable for both cards: it serves the one that has a driver
            thread = Worker(clock, WAKE, PACKET)
            self._virtio(1, VirtioNetwork(network, memory, self.line(NETWORK_LINE), thread, MAC), True)
            card = E1000(memory, self.line(E1000_LINE), clock, network, MAC)
            self._at_memory(card, E1000_BASE, E1000_SIZE)
            self.add_timed(card)
        self._virtio(2, VirtioConsole(output.extend, memory, self.line(CONSOLE_LINE)))
        self._virtio(3, VirtioEntropy(memory, self.line(ENTROPY_LINE)))
        self._virtio(4, VirtioBalloon(memory, self.line(BALLOON_LINE)))
        for slot in range(SLOTS):      # a driver that looks for devices finds that there is none: number 0
            if self.mmio.find(VIRTIO_BASE + slot * VIRTIO_SIZE) is None:
                self._virtio(slot, VirtioMmio(memory, lambda level: None))
        self.mmio.used = False

    def _at_ports(self, device, *ports: int) -> None:
        self.ports.attach(device, *ports)
        self.devices[device.name] = device

    def _at_memory(self, device, base: int, size: int) -> None:
        self.mmio.attach(device, base, size)
        self.devices[device.name] = device

    def _virtio(self, slot: int, device, timed: bool = False) -> None:
        self._at_memory(device, VIRTIO_BASE + slot * VIRTIO_SIZE, VIRTIO_SIZE)
        if timed:
            self.add_timed(device)

    def add_timed(self, device) -> None:
        """From the first use of MMIO on, have a device's `advance` called when the time of its `next_event` has come."""
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
        first = None
        for device in self._acting():
            at = device.next_event()
            if at is not None and (first is None or at < first):
                first = at
        return first

"""A virtio driver in Python: the driver's half of the protocol, step by step, for tests and for the lesson.

It touches nothing but a device's registers and memory, so it drives any virtio-mmio device of any machine.
"""
from __future__ import annotations

import struct

from pvlab.devices.virtio import mmio
from pvlab.devices.virtio.queue import EVENT_IDX, INDIRECT, INDIRECT_DESC, NEXT, NO_INTERRUPT, NO_NOTIFY, WRITE

_OFFSET = {name: offset for name, (offset, _) in mmio.REGISTERS.items()}


class DriverError(Exception):
    """The device is not what the driver expects."""


class Driver:
    """Drives the device behind `device.read(offset, size)` and `device.write(offset, size, value)`.

    memory   the machine's memory; the driver allocates from `start` on and never frees
    """

    def __init__(self, device, memory, start: int = 0x10000):
        self.device, self.memory, self._free = device, memory, start
        self.queues: list[DriverQueue] = []

    def load(self, name: str) -> int:
        """Read a register by its name in the specification."""
        return self.device.read(_OFFSET[name], 4)

    def store(self, name: str, value: int) -> None:
        """Write a register."""
        self.device.write(_OFFSET[name], 4, value)

    def allocate(self, size: int, align: int = 16) -> int:
        """The address of `size` bytes of memory, zeroed."""
        address = -(-self._free // align) * align
        self._free = address + size
        self.memory.write(address, bytes(size))
        return address

    def start(self, device_id: int, features: int = mmio.VERSION_1, sizes: tuple[int, ...] = (8,)) -> int:
        """Initialise in the specification's order; returns the features that both sides have."""
        self.identify(device_id)
        accepted = self.negotiate(features)
        for number, size in enumerate(sizes):
            self.queues.append(DriverQueue(self, number, size, accepted))
        self.store("Status", self.load("Status") | mmio.DRIVER_OK)
        return accepted

    def identify(self, device_id: int) -> None:
        """Check what the device is, reset it, and tell it that there is a driver for it."""
        if (self.load("MagicValue"), self.load("Version")) != (mmio.MAGIC, mmio.VERSION):
            raise DriverError("no virtio-mmio device of version 2")
        if self.load("DeviceID") != device_id:
            raise DriverError(f"a device of kind {self.load('DeviceID')}, not {device_id}")
        self.store("Status", 0)
        self.store("Status", mmio.ACKNOWLEDGE)
        self.store("Status", mmio.ACKNOWLEDGE | mmio.DRIVER)

    def negotiate(self, wanted: int) -> int:
        """Accept those of the wanted features that the device offers."""
        offered = 0
        for word in (0, 1):
            self.store("DeviceFeaturesSel", word)
            offered |= self.load("DeviceFeatures") << 32 * word
        for word in (0, 1):
            self.store("DriverFeaturesSel", word)
            self.store("DriverFeatures", (wanted & offered) >> 32 * word & 0xFFFFFFFF)
        self.store("Status", self.load("Status") | mmio.FEATURES_OK)
        if not self.load("Status") & mmio.FEATURES_OK:
            raise DriverError("the device refuses the features")
        return wanted & offered

    def acknowledge(self) -> int:
        """What an interrupt handler does first: read why, and say that it was seen."""
        reasons = self.load("InterruptStatus")
        self.store("InterruptACK", reasons)
        return reasons


class DriverQueue:
    """The driver's side of one virtqueue. Each step of making a buffer available is a method of its own."""

    def __init__(self, driver: Driver, number: int, size: int, features: int):
        self.driver, self.memory, self.number, self.size = driver, driver.memory, number, size
        self.event_idx, self.may_indirect = bool(features & EVENT_IDX), bool(features & INDIRECT_DESC)
        self.descriptors = driver.allocate(16 * size)
        self.available = driver.allocate(6 + 2 * size, 2)
        self.used = driver.allocate(6 + 8 * size, 4)
        self.free, self.made, self.kicked, self.seen = list(range(size)), 0, 0, 0
        self._chains: dict[int, list[int]] = {}
        driver.store("QueueSel", number)
        if driver.load("QueueReady") or driver.load("QueueNumMax") < size:
            raise DriverError(f"queue {number} is in use, or has fewer than {size} entries")
        driver.store("QueueNum", size)
        for name, address in (("Desc", self.descriptors), ("Driver", self.available), ("Device", self.used)):
            driver.store(f"Queue{name}Low", address & 0xFFFFFFFF)
            driver.store(f"Queue{name}High", address >> 32)
        driver.store("QueueReady", 1)

    def describe(self, parts: list[tuple[int, int, bool]], indirect: bool = False) -> int:
        """Step 1: put a buffer's parts, each (address, length, device writes it), into descriptors; the head."""
        if indirect:
            table = self.driver.allocate(16 * len(parts))
            self._link(table, range(len(parts)), parts)
            parts, flags = [(table, 16 * len(parts), False)], INDIRECT
        else:
            flags = 0
        numbers = [self.free.pop(0) for _ in parts]
        self._link(self.descriptors, numbers, parts, flags)
        self._chains[numbers[0]] = numbers
        return numbers[0]

    def _link(self, table: int, numbers, parts, flags: int = 0) -> None:
        for i, (number, (address, length, write)) in enumerate(zip(numbers, parts)):
            last = i == len(parts) - 1
            self.memory.write(table + 16 * number, struct.pack(
                "<QIHH", address, length, flags | WRITE * write | NEXT * (not last), 0 if last else numbers[i + 1]))

    def offer(self, head: int) -> None:
        """Step 2: the head goes into the next slot of the available ring. The device cannot see it yet."""
        self._store(self.available + 4 + 2 * (self.made % self.size), head)
        self.made = self.made + 1 & 0xFFFF

    def publish(self) -> None:
        """Step 3: the index goes up, and the device may take all that was offered."""
        self._store(self.available + 2, self.made)

    def wants_kick(self) -> bool:
        """Step 4: does the device want to hear of it?"""
        old, self.kicked = self.kicked, self.made
        if self.event_idx:
            event = self._load(self.used + 4 + 8 * self.size)
            return self.made - event - 1 & 0xFFFF < self.made - old & 0xFFFF
        return not self._load(self.used) & NO_NOTIFY

    def kick(self) -> None:
        """Step 5: the one exit of it all."""
        self.driver.store("QueueNotify", self.number)

    def add(self, *parts: tuple[int, int, bool], indirect: bool = False) -> int:
        """All steps for one buffer."""
        head = self.describe(list(parts), indirect)
        self.offer(head)
        self.publish()
        if self.wants_kick():
            self.kick()
        return head

    def take(self) -> tuple[int, int] | None:
        """What the device returned next: (head, bytes that it wrote), or None."""
        if self._load(self.used + 2) == self.seen:
            return None
        head, length = struct.unpack("<II", self.memory.read(self.used + 4 + 8 * (self.seen % self.size), 8))
        self.seen = self.seen + 1 & 0xFFFF
        self.free += self._chains.pop(head)
        return head, length

    def interrupt_after(self, count: int | None) -> None:
        """Ask for an interrupt when `count` more were returned; None: for none at all."""
        if self.event_idx:
            self._store(self.available + 4 + 2 * self.size, self.seen + (0x8000 if count is None else count - 1))
        else:
            self._store(self.available, NO_INTERRUPT if count is None else 0)

    def _load(self, address: int) -> int:
        return struct.unpack("<H", self.memory.read(address, 2))[0]

    def _store(self, address: int, value: int) -> None:
        self.memory.write(address, struct.pack("<H", value & 0xFFFF))

"""Virtio over MMIO, version 2: the registers by which a driver finds, sets up and kicks a device (virtio 1.2, 4.2).

A device is an object with `read(offset, size)` and `write(offset, size, value)`, a view of the guest's memory and an
interrupt line. It knows no instruction set and no monitor; to attach one is to call these two for a range of 512
bytes, and to connect `interrupt`.
"""
from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from pvlab.devices.virtio.queue import EVENT_IDX, INDIRECT_DESC, Chain, Dma, Memory, Queue, RingError

MAGIC, VERSION = 0x74726976, 2
VENDOR = 0x554D4551                  # "QEMU": there are drivers that talk to no other
SIZE = 0x200                         # bytes of address space
QUEUE_SIZE = 1024                    # entries of a queue at most, as QEMU has it

ACKNOWLEDGE, DRIVER, DRIVER_OK, FEATURES_OK, NEEDS_RESET, FAILED = 1, 2, 4, 8, 64, 128
USED_BUFFER, CONFIG_CHANGE = 1, 2    # bits of InterruptStatus

VERSION_1 = 1 << 32
RING_RESET = 1 << 40
COMMON = INDIRECT_DESC | EVENT_IDX | VERSION_1 | RING_RESET

# name: (offset, what the driver may do with it), as the specification's table has them
REGISTERS = {
    "MagicValue": (0x000, "r"), "Version": (0x004, "r"), "DeviceID": (0x008, "r"), "VendorID": (0x00C, "r"),
    "DeviceFeatures": (0x010, "r"), "DeviceFeaturesSel": (0x014, "w"),
    "DriverFeatures": (0x020, "w"), "DriverFeaturesSel": (0x024, "w"),
    "QueueSel": (0x030, "w"), "QueueNumMax": (0x034, "r"), "QueueNum": (0x038, "w"), "QueueReady": (0x044, "rw"),
    "QueueNotify": (0x050, "w"), "InterruptStatus": (0x060, "r"), "InterruptACK": (0x064, "w"),
    "Status": (0x070, "rw"), "QueueDescLow": (0x080, "w"), "QueueDescHigh": (0x084, "w"),
    "QueueDriverLow": (0x090, "w"), "QueueDriverHigh": (0x094, "w"),
    "QueueDeviceLow": (0x0A0, "w"), "QueueDeviceHigh": (0x0A4, "w"), "SHMSel": (0x0AC, "w"),
    "SHMLenLow": (0x0B0, "r"), "SHMLenHigh": (0x0B4, "r"), "SHMBaseLow": (0x0B8, "r"), "SHMBaseHigh": (0x0BC, "r"),
    "QueueReset": (0x0C0, "rw"), "ConfigGeneration": (0x0FC, "r"),
}
CONFIG = 0x100
_NAMES = {offset: name for name, (offset, _) in REGISTERS.items()}
_AREAS = {"QueueDesc": "descriptors", "QueueDriver": "driver", "QueueDevice": "device"}


@dataclass
class Worker:
    """A host thread that serves a device's queues in virtual time, like vhost's. Without one, a kick is served at once.

    clock   tells virtual nanoseconds
    wake    nanoseconds from a kick until the thread runs
    each    nanoseconds that it takes for one buffer

    While it runs it asks not to be kicked. When it finds the queue empty it asks for kicks again, and sleeps.
    """

    clock: Callable[[], int]
    wake: int
    each: int


class VirtioMmio:
    """What all virtio devices share. A subclass sets these, and defines `handle` and whatever else it needs:

    name, device_id     its name in a trace, and its number in the specification
    features            the feature bits of its own kind
    queue_sizes         the largest size of each of its queues
    requests            which of them carry requests: each chain is given to `handle`, and then returned

    memory              the guest's memory
    interrupt(level)    called with True when the line goes up, with False when it goes down
    worker              who serves the requests; None: the kick itself does

    `broken` says why the device needs a reset, if it does.
    """

    name, device_id, features = "virtio", 0, 0
    queue_sizes: tuple[int, ...] = ()
    requests: frozenset[int] = frozenset()

    def __init__(self, memory: Memory, interrupt: Callable[[bool], None], worker: Worker | None = None):
        self.memory, self._interrupt, self._worker = Dma(memory), interrupt, worker
        self.queues = [Queue(size) for size in self.queue_sizes]
        self._generation, self._level = 0, False
        self._due: list[int | None] = [None] * len(self.queues)      # when the worker has woken up, or done a request
        self._busy = [False] * len(self.queues)
        self._reset()

    # ------------------------------------------------------------------------------------- for a subclass
    def config(self) -> bytes:
        """The configuration space as it stands."""
        return b""

    def write_config(self, offset: int, data: bytes) -> None:
        """The driver writes to the configuration space."""

    def handle(self, number: int, chain: Chain) -> None:
        """Carry out one request of queue `number`. What was put into the chain's writable part is returned."""
        raise NotImplementedError

    def refill(self, number: int) -> None:
        """The driver kicked a queue that carries no requests: it has buffers for what comes in."""

    def started(self) -> None:
        """The driver is ready (DRIVER_OK)."""

    def stopped(self) -> None:
        """The device was reset."""

    # ------------------------------------------------------------------------------------- for whoever attaches it
    def read(self, offset: int, size: int) -> int:
        """What the driver reads at `offset`: a register, 4 bytes at a time, or the configuration space."""
        if offset >= CONFIG:
            data = self.config()[offset - CONFIG:offset - CONFIG + size]
            return int.from_bytes(data, "little")
        name = _NAMES.get(offset)
        if size != 4 or name is None or "r" not in REGISTERS[name][1]:
            return 0
        return self._read_register(name) & 0xFFFFFFFF

    def write(self, offset: int, size: int, value: int) -> None:
        """What the driver writes at `offset`."""
        value &= (1 << 8 * size) - 1
        if offset >= CONFIG:
            self.write_config(offset - CONFIG, value.to_bytes(size, "little"))
            return
        name = _NAMES.get(offset)
        if size == 4 and name is not None and "w" in REGISTERS[name][1]:
            self._write_register(name, value)

    def register(self, offset: int) -> str:
        """What a trace calls the register at `offset`."""
        return "Config" if offset >= CONFIG else _NAMES.get(offset, f"{offset:#05x}")

    def next_event(self) -> int | None:
        """The virtual nanosecond at which the worker has something to do, or None."""
        return min((due for due in self._due if due is not None), default=None)

    def advance(self) -> None:
        """Let the worker do what was due by now."""
        for number, due in enumerate(self._due):
            if due is not None and due <= self._worker.clock():
                self._guard(self._run_worker, number)

    # ------------------------------------------------------------------------------------- registers
    @property
    def _queue(self) -> Queue | None:
        return self.queues[self._queue_sel] if self._queue_sel < len(self.queues) else None

    def _read_register(self, name: str) -> int:
        queue = self._queue
        if name == "DeviceFeatures":
            return _word(self.offered, self._device_sel)
        if name.startswith("SHM"):                  # no shared memory: both length and address are -1
            return 0xFFFFFFFF
        return {"MagicValue": MAGIC, "Version": VERSION, "DeviceID": self.device_id, "VendorID": VENDOR,
                "QueueNumMax": queue.maximum if queue else 0, "QueueReady": int(queue.ready) if queue else 0,
                "InterruptStatus": self.interrupts, "Status": self.status, "QueueReset": 0,
                "ConfigGeneration": self._generation}[name]

    def _write_register(self, name: str, value: int) -> None:
        queue = self._queue
        if name == "Status":
            self._write_status(value)
        elif name == "QueueNotify":
            self._kick(value & 0xFFFF)
        elif name == "InterruptACK":
            self.interrupts &= ~value
            self._set_line()
        elif name == "DeviceFeaturesSel":
            self._device_sel = value
        elif name == "DriverFeaturesSel":
            self._driver_sel = value
        elif name == "DriverFeatures":
            if self._driver_sel < 2 and not self.status & FEATURES_OK:    # to negotiate again is to reset
                shift = 32 * self._driver_sel
                self._wanted = self._wanted & ~(0xFFFFFFFF << shift) | value << shift
        elif name == "QueueSel":
            self._queue_sel = value
        elif queue is not None:
            self._write_queue(name, queue, value)

    def _write_queue(self, name: str, queue: Queue, value: int) -> None:
        if name == "QueueReady":
            if value & 1 and not queue.ready:
                self._guard(lambda _: queue.enable(self.memory), self._queue_sel)
            elif not value & 1:
                queue.ready = False
        elif name == "QueueReset":
            if value & 1 and self.accepted & RING_RESET:
                self._due[self._queue_sel] = None
                queue.reset()
        elif queue.ready:                            # a queue in use stays where it is
            return
        elif name == "QueueNum":
            queue.size = value
        elif area := _AREAS.get(name.removesuffix("Low").removesuffix("High")):
            shift = 32 if name.endswith("High") else 0
            setattr(queue, area, getattr(queue, area) & ~(0xFFFFFFFF << shift) | value << shift)

    @property
    def offered(self) -> int:
        """All feature bits that the device offers."""
        return self.features | COMMON

    def _write_status(self, value: int) -> None:
        if not value:
            self._reset()
            return
        before = self.status
        self.status |= value & (ACKNOWLEDGE | DRIVER | DRIVER_OK | FAILED)
        if value & FEATURES_OK and not before & FEATURES_OK and not self._wanted & ~self.offered:
            self.status |= FEATURES_OK
            self._agree(self._wanted)
        if self.status & DRIVER_OK and not before & DRIVER_OK:
            self.started()
            for number in range(len(self.queues)):   # what was made available, and kicked for, before
                self._kick(number)

    def _agree(self, features: int) -> None:
        self.accepted = features
        for queue in self.queues:                    # there are drivers that set up their queues first
            queue.features = features

    def _reset(self) -> None:
        self.status = self.interrupts = self._wanted = 0
        self._agree(0)
        self._device_sel = self._driver_sel = self._queue_sel = 0
        self.broken = ""
        for number, queue in enumerate(self.queues):
            queue.reset()
            self._due[number] = None
        self._set_line()
        self.stopped()

    # ------------------------------------------------------------------------------------- notifications
    def _set_line(self) -> None:
        level = self.interrupts != 0
        if level != self._level:
            self._level = level
            self._interrupt(level)

    def config_changed(self) -> None:
        """The configuration space is not what it was: tell the driver."""
        self._generation = self._generation + 1 & 0xFFFFFFFF
        if self.status & DRIVER_OK:
            self.interrupts |= CONFIG_CHANGE
            self._set_line()

    def returned(self, queue: Queue) -> None:
        """Chains were pushed: interrupt, if the driver wants to know."""
        if queue.wants_interrupt():
            self.interrupts |= USED_BUFFER
            self._set_line()

    def usable(self, number: int) -> bool:
        """Whether the device may look at this queue now."""
        return bool(self.status & DRIVER_OK) and not self.broken and self.queues[number].ready

    def _kick(self, number: int) -> None:
        if number >= len(self.queues) or not self.usable(number):
            return
        if number not in self.requests:
            self._guard(self.refill, number)
        elif self._worker is None:
            self._guard(self._serve, number)
        elif self._due[number] is None:
            self._due[number], self._busy[number] = self._worker.clock() + self._worker.wake, False
            self._guard(lambda number: self.queues[number].notify_me(False), number)

    def _guard(self, action: Callable[[int], None], number: int) -> None:
        """Do something with a queue; if its driver broke it, the device is out of order until it is reset."""
        try:
            action(number)
        except RingError as error:
            self.broken = f"{self.name}: queue {number}: {error}"
            self.status |= NEEDS_RESET
            self._due = [None] * len(self.queues)
            self.config_changed()

    # ------------------------------------------------------------------------------------- requests
    def _serve(self, number: int) -> None:
        """Carry out what is available, once round the ring at most: a request may write to the ring itself."""
        queue, served = self.queues[number], 0
        while served < queue.size and self._serve_one(number):
            served += 1
        if self.broken:
            return
        queue.notify_me(True)
        if served:
            self.returned(queue)

    def _serve_one(self, number: int) -> bool:
        queue = self.queues[number]
        chain = queue.pop()
        if chain is None:
            return False
        self.handle(number, chain)
        if self.broken:                              # by what the request led to in another queue
            return False
        queue.push(chain)
        return True

    def _run_worker(self, number: int) -> None:
        """What the worker has done with a queue by now: a buffer is returned when its time has passed."""
        queue, worker = self.queues[number], self._worker
        for _ in range(queue.size + 1):
            due = self._due[number]
            if due is None or due > worker.clock():
                return
            if not self.usable(number):
                self._due[number] = None
                return
            if self._busy[number] and self._serve_one(number):
                self.returned(queue)
            if self.broken:
                return
            self._busy[number] = True
            if not queue.waiting():
                queue.notify_me(True)
                if not queue.waiting():              # nor has anything come before the wish was seen
                    self._due[number], self._busy[number] = None, False
                    return
                queue.notify_me(False)
            self._due[number] = due + worker.each


def _word(bits: int, number: int) -> int:
    """32 bits of a set of features; there are 64."""
    return bits >> 32 * number & 0xFFFFFFFF if number < 2 else 0

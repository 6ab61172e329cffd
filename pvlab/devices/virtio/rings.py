"""A virtqueue's memory, read without touching it: for a picture, a test, or somebody who debugs a driver.

`decode_ring` needs nothing but memory and three addresses, so it shows a queue of any guest, and takes whatever it
finds there: a broken ring is described, not refused.
"""
from __future__ import annotations

import struct
from dataclasses import dataclass

from pvlab.devices.virtio.queue import EVENT_IDX, INDIRECT, NEXT, WRITE, Memory

OFFERED, RETURNED, UNUSED = "offered", "returned", "unused"


@dataclass(frozen=True)
class Descriptor:
    """One entry of a descriptor table. `state`: offered to the device, returned by it last time, or neither."""

    number: int
    address: int
    length: int
    flags: int
    next: int
    state: str = UNUSED
    indirect: tuple["Descriptor", ...] = ()

    @property
    def role(self) -> str:
        """What the flags say, in words."""
        if self.flags & INDIRECT:
            return "table"
        return "device writes" if self.flags & WRITE else "device reads"

    @property
    def follows(self) -> int | None:
        """The number of the next descriptor of the chain, if there is one."""
        return self.next if self.flags & NEXT else None


@dataclass(frozen=True)
class Ring:
    """One moment of a split virtqueue.

    available_index, used_index   the two free-running counters; `waiting` is how far the driver is ahead
    heads                         the available ring's slots
    returned                      the used ring's slots, each (head, bytes written)
    used_event, avail_event       the two wishes of EVENT_IDX, else None
    no_interrupt, no_notify       the two wishes by flag
    """

    size: int
    descriptors: tuple[Descriptor, ...]
    available_index: int
    heads: tuple[int, ...]
    used_index: int
    returned: tuple[tuple[int, int], ...]
    no_interrupt: bool
    no_notify: bool
    used_event: int | None = None
    avail_event: int | None = None

    @property
    def waiting(self) -> int:
        return self.available_index - self.used_index & 0xFFFF

    def chain(self, head: int) -> list[Descriptor]:
        """The descriptors of a chain, as far as it can be followed."""
        found: list[Descriptor] = []
        while head is not None and head < self.size and len(found) < self.size:
            found.append(self.descriptors[head])
            head = found[-1].follows
        return found


def decode_ring(memory: Memory, descriptors: int, driver: int, device: int, size: int, event_idx: bool = False) -> Ring:
    """The queue of `size` entries whose areas lie at these three addresses of `memory`.

    Raises whatever `memory.read` raises where the areas are not all in memory.
    """
    flags, available, *heads, used_event = struct.unpack(f"<HH{size}HH", memory.read(driver, 4 + 2 * size) +
                                                         _event(memory, driver + 4 + 2 * size, event_idx))
    notify, used = struct.unpack("<HH", memory.read(device, 4))
    returned = tuple(struct.iter_unpack("<II", memory.read(device + 4, 8 * size)))
    avail_event, = struct.unpack("<H", _event(memory, device + 4 + 8 * size, event_idx))
    table = _table(memory, descriptors, size)
    ring = Ring(size, tuple(table), available, tuple(heads), used, returned, bool(flags & 1), bool(notify & 1),
                used_event if event_idx else None, avail_event if event_idx else None)

    states = {}
    if used:
        states = {each.number: RETURNED for each in ring.chain(returned[(used - 1) % size][0])}
    for place in range(min(ring.waiting, size)):
        for each in ring.chain(heads[(used + place) % size]):
            states[each.number] = OFFERED
    for each in table:
        inside = ()
        if each.flags & INDIRECT and each.number in states:
            inside = tuple(_table(memory, each.address, min(each.length // 16, 64)))
        table[each.number] = Descriptor(each.number, each.address, each.length, each.flags, each.next,
                                        states.get(each.number, UNUSED), inside)
    return Ring(**{**ring.__dict__, "descriptors": tuple(table)})


def ring_of(device, number: int = 0) -> Ring:
    """The present state of queue `number` of one of this package's devices."""
    queue = device.queues[number]
    return decode_ring(device.memory, queue.descriptors, queue.driver, queue.device, queue.size,
                       bool(device.accepted & EVENT_IDX))


def _event(memory: Memory, address: int, event_idx: bool) -> bytes:
    return memory.read(address, 2) if event_idx else bytes(2)


def _table(memory: Memory, address: int, count: int) -> list[Descriptor]:
    try:
        data = memory.read(address, 16 * count)
    except Exception:
        return []                    # an indirect table that is not there: its descriptor shows where it should be
    return [Descriptor(i, *fields) for i, fields in enumerate(struct.iter_unpack("<QIHH", data))]

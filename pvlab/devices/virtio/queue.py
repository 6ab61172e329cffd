"""Split virtqueues: how a driver and a device hand each other buffers through the guest's memory (virtio 1.2, 2.7).

Three areas, all little-endian, for a queue of N entries:

    descriptor table   N x {le64 address, le32 length, le16 flags, le16 next}
    available ring     le16 flags, le16 idx, N x le16 head, le16 used_event      written by the driver
    used ring          le16 flags, le16 idx, N x {le32 head, le32 length}, le16 avail_event    written by the device

The driver is not trusted. Whatever it puts there, the work done for one chain is bounded, and what cannot be followed
raises RingError with a sentence that names the place.
"""
from __future__ import annotations

import struct
from typing import Protocol

NEXT, WRITE, INDIRECT = 1, 2, 4      # flags of a descriptor
NO_INTERRUPT = NO_NOTIFY = 1         # flags of the available and of the used ring

INDIRECT_DESC = 1 << 28              # feature bits that change what a queue does
EVENT_IDX = 1 << 29

MAXIMUM = 32768                      # entries of the largest queue that there can be
_LONGEST = 1024                      # descriptors in one chain, indirect ones included; QEMU has the same limit
_DESCRIPTOR, _ELEMENT, _U16 = struct.Struct("<QIHH"), struct.Struct("<II"), struct.Struct("<H")


class RingError(Exception):
    """The driver broke the rules of a queue so that the device cannot go on without a reset."""


class BadAddress(RingError):
    """An address that is not in the guest's memory."""


class Memory(Protocol):
    """The guest's physical memory as a device sees it. Both raise, whatever they like, for what is not there."""

    def read(self, address: int, size: int) -> bytes: ...

    def write(self, address: int, data: bytes) -> None: ...


class Dma:
    """A device's access to memory: every failure of the memory behind it is a BadAddress."""

    def __init__(self, memory: Memory):
        self._memory = memory

    def read(self, address: int, size: int) -> bytes:
        try:
            data = self._memory.read(address, size)
        except Exception as error:
            raise BadAddress(f"{size} bytes at {address:#x} cannot be read: {error}") from None
        if len(data) != size:
            raise BadAddress(f"{size} bytes at {address:#x} are not all in memory")
        return bytes(data)

    def write(self, address: int, data: bytes) -> None:
        try:
            self._memory.write(address, data)
        except Exception as error:
            raise BadAddress(f"{len(data)} bytes at {address:#x} cannot be written: {error}") from None

    def u16(self, address: int) -> int:
        return _U16.unpack(self.read(address, 2))[0]

    def set_u16(self, address: int, value: int) -> None:
        self.write(address, _U16.pack(value & 0xFFFF))


class Chain:
    """One buffer of the driver: first the parts that the device reads, then those that it writes.

    head       the descriptor by which it is returned
    readable   bytes that the device may read; `read` takes them from wherever the parts lie
    writable   bytes that the device may write
    filled     how many of those have been written without a gap from the first on: what the driver will be told
    """

    def __init__(self, memory: Dma, head: int, parts: list[tuple[int, int, bool]]):
        self.head, self.filled = head, 0
        self._memory = memory
        self._read = [(address, length) for address, length, write in parts if not write]
        self._write = [(address, length) for address, length, write in parts if write]
        self.readable = sum(length for _, length in self._read)
        self.writable = sum(length for _, length in self._write)

    def read(self, offset: int, size: int) -> bytes:
        """`size` bytes from `offset` on of what the device may read; fewer where there are no more."""
        return b"".join(self._memory.read(address, length) for address, length in _pieces(self._read, offset, size))

    def write(self, offset: int, data: bytes) -> None:
        """Put data at `offset` of what the device may write; what does not fit is dropped."""
        done = 0
        for address, length in _pieces(self._write, offset, len(data)):
            self._memory.write(address, data[done:done + length])
            done += length
        if offset <= self.filled:
            self.filled = max(self.filled, offset + done)


def _pieces(parts: list[tuple[int, int]], offset: int, size: int):
    """Where the bytes [offset, offset + size) of consecutive parts lie: (address, length), in order."""
    for address, length in parts:
        if size <= 0:
            return
        if offset < length:
            piece = min(length - offset, size)
            yield address + offset, piece
            size -= piece
        offset = max(offset - length, 0)


class Queue:
    """The device's side of one split virtqueue.

    size, descriptors, driver, device   what the driver chose: entries, and the addresses of the three areas
    features                            what both sides have agreed on
    ready                               whether the device may look at them
    next_available, next_used           the device's own two free-running counters, modulo 65536
    """

    def __init__(self, maximum: int):
        self.maximum, self.features = maximum, 0
        self.reset()

    def reset(self) -> None:
        self.size, self.descriptors, self.driver, self.device = self.maximum, 0, 0, 0
        self.ready, self.next_available, self.next_used = False, 0, 0
        self._told = 0                          # next_used when interrupting was last considered

    def enable(self, memory: Dma) -> None:
        """Begin with the areas as they were set, at index 0. RingError for a size that no queue has."""
        if not 0 < self.size <= self.maximum or self.size & self.size - 1:
            raise RingError(f"a queue of {self.size} entries: it must be a power of two up to {self.maximum}")
        self._memory = memory
        self.ready, self.next_available, self.next_used, self._told = True, 0, 0, 0

    # ------------------------------------------------------------------------------------- what the driver offers
    def waiting(self) -> int:
        """How many chains the driver has made available that were not taken yet."""
        index = self._memory.u16(self.driver + 2)
        count = index - self.next_available & 0xFFFF
        if count > self.size:
            raise RingError(f"the available index jumped from {self.next_available} to {index} "
                            f"in a queue of {self.size}")
        return count

    def pop(self) -> Chain | None:
        """Take the next available chain, or None. RingError for one that no device can follow."""
        if not self.waiting():
            return None
        head = self._memory.u16(self.driver + 4 + 2 * (self.next_available % self.size))
        parts = self._follow(head)
        self.next_available = self.next_available + 1 & 0xFFFF
        return Chain(self._memory, head, parts)

    def unpop(self, count: int = 1) -> None:
        """Put back the last chains that were taken: nothing of them has been used."""
        self.next_available = self.next_available - count & 0xFFFF

    def _follow(self, head: int) -> list[tuple[int, int, bool]]:
        """(address, length, device may write) of each part of a chain."""
        table, entries, where, indirect = self.descriptors, self.size, "descriptor", False
        parts: list[tuple[int, int, bool]] = []
        number, steps, total = head, 0, 0
        while True:
            if number >= entries:
                raise RingError(f"{where} {number} is not in a table of {entries}")
            if steps == entries or len(parts) == _LONGEST:
                raise RingError(f"the chain at descriptor {head} is a loop, or longer than any that may be")
            steps += 1
            address, length, flags, following = _DESCRIPTOR.unpack(self._memory.read(table + 16 * number, 16))
            if flags & INDIRECT:
                if indirect or not self.features & INDIRECT_DESC or flags & NEXT or not length or length % 16:
                    raise RingError(f"{where} {number}: {self._wrong_indirect(indirect, flags, length)}")
                table, entries, where, indirect = address, length // 16, "indirect descriptor", True
                number, steps = 0, 0
                continue
            write = bool(flags & WRITE)
            if parts and parts[-1][2] and not write:
                raise RingError(f"{where} {number} is for reading, after one for writing")
            total += length
            if total > 1 << 32:
                raise RingError(f"the chain at descriptor {head} has more than 2^32 bytes")
            parts.append((address, length, write))
            if not flags & NEXT:
                return parts
            number = following

    def _wrong_indirect(self, inside: bool, flags: int, length: int) -> str:
        if inside:
            return "an indirect table inside an indirect table"
        if not self.features & INDIRECT_DESC:
            return "an indirect table, which was not negotiated"
        return "an indirect table with a next descriptor" if flags & NEXT else f"an indirect table of {length} bytes"

    # ------------------------------------------------------------------------------------- what the device returns
    def push(self, *chains: Chain) -> None:
        """Return chains to the driver, each with the number of bytes filled; it sees all of them or none."""
        for chain in chains:
            place = self.device + 4 + 8 * (self.next_used % self.size)
            self._memory.write(place, _ELEMENT.pack(chain.head, min(chain.filled, 0xFFFFFFFF)))
            self.next_used = self.next_used + 1 & 0xFFFF
        self._memory.set_u16(self.device + 2, self.next_used)

    def wants_interrupt(self) -> bool:
        """Whether the driver wants to hear of what was returned since this was last asked."""
        if not self.features & EVENT_IDX:
            return not self._memory.u16(self.driver) & NO_INTERRUPT
        before, self._told = self._told, self.next_used
        event = self._memory.u16(self.driver + 4 + 2 * self.size)
        return self.next_used - event - 1 & 0xFFFF < self.next_used - before & 0xFFFF        # was it passed just now?

    def notify_me(self, wanted: bool) -> None:
        """Tell the driver whether to kick when it makes more available: a wish, which it need not follow."""
        if not self.features & EVENT_IDX:
            self._memory.set_u16(self.device, 0 if wanted else NO_NOTIFY)
        elif wanted:                                 # the event of a queue that is not to kick just stays behind
            self._memory.set_u16(self.device + 4 + 8 * self.size, self.next_available)

"""virtio-console: one port with a queue of what is typed and a queue of what is printed (virtio 1.2, 5.3)."""
from __future__ import annotations

import struct
from collections.abc import Callable

from pvlab.devices.virtio.mmio import QUEUE_SIZE, VirtioMmio, Worker
from pvlab.devices.virtio.queue import Chain, Memory, RingError

RECEIVE, TRANSMIT = 0, 1
F_SIZE, EMERG_WRITE = 1 << 0, 1 << 2
_EMERGENCY = 8                       # where `emerg_wr` stands in the configuration
_MOST = 1 << 16                      # bytes in one buffer, and bytes typed ahead


class VirtioConsole(VirtioMmio):
    """A console; `sink(bytes)` gets what the guest prints, `size` is (columns, rows).

    `type` is the keyboard. Through `emerg_wr` a guest prints a character before it has set up anything.
    """

    name, device_id = "virtio-console", 3
    queue_sizes, requests = (QUEUE_SIZE, QUEUE_SIZE), frozenset({TRANSMIT})
    features = F_SIZE | EMERG_WRITE

    def __init__(self, sink: Callable[[bytes], None], memory: Memory, interrupt: Callable[[bool], None],
                 worker: Worker | None = None, size: tuple[int, int] = (80, 25)):
        self._sink, self._size, self._typed = sink, size, bytearray()
        super().__init__(memory, interrupt, worker)

    def config(self) -> bytes:
        return struct.pack("<HHII", *self._size, 1, 0)

    def write_config(self, offset: int, data: bytes) -> None:
        if offset == _EMERGENCY:
            self._sink(data[:1])

    def resize(self, columns: int, rows: int) -> None:
        """The window has changed: the driver is told."""
        self._size = columns, rows
        self.config_changed()

    def type(self, data: bytes) -> None:
        """Somebody types. What the guest leaves unread waits; beyond 64 KiB it is lost."""
        self._typed += data[:_MOST - len(self._typed)]
        if self.usable(RECEIVE):
            self._guard(self.refill, RECEIVE)

    def refill(self, number: int) -> None:
        queue, filled = self.queues[RECEIVE], 0
        while self._typed and filled < queue.size and (chain := queue.pop()):
            if chain.readable:
                raise RingError("a buffer for what is typed holds something to read")
            chain.write(0, bytes(self._typed[:chain.writable]))
            del self._typed[:chain.filled]
            queue.push(chain)
            filled += 1
        if filled:
            self.returned(queue)

    def handle(self, number: int, chain: Chain) -> None:
        if chain.writable or chain.readable > _MOST:
            raise RingError(f"a text of {chain.readable} bytes to read and {chain.writable} to write")
        self._sink(chain.read(0, chain.readable))

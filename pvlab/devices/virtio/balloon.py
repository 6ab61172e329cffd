"""virtio-balloon: the host asks a guest for memory, and the guest hands pages over (virtio 1.2, 5.5)."""
from __future__ import annotations

import struct
from collections.abc import Callable

from pvlab.devices.virtio.mmio import QUEUE_SIZE, VirtioMmio, Worker
from pvlab.devices.virtio.queue import BadAddress, Chain, Memory, RingError

INFLATE, DEFLATE = 0, 1
MUST_TELL_HOST, DEFLATE_ON_OOM = 1 << 0, 1 << 2
PAGE = 4096                          # whatever the guest's own pages are
_ACTUAL = 4                          # where `actual` stands in the configuration
_MOST = 1 << 16                      # bytes of page numbers in one buffer: 16,384 pages


class VirtioBalloon(VirtioMmio):
    """A memory balloon.

    target    pages that the host wants in it: `ask` sets it and tells the driver
    actual    pages that the driver says are in it
    pages     which pages are in it: the guest has given them up and must not touch them
    moved(page, given)   called for each page that the guest gives up (True) or takes back (False)
    """

    name, device_id = "virtio-balloon", 5
    queue_sizes, requests = (QUEUE_SIZE, QUEUE_SIZE), frozenset({INFLATE, DEFLATE})
    features = MUST_TELL_HOST | DEFLATE_ON_OOM

    def __init__(self, memory: Memory, interrupt: Callable[[bool], None], worker: Worker | None = None,
                 moved: Callable[[int, bool], None] = lambda page, given: None):
        self.target, self.actual, self._moved = 0, 0, moved
        self.pages: set[int] = set()
        super().__init__(memory, interrupt, worker)

    def ask(self, pages: int) -> None:
        """Ask the driver for so many pages in all; fewer than it has given let it take some back."""
        self.target = pages
        self.config_changed()

    def config(self) -> bytes:
        return struct.pack("<IIII", self.target, self.actual, 0, 0)

    def write_config(self, offset: int, data: bytes) -> None:
        old = self.config()
        new = old[:offset] + data + old[offset + len(data):]
        self.actual = int.from_bytes(new[_ACTUAL:_ACTUAL + 4], "little")

    def handle(self, number: int, chain: Chain) -> None:
        if chain.writable or chain.readable % 4 or chain.readable > _MOST:
            raise RingError(f"page numbers in {chain.readable} bytes to read and {chain.writable} to write")
        for page, in struct.iter_unpack("<I", chain.read(0, chain.readable)):
            if number == INFLATE and page not in self.pages and self._there(page):
                self.pages.add(page)
                self._moved(page, True)
            elif number == DEFLATE and page in self.pages:
                self.pages.remove(page)
                self._moved(page, False)

    def _there(self, page: int) -> bool:
        try:
            self.memory.read(page * PAGE + PAGE - 1, 1)
        except BadAddress:
            return False
        return True

    def stopped(self) -> None:
        """A driver that starts anew has all its memory."""
        for page in sorted(self.pages):
            self._moved(page, False)
        self.pages.clear()
        self.actual = 0

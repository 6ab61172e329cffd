"""The other end of the default network cable: it hashes what it gets and, asked to, sends frames in virtual time.

The request is an Ethernet frame of type 0x88B5, which IEEE 802 leaves to local experiments. Behind the type stand
"SEND", how many frames (le32), bytes of each (le16; 60 at least), nanoseconds between two (le32).
"""
from __future__ import annotations

import struct
from collections.abc import Callable

from pvlab.devices.backends.network import QUEUE, Peer, Port, packet

REQUEST = b"\x88\xB5SEND"
LARGEST = 1514
_form = struct.Struct("<IHI")


class Source(Peer):
    """A peer with a clock: `network = Source(clock).port`. clock() tells virtual nanoseconds.

    No frame is lost: while the port is full, it waits.
    """

    def __init__(self, clock: Callable[[], int]):
        super().__init__()
        self._clock, self.port = clock, Port(self)
        self._next: int | None = None            # when the next frame leaves
        self._number = self._left = self._size = self._gap = 0

    def forward(self, frame: bytes, source: Port) -> None:
        super().forward(frame, source)
        if frame[12:18] != REQUEST or len(frame) < 18 + _form.size:
            return
        self._left, self._size, gap = _form.unpack_from(frame, 18)
        self._size = min(max(self._size, 60), LARGEST)
        self._target, self._number, self._gap = frame[6:12], 0, max(gap, 1000)
        self._next = self._clock() + self._gap if self._left else None

    def next_event(self) -> int | None:
        """The virtual nanosecond at which a frame leaves, or None."""
        return self._next

    def advance(self) -> None:
        """Send what was due by now, as far as the port takes it."""
        now = self._clock()
        while self._next is not None and self._next <= now:
            if self.port.waiting >= QUEUE:
                self._next = now + self._gap
                return
            self.port.deliver(packet(self._number, self._size, self._target))
            self._number, self._left = self._number + 1, self._left - 1
            self._next = self._next + self._gap if self._left else None

"""Networks: a switch between guests, a capture file that Wireshark opens, and a peer that follows a script.

A network device holds a Port: it calls `send` with each frame, is called when one has arrived, and takes it with
`receive`. A frame is an Ethernet frame without its check sequence, as drivers hand it over.
"""
from __future__ import annotations

import hashlib
import struct
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from pvlab.errors import PvlabError

LONGEST = 65_535                     # bytes of a frame that a network carries
QUEUE = 256                          # frames that wait in a port for their device


class Network(Protocol):
    """Where a port's frames go."""

    def forward(self, frame: bytes, source: "Port") -> None: ...


class Port:
    """A device's socket: frames out, and a bounded queue of frames in.

    sent, received, dropped   frames that left, that came in, and that were lost: no frame at all, or the queue full
    """

    def __init__(self, network: Network | None = None, queue: int = QUEUE):
        self._network, self._limit = network, queue
        self._waiting: deque[bytes] = deque()
        self._listeners: list[Callable[[], None]] = []
        self.tap: Callable[[bytes], None] | None = None       # sees every frame that passes, in either direction
        self.sent = self.received = self.dropped = 0

    def connect(self, arrived: Callable[[], None]) -> None:
        """Have `arrived()` called at each arrival. Of several devices at one port, that which is in use takes it."""
        self._listeners.append(arrived)

    def send(self, frame: bytes) -> None:
        """A frame leaves the device. What is no Ethernet frame goes nowhere."""
        if not 14 <= len(frame) <= LONGEST:
            self.dropped += 1
            return
        self.sent += 1
        if self.tap:
            self.tap(frame)
        if self._network is not None:
            self._network.forward(frame, self)

    def deliver(self, frame: bytes) -> None:
        """A frame comes in for the device. If the queue is full it is lost, as on any network."""
        if len(self._waiting) >= self._limit:
            self.dropped += 1
            return
        self.received += 1
        if self.tap:
            self.tap(frame)
        self._waiting.append(frame)
        for arrived in self._listeners:
            arrived()

    def peek(self) -> bytes | None:
        """The frame that arrived first and was not taken yet."""
        return self._waiting[0] if self._waiting else None

    def receive(self) -> bytes | None:
        """Take it."""
        return self._waiting.popleft() if self._waiting else None

    @property
    def waiting(self) -> int:
        """How many frames are there to take."""
        return len(self._waiting)


class Switch:
    """An Ethernet switch: it learns which address is behind which port, and floods what it does not know.

    addresses   how many it remembers; the one learned first is forgotten first
    """

    def __init__(self, addresses: int = 1024):
        self._ports: list[Port] = []
        self._behind: dict[bytes, Port] = {}
        self._limit = addresses

    def port(self, queue: int = QUEUE) -> Port:
        """A new port of this switch."""
        made = Port(self, queue)
        self._ports.append(made)
        return made

    def forward(self, frame: bytes, source: Port) -> None:
        target, sender = frame[:6], frame[6:12]
        if not sender[0] & 1:                                # a group address has no place
            self._behind.pop(sender, None)
            self._behind[sender] = source
            if len(self._behind) > self._limit:
                del self._behind[next(iter(self._behind))]
        known = None if target[0] & 1 else self._behind.get(target)
        for port in self._ports if known is None else [known]:
            if port is not source:
                port.deliver(frame)


class Peer:
    """The other end of a wire, for measuring: it hashes all that it gets, sends what it is told, and may echo.

    Wire it to a device as its network: `Port(peer)`. frames, octets and sha256() tell what it got.
    """

    def __init__(self, echo: bool = False):
        self.echo, self.frames, self.octets = echo, 0, 0
        self._hash = hashlib.sha256()

    def forward(self, frame: bytes, source: Port) -> None:
        self.frames += 1
        self.octets += len(frame)
        self._hash.update(len(frame).to_bytes(4, "little") + frame)
        if self.echo:
            source.deliver(frame[6:12] + frame[:6] + frame[12:])

    def sha256(self) -> str:
        """SHA-256 over the frames in order, each with its length before it (4 bytes, little-endian)."""
        return self._hash.hexdigest()


def digest_of(frames) -> str:
    """What `Peer.sha256` gives for these frames."""
    total = hashlib.sha256()
    for frame in frames:
        total.update(len(frame).to_bytes(4, "little") + frame)
    return total.hexdigest()


def packet(number: int, size: int = 60, target: bytes = b"\x02pvlab", source: bytes = b"\x02other") -> bytes:
    """A frame of `size` bytes (60 at least) whose every byte is known: a UDP datagram from 10.0.0.2 to 10.0.0.1.

    Its payload begins with `number` (4 bytes, little-endian) and goes on with a pattern of it.
    """
    if not 60 <= size <= LONGEST:
        raise PvlabError(f"a packet of {size} bytes: give 60 to {LONGEST}")
    payload = number.to_bytes(4, "little") + bytes((number + i) & 0xFF for i in range(size - 42 - 4))
    address = bytes([10, 0, 0, 2, 10, 0, 0, 1])
    header = struct.pack(">BBHHHBBH", 0x45, 0, size - 14, number & 0xFFFF, 0, 64, 17, 0) + address
    total = sum(struct.unpack(">10H", header))
    total = (total & 0xFFFF) + (total >> 16)
    header = header[:10] + struct.pack(">H", ~(total + (total >> 16)) & 0xFFFF) + header[12:]
    return target + source + b"\x08\x00" + header + struct.pack(">HHHH", 7, 7, size - 34, 0) + payload


class Capture:
    """A pcap file of what passes a port, stamped with virtual time: `port.tap = Capture(path, clock).record`.

    The format is libpcap's with nanoseconds (magic number 0xA1B23C4D), link type 1 for Ethernet. A frame is in the file
    when `record` returns. After `limit` bytes nothing more is recorded.
    """

    def __init__(self, path: str | Path, clock: Callable[[], int], limit: int = 256 << 20):
        self.path, self._clock, self._left = path, clock, limit
        try:
            self._file = open(path, "wb", buffering=0)
        except OSError as error:
            raise PvlabError(f"capture file {path}: {error.strerror}") from None
        self._write(struct.pack("<IHHiIII", 0xA1B23C4D, 2, 4, 0, 0, LONGEST, 1))

    def record(self, frame: bytes) -> None:
        """Write one frame with the present time. PvlabError if the host cannot."""
        seconds, nanoseconds = divmod(self._clock(), 1_000_000_000)
        self._write(struct.pack("<IIII", seconds & 0xFFFFFFFF, nanoseconds, len(frame), len(frame)) + frame)

    def close(self) -> None:
        self._file.close()

    def _write(self, data: bytes) -> None:
        self._left -= len(data)
        if self._left < 0:
            return
        try:
            self._file.write(data)
        except OSError as error:
            raise PvlabError(f"capture file {self.path}: {error.strerror}") from None

"""virtio-net: a pair of queues of Ethernet frames, each behind a header (virtio 1.2, 5.1)."""
from __future__ import annotations

import struct
from collections.abc import Callable

from pvlab.devices.backends.network import LONGEST, Port
from pvlab.devices.virtio.mmio import QUEUE_SIZE, VERSION_1, VirtioMmio, Worker
from pvlab.devices.virtio.queue import Chain, Memory, RingError

RECEIVE, TRANSMIT = 0, 1
MAC, MRG_RXBUF, STATUS = 1 << 5, 1 << 15, 1 << 16
LINK_UP = 1


class VirtioNetwork(VirtioMmio):
    """A network device in front of a port. `mac` is its six bytes.

    A frame that finds no buffer waits in the port; one that fits into no buffer is dropped, and the buffer kept.
    """

    name, device_id = "virtio-net", 1
    queue_sizes, requests = (QUEUE_SIZE, QUEUE_SIZE), frozenset({TRANSMIT})
    features = MAC | STATUS | MRG_RXBUF

    def __init__(self, port: Port, memory: Memory, interrupt: Callable[[bool], None], worker: Worker | None = None,
                 mac: bytes = b"\x02pvlab"):
        self.port, self.mac, self._link = port, mac, LINK_UP
        super().__init__(memory, interrupt, worker)
        port.connect(self._arrived)

    @property
    def header(self) -> int:
        """Bytes before a frame. A driver that knows neither version 1 nor mergeable buffers has no `num_buffers`."""
        return 12 if self.accepted & (VERSION_1 | MRG_RXBUF) else 10

    def config(self) -> bytes:
        return self.mac + struct.pack("<HHH", self._link, 1, 1500)

    def set_link(self, up: bool) -> None:
        """Plug the cable in, or pull it: the driver is told."""
        if bool(self._link) is not up:
            self._link = LINK_UP if up else 0
            self.config_changed()

    def handle(self, number: int, chain: Chain) -> None:
        """Send. What a header asks for that was not negotiated (checksums, segmentation) is not done."""
        if chain.readable < self.header:
            raise RingError(f"a packet of {chain.readable} bytes has no header of {self.header}")
        size = chain.readable - self.header
        if self._link:
            self.port.send(chain.read(self.header, min(size, LONGEST + 1)))

    def _arrived(self) -> None:
        if self.usable(RECEIVE):
            self._guard(self.refill, RECEIVE)

    def refill(self, number: int) -> None:
        """Put what waits in the port into the driver's buffers; kicks are wanted only while a frame finds none."""
        queue, filled = self.queues[RECEIVE], 0
        while filled < queue.size and (frame := self.port.peek()) is not None:
            chains = self._room(len(frame))
            if chains is None:
                break
            self.port.receive()
            if chains:
                self._fill(chains, frame)
                queue.push(*chains)
                filled += len(chains)
        hungry = self.port.peek() is not None
        if hungry is not self._hungry:
            self._hungry = hungry
            queue.notify_me(hungry)
        if filled:
            self.returned(queue)

    def _room(self, size: int) -> list[Chain] | None:
        """Buffers for a frame of that size; None if there are not enough now, an empty list if it fits into none."""
        queue, chains, room = self.queues[RECEIVE], [], 0
        mergeable = self.accepted & MRG_RXBUF
        while room < size + self.header:
            chain = queue.pop()
            if chain is None:
                queue.unpop(len(chains))
                return None
            if chain.readable or (not chains and chain.writable < self.header):
                raise RingError(f"a receive buffer with {chain.readable} bytes to read and {chain.writable} to write")
            chains.append(chain)
            room += chain.writable
            if not mergeable and room < size + self.header:
                queue.unpop()
                return []
        return chains

    def _fill(self, chains: list[Chain], frame: bytes) -> None:
        header = bytes(10) + struct.pack("<H", len(chains))
        data = header[:self.header] + frame
        for chain in chains:
            chain.write(0, data[:chain.writable])
            data = data[chain.writable:]

    def stopped(self) -> None:
        self._hungry = True              # an untouched ring wants kicks

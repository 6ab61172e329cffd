"""virtio-blk: a disk as a queue of requests (virtio 1.2, 5.2).

A request is {le32 type, le32 reserved, le64 sector}, then data, then one byte of status which the device writes.
"""
from __future__ import annotations

import struct
from collections.abc import Callable

from pvlab.devices.backends.disk import SECTOR, Disk, DiskError
from pvlab.devices.virtio.mmio import QUEUE_SIZE, VirtioMmio, Worker
from pvlab.devices.virtio.queue import BadAddress, Chain, Memory, RingError

IN, OUT, FLUSH, GET_ID = 0, 1, 4, 8
OK, IOERR, UNSUPP = 0, 1, 2

SEG_MAX, RO, BLK_SIZE, F_FLUSH, CONFIG_WCE = 1 << 2, 1 << 5, 1 << 6, 1 << 9, 1 << 11

_HEADER = struct.Struct("<IIQ")
_CONFIG = struct.Struct("<QIIHBBIBBHIBBH")
_SEGMENTS = 126                      # parts of one request, as QEMU has it
_WRITEBACK = 32                      # where `writeback` stands in the configuration
_PIECE = 256                         # sectors that are in the host's hands at a time


class VirtioBlock(VirtioMmio):
    """A block device in front of a disk back end; `serial` (20 bytes at most) is what GET_ID gives.

    What was written is flushed when the driver asks, or, from a driver that cannot ask, with every write.
    """

    name, device_id = "virtio-block", 2
    queue_sizes, requests = (QUEUE_SIZE,), frozenset({0})

    def __init__(self, disk: Disk, memory: Memory, interrupt: Callable[[bool], None], worker: Worker | None = None,
                 serial: str = "pvlab"):
        self.disk, self._serial, self._writeback = disk, serial.encode()[:20], True
        self.features = SEG_MAX | BLK_SIZE | F_FLUSH | CONFIG_WCE | (RO if disk.read_only else 0)
        super().__init__(memory, interrupt, worker)

    @property
    def write_through(self) -> bool:
        """Whether each write must be safe when it is acknowledged."""
        return not (self._writeback and self.accepted & F_FLUSH)

    def config(self) -> bytes:
        return _CONFIG.pack(self.disk.sectors, 0, _SEGMENTS, 0, 0, 0, SECTOR, 0, 0, 0, 0,
                            not self.write_through, 0, 1)

    def write_config(self, offset: int, data: bytes) -> None:
        if offset == _WRITEBACK and self.accepted & CONFIG_WCE:
            self._writeback = bool(data[0])

    def stopped(self) -> None:
        self._writeback = True

    def handle(self, number: int, chain: Chain) -> None:
        if chain.readable < _HEADER.size or not chain.writable:
            raise RingError(f"a request of {chain.readable} bytes to read and {chain.writable} to write has no header "
                            "or no place for its status")
        kind, _, sector = _HEADER.unpack(chain.read(0, _HEADER.size))
        try:
            status = self._carry_out(kind, sector, chain)
        except (DiskError, BadAddress):
            status = IOERR
        chain.write(chain.writable - 1, bytes([status]))

    def _carry_out(self, kind: int, sector: int, chain: Chain) -> int:
        given, room = chain.readable - _HEADER.size, chain.writable - 1
        if kind == IN:
            return self._move(self._read, sector, room, given, chain)
        if kind == OUT:
            if self.disk.read_only:
                return IOERR
            status = self._move(self._write, sector, given, room, chain)
            if self.write_through:
                self.disk.flush()
            return status
        if kind == FLUSH:
            self.disk.flush()
        elif kind == GET_ID:
            chain.write(0, self._serial.ljust(20, b"\0")[:room])
        else:
            return UNSUPP
        return OK

    def _move(self, piece: Callable, sector: int, size: int, other: int, chain: Chain) -> int:
        """Move whole sectors one piece after another; nothing where the request is not all on the disk."""
        count = size // SECTOR
        if size % SECTOR or other or sector + count > self.disk.sectors:
            return IOERR
        for done in range(0, count, _PIECE):
            piece(chain, sector + done, done * SECTOR, min(_PIECE, count - done))
        return OK

    def _read(self, chain: Chain, sector: int, offset: int, count: int) -> None:
        chain.write(offset, self.disk.read(sector, count))

    def _write(self, chain: Chain, sector: int, offset: int, count: int) -> None:
        self.disk.write(sector, chain.read(_HEADER.size + offset, count * SECTOR))

"""What a run is lent: the disk that was given, an image file opened for it, or a scratch disk; and a capture file."""
from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from pvlab.devices.backends.disk import Disk, MemoryDisk, open_image, patterned
from pvlab.devices.backends.network import Capture, Port

SCRATCH = 2048                  # sectors: 1 MiB
_MODES = {"ro": "read-only", "cow": "copy-on-write"}


class ScratchDisk(Disk):
    """What a machine has where nobody gave it a disk: known contents (see `patterned`), made when touched."""

    def __init__(self, sectors: int = SCRATCH):
        super().__init__(sectors)
        self._contents: MemoryDisk | None = None

    @property
    def touched(self) -> bool:
        """Whether a sector has been read or written."""
        return self._contents is not None

    @property
    def _disk(self) -> MemoryDisk:
        if self._contents is None:
            self._contents = patterned(self.sectors)
        return self._contents

    def _load(self, sector: int, count: int) -> bytes:
        return self._disk.read(sector, count)

    def _store(self, sector: int, data: bytes) -> None:
        self._disk.write(sector, data)


def open_disk(name: str | os.PathLike) -> Disk:
    """An image file as a disk: FILE, which the guest may write, FILE:ro or FILE:cow. DiskError says what is wrong."""
    path, colon, mode = os.fspath(name).rpartition(":")
    return open_image(path, _MODES[mode]) if colon and mode in _MODES else open_image(name, "read-write")


@contextmanager
def lent(disk: Disk | str | os.PathLike | None) -> Iterator[Disk]:
    """The disk for one run. What is opened here is closed here."""
    if isinstance(disk, Disk):
        yield disk
        return
    opened = ScratchDisk() if disk is None else open_disk(disk)
    try:
        yield opened
    finally:
        opened.close()


@contextmanager
def plugged(port: Port, pcap: str | os.PathLike | None, clock: Callable[[], int]) -> Iterator[Port]:
    """The port for one run, with what passes it captured to a file if one is named."""
    if pcap is None:
        yield port
        return
    capture = Capture(pcap, clock)
    port.tap = capture.record
    try:
        yield port
    finally:
        port.tap = None
        capture.close()

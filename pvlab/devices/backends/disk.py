"""Disks: sectors of 512 bytes in memory, in an image file on the host, or on top of another disk.

A device asks `sectors` and `read_only`, calls `read`, `write` and `flush`, and turns DiskError into whatever its
guest's driver knows as a failed request. Nothing here depends on how the request came.
"""
from __future__ import annotations

import errno
import hashlib
import os
import stat
from collections.abc import Iterator
from pathlib import Path

from pvlab.errors import PvlabError

try:
    import fcntl
except ImportError:           # Windows has other means, and opens a file for one writer at a time only when asked
    fcntl = None

SECTOR = 512
_PIECE = 2048                 # sectors that are read at once where a whole disk is wanted


class DiskError(PvlabError):
    """A request that the disk cannot serve, or an image file that cannot be used. The message says which and why."""


class Disk:
    """`sectors` of 512 bytes each. A subclass offers `_load`, `_store` and `flush`; the checks are made here."""

    def __init__(self, sectors: int, read_only: bool = False):
        self.sectors, self.read_only = sectors, read_only

    def read(self, sector: int, count: int = 1) -> bytes:
        """`count` sectors from `sector` on: 512 x count bytes. DiskError beyond the end."""
        self._check(sector, count)
        return self._load(sector, count)

    def write(self, sector: int, data: bytes) -> None:
        """Store whole sectors from `sector` on. DiskError beyond the end, in part of a sector, or if read-only."""
        if self.read_only:
            raise DiskError("the disk is read-only")
        if len(data) % SECTOR:
            raise DiskError(f"{len(data)} bytes are not whole sectors of {SECTOR}")
        self._check(sector, len(data) // SECTOR)
        self._store(sector, data)

    def flush(self) -> None:
        """Return when everything written is where it outlives this process. DiskError if that cannot be promised."""

    def pieces(self) -> Iterator[bytes]:
        """The whole contents in order, some sectors at a time: for a digest, or a copy."""
        for sector in range(0, self.sectors, _PIECE):
            yield self._load(sector, min(_PIECE, self.sectors - sector))

    def sha256(self) -> str:
        """SHA-256 of the whole contents in hex: what `sha256sum` says of an image file with the same bytes."""
        total = hashlib.sha256()
        for piece in self.pieces():
            total.update(piece)
        return total.hexdigest()

    def close(self) -> None:
        """Let go of what the host lent."""

    def _check(self, sector: int, count: int) -> None:
        if sector < 0 or count < 0 or sector + count > self.sectors:
            raise DiskError(f"sectors {sector} to {sector + count - 1} are not all on a disk of {self.sectors}")

    def _load(self, sector: int, count: int) -> bytes:
        raise NotImplementedError

    def _store(self, sector: int, data: bytes) -> None:
        raise NotImplementedError


class MemoryDisk(Disk):
    """A disk in this process's memory, from whole sectors of `contents`. Its flush has nothing to do."""

    def __init__(self, contents: bytes, read_only: bool = False):
        if len(contents) % SECTOR:
            raise DiskError(f"{len(contents)} bytes are not whole sectors of {SECTOR}")
        super().__init__(len(contents) // SECTOR, read_only)
        self._bytes = bytearray(contents)

    def _load(self, sector: int, count: int) -> bytes:
        return bytes(self._bytes[sector * SECTOR:(sector + count) * SECTOR])

    def _store(self, sector: int, data: bytes) -> None:
        self._bytes[sector * SECTOR:sector * SECTOR + len(data)] = data


def patterned(sectors: int, label: str = "pvlab", read_only: bool = False) -> MemoryDisk:
    """A disk in memory whose every byte is known: SHAKE-128 of `label`. No two sectors look alike."""
    return MemoryDisk(hashlib.shake_128(label.encode()).digest(sectors * SECTOR), read_only)


class ImageDisk(Disk):
    """A raw image file on the host; its size, in whole sectors, is the disk's.

    What was written is in the file when `write` returns, so it outlives this process however that ends; when `flush`
    returns, it outlives the host, too (fsync). While one ImageDisk may write a file, no other opens it.
    """

    def __init__(self, path: str | Path, read_only: bool = False):
        self.path = Path(path)
        try:
            if not stat.S_ISREG(os.stat(self.path).st_mode):      # opening a pipe would wait for its other end
                raise DiskError(f"disk image {path}: not a regular file")
            self._file = open(self.path, "rb" if read_only else "r+b", buffering=0)
        except OSError as error:
            raise DiskError(f"disk image {path}: {error.strerror}") from None
        size = os.fstat(self._file.fileno()).st_size
        try:
            if not size or size % SECTOR:
                raise DiskError(f"disk image {path}: {size} bytes are not whole sectors of {SECTOR}")
            self._lock(read_only)
        except DiskError:
            self._file.close()
            raise
        super().__init__(size // SECTOR, read_only)
        self._lost = ""           # why an earlier flush failed: what it covered may be gone for good

    def _lock(self, shared: bool) -> None:
        if fcntl is None:
            return
        try:
            fcntl.flock(self._file, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
        except OSError as error:
            if error.errno in (errno.EWOULDBLOCK, errno.EACCES):
                raise DiskError(f"disk image {self.path}: in use by another disk") from None
            # a file system without locks: nothing to hold on to

    def flush(self) -> None:
        if self._lost:
            raise DiskError(self._lost)
        if self.read_only:
            return
        try:
            if hasattr(fcntl, "F_FULLFSYNC"):                     # macOS: fsync stops at the drive's own cache
                fcntl.fcntl(self._file, fcntl.F_FULLFSYNC)
            else:
                os.fsync(self._file.fileno())
        except OSError as error:
            self._lost = f"disk image {self.path}: cannot be flushed: {error.strerror}"
            raise DiskError(self._lost) from None

    def close(self) -> None:
        self._file.close()

    def _load(self, sector: int, count: int) -> bytes:
        return self._at(sector, self._fill, bytearray(count * SECTOR))

    def _store(self, sector: int, data: bytes) -> None:
        self._at(sector, self._drain, data)

    def _at(self, sector: int, transfer, data) -> bytes:
        try:
            self._file.seek(sector * SECTOR)
            return transfer(memoryview(data))
        except (OSError, ValueError) as error:                    # ValueError: the file has been closed
            reason = getattr(error, "strerror", None) or error
            raise DiskError(f"disk image {self.path}: sector {sector}: {reason}") from None

    def _fill(self, into: memoryview) -> bytes:
        done = 0
        while done < len(into):
            got = self._file.readinto(into[done:])
            if not got:
                raise OSError(errno.EIO, "the file has been cut short")
            done += got
        return bytes(into)

    def _drain(self, data: memoryview) -> bytes:
        while data:
            data = data[self._file.write(data):]
        return b""


class Overlay(Disk):
    """Copy on write: reads come from `base` until a sector is written; writes stay in memory, and `base` as it was.

    What is written ends with this process: a flush acknowledges that it is as safe as this disk makes anything.
    """

    def __init__(self, base: Disk):
        super().__init__(base.sectors)
        self.base = base
        self._written: dict[int, bytes] = {}

    @property
    def written(self) -> int:
        """How many sectors differ in origin from the base: each takes 512 bytes of memory."""
        return len(self._written)

    def close(self) -> None:
        self.base.close()

    def _load(self, sector: int, count: int) -> bytes:
        data = bytearray(self.base.read(sector, count))
        if self._written:
            for i in range(count):
                if sector + i in self._written:
                    data[i * SECTOR:(i + 1) * SECTOR] = self._written[sector + i]
        return bytes(data)

    def _store(self, sector: int, data: bytes) -> None:
        for i in range(len(data) // SECTOR):
            self._written[sector + i] = bytes(data[i * SECTOR:(i + 1) * SECTOR])


MODES = {
    "read-write": "the guest's writes go into the file",
    "read-only": "the guest sees a write-protected disk",
    "copy-on-write": "the guest may write; the file stays as it is",
}


def open_image(path: str | Path, mode: str = "copy-on-write") -> Disk:
    """The image file as a disk; `mode` is one of MODES. DiskError names the file and what is wrong."""
    if mode not in MODES:
        raise DiskError(f"there is no disk mode '{mode}'; there are {', '.join(MODES)}")
    image = ImageDisk(path, read_only=mode != "read-write")
    return Overlay(image) if mode == "copy-on-write" else image

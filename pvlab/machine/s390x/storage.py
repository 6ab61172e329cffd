"""The three ways in which addresses name bytes of storage: absolute, real (prefixed), and logical (translated by DAT).

Each view has the same methods. An address beyond storage raises Interruption(ADDRESSING), as the CPU would recognise
it.
"""
from __future__ import annotations

from collections.abc import Callable, Iterator

from pvlab.machine.memory import Ram
from pvlab.machine.s390x.faults import ADDRESSING, SPECIFICATION, Interruption

PAGE = 4096
PREFIX_AREA = 2 * PAGE


class Frames(Ram):
    """RAM of `size` bytes, with `room` behind them for what is attached later: a named segment, CP's own tables.

    fetch: told of the absolute addresses that the lab is about to use, where CP has paged some of them out.
    """

    def __init__(self, size: int, room: int = 0):
        super().__init__(size + room)
        self.size = size
        self.attached: list[tuple[int, int]] = []   # (start, end) of what is addressable beyond size
        self.fetch: Callable[[int, int], None] | None = None

    def holds(self, address: int, size: int) -> bool:
        """Whether the guest can address these bytes."""
        return address >= 0 and (address + size <= self.size
                                 or any(start <= address and address + size <= end for start, end in self.attached))

    def read(self, address: int, size: int) -> bytes:
        if self.fetch is None:
            return super().read(address, size)
        content = b""
        for at, length in parts(address, size):
            self.fetch(at, length)
            content += super().read(at, length)
        return content


class Storage:
    """Absolute storage: what channels and CP itself address. `changed(address, size)` is told of each write."""

    def __init__(self, ram: Frames, changed: Callable[[int, int], None]):
        self.ram, self._changed = ram, changed

    @property
    def size(self) -> int:
        return self.ram.size

    def absolute(self, address: int, size: int, write: bool) -> Iterator[tuple[int, int]]:
        """(absolute address, length) of the parts of these bytes."""
        if not self.ram.holds(address, size):
            raise Interruption(ADDRESSING, address)
        yield address, size

    def _in_frames(self, address: int, size: int) -> Iterator[tuple[int, int]]:
        """The same bytes, page by page where CP may have to bring each in before it is used."""
        if self.ram.fetch is None:
            yield address, size
            return
        for at, length in parts(address, size):
            self.ram.fetch(at, length)
            yield at, length

    def read(self, address: int, size: int) -> bytes:
        return b"".join(self.ram.bytes[at:at + length] for start, whole in self.absolute(address, size, False)
                        for at, length in self._in_frames(start, whole))

    def write(self, address: int, data: bytes) -> None:
        """All of the bytes or, where any address is wrong, none."""
        done = 0
        for start, whole in list(self.absolute(address, len(data), True)):
            for at, length in self._in_frames(start, whole):
                self.ram.bytes[at:at + length] = data[done:done + length]
                self._changed(at, length)
                done += length

    def load(self, address: int, size: int) -> int:
        """An unsigned big-endian number of `size` bytes."""
        return int.from_bytes(self.read(address, size), "big")

    def store(self, address: int, size: int, value: int) -> None:
        self.write(address, (value & (1 << size * 8) - 1).to_bytes(size, "big"))

    def check(self, address: int, size: int, write: bool = False) -> None:
        """Raise what an access would."""
        for _ in self.absolute(address, size, write):
            pass


class Real(Storage):
    """Real addresses: the prefix area (8 KiB) and absolute 0-8191 change places. `prefix()` gives the register."""

    def __init__(self, ram: Frames, changed: Callable[[int, int], None], prefix: Callable[[], int]):
        super().__init__(ram, changed)
        self._prefix = prefix

    def absolute(self, address: int, size: int, write: bool) -> Iterator[tuple[int, int]]:
        for start, length in self.swapped(address, size):
            yield from super().absolute(start, length, write)

    def swapped(self, address: int, size: int) -> Iterator[tuple[int, int]]:
        """Absolute addresses, whether there is storage or not."""
        prefix = self._prefix()
        for start, length in parts(address, size):
            if start < PREFIX_AREA:
                start += prefix
            elif prefix <= start < prefix + PREFIX_AREA:
                start -= prefix
            yield start, length


def parts(address: int, size: int, wrap: int = (1 << 64) - 1) -> Iterator[tuple[int, int]]:
    """(address, length) of the pieces of these bytes that lie in one page each; addresses wrap at `wrap`."""
    while size > 0:
        address &= wrap
        length = min(size, PAGE - address % PAGE)
        yield address, length
        address, size = address + length, size - length


def aligned(address: int, boundary: int) -> int:
    """The address, or a specification exception where it is not on its boundary."""
    if address % boundary:
        raise Interruption(SPECIFICATION)
    return address

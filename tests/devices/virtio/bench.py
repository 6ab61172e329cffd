"""A machine for virtio tests: memory and an interrupt line, and nothing else."""
from pvlab.devices.virtio.driver import Driver


class Bare:
    """`size` bytes of memory; the line's level, and how often it went up."""

    def __init__(self, size: int = 1 << 20):
        self.bytes = bytearray(size)
        self.level, self.interrupts = False, 0

    def read(self, address: int, size: int) -> bytes:
        if address + size > len(self.bytes):
            raise IndexError("outside")
        return bytes(self.bytes[address:address + size])

    def write(self, address: int, data: bytes) -> None:
        if address + len(data) > len(self.bytes):
            raise IndexError("outside")
        self.bytes[address:address + len(data)] = data

    def line(self, level: bool) -> None:
        assert level is not self.level, "the line is told of changes only"
        self.level = level
        self.interrupts += level


class BlockDriver(Driver):
    """Requests for virtio-blk."""

    def request(self, kind: int, sector: int, data: bytes | int = b"", indirect: bool = False) -> tuple[int, int, int]:
        """Make one available, and kick if the device wants it: (head, address of the data, address of the status)."""
        header, status = self.allocate(16), self.allocate(1)
        self.memory.write(header, kind.to_bytes(4, "little") + bytes(4) + sector.to_bytes(8, "little"))
        self.memory.write(status, b"\xFF")
        room = data if isinstance(data, int) else len(data)
        place = self.allocate(room)
        if not isinstance(data, int):
            self.memory.write(place, data)
        parts = [(header, 16, False), (place, room, isinstance(data, int)), (status, 1, True)]
        head = self.queues[0].add(*[part for part in parts if part[1]], indirect=indirect)
        return head, place, status

    def do(self, kind: int, sector: int = 0, data: bytes | int = b"", indirect: bool = False):
        """Carry one out: (status, the data as it then is, the length that the device reported)."""
        head, place, status = self.request(kind, sector, data, indirect)
        self.acknowledge()
        returned = self.queues[0].take()
        assert returned is not None and returned[0] == head
        room = data if isinstance(data, int) else len(data)
        return self.memory.read(status, 1)[0], self.memory.read(place, room), returned[1]

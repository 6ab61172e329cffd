"""The ATA disk, command by command (ATA/ATAPI-6), and that no guest can do more to it than to its own disk."""
import random

import pytest

from pvlab.devices.ata import AtaDisk
from pvlab.devices.backends.disk import SECTOR, DiskError, MemoryDisk, patterned

DATA, ERROR, COUNT, LOW, MID, HIGH, DEVICE, STATUS = range(0x1F0, 0x1F8)
CONTROL = 0x3F6
READY, SEEK, DRQ, ERR = 0x40, 0x10, 8, 1
IDLE = READY | SEEK


class Host:
    """A disk, and its interrupts."""

    def __init__(self, disk):
        self.disk, self.level, self.rises = disk, False, 0
        self.ata = AtaDisk(disk, self.drive)

    def drive(self, level):
        self.rises += level and not self.level
        self.level = level

    def get(self, port, size=1):
        return self.ata.read(port, size)

    def put(self, port, value, size=1):
        self.ata.write(port, size, value)

    def command(self, number, sector=0, count=1):
        for port, value in ((ERROR, 0), (COUNT, count & 0xFF), (LOW, sector & 0xFF), (MID, sector >> 8 & 0xFF),
                            (HIGH, sector >> 16 & 0xFF), (DEVICE, 0xE0 | sector >> 24), (STATUS, number)):
            self.put(port, value)

    def take(self, size=2):
        return b"".join(self.get(DATA, size).to_bytes(size, "little") for _ in range(SECTOR // size))

    def give(self, data, size=2):
        for i in range(0, len(data), size):
            self.put(DATA, int.from_bytes(data[i:i + size], "little"), size)


@pytest.fixture
def host():
    return Host(patterned(300))


def test_identify_says_how_large_the_disk_is(host):
    host.command(0xEC)
    assert host.level and host.get(STATUS) == IDLE | DRQ and not host.level
    words = host.take()
    assert int.from_bytes(words[120:124], "little") == 300
    assert int.from_bytes(words[98:100], "little") & 0x200                          # LBA
    assert b"".join(words[i:i + 2][::-1] for i in range(54, 94, 2)).rstrip() == b"pvlab disk"
    assert host.get(STATUS) == IDLE


@pytest.mark.parametrize("size", [1, 2, 4])
@pytest.mark.parametrize("sector, count", [(0, 1), (7, 3), (299, 1), (0, 256)])
def test_sectors_are_read_one_interrupt_each(host, sector, count, size):
    host.command(0x20, sector, count)
    got = b""
    for i in range(count):
        assert host.rises == i + 1 and host.get(CONTROL) == host.get(STATUS) == IDLE | DRQ
        got += host.take(size)
    assert got == host.disk.read(sector, count)
    assert host.rises == count and host.get(STATUS) == IDLE


def test_sectors_are_written_one_interrupt_after_each(host):
    data = random.Random(1).randbytes(3 * SECTOR)
    host.command(0x30, 5, 3)
    assert host.rises == 0
    for i in range(3):
        assert host.get(STATUS) == IDLE | DRQ
        host.give(data[i * SECTOR:(i + 1) * SECTOR])
        assert host.rises == i + 1
    assert host.get(STATUS) == IDLE and host.disk.read(5, 3) == data
    assert host.disk.read(4) == patterned(300).read(4) and host.disk.read(8) == patterned(300).read(8)


@pytest.mark.parametrize("read", [True, False])
def test_multiple_mode_saves_interrupts(host, read):
    host.command(0xC6, count=4)
    assert host.get(STATUS) == IDLE
    before = host.rises
    host.command(0xC4 if read else 0xC5, 10, 6)
    data = random.Random(2).randbytes(6 * SECTOR)
    for block in (4, 2):
        host.get(STATUS)               # the interrupt before was seen
        if read:
            assert b"".join(host.take() for _ in range(block)) == host.disk.read(10 if block == 4 else 14, block)
        else:
            host.give(data[:4 * SECTOR] if block == 4 else data[4 * SECTOR:])
    assert host.rises == before + 2
    assert read or host.disk.read(10, 6) == data


@pytest.mark.parametrize("command, sector, count, error", [
    (0x20, 300, 1, 0x10), (0x20, 299, 2, 0x10), (0x30, 0xFFFFFFF, 1, 0x10), (0x20, 100, 0, 0x10),    # beyond the end
    (0x00, 0, 1, 4), (0xC4, 0, 1, 4), (0xC6, 0, 3, 4), (0xC6, 0, 128, 4), (0x25, 0, 1, 4), (0xC8, 0, 1, 4)])
def test_what_it_cannot_do_is_an_error_and_an_interrupt(host, command, sector, count, error):
    host.command(command, sector, count)
    assert host.level and host.get(STATUS) == IDLE | ERR and host.get(ERROR) == error
    assert host.get(DATA, 2) == 0xFFFF
    host.command(0x20)
    assert host.get(STATUS) == IDLE | DRQ and host.get(ERROR) == 0


def test_addresses_of_cylinder_and_head_are_refused(host):
    host.put(DEVICE, 0xA0)
    host.put(STATUS, 0x20)
    assert (host.get(STATUS), host.get(ERROR)) == (IDLE | ERR, 4)


def test_a_read_only_disk_refuses_to_be_written():
    host = Host(patterned(8, read_only=True))
    host.command(0x30)
    assert (host.get(STATUS), host.get(ERROR)) == (IDLE | ERR, 4)


class Failing(MemoryDisk):
    def _fail(self, *_):
        raise DiskError("broken")
    _load = _store = flush = _fail


@pytest.mark.parametrize("command", [0x20, 0x30, 0xE7])
def test_a_back_end_that_fails_is_an_error_of_the_device(command):
    host = Host(Failing(bytes(SECTOR)))
    host.command(command)
    host.give(bytes(SECTOR))
    assert host.get(STATUS) == IDLE | ERR and host.get(ERROR)


def test_flush_reaches_the_back_end(host, monkeypatch):
    flushed = []
    monkeypatch.setattr(host.disk, "flush", lambda: flushed.append(1))
    host.command(0xE7)
    assert flushed and host.get(STATUS) == IDLE and host.rises == 1


def test_interrupts_can_be_switched_off(host):
    host.put(CONTROL, 2)
    host.command(0x20)
    assert not host.level and host.get(CONTROL) == IDLE | DRQ
    host.put(CONTROL, 0)
    assert host.level


def test_a_reset_forgets_the_command(host):
    host.command(0x20, 3)
    host.put(CONTROL, 4)
    host.put(CONTROL, 0)
    assert host.get(STATUS) == IDLE and not host.level
    assert [host.get(port) for port in (COUNT, LOW, MID, HIGH)] == [1, 1, 0, 0]      # the signature of a disk


def test_there_is_no_second_drive(host):
    host.put(DEVICE, 0xF0)
    assert host.get(STATUS) == 0
    host.put(STATUS, 0xEC)
    assert host.rises == 0 and host.get(DATA, 2) == 0xFFFF
    host.put(DEVICE, 0xE0)
    assert host.get(STATUS) == IDLE


def test_random_accesses_hurt_nobody():
    source = random.Random(3)
    host = Host(patterned(16))
    for _ in range(20_000):
        port, size = source.choice((*range(0x1F0, 0x1F8), STATUS, CONTROL)), source.choice((1, 2, 4))
        if source.random() < 0.4:
            assert 0 <= host.get(port, size) < 1 << 32
        else:
            host.put(port, source.choice((0x20, 0x30, 0xC4, 0xC5, 0xC6, 0xEC, source.getrandbits(size * 8))), size)
    assert host.disk.sectors == 16

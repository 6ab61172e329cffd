"""virtio-blk: its requests, its errors, what it promises about what was written."""
import pytest

from pvlab.devices.backends.disk import DiskError, MemoryDisk, patterned
from pvlab.devices.virtio import block as blk
from pvlab.devices.virtio.block import VirtioBlock
from pvlab.devices.virtio.mmio import NEEDS_RESET, VERSION_1
from pvlab.devices.virtio.queue import EVENT_IDX, INDIRECT_DESC
from tests.devices.virtio.bench import Bare, BlockDriver

FEATURES = [VERSION_1, VERSION_1 | EVENT_IDX, VERSION_1 | INDIRECT_DESC | EVENT_IDX | blk.F_FLUSH]


def started(disk, features=VERSION_1 | blk.F_FLUSH, **how):
    machine = Bare()
    device = VirtioBlock(disk, machine, machine.line, **how)
    driver = BlockDriver(device, machine)
    driver.start(2, features)
    return machine, device, driver


@pytest.mark.parametrize("features", FEATURES)
def test_reads_and_writes_what_the_disk_holds(features):
    disk = patterned(64)
    machine, device, driver = started(disk, features)
    for round_ in range(20):                      # the queue of 8 wraps several times
        assert driver.do(blk.IN, 3 * round_, 1024) == (blk.OK, disk.read(3 * round_, 2), 1025)
        data = bytes([round_]) * 512
        assert driver.do(blk.OUT, round_, data, indirect=bool(features & INDIRECT_DESC)) == (blk.OK, data, 1)
        assert disk.read(round_) == data
    assert device.broken == ""
    assert machine.level is False


@pytest.mark.parametrize("kind, sector, data, status, length", [
    (blk.IN, 64, 512, blk.IOERR, 0), (blk.IN, 63, 1024, blk.IOERR, 0), (blk.IN, 2 ** 64 - 1, 512, blk.IOERR, 0),
    (blk.IN, 0, 511, blk.IOERR, 0), (blk.IN, 0, 513, blk.IOERR, 0), (blk.IN, 0, b"x" * 512, blk.IOERR, 1),
    (blk.OUT, 64, bytes(512), blk.IOERR, 1), (blk.OUT, 63, bytes(1024), blk.IOERR, 1),
    (blk.OUT, 0, bytes(100), blk.IOERR, 1), (blk.OUT, 0, 512, blk.IOERR, 0),
    (blk.FLUSH, 0, b"", blk.OK, 1), (blk.GET_ID, 0, 20, blk.OK, 21), (blk.GET_ID, 0, 8, blk.OK, 9),
    (7, 0, b"", blk.UNSUPP, 1), (11, 0, bytes(16), blk.UNSUPP, 1), (0xFFFFFFFF, 0, 512, blk.UNSUPP, 0),
])
def test_each_answer_of_the_device(kind, sector, data, status, length):
    """The length says how much was written without a gap: a status behind data that was not, adds nothing to it."""
    disk = patterned(64)
    before = disk.sha256()
    _, device, driver = started(disk, serial="a disk")
    answer = driver.do(kind, sector, data)
    assert (answer[0], answer[2]) == (status, length)
    if kind == blk.GET_ID:
        assert answer[1] == b"a disk".ljust(20, b"\0")[:len(answer[1])]
    assert disk.sha256() == before
    assert device.broken == ""


def test_a_read_only_disk_says_so_and_fails_writes():
    disk = MemoryDisk(bytes(4096), read_only=True)
    _, device, driver = started(disk)
    assert device.offered & blk.RO
    assert driver.do(blk.OUT, 0, b"x" * 512)[0] == blk.IOERR
    assert driver.do(blk.IN, 0, 512)[:2] == (blk.OK, bytes(512))
    assert not VirtioBlock(patterned(1), Bare(), print).offered & blk.RO


class Watched(MemoryDisk):
    flushes = 0

    def flush(self):
        self.flushes += 1


@pytest.mark.parametrize("features, writeback, flushes", [
    (VERSION_1, None, [1, 1]),                                       # it cannot ask, so each write is flushed
    (VERSION_1 | blk.F_FLUSH, None, [0, 1]),
    (VERSION_1 | blk.F_FLUSH | blk.CONFIG_WCE, 1, [0, 1]),
    (VERSION_1 | blk.F_FLUSH | blk.CONFIG_WCE, 0, [1, 2]),
    (VERSION_1 | blk.CONFIG_WCE, 0, [1, 2]),
])
def test_what_is_flushed_when(features, writeback, flushes):
    disk = Watched(bytes(4096))
    _, device, driver = started(disk, features)
    if writeback is not None:
        device.write(0x120, 1, writeback)
        assert device.read(0x120, 1) == writeback
    driver.do(blk.OUT, 0, bytes(512))
    counted = [disk.flushes]
    if writeback is not None or features & blk.F_FLUSH:
        driver.do(blk.FLUSH)
    assert counted + [disk.flushes] == flushes


def test_an_error_of_the_host_is_an_error_of_the_request_and_no_more():
    class Failing(MemoryDisk):
        def read(self, sector, count=1):
            if sector + count > 300:
                raise DiskError("a bad block")
            return super().read(sector, count)

        def flush(self):
            raise DiskError("no space left")
    _, device, driver = started(Failing(bytes(512 * 1024)))
    assert driver.do(blk.FLUSH)[0] == blk.IOERR
    # 512 sectors go in two pieces: the first was delivered, and is what the length counts
    assert driver.do(blk.IN, 0, 512 * 512)[::2] == (blk.IOERR, 256 * 512)
    assert driver.do(blk.IN, 0, 512)[0] == blk.OK
    assert device.broken == ""


def test_configuration_space_is_the_specification_s():
    _, device, _ = started(patterned(0x12345))
    assert device.read(0x100, 4) | device.read(0x104, 4) << 32 == 0x12345
    assert device.read(0x10C, 4) == 126                                  # seg_max
    assert device.read(0x114, 4) == 512                                  # blk_size
    assert [device.read(0x100 + i, 1) for i in range(3)] == [0x45, 0x23, 0x01]
    assert device.read(0x122, 2) == 1                                    # num_queues
    assert device.read(0x1FC, 4) == 0
    device.write(0x100, 4, 7)                                            # capacity is not the driver's to change
    assert device.read(0x100, 4) == 0x12345


def test_data_in_many_parts_and_a_header_in_two():
    """The device must not expect a certain arrangement of descriptors (2.7.4.1)."""
    disk = patterned(16)
    machine, device, driver = started(disk)
    header = driver.allocate(16)
    machine.write(header + 8, (5).to_bytes(8, "little"))
    where = driver.allocate(2000)
    driver.queues[0].add((header, 4, False), (header + 4, 12, False), (where, 100, True), (where + 300, 412, True),
                         (where + 1000, 513, True))
    assert driver.queues[0].take()[1] == 1025
    got = machine.read(where, 100) + machine.read(where + 300, 412) + machine.read(where + 1000, 513)
    assert got == disk.read(5, 2) + b"\0"


@pytest.mark.parametrize("parts", [[(0x8000, 15, False), (0x9000, 513, True)], [(0x8000, 528, False)]])
def test_a_request_without_header_or_status_needs_a_reset(parts):
    _, device, driver = started(patterned(4))
    driver.queues[0].add(*parts)
    assert driver.load("Status") & NEEDS_RESET
    assert "has no header or no place for its status" in device.broken
    assert driver.queues[0].take() is None

"""The disk, command by command: seek, search, read, write and what it refuses, with its sense bytes."""
import pytest

from pvlab.devices.backends.disk import MemoryDisk, patterned
from pvlab.devices.channel import formats as f
from pvlab.devices.channel.dasd import HEADS, Dasd
from devices.channel.world import DATA, PROGRAM, Storage, carry_out

SEEK_ARGUMENT, ID = 0x8000, 0x8010
SECTORS = 2 * HEADS * 6 * 4            # two cylinders of 2048-byte records


def disk(block=2048, **how):
    return Dasd(patterned(SECTORS, "dasd", **how), block)


def storage(cylinder=0, head=0, record=1):
    found = Storage()
    place = cylinder.to_bytes(2, "big") + head.to_bytes(2, "big")
    found.write(SEEK_ARGUMENT, bytes(2) + place)
    found.write(ID, place + bytes([record]))
    return found


def access(command, count, flags=0, address=DATA):
    """SEEK, SET SECTOR, SEARCH ID EQUAL, TIC *-8, and the command."""
    return [(0x07, f.CC, 6, SEEK_ARGUMENT), (0x23, f.CC, 1, SEEK_ARGUMENT), (0x31, f.CC, 5, ID),
            (0x08, 0, 0, PROGRAM + 16), (command, flags, count, address)]


@pytest.mark.parametrize("block, records", [(512, 20), (800, 14), (1024, 11), (2048, 6), (4096, 3)])
def test_geometry_and_every_block(block, records):
    """As many records as a 3330's track holds; 14 of 800 bytes are what CMS puts there."""
    dasd = disk(block)
    assert dasd.records == records and dasd.cylinders == SECTORS * 512 // (block * records * HEADS)
    assert dasd.blocks == dasd.cylinders * HEADS * records
    whole = b"".join(dasd.read_block(number) for number in range(dasd.blocks))
    assert whole == dasd.disk.read(0, SECTORS)[:len(whole)]
    data = bytes(range(7)) * 1000
    dasd.write_block(3, data[:block])
    assert dasd.read_block(3) == data[:block]
    assert dasd.read_block(2) == whole[2 * block:3 * block] and dasd.read_block(4) == whole[4 * block:5 * block]


def test_a_block_size_that_nobody_uses():
    with pytest.raises(ValueError, match="records of 513 bytes"):
        disk(513)


@pytest.mark.parametrize("cylinder, head, record", [(0, 0, 1), (0, 0, 6), (0, 18, 3), (1, 7, 2)])
def test_seek_search_read(cylinder, head, record):
    dasd = disk()
    done, memory = carry_out(dasd, access(0x06, 2048), storage=storage(cylinder, head, record))
    assert (done.device_status, done.status, done.count) == (f.ENDED, 0, 0)
    assert memory.read(DATA, 2048) == dasd.read_block((cylinder * HEADS + head) * 6 + record - 1)


def test_write_and_pad():
    dasd, memory = disk(), storage(1, 2, 3)
    memory.write(DATA, b"short")
    done, _ = carry_out(dasd, access(0x05, 5, f.SLI), storage=memory)
    assert (done.device_status, done.status) == (f.ENDED, 0)
    assert dasd.read_block((HEADS + 2) * 6 + 2) == b"short".ljust(2048, b"\0")
    done, _ = carry_out(dasd, access(0x05, 5), storage=memory)
    assert done.status == f.INCORRECT_LENGTH


def test_sequential_reads_go_on_along_the_track_and_multitrack_over_it():
    dasd, memory = disk(), storage(0, 0, 5)
    chain = access(0x06, 16, f.CC | f.SLI) + [(0x86, f.CC | f.SLI, 16, DATA + 0x10), (0x86, f.SLI, 16, DATA + 0x20)]
    done, _ = carry_out(dasd, chain, storage=memory)
    assert memory.read(DATA, 48) == b"".join(dasd.read_block(n)[:16] for n in (4, 5, 6))
    chain[-1] = (0x06, f.SLI, 16, DATA + 0x20)
    done, _ = carry_out(dasd, chain, storage=memory)
    assert memory.read(DATA + 0x20, 16) == dasd.read_block(0)[:16], "without multitrack the same track comes round"
    chain = access(0x86, 16, f.CC | f.SLI) + [(0x86, f.SLI, 16, DATA)]
    done, _ = carry_out(dasd, chain, storage=storage(0, 18, 6))
    assert done.device_status == f.ENDED | f.UNIT_CHECK and dasd.sense[:2] == b"\0\x20", "end of cylinder"


def test_a_record_that_is_not_there():
    """The search goes round the track until it has begun twice; then there is no such record."""
    dasd = disk()
    done, _ = carry_out(dasd, access(0x06, 2048), storage=storage(0, 0, 7))
    assert done.device_status == f.ENDED | f.UNIT_CHECK and dasd.sense[:2] == b"\0\x08" and len(dasd.sense) == 24


@pytest.mark.parametrize("chain, sense", [
    ([(0x07, 0, 6, SEEK_ARGUMENT)], b"\x80\0"),                           # cylinder 2 of 2
    ([(0x07, f.SLI, 5, SEEK_ARGUMENT)], b"\x80\0"),                       # too short an argument
    ([(0x05, 0, 4, DATA)], b"\x80\0"),                                    # a write without a search
    ([(0x1D, 0, 8, DATA)], b"\x80\x02"),                                  # write count, key and data
    ([(0x99, 0, 8, DATA)], b"\x80\0"),                                    # no such command
    ([(0x1F, f.CC, 1, ID + 6), (0x1B, 0, 6, SEEK_ARGUMENT)], b"\0\x04"),  # the mask forbids all seeks
    ([(0x1F, f.CC, 1, ID + 7), (0x0B, 0, 6, SEEK_ARGUMENT)], b"\0\x04"),  # the mask allows seeking heads
    ([(0x1F, 0, 1, ID + 8)], b"\x80\0"),                                  # a mask with reserved bits
    ([(0x23, 0, 1, ID + 9)], b"\x80\0"),                                  # a sector beyond 127
])
def test_what_it_refuses(chain, sense):
    memory = storage(2, 0)
    memory.write(ID + 6, bytes([0x18, 0x10, 0x04, 0x80]))
    dasd = disk()
    done, _ = carry_out(dasd, chain, storage=memory)
    assert done.device_status & f.UNIT_CHECK and dasd.sense[:2] == sense


@pytest.mark.parametrize("how, mask, sense", [({"read_only": True}, 0, b"\x80\x02"), ({}, 0x40, b"\x80\x04")])
def test_a_disk_that_must_not_be_written(how, mask, sense):
    dasd, memory = disk(**how), storage()
    memory.write(ID + 6, bytes([mask]))
    before = dasd.read_block(0)
    chain = access(0x05, 2048)
    chain[1] = (0x1F, f.CC, 1, ID + 6)
    done, _ = carry_out(dasd, chain, storage=memory)
    assert done.device_status == f.UNIT_CHECK and dasd.sense[:2] == sense and dasd.read_block(0) == before


def test_the_other_reads():
    dasd, memory = disk(), storage(1, 2, 3)
    chain = access(0x03, 1, f.CC) + [
        (0x12, f.CC, 8, DATA), (0x06, f.CC | f.SLI, 4, DATA + 8), (0x1A, f.CC, 5, DATA + 16),
        (0x16, f.CC, 16, DATA + 24), (0x1E, f.CC | f.SLI, 12, DATA + 48), (0x22, 0, 1, DATA + 64)]
    done, _ = carry_out(dasd, chain, storage=memory)
    first = (HEADS + 2) * 6
    assert (done.device_status, done.status) == (f.ENDED, 0)
    assert memory.read(DATA, 8) == bytes.fromhex("0001 0002 04 00 0800")
    assert memory.read(DATA + 8, 4) == dasd.read_block(first + 4)[:4], "READ DATA goes to the record after READ COUNT's"
    assert memory.read(DATA + 16, 5) == bytes.fromhex("00 0001 0002")
    assert memory.read(DATA + 24, 16) == bytes.fromhex("0001 0002 00 00 0008") + bytes(8)
    assert memory.read(DATA + 48, 12) == bytes.fromhex("0001 0002 01 00 0800") + dasd.read_block(first)[:4]


def test_searching_high_and_for_the_home_address():
    dasd, memory = disk(), storage(0, 0, 4)
    chain = access(0x06, 16, f.SLI)
    chain[2] = (0x51, f.CC, 5, ID)
    carry_out(dasd, chain, storage=memory)
    assert memory.read(DATA, 16) == dasd.read_block(4)[:16]
    chain[2] = (0x39, f.CC, 4, ID)
    carry_out(dasd, chain, storage=memory)
    assert memory.read(DATA, 16) == dasd.read_block(0)[:16]


def test_read_ipl_and_recalibrate():
    dasd = disk()
    done, memory = carry_out(dasd, [(0x13, f.CC, 1, 0), (0x02, f.SLI, 24, DATA)])
    assert memory.read(DATA, 24) == dasd.read_block(0)[:24] and done.status == 0


def test_a_back_end_that_fails():
    class Broken(MemoryDisk):
        def _load(self, sector, count):
            from pvlab.devices.backends.disk import DiskError
            raise DiskError("gone")
        _store = _load
    for command in (0x06, 0x05):
        dasd = Dasd(Broken(bytes(SECTORS * 512)))
        done, _ = carry_out(dasd, access(command, 2048), storage=storage())
        assert done.device_status == f.ENDED | f.UNIT_CHECK and dasd.sense[0] == 0x10

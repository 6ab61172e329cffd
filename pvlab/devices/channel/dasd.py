"""A disk of count-key-data records, as the 3330 of 1970 was, over a back end of 512-byte sectors.

Every track is formatted alike: record 0, and then records 1, 2, … of `block` bytes without keys, as many as a 3330's
track holds. A minidisk is so many cylinders of it. The commands are those of IBM's Reference Manual for the 3830
Storage Control and 3330 Disk Storage (GA26-1592) that such a disk has a use for; what would change the format is
refused, as on a disk that is write-protected against it.
"""
from __future__ import annotations

from pvlab.devices.backends.disk import Disk, DiskError
from pvlab.devices.channel.device import COMMAND_REJECT, EQUIPMENT_CHECK, Device
from pvlab.devices.channel.formats import ENDED, STATUS_MODIFIER
from pvlab.devices.channel.program import Transfer

HEADS = 19
BLOCKS = (512, 800, 1024, 2048, 4096)     # record sizes in use: CMS's 800, and those of DIAGNOSE X'250'

# A 3330 track has room for 13,165 bytes, and a record without a key takes 135 bytes more than its data.
_TRACK, _OVERHEAD = 13_165, 135

# Commands. With 0x80 a read or search is "multitrack": at the end of a track it goes on with the next.
SEEK, SEEK_CYLINDER, SEEK_HEAD, RECALIBRATE, SET_SECTOR, SET_FILE_MASK, READ_SECTOR = (
    0x07, 0x0B, 0x1B, 0x13, 0x23, 0x1F, 0x22)
SEARCH_ID_EQUAL, SEARCH_ID_HIGH, SEARCH_ID_EQUAL_HIGH, SEARCH_HOME_ADDRESS = 0x31, 0x51, 0x71, 0x39
READ_DATA, READ_KEY_DATA, READ_COUNT, READ_COUNT_KEY_DATA, READ_RECORD_0, READ_HOME_ADDRESS, READ_IPL = (
    0x06, 0x0E, 0x12, 0x1E, 0x16, 0x1A, 0x02)
WRITE_DATA, WRITE_KEY_DATA = 0x05, 0x0D
MULTITRACK = 0x80
_FORMATTING = (0x15, 0x19, 0x1D, 0x11)     # write R0, HA, count-key-data, erase

# Sense byte 1
_END_OF_CYLINDER, _NO_RECORD, _FILE_PROTECTED, _WRITE_INHIBITED = 0x20, 0x08, 0x04, 0x02


def records_of(block: int) -> int:
    """Records of so many bytes that a track has room for."""
    return _TRACK // (_OVERHEAD + block)


class Dasd(Device):
    """A 3330 minidisk.

    block    bytes in each record, one of BLOCKS
    """

    name = "disk"
    control_unit, kind = (0x3830, 2), (0x3330, 1)
    sense_size = 24

    def __init__(self, disk: Disk, block: int = 2048):
        super().__init__()
        if block not in BLOCKS:
            raise ValueError(f"records of {block} bytes: choose from {', '.join(map(str, BLOCKS))}")
        self.disk, self.block = disk, block
        self.records = records_of(block)                # of each track, record 0 not counted
        self.cylinders = disk.sectors * 512 // (block * self.records * HEADS)
        self.cylinder = self.head = 0

    @property
    def read_only(self) -> bool:
        return self.disk.read_only

    @property
    def blocks(self) -> int:
        """Records that the whole disk has, record 0 of each track not counted."""
        return self.cylinders * HEADS * self.records

    # ---------------------------------------------------------------------- the disk as a row of blocks
    def read_block(self, number: int) -> bytes:
        """Record `number`, counted from 0 over the whole disk."""
        first, offset, sectors = self._place(number)
        return self.disk.read(first, sectors)[offset:offset + self.block]

    def write_block(self, number: int, data: bytes) -> None:
        first, offset, sectors = self._place(number)
        if offset or len(data) != sectors * 512:             # records of 800 bytes share sectors
            whole = bytearray(self.disk.read(first, sectors))
            whole[offset:offset + self.block] = data
            data = bytes(whole)
        self.disk.write(first, data)

    def _place(self, number: int) -> tuple[int, int, int]:
        """First sector, offset in it, and how many sectors."""
        begin = number * self.block
        return begin // 512, begin % 512, -(-(begin % 512 + self.block) // 512)

    # ------------------------------------------------------------------------------------------- commands
    def begin(self) -> None:
        self._mask = 0              # the file mask: all seeks, no formatting
        self._index_points = 0      # passed since the last search that found something
        self._record = 0            # the record whose count field passed last; 0: the track's beginning
        self._found = False         # the command before was a search that found `_record`

    def operate(self, code: int, transfer: Transfer) -> int:
        found, self._found = self._found, False
        if code in (SEEK, SEEK_CYLINDER, SEEK_HEAD):
            return self._seek(code, transfer.take(6))
        if code == RECALIBRATE:
            return self._move(0, 0)
        if code == SET_SECTOR:
            sector = transfer.take(1)
            return ENDED if sector and (sector[0] < 128 or sector[0] == 0xFF) else self.check(COMMAND_REJECT,
                                                                                              ended=True)
        if code == SET_FILE_MASK:
            return self._set_file_mask(transfer.take(1))
        if code == READ_SECTOR:
            transfer.give(bytes([self._record * 128 // (self.records + 1)]))
            return ENDED
        if code == READ_IPL:
            self._move(0, 0)
            self._record, found, code = 1, True, READ_DATA
        if code in (WRITE_DATA, WRITE_KEY_DATA):
            return self._write(transfer) if found else self.check(COMMAND_REJECT)
        plain = code & ~MULTITRACK
        if plain in (SEARCH_ID_EQUAL, SEARCH_ID_HIGH, SEARCH_ID_EQUAL_HIGH):
            return self._search(plain, transfer, bool(code & MULTITRACK))
        if plain == SEARCH_HOME_ADDRESS:
            self._record = 0
            return ENDED | (STATUS_MODIFIER if transfer.take(4) == self._place_bytes() else 0)
        if plain == READ_HOME_ADDRESS:
            self._record = 0
            transfer.give(b"\0" + self._place_bytes())
            return ENDED
        if plain == READ_RECORD_0:
            self._record = 0
            transfer.give(self._count(0) + bytes(8))
            return ENDED
        if plain in (READ_DATA, READ_KEY_DATA, READ_COUNT, READ_COUNT_KEY_DATA):
            return self._read(plain, transfer, found, bool(code & MULTITRACK))
        if code in _FORMATTING:
            return self.check(COMMAND_REJECT, _WRITE_INHIBITED)
        return super().operate(code, transfer)

    def _seek(self, code: int, argument: bytes) -> int:
        """Argument: 2 bytes 0, cylinder (2), head (2)."""
        if len(argument) < 6 or argument[:2] != b"\0\0":
            return self.check(COMMAND_REJECT, ended=True)
        mask = self._mask & 0x18          # 0x00: all seeks; 0x08: cylinder and head; 0x10: head; 0x18: none
        if mask == 0x18 or mask == 0x10 and code != SEEK_HEAD or mask == 0x08 and code == SEEK:
            return self.check(0, _FILE_PROTECTED, ended=True)
        cylinder, head = int.from_bytes(argument[2:4], "big"), int.from_bytes(argument[4:6], "big")
        return self._move(self.cylinder if code == SEEK_HEAD else cylinder, head)

    def _move(self, cylinder: int, head: int) -> int:
        if cylinder >= self.cylinders or head >= HEADS:
            return self.check(COMMAND_REJECT, ended=True)
        self.cylinder, self.head, self._record, self._index_points = cylinder, head, 0, 0
        return ENDED

    def _set_file_mask(self, mask: bytes) -> int:
        if not mask or mask[0] & 0x24:
            return self.check(COMMAND_REJECT, ended=True)
        self._mask = mask[0]
        return ENDED

    def _place_bytes(self) -> bytes:
        return self.cylinder.to_bytes(2, "big") + self.head.to_bytes(2, "big")

    def _count(self, record: int) -> bytes:
        """A count field: cylinder, head, record, key length 0, data length."""
        return self._place_bytes() + bytes([record, 0]) + (self.block if record else 8).to_bytes(2, "big")

    def _pass(self, multitrack: bool) -> int:
        """The next count field comes under the head; 0, or the status of a check."""
        if self._record < self.records:
            self._record += 1
            return 0
        self._record = 0
        if multitrack:
            if self.head + 1 >= HEADS:
                return self.check(0, _END_OF_CYLINDER, ended=True)
            self.head += 1
        else:
            self._index_points += 1
        return 0

    def _search(self, code: int, transfer: Transfer, multitrack: bool) -> int:
        if self._index_points >= 2:       # the whole track has gone by, from index to index
            return self.check(0, _NO_RECORD, ended=True)
        wanted = transfer.take(5)
        if status := self._pass(multitrack):
            return status
        here = self._count(self._record)[:5]
        self._found = (here == wanted if code == SEARCH_ID_EQUAL else
                       here > wanted if code == SEARCH_ID_HIGH else here >= wanted)
        if not self._found:
            return ENDED
        self._index_points = 0
        return ENDED | STATUS_MODIFIER

    def _read(self, code: int, transfer: Transfer, found: bool, multitrack: bool) -> int:
        """The record that a search has found, or the next one; record 0 is passed over."""
        count = code in (READ_COUNT, READ_COUNT_KEY_DATA)
        if not found or count:
            status = self._pass(multitrack)
            if not status and self._record == 0:
                status = self._pass(multitrack)
            if status:
                return status
            self._index_points = 0
        data = b"" if code == READ_COUNT else self._data()
        if data is None:
            return self.check(EQUIPMENT_CHECK, ended=True)
        transfer.give((self._count(self._record) if count else b"") + data)
        return ENDED

    def _data(self) -> bytes | None:
        if self._record == 0:
            return bytes(8)
        try:
            return self.read_block(self._number())
        except DiskError:
            return None

    def _write(self, transfer: Transfer) -> int:
        """Data of the record that a search has found; where they are too few, zeros follow."""
        if self.read_only or self._mask & 0xC0 == 0x40:
            return self.check(COMMAND_REJECT, _WRITE_INHIBITED if self.read_only else _FILE_PROTECTED)
        size = self.block if self._record else 8
        data = transfer.take(size).ljust(size, b"\0")
        if self._record:
            try:
                self.write_block(self._number(), data)
            except DiskError:
                return self.check(EQUIPMENT_CHECK, ended=True)
        return ENDED

    def _number(self) -> int:
        return (self.cylinder * HEADS + self.head) * self.records + self._record - 1

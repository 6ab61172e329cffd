"""An ATA disk in programmed I/O: one drive on a PC's first channel (ATA/ATAPI-6, T13 1410D, 2002).

A command is written register by register, the last one starts it. A data register of 16 bits then carries each sector,
word by word: 256 accesses for 512 bytes, which is why this is the dearest device there is to virtualize. The device is
done at once: it is never seen busy.
"""
from __future__ import annotations

from collections.abc import Callable

from pvlab.devices.backends.disk import SECTOR, Disk, DiskError

DATA, ERROR, COUNT, LBA_LOW, LBA_MID, LBA_HIGH, DEVICE, STATUS = range(8)     # ERROR is FEATURES, STATUS is COMMAND
READY, SEEK_DONE, REQUEST, FAILED = 0x40, 0x10, 0x08, 0x01                    # status
ABORTED, NOT_FOUND = 0x04, 0x10                                               # error
NO_INTERRUPT, RESET = 0x02, 0x04                                              # device control
LBA, SECOND = 0x40, 0x10                                                      # device
MULTIPLE = 16                       # the most sectors between two interrupts of READ MULTIPLE and WRITE MULTIPLE
_SHOWN = 0xFFFFFFF                  # sectors that an address of 28 bits can name


class AtaDisk:
    """Registers at `base` to base + 7 and at `control`; `interrupt(level)` drives its line. `disk` is the back end."""

    name = "ata"

    def __init__(self, disk: Disk, interrupt: Callable[[bool], None], base: int = 0x1F0, control: int = 0x3F6):
        self._disk, self._interrupt, self._base, self._control_port = disk, interrupt, base, control
        self._control = self._multiple = 0
        self._reset()

    def _reset(self) -> None:
        self._registers = [0, 1, 1, 1, 0, 0, 0, READY | SEEK_DONE]            # the signature of a disk, and no error
        self._stop()

    def _stop(self) -> None:
        self._buffer, self._at = bytearray(), 0
        self._left = self._block = self._sector = 0                           # sectors to come; of one interrupt; where
        self._writing = False
        self._set_line(False)

    def _set_line(self, level: bool) -> None:
        self._asks = level
        self._interrupt(level and not self._control & NO_INTERRUPT)

    # ------------------------------------------------------------------------------------------- registers
    def read(self, port: int, size: int) -> int:
        if port == self._control_port:
            return self._status()                                             # the alternate status
        register = port - self._base
        if register == DATA:
            return self._read_data(size)
        if register == STATUS:
            self._set_line(False)
            return self._status()
        return 0 if self._registers[DEVICE] & SECOND else self._registers[register]

    def _status(self) -> int:
        return 0 if self._registers[DEVICE] & SECOND else self._registers[STATUS]    # there is no second drive

    def write(self, port: int, size: int, value: int) -> None:
        register = port - self._base
        if port == self._control_port:
            if self._control & RESET and not value & RESET:
                self._reset()
            self._control = value & 0xFF
            self._set_line(self._asks)
        elif register == DATA:
            self._write_data(size, value)
        elif register != STATUS:
            self._registers[register] = value & 0xFF if register != ERROR else self._registers[ERROR]
        elif not self._registers[DEVICE] & SECOND:
            self._command(value & 0xFF)

    # ------------------------------------------------------------------------------------------- commands
    def _command(self, number: int) -> None:
        self._stop()
        self._registers[ERROR], self._registers[STATUS] = 0, READY | SEEK_DONE
        if number == 0xEC:                                                    # IDENTIFY DEVICE
            self._offer(self._identity())
            self._set_line(True)
        elif number in (0x20, 0x21, 0xC4):                                    # READ SECTORS, with retries or not; MULTIPLE
            self._begin(number == 0xC4)
        elif number in (0x30, 0x31, 0xC5):                                    # WRITE SECTORS, WRITE MULTIPLE
            self._begin(number == 0xC5, writing=True)
        elif number == 0xC6:                                                  # SET MULTIPLE MODE
            count = self._registers[COUNT]
            if count > MULTIPLE or count & count - 1:
                self._fail(ABORTED)
            else:
                self._multiple = count
                self._set_line(True)
        elif number in (0xE7, 0xEF, 0x91, 0x10, 0x40):          # FLUSH CACHE, SET FEATURES, and what only needs a yes
            try:
                if number == 0xE7:
                    self._disk.flush()
                self._set_line(True)
            except DiskError:
                self._fail(ABORTED)
        else:
            self._fail(ABORTED)

    def _fail(self, error: int) -> None:
        self._stop()
        self._registers[ERROR], self._registers[STATUS] = error, READY | SEEK_DONE | FAILED
        self._set_line(True)

    def _begin(self, multiple: bool, writing: bool = False) -> None:
        registers = self._registers
        count = registers[COUNT] or 256
        sector = int.from_bytes(bytes((*registers[LBA_LOW:DEVICE], registers[DEVICE] & 0xF)), "little")
        if multiple and not self._multiple or not registers[DEVICE] & LBA or writing and self._disk.read_only:
            self._fail(ABORTED)
        elif sector + count > min(self._disk.sectors, _SHOWN):
            self._fail(NOT_FOUND)
        else:
            self._left, self._sector, self._writing = count, sector, writing
            self._block = self._multiple if multiple else 1
            if writing:                                                       # the first block is asked for silently
                self._offer(bytes(SECTOR * min(self._block, self._left)))
            else:
                self._next_block()

    def _offer(self, data: bytes) -> None:
        """Let the guest read or overwrite these bytes by the data register."""
        self._buffer, self._at = bytearray(data), 0
        self._registers[STATUS] |= REQUEST

    def _next_block(self) -> None:
        """A read goes on with what comes next."""
        count = min(self._block, self._left)
        try:
            data = self._disk.read(self._sector, count)
        except DiskError:
            self._fail(NOT_FOUND)
            return
        self._sector, self._left = self._sector + count, self._left - count
        self._offer(data)
        self._set_line(True)

    # ------------------------------------------------------------------------------------------- data
    def _read_data(self, size: int) -> int:
        if self._writing or self._at >= len(self._buffer):
            return (1 << size * 8) - 1
        value = int.from_bytes(self._buffer[self._at:self._at + size], "little")
        self._at += size
        if self._at >= len(self._buffer):
            self._registers[STATUS] &= ~REQUEST
            if self._left:
                self._next_block()
        return value

    def _write_data(self, size: int, value: int) -> None:
        if not self._writing or self._at >= len(self._buffer):
            return
        end = min(self._at + size, len(self._buffer))
        self._buffer[self._at:end] = value.to_bytes(4, "little")[:end - self._at]
        self._at = end
        if self._at < len(self._buffer):
            return
        self._registers[STATUS] &= ~REQUEST
        try:
            self._disk.write(self._sector, bytes(self._buffer))
        except DiskError:
            self._fail(ABORTED)
            return
        count = len(self._buffer) // SECTOR
        self._sector, self._left = self._sector + count, self._left - count
        if self._left:
            self._offer(bytes(SECTOR * min(self._block, self._left)))
        self._set_line(True)

    def _identity(self) -> bytes:
        """The 256 words of IDENTIFY DEVICE (ATA/ATAPI-6, 8.15.8), as far as this drive has something to say."""
        words = [0] * 256
        sectors = min(self._disk.sectors, _SHOWN)
        cylinders = min(max(sectors // (16 * 63), 1), 16383)
        words[0], words[1], words[3], words[6] = 0x0040, cylinders, 16, 63    # a fixed disk, and a geometry for the old

        def text(at: int, size: int, what: str) -> None:
            data = what.ljust(size).encode()
            for i in range(0, size, 2):
                words[at + i // 2] = data[i] << 8 | data[i + 1]
        text(10, 20, "PVLAB0001")
        text(23, 8, "1.0")
        text(27, 40, "pvlab disk")
        words[47], words[49], words[53] = 0x8000 | MULTIPLE, 0x0200, 0x0002   # LBA; no DMA
        words[54], words[55], words[56] = cylinders, 16, 63
        words[57], words[58] = cylinders * 1008 & 0xFFFF, cylinders * 1008 >> 16
        words[59] = 0x100 | self._multiple if self._multiple else 0
        words[60], words[61] = sectors & 0xFFFF, sectors >> 16
        words[80], words[82], words[83], words[84] = 0x7E, 0x4000, 0x5000, 0x4000    # ATA-1 to -6; NOP; FLUSH CACHE
        words[85], words[86], words[87] = 0x4000, 0x1000, 0x4000
        return b"".join(word.to_bytes(2, "little") for word in words)

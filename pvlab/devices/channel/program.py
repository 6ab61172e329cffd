"""A channel program being carried out: CCW by CCW, a device on one side and storage on the other (PoP, chapter 15).

The same interpreter serves START SUBCHANNEL and a control program's synchronous I/O. It runs until the program ends,
is suspended, or the device must wait for the world outside (a console that nobody types at).
"""
from __future__ import annotations

from enum import Enum
from typing import Protocol

from pvlab.devices.channel.formats import (
    CC, CD, ENDED, IDA, INCORRECT_LENGTH, PCI, PCI_FLAG, PROGRAM_CHECK, PROTECTION_CHECK, SENSE, SKIP, SLI,
    STATUS_MODIFIER, SUSPEND, TIC, Ccw, Orb)
from pvlab.machine.memory import Dead

# A real channel repeats a chain that closes on itself until somebody halts it. Here it makes so many steps and then
# stands still, busy as a real one, until HALT or CLEAR SUBCHANNEL ends it.
LONGEST = 20_000    # CCWs: some tenths of a second for the host
MOST = 16 << 20     # bytes that it moves, likewise


class Storage(Protocol):
    """Absolute storage. What lies beyond it raises Dead."""

    def read(self, address: int, size: int) -> bytes: ...

    def write(self, address: int, data: bytes) -> None: ...

    def key(self, address: int) -> int:
        """The storage key of the block at this address: access-control bits << 4, fetch protection 0x08."""


class State(Enum):
    """How far a program is."""

    READY = "ready"
    WAITING = "waiting"          # for the device
    ENDLESS = "endless"          # it went round until LONGEST
    SUSPENDED = "suspended"
    DONE = "done"


class Waiting(Exception):
    """Raised by a device before it moves any data: the command cannot be carried out yet, try it again later."""


class _Check(Exception):
    """The subchannel ends the program with this subchannel status."""

    def __init__(self, status: int):
        super().__init__(status)
        self.status = status


class _Stop(Exception):
    """The program does not go on for now, and this is its state."""

    def __init__(self, state: State):
        super().__init__(state)
        self.state = state


class Program:
    """One start function. `run()` carries it on; the other attributes say how it stands or ended.

    next             the address of the CCW that comes next
    ended_at         the address that an SCSW shows: that of the last CCW used, plus 8
    count            the residual count of that CCW
    device_status    unit status at the end
    status           subchannel status at the end; PCI as soon as a CCW asked for one
    steps, moved     CCWs fetched, and bytes moved, so far
    """

    def __init__(self, storage: Storage, device, orb: Orb):
        self._storage, self._device, self._orb = storage, device, orb
        self.state = State.READY
        self.next, self.ended_at, self.count, self.device_status, self.status = orb.program, orb.program, 0, 0, 0
        self.steps = self.moved = 0
        self._first = True
        device.begin()

    def run(self) -> State:
        try:
            while self._command():
                pass
            self.state = State.DONE
        except Waiting:
            self.state = State.WAITING
        except _Stop as stop:
            self.state = stop.state
        except _Check as check:
            self.status |= check.status
            self.state = State.DONE
        return self.state

    def _command(self) -> bool:
        """Carry out the command at `next`, with the CCWs of its data chain; says whether another one follows."""
        at, ccw = self._fetch(self.next, self._first)
        if not ccw.command & 0x0F:
            raise _Check(PROGRAM_CHECK)
        self._check_fields(ccw, chained_data=False)
        if ccw.flags & SUSPEND:
            self.next = at
            raise _Stop(State.SUSPENDED)
        transfer = Transfer(self, ccw)
        try:
            self.device_status = self._device.command(ccw.command, transfer)
        except Waiting:
            self.next = at
            raise
        self._first, self.state = False, State.READY
        self.count = transfer.left
        last = transfer.ccw
        if self._length_is_wrong(transfer, last):
            self.status |= INCORRECT_LENGTH
            return False
        if self.device_status & ~STATUS_MODIFIER != ENDED or not last.flags & CC or last.flags & CD:
            return False
        self.next = self.ended_at + (8 if self.device_status & STATUS_MODIFIER else 0)
        return True

    def _length_is_wrong(self, transfer: "Transfer", last: Ccw) -> bool:
        """PoP, "Incorrect Length": where it is indicated. A unit check has more to say than a wrong length."""
        if last.flags & CD:
            return transfer.moved
        if not transfer.moved:          # an immediate command
            return (self._orb.format1 and not self._orb.suppress_length and not last.flags & SLI and last.count > 0
                    and not self.device_status & ~ENDED & ~STATUS_MODIFIER)
        return (transfer.left > 0 or transfer.excess) and not last.flags & SLI

    # ------------------------------------------------------------------------------------------- fetching
    def _fetch(self, address: int, first: bool = False) -> tuple[int, Ccw]:
        """The CCW at this address, or the one that a TIC there leads to, with its own address."""
        transferred = False
        while True:
            self.steps += 1
            if self.steps > LONGEST or self.moved > MOST:
                raise _Stop(State.ENDLESS)
            self.ended_at = address + 8
            limit = 1 << (31 if self._orb.format1 else 24)
            if address % 8 or address + 8 > limit:
                raise _Check(PROGRAM_CHECK)
            ccw = Ccw.parse(self._load(address, 8), self._orb.format1)
            self.count = ccw.count
            if ccw.command & 0x0F != TIC:
                return address, ccw
            if transferred or first:
                raise _Check(PROGRAM_CHECK)
            if self._orb.format1 and (ccw.command != TIC or ccw.flags or ccw.count or ccw.address >> 31):
                raise _Check(PROGRAM_CHECK)
            address, transferred = ccw.address, True

    def fetch_data_chain(self) -> Ccw:
        """The CCW that goes on where the data of the one before ended."""
        _, ccw = self._fetch(self.ended_at)
        self._check_fields(ccw, chained_data=True)
        return ccw

    def _check_fields(self, ccw: Ccw, chained_data: bool) -> None:
        flags = ccw.flags
        if flags & 0x01 or flags & SUSPEND and (chained_data or not self._orb.may_suspend):
            raise _Check(PROGRAM_CHECK)
        if ccw.count == 0 and (not self._orb.format1 or chained_data or flags & CD):
            raise _Check(PROGRAM_CHECK)
        if self._orb.format1 and ccw.address >> 31:
            raise _Check(PROGRAM_CHECK)
        if flags & PCI_FLAG and self.state is not State.WAITING:      # one that is tried again has said so
            self.status |= PCI

    # -------------------------------------------------------------------------------------------- storage
    def _load(self, address: int, size: int) -> bytes:
        self._check_key(address, size, store=False)
        try:
            return self._storage.read(address, size)
        except Dead:
            raise _Check(PROGRAM_CHECK) from None

    def load(self, ccw: Ccw, offset: int, size: int) -> bytes:
        """Bytes of the area that a CCW designates, for the device."""
        return b"".join(self._load(at, length) for at, length in self._area(ccw, offset, size))

    def store(self, ccw: Ccw, offset: int, data: bytes) -> None:
        """Bytes from the device, into the area that a CCW designates."""
        done = 0
        for at, length in self._area(ccw, offset, len(data)):
            self._check_key(at, length, store=True)
            try:
                self._storage.write(at, data[done:done + length])
            except Dead:
                raise _Check(PROGRAM_CHECK) from None
            done += length

    def _area(self, ccw: Ccw, offset: int, size: int):
        """(address, length) of the pieces of storage that hold `size` bytes from `offset` in the CCW's data area."""
        if not ccw.flags & IDA:
            if size:
                if ccw.address + offset + size > 1 << (31 if self._orb.format1 else 24):
                    raise _Check(PROGRAM_CHECK)
                yield ccw.address + offset, size
            return
        width, block = (8 if self._orb.wide_idaws else 4), self._orb.idaw_block
        if ccw.address % width:
            raise _Check(PROGRAM_CHECK)
        word, begin = ccw.address, 0        # begin: what the IDAWs before this one designate
        while size > 0:
            at = int.from_bytes(self._load(word, width), "big")
            if begin and at % block or width == 4 and at >> 31:
                raise _Check(PROGRAM_CHECK)
            room = block - at % block
            if offset < begin + room:
                skip = offset - begin
                length = min(size, room - skip)
                yield at + skip, length
                offset, size = offset + length, size - length
            word, begin = word + width, begin + room

    def _check_key(self, address: int, size: int, store: bool) -> None:
        """Key-controlled protection with the ORB's key. Key 0 may do everything."""
        if self._orb.key == 0 or size == 0:
            return
        for block in range(address & ~4095, address + size, 4096):
            try:
                key = self._storage.key(block)
            except Dead:
                return                # the access itself will say so
            if key >> 4 != self._orb.key and (store or key & 0x08):
                raise _Check(PROTECTION_CHECK)


class Transfer:
    """The data of one command, CCW by CCW as data chaining goes on. A device calls `give` or `take`, or neither.

    left      bytes of the present CCW that no data came for
    moved     whether the command moves data at all; one that does not is "immediate"
    excess    whether the device had more to give, or wanted more, than the CCWs had room for
    """

    def __init__(self, program: Program, ccw: Ccw):
        self._program, self._command, self.ccw = program, ccw.command, ccw
        self.left, self._offset = ccw.count, 0
        self.moved = self.excess = False

    def give(self, block: bytes) -> None:
        """The device's data, into storage. The skip flag drops them, where the command reads or senses."""
        self.moved = True
        reads = self._command & 0x03 == 0x02 or self._command & 0x0F in (SENSE, 0x0C)
        position = 0
        while self._has_room() and position < len(block):
            part = block[position:position + self.left]
            if not (reads and self.ccw.flags & SKIP):
                self._program.store(self.ccw, self._offset, part)
            self._used(len(part))
            position += len(part)
        self.excess = position < len(block)

    def take(self, wanted: int | None = None) -> bytes:
        """Up to `wanted` bytes from storage for the device; None: as many as there are."""
        self.moved = True
        parts, done = [], 0
        while self._has_room() and (wanted is None or done < wanted):
            size = self.left if wanted is None else min(self.left, wanted - done)
            parts.append(self._program.load(self.ccw, self._offset, size))
            self._used(size)
            done += size
        self.excess = wanted is not None and done < wanted
        return b"".join(parts)

    def _has_room(self) -> bool:
        """Whether the CCW has bytes left. The next one of a data chain is used as soon as the one before is full."""
        if self.left == 0 and self.ccw.flags & CD:
            self.ccw = self._program.fetch_data_chain()
            self.left, self._offset = self.ccw.count, 0
        return self.left > 0

    def _used(self, size: int) -> None:
        self._program.moved += size
        self.left, self._offset = self.left - size, self._offset + size

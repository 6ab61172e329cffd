"""X'18' and X'20': a whole channel program in one DIAGNOSE, finished when the next instruction begins.

The guest still writes CCWs, but it starts no subchannel, takes no interruption and tests no status: each of those would
be an exit.
"""
from __future__ import annotations

from pvlab.devices.channel.dasd import READ_DATA, SEARCH_ID_EQUAL, SEEK, SEEK_HEAD, SET_SECTOR, WRITE_DATA, Dasd
from pvlab.devices.channel.formats import (
    CC, CD, ENDED, IDA, INCORRECT_LENGTH, TIC, UNIT_CHECK, UNIT_EXCEPTION, Ccw, Orb)
from pvlab.devices.channel.program import Program, State
from pvlab.machine.s390x.faults import Interruption
from pvlab.monitors.cp.devices import ChannelStorage, note, weigh
from pvlab.monitors.cp.diagnose.registry import diagnose

_CSW = 0x40                   # where a System/370 has its channel-status word
_LARGEST = 2048               # bytes of one read or write; VM/SP allowed 4,096
_MOST = 15                    # reads and writes of one X'18'


class _Refused(Exception):
    """CP does not perform this I/O: a condition code, and a return code for R15."""

    def __init__(self, cc: int, code: int):
        super().__init__(cc, code)
        self.cc, self.code = cc, code


@diagnose(0x18, "Standard DASD I/O", since="VM/370")
def standard_dasd_io(vm, rx, ry):
    """Rx: the virtual device address of a disk. Ry: the real address of a channel program of format-0 CCWs: SEEK,
    SET SECTOR (may be left out), SEARCH ID EQUAL, TIC *-8, READ DATA or WRITE DATA; for each further record the same,
    where SEEK or SEEK HEAD may be left out. R15: the number of reads and writes, 1 to 15.

    cc 0: done. cc 1, R15 = 1 not attached, 2 no disk of this kind, 3 write to a read-only disk, 4 cylinder beyond the
    disk, 5 busy or with an interruption pending. cc 2, R15 = 5 CCWs not on a doubleword, 6 arguments of SEEK or SEARCH
    outside storage, 7 neither read (06) nor write (05), 8 count 0, 9 count beyond 2048, 10 buffer outside storage,
    11 R15 not 1 to 15 or less than the reads and writes, 12 another cylinder than the first. cc 3, R15 = 13: I/O error;
    the CSW is in real 40-47, and SENSE tells more.

    Source: VM/370 System Programmer's Guide (GC20-1807-7) pp. 221-222; System Logic (SY20-0886-1) p. 71.
    """
    try:
        subchannel = _available(vm, rx)
        if not isinstance(subchannel.device, Dasd):
            raise _Refused(1, 2)
        _check_standard(vm, subchannel.device, vm.word(ry), vm.word(15))
    except _Refused as refused:
        vm.set_word(15, refused.code)
        return refused.cc
    program = _perform(vm, subchannel.device, vm.word(ry) & 0xFFFFFF)
    if program.state is State.DONE and program.device_status == ENDED and not program.status:
        return 0
    vm.real.write(_CSW, _csw(program))
    vm.set_word(15, 13)
    return 3


def _check_standard(vm, disk: Dasd, address: int, most: int) -> None:
    """Everything that X'18' checks before any I/O. An address of CCWs outside storage is an addressing exception."""
    if not 1 <= most <= _MOST:
        raise _Refused(2, 11)
    if address % 8:
        raise _Refused(2, 5)
    address &= 0xFFFFFF
    cylinder, count, more = None, 0, True
    while more:
        address, ccw = _next(vm, address)
        if ccw.command in (SEEK, SEEK_HEAD):
            sought = int.from_bytes(_argument(vm, ccw, 6)[2:4], "big")
            if sought >= disk.cylinders:
                raise _Refused(1, 4)
            if cylinder not in (None, sought):
                raise _Refused(2, 12)
            cylinder = sought
            address, ccw = _next(vm, address)
        if ccw.command == SET_SECTOR:
            _argument(vm, ccw, 1)
            address, ccw = _next(vm, address)
        if ccw.command == SEARCH_ID_EQUAL:
            _argument(vm, ccw, 5)
            search = address - 8
            address, ccw = _next(vm, address)
            if ccw.command & 0x0F != TIC or ccw.address != search:
                raise _Refused(2, 7)
            address, ccw = _next(vm, address)
        if ccw.command not in (READ_DATA, WRITE_DATA) or ccw.flags & (CD | IDA) or cylinder is None:
            raise _Refused(2, 7)
        count += 1
        if count > most:
            raise _Refused(2, 11)
        _check_data(vm, disk, ccw)
        more = bool(ccw.flags & CC)


def _check_data(vm, disk: Dasd, ccw: Ccw) -> None:
    if ccw.count == 0:
        raise _Refused(2, 8)
    if ccw.count > _LARGEST:
        raise _Refused(2, 9)
    try:
        vm.real.check(ccw.address, ccw.count)
    except Interruption:
        raise _Refused(2, 10) from None
    if ccw.command == WRITE_DATA and disk.read_only:
        raise _Refused(1, 3)


def _next(vm, address: int) -> tuple[int, Ccw]:
    """The CCW at this address, and the address behind it."""
    return address + 8, Ccw.parse(vm.real.read(address, 8), format1=False)


def _argument(vm, ccw: Ccw, size: int) -> bytes:
    try:
        return vm.real.read(ccw.address, size)
    except Interruption:
        raise _Refused(2, 6) from None


@diagnose(0x20, "General I/O", since="VM/370")
def general_io(vm, rx, ry):
    """Rx: the virtual device address of a disk or unit-record device. Ry: bits 0 to 3 of its word the storage key for
    the I/O (as in VM/SP), its low 24 bits the real address of any valid channel program of format-0 CCWs.

    cc 0: done. cc 1, R15 = 1 not attached, 5 busy or with an interruption pending. cc 2, R15 = 2 unit exception, 3
    wrong length. cc 3, R15 = 13: I/O error or a device that this code does not serve (a console); the first two sense
    bytes are in the last two bytes of Ry. A chain that closes on itself is an I/O error, too: CP halts it in the end.

    Source: VM/370 System Programmer's Guide (GC20-1807-7) pp. 222-223; VM/SP System Programmer's Guide (SC19-6203-2)
    p. 260.
    """
    try:
        subchannel = _available(vm, rx)
    except _Refused as refused:
        vm.set_word(15, refused.code)
        return refused.cc
    device, sense, program = subchannel.device, b"\0\0", None
    if device.name != "console":
        program = _perform(vm, device, vm.word(ry) & 0xFFFFFF, vm.word(ry) >> 28)
        sense = device.sense.ljust(2, b"\0")[:2]
        wrong = program.status & ~INCORRECT_LENGTH or program.device_status & UNIT_CHECK
        if program.state is State.DONE and not wrong:
            if program.device_status & UNIT_EXCEPTION:
                vm.set_word(15, 2)
                return 2
            if program.status & INCORRECT_LENGTH:
                vm.set_word(15, 3)
                return 2
            return 0
    vm.set_word(15, 13)
    vm.set_word(ry, vm.word(ry) & 0xFFFF0000 | int.from_bytes(sense, "big"))
    return 3


def _available(vm, rx: int):
    """The subchannel of the device that a register names, if it is there and idle."""
    subchannel = vm.channels.by_device_number(vm.word(rx))
    if subchannel is None:
        raise _Refused(1, 1)
    if subchannel.busy or subchannel.pending:
        raise _Refused(1, 5)
    return subchannel


def _perform(vm, device, address: int, key: int = 0) -> Program:
    """Carry out a channel program at a real address, without a subchannel."""
    orb = Orb(0, key << 12, 0xFF, 0, address)
    program = Program(ChannelStorage(vm.real, vm.keys), device, orb)
    program.run()
    weigh(vm, program.steps, program.moved)
    note(vm, device)
    return program


def _csw(program: Program) -> bytes:
    """The channel-status word of a System/370: CCW address, unit status, channel status, count."""
    return (program.ended_at.to_bytes(4, "big") + bytes([program.device_status, program.status])
            + program.count.to_bytes(2, "big"))

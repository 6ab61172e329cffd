"""X'250': block I/O. The guest names block numbers and buffers, and writes no channel program at all.

The disk is initialised once (INIT), then up to 256 blocks go with one DIAGNOSE (RW), synchronously or with an external
interruption at the end, until REMOVE. Parameter lists have 64 bytes, in a 31-bit and a 64-bit format.
"""
from __future__ import annotations

import struct
from typing import NamedTuple

from pvlab.devices.backends.disk import DiskError
from pvlab.devices.channel.dasd import HEADS, Dasd, records_of
from pvlab.machine.s390x.faults import ADDRESSING, PROTECTION, SPECIFICATION, Interruption
from pvlab.machine.s390x.storage import aligned
from pvlab.monitors.cp.devices import note, weigh
from pvlab.monitors.cp.diagnose.registry import diagnose

_SIZES = (512, 1024, 2048, 4096)
_MOST = 256
_DELAY = 100_000          # virtual nanoseconds until an asynchronous request is finished: a disk's order of magnitude
_FORMAT_64, _ASYNCHRONOUS = 0x80, 0x02
_WRITE, _READ = 1, 2
_SUCCESS, _PARTIAL, _FAILED = 0, 1, 2

# Status of one block I/O entry
_BAD_BLOCK, _BAD_ADDRESS, _READ_ONLY, _RECORD_LENGTH, _IO_ERROR, _BAD_REQUEST, _PROTECTED, _NOT_ZERO = (
    1, 2, 3, 4, 5, 6, 7, 11)


class Environment(NamedTuple):
    """What INIT establishes for one device: its block size, and by how much block 1 is moved."""

    size: int
    offset: int
    first: int
    last: int


class _Request(NamedTuple):
    """An RW parameter list's contents, and whether it is in the 64-bit format."""

    wide: bool
    key: int
    asynchronous: bool
    count: int
    entries: int
    parameter: int


@diagnose(0x250, "Block I/O", since="after VM/370")
def block_io(vm, rx, ry):
    """Rx: the real address of a 64-byte parameter list (BIOPL), on a doubleword. Ry: 0 INIT, 1 RW, 2 REMOVE.
    The list: +0 device number, +2 X'80' for the 64-bit format. INIT: +24 block size, the offset (31-bit: +28, 4 bytes;
    64-bit: +32, 8), and, on return, the first and last block (+32, +36; +40, +48). RW: +24 key, +25 flags (X'02'
    asynchronous), +28 count, the entries' address (31-bit: +36; 64-bit: +48) and the interruption parameter (+40; +40).
    An entry: type (1 write, 2 read), status, 2 zeros, then 31-bit: block, ALET, buffer; 64-bit: ALET, block, buffer.

    Rx+1 (for R15: R0) is the return code. cc 0: 0 done, 4 done and the disk is read-only (INIT), 8 asynchronous request
    begun. cc 1: 12 some blocks failed. cc 2: 16 no device, 20 not a disk, 24 block size, 28 already or not initialised,
    36 count not 1 to 256, 40 all blocks failed. An entry's status: 0, 1 block, 2 address, 3 read-only, 4 record length,
    5 I/O error, 6 type, 7 protection, 11 reserved bytes. The asynchronous end is the external interruption X'2603',
    subcode X'07' (31-bit: X'03') and status (0, 1 some failed, 2 storage error, 3 removed), with the parameter.
    Specification exception: alignment, another function, reserved bits and bytes. Addressing and protection exceptions:
    parameter list or, synchronously, entries.

    Source: Hercules vmd250.c; Linux drivers/s390/block/dasd_diag.c and .h; IBM, z/VM CP Programming Services.
    """
    address = aligned(vm.address(rx), 8)
    plist = bytearray(vm.real.read(address, 64))
    function = {0: _init, 1: _read_write, 2: _remove}.get(vm.word(ry))
    if function is None or plist[2] & ~_FORMAT_64 and function is not _remove:
        raise Interruption(SPECIFICATION)
    cc, code = function(vm, plist, vm.channels.by_device_number(int.from_bytes(plist[:2], "big")))
    vm.real.write(address, bytes(plist))
    vm.set_word(rx + 1 & 15, code)
    return cc


def _init(vm, plist: bytearray, subchannel) -> tuple[int, int]:
    wide = bool(plist[2] & _FORMAT_64)
    if any(plist[3:24]) or any(plist[28:32] + plist[56:64] if wide else plist[40:64]):
        raise Interruption(SPECIFICATION)
    size, = struct.unpack_from(">I", plist, 24)
    offset, = struct.unpack_from(">q", plist, 32) if wide else struct.unpack_from(">i", plist, 28)
    if subchannel is None:
        return _FAILED, 16
    disk = subchannel.device
    if not isinstance(disk, Dasd):
        return _FAILED, 20
    if size not in _SIZES:
        return _FAILED, 24
    if subchannel.number in vm.block_io:
        return _FAILED, 28
    blocks = disk.cylinders * HEADS * records_of(size)      # as if the disk were formatted so: RW finds out
    environment = Environment(size, offset, 1 - offset, blocks - offset)
    vm.block_io[subchannel.number] = environment
    if wide:
        struct.pack_into(">qq", plist, 40, environment.first, environment.last)
    else:
        struct.pack_into(">II", plist, 32, environment.first & 0xFFFFFFFF, environment.last & 0xFFFFFFFF)
    return _SUCCESS, 4 if disk.read_only else 0


def _remove(vm, plist: bytearray, subchannel) -> tuple[int, int]:
    if any(plist[2:64]):
        raise Interruption(SPECIFICATION)
    if subchannel is None:
        return _FAILED, 16
    if vm.block_io.pop(subchannel.number, None) is None:
        return _FAILED, 28
    return _SUCCESS, 0


def _read_write(vm, plist: bytearray, subchannel) -> tuple[int, int]:
    wide = bool(plist[2] & _FORMAT_64)
    reserved = plist[3:24] + plist[26:28] + (plist[36:40] + plist[56:64] if wide else plist[44:64])
    if any(reserved) or plist[24] & 0x0F or plist[25] & 0xFC:
        raise Interruption(SPECIFICATION)
    if subchannel is None:
        return _FAILED, 16
    if subchannel.number not in vm.block_io:
        return _FAILED, 28
    count, = struct.unpack_from(">I", plist, 28)
    if not 1 <= count <= _MOST:
        return _FAILED, 36
    parameter, entries = (struct.unpack_from(">QQ", plist, 40) if wide else
                          struct.unpack_from(">II", plist, 36)[::-1])
    request = _Request(wide, plist[24] >> 4, bool(plist[25] & _ASYNCHRONOUS), count,
                       entries if wide else entries & 0x7FFFFFFF, parameter)
    if request.asynchronous:
        vm.after(_DELAY, lambda: _finish(vm, subchannel, request))
        return _SUCCESS, 8
    good = _carry_out(vm, subchannel, request)
    if good == count:
        return _SUCCESS, 0
    return (_PARTIAL, 12) if good else (_FAILED, 40)


def _finish(vm, subchannel, request: _Request) -> None:
    """The end of an asynchronous request: the blocks are moved, and an external interruption says so."""
    try:
        status = 3 if subchannel.number not in vm.block_io else int(
            _carry_out(vm, subchannel, request) < request.count)
    except Interruption:
        status = 2
    subcode = 0x0700 if request.wide else 0x0300
    narrow, token = (0, request.parameter) if request.wide else (request.parameter, 0)
    vm.cp_services.append((subcode | status, narrow, token))


def _carry_out(vm, subchannel, request: _Request) -> int:
    """Move the blocks, and store the status of each; returns how many went well. Addresses are absolute."""
    good, size = 0, 24 if request.wide else 16
    environment, disk = vm.block_io[subchannel.number], subchannel.device
    weigh(vm, request.count, request.count * environment.size)
    for at in range(request.entries, request.entries + request.count * size, size):
        _check(vm, at, size, request.key, store=False)
        entry = vm.absolute.read(at, size)
        kind, _, zeros = struct.unpack_from(">BBH", entry)
        block, buffer = (struct.unpack_from(">qQ", entry, 8) if request.wide else
                         (struct.unpack_from(">i", entry, 4)[0], struct.unpack_from(">I", entry, 12)[0] & 0x7FFFFFFF))
        status = _NOT_ZERO if zeros else _one(vm, disk, environment, kind, block, buffer, request.key)
        _check(vm, at + 1, 1, request.key, store=True)
        vm.absolute.write(at + 1, bytes([status]))
        good += not status
    return good


def _one(vm, disk: Dasd, environment: Environment, kind: int, block: int, buffer: int, key: int) -> int:
    """One block; its status."""
    if not environment.first <= block <= environment.last:
        return _BAD_BLOCK
    if kind not in (_READ, _WRITE):
        return _BAD_REQUEST
    try:
        _check(vm, buffer, environment.size, key, store=kind == _READ)
    except Interruption as fault:
        return _BAD_ADDRESS if fault.code == ADDRESSING else _PROTECTED
    if kind == _WRITE and disk.read_only:
        return _READ_ONLY
    if environment.size != disk.block:
        return _RECORD_LENGTH
    number = block + environment.offset - 1
    note(vm, disk)
    try:
        if kind == _READ:
            vm.absolute.write(buffer, disk.read_block(number))
        else:
            disk.write_block(number, vm.absolute.read(buffer, environment.size))
    except DiskError:
        return _IO_ERROR
    return 0


def _check(vm, address: int, size: int, key: int, store: bool) -> None:
    """An addressing exception, or a protection exception by the request's key; key 0 may do everything."""
    vm.absolute.check(address, size, write=store)
    if key:
        for block in {address & ~4095, address + size - 1 & ~4095}:
            storage_key = vm.keys.get(block)
            if storage_key >> 4 != key and (store or storage_key & 0x08):
                raise Interruption(PROTECTION)

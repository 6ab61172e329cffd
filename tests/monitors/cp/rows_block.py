"""Rows of the DIAGNOSE table for X'250', block I/O, in its 31-bit and its 64-bit format."""
import struct

from monitors.cp.rows_io import (
    ADDRESSING, BLOCK, CONSOLE, DATA, NOWHERE, PRIVILEGED, READER, SPECIFICATION, SYSTEM, SYSTEM_BLOCKS, USER, contents,
    subchannel)
from monitors.cp.table import BITS64, MEMORY, PROBLEM, Row
from pvlab.monitors.cp.diagnose.block import Environment

LIST, ENTRIES = 0x23000, 0x23100
BLOCKS = 10 * 19 * 6


def init64(number=USER, size=BLOCK, offset=0, first=0, last=0, form=0x80):
    return struct.pack(">HB21xI4xqqq8x", number, form, size, offset, first, last)


def init31(number=USER, size=BLOCK, offset=0, first=0, last=0):
    return struct.pack(">H22xIiII24x", number, size, offset, first, last)


def rw64(count=1, number=USER, entries=ENTRIES, key=0, flags=0, parameter=0):
    return struct.pack(">HB21xBB2xI8xQQ8x", number, 0x80, key, flags, count, parameter, entries)


def rw31(count=1, number=USER, entries=ENTRIES, key=0, flags=0, parameter=0):
    return struct.pack(">H22xBB2xI4xII20x", number, key, flags, count, entries, parameter)


def e64(kind, block, buffer, status=0, zeros=0):
    return struct.pack(">BBHIQQ", kind, status, zeros, 0, block & (1 << 64) - 1, buffer)


def e31(kind, block, buffer, status=0):
    return struct.pack(">BBHIII", kind, status, 0, block & 0xFFFFFFFF, 0, buffer)


def established(number=USER, size=BLOCK, offset=0):
    """A `prepare` that has done the INIT."""
    def prepare(vm):
        vm.block_io[subchannel(vm, number).number] = Environment(size, offset, 1 - offset, BLOCKS - offset)
    return prepare


def r250(what, plist, function, cc=None, code=None, data=None, **more):
    after = {} if code is None else {3: 0x5A5A000000000000 | code}
    return Row(0x250, what, regs={2: LIST, 4: function} | more.pop("regs", {}), data={LIST: plist} | (data or {}),
               cc=cc, after=after | more.pop("after", {}), **more)


def one(what, kind, block, buffer, status, number=USER, cc=2, code=40, **more):
    """An RW of one entry, in the 64-bit format, that leaves this status in it."""
    prepare = more.pop("prepare", established(number))
    return r250(what, rw64(number=number, key=more.pop("key", 0)), 1, cc, code,
                {ENTRIES: e64(kind, block, buffer, zeros=more.pop("zeros", 0))}, prepare=prepare,
                storage={ENTRIES + 1: bytes((status,))} | more.pop("storage", {}), **more)


def queued(*expected):
    """After the delay of an asynchronous request: the external interruption that waits."""
    def verify(vm):
        vm._clock, before = (lambda: 10**9), vm._clock
        vm.run_events()
        vm._clock = before
        assert list(vm.cp_services) == [expected]
    return verify


def taken_away(vm):
    """REMOVE comes between the request and its end."""
    established(USER)(vm)
    vm.after(50_000, lambda: vm.block_io.clear())


def data_key(vm):
    """Key 5 for the data; the entries have key 6."""
    established(USER)(vm)
    vm.keys.set(DATA, 0x50)
    vm.keys.set(ENTRIES, 0x60)


def list_key(vm):
    established(USER)(vm)
    vm.keys.set(ENTRIES, 0x50)


def gone(vm):
    assert not vm.block_io


NEW = b"block" * 410
MIXED = e64(2, 1, DATA) + e64(2, BLOCKS + 1, DATA) + e64(1, 2, DATA)
ROWS = [
    r250("INIT", init64(), 0, 0, 0, storage={LIST: init64(first=1, last=BLOCKS)}),
    r250("INIT of a read-only disk", init64(SYSTEM), 0, 0, 4, storage={LIST: init64(SYSTEM, first=1, last=BLOCKS)}),
    r250("INIT with an offset", init64(offset=100), 0, 0, 0,
         storage={LIST: init64(offset=100, first=-99, last=BLOCKS - 100)}),
    r250("INIT, 31-bit", init31(offset=2), 0, 0, 0,
         storage={LIST: init31(offset=2, first=0xFFFFFFFF, last=BLOCKS - 2)}),
    r250("INIT for another record size", init64(size=4096), 0, 0, 0,
         storage={LIST: init64(size=4096, first=1, last=570)}),
    r250("INIT, no device", init64(0x192), 0, 2, 16),
    r250("INIT, a console", init64(CONSOLE), 0, 2, 20),
    r250("INIT, a card reader", init31(READER), 0, 2, 20),
    r250("INIT, block size 800", init64(size=800), 0, 2, 24),
    r250("INIT, block size 0", init64(size=0), 0, 2, 24),
    r250("INIT twice", init64(), 0, 2, 28, prepare=established()),
    r250("INIT, reserved byte", init64()[:3] + b"\1" + init64()[4:], 0, program=SPECIFICATION),
    r250("INIT, reserved bytes at the end", init64()[:63] + b"\1", 0, program=SPECIFICATION),
    r250("INIT, 31-bit, reserved bytes", init31()[:40] + b"\1" + init31()[41:], 0, program=SPECIFICATION),
    r250("INIT, reserved bits of the format", init64(form=0x81), 0, program=SPECIFICATION),
    one("read", 2, 3, DATA, 0, SYSTEM, 0, 0, storage={DATA: SYSTEM_BLOCKS[2 * BLOCK:3 * BLOCK]}),
    one("write", 1, 3, DATA, 0, cc=0, code=0, verify=contents(2, bytes(BLOCK))),
    r250("read and write, 31-bit", rw31(2), 1, 0, 0, {ENTRIES: e31(1, 1, DATA) + e31(2, 1, DATA + BLOCK), DATA: NEW},
         prepare=established(), storage={DATA + BLOCK: NEW[:BLOCK], ENTRIES + 1: b"\0"}),
    r250("read with an offset", rw64(number=SYSTEM), 1, 0, 0, {ENTRIES: e64(2, -1, DATA)},
         prepare=established(SYSTEM, offset=5), storage={DATA: SYSTEM_BLOCKS[3 * BLOCK:4 * BLOCK]}),
    r250("256 blocks", rw64(256, SYSTEM), 1, 0, 0,
         {ENTRIES: b"".join(e64(2, i + 1, 0x30000) for i in range(256))}, prepare=established(SYSTEM)),
    r250("some blocks fail", rw64(3), 1, 1, 12, {ENTRIES: MIXED}, prepare=established(),
         storage={ENTRIES + 1: b"\0", ENTRIES + 25: b"\1", ENTRIES + 49: b"\0"}),
    one("block 0", 2, 0, DATA, 1), one("block beyond the end", 2, BLOCKS + 1, DATA, 1), one("block -1", 2, -1, DATA, 1),
    one("buffer outside storage", 2, 1, NOWHERE, 2), one("buffer across the end of storage", 1, 1, MEMORY - 2047, 2),
    one("write to a read-only disk", 1, 1, DATA, 3, SYSTEM),
    one("another record size", 2, 1, DATA, 4, prepare=established(size=4096)),
    one("neither read nor write", 3, 1, DATA, 6), one("type 0", 0, 1, DATA, 6),
    one("a key that may not store", 2, 1, DATA, 7, prepare=data_key, key=0x60),
    one("the key that may", 2, 1, DATA, 0, cc=0, code=0, prepare=data_key, key=0x00),
    one("reserved bytes of an entry", 2, 1, DATA, 11, zeros=1),
    r250("RW, no device", rw64(number=0x192), 1, 2, 16), r250("RW before INIT", rw64(), 1, 2, 28),
    r250("RW, count 0", rw64(0), 1, 2, 36, prepare=established()),
    r250("RW, count 257", rw64(257), 1, 2, 36, prepare=established()),
    r250("RW, 31-bit, count 257", rw31(257), 1, 2, 36, prepare=established()),
    r250("RW, reserved byte", rw64()[:26] + b"\1" + rw64()[27:], 1, program=SPECIFICATION, prepare=established()),
    r250("RW, reserved bits of the key", rw64(key=0x01), 1, program=SPECIFICATION, prepare=established()),
    r250("RW, reserved flags", rw64(flags=0x04), 1, program=SPECIFICATION, prepare=established()),
    r250("RW, entries outside storage", rw64(entries=NOWHERE), 1, program=ADDRESSING, prepare=established()),
    r250("RW, entries that may not be stored into", rw64(key=0x60), 1, data={ENTRIES: e64(2, 1, DATA)}, program=4,
         prepare=list_key),
    r250("asynchronous", rw64(number=SYSTEM, flags=2, parameter=0x123456789ABCDEF0), 1, 0, 8,
         {ENTRIES: e64(2, 1, DATA)}, prepare=established(SYSTEM), verify=queued(0x0700, 0, 0x123456789ABCDEF0)),
    r250("asynchronous, 31-bit", rw31(number=SYSTEM, flags=2, parameter=0xCAFE), 1, 0, 8, {ENTRIES: e31(2, 1, DATA)},
         prepare=established(SYSTEM), verify=queued(0x0300, 0xCAFE, 0)),
    r250("asynchronous, a block fails", rw64(flags=2, parameter=7), 1, 0, 8, {ENTRIES: e64(2, 0, DATA)},
         prepare=established(), verify=queued(0x0701, 0, 7)),
    r250("asynchronous, entries outside storage", rw64(flags=2, entries=NOWHERE), 1, 0, 8, prepare=established(),
         verify=queued(0x0702, 0, 0)),
    r250("asynchronous, removed meanwhile", rw64(flags=3), 1, 0, 8, {ENTRIES: e64(2, 1, DATA)}, prepare=taken_away,
         verify=queued(0x0703, 0, 0)),
    r250("REMOVE", struct.pack(">H62x", USER), 2, 0, 0, prepare=established(), verify=gone),
    r250("REMOVE, no device", struct.pack(">H62x", 0x192), 2, 2, 16),
    r250("REMOVE before INIT", struct.pack(">H62x", USER), 2, 2, 28),
    r250("REMOVE, reserved bytes", struct.pack(">H61xB", USER, 1), 2, program=SPECIFICATION),
    r250("another function", bytes(64), 3, program=SPECIFICATION),
    Row(0x250, "list not on a doubleword", regs={2: LIST + 4, 4: 0}, program=SPECIFICATION),
    Row(0x250, "list outside storage", regs={2: NOWHERE, 4: 0}, program=ADDRESSING),
    Row(0x250, "list across the end of storage", regs={2: MEMORY - 56, 4: 0}, program=ADDRESSING),
    Row(0x250, "Rx is 15", rx=15, regs={15: LIST, 4: 0, 0: 0}, data={LIST: init64()}, cc=0),
    r250("problem state", init64(), 0, mode=BITS64 | PROBLEM, program=PRIVILEGED),
]

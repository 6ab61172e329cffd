"""Rows of the DIAGNOSE table for the codes that do I/O as VM/370 had them: X'18', X'20', X'24', X'58'."""
import struct

from pvlab.devices.channel.console import to_ebcdic
from pvlab.devices.channel.formats import CC, CD, IDA, SLI
from pvlab.monitors.cp.devices import system_disk
from devices.channel.world import ccws
from monitors.cp.table import BITS31, BITS64, MEMORY, PROBLEM, Row

SEEK, SET_SECTOR, SEARCH, TIC, READ, WRITE = 0x07, 0x23, 0x31, 0x08, 0x06, 0x05
PROGRAM, ARGUMENTS, DATA, BLOCK = 0x20000, 0x21000, 0x22000, 2048
CONSOLE, READER, SYSTEM, USER = 0x009, 0x00C, 0x190, 0x191
NOWHERE = 0x500000                       # beyond storage
SYSTEM_BLOCKS = system_disk().read(0, 4 * 16)
ADDRESSING, SPECIFICATION, PRIVILEGED = 5, 6, 2


def device(vm, number):
    return vm.channels.by_device_number(number).device


def subchannel(vm, number):
    return vm.channels.by_device_number(number)


def contents(number, block):
    """A check of a disk's block: `verify` of a row whose storage at DATA is the whole block."""
    def verify(vm):
        assert device(vm, USER).read_block(number) == block
    return verify


def place(cylinder, head, record):
    """Argument of SEEK (6 bytes) and, from its third byte, of SEARCH ID EQUAL."""
    return bytes(2) + cylinder.to_bytes(2, "big") + head.to_bytes(2, "big") + bytes((record, 0))


def access(command=READ, count=BLOCK, at=0, data=DATA, flags=SLI, argument=ARGUMENTS, search=None, sector=True):
    """The standard program for one record, `at` bytes into the channel program."""
    begin = [(SEEK, CC, 6, argument)] + [(SET_SECTOR, CC, 1, ARGUMENTS + 0x100)] * sector
    return [*begin, (SEARCH, CC, 5, argument + 2 if search is None else search),
            (TIC, 0, 0, PROGRAM + at + 8 * len(begin)), (command, flags, count, data)]


def r18(what, entries, first=place(0, 0, 1), dev=USER, count=1, **more):
    regs = {2: dev, 4: PROGRAM, 15: count} | more.pop("regs", {})
    data = {PROGRAM: ccws(*entries), ARGUMENTS: first} | more.pop("data", {})
    return Row(0x18, what, regs=regs, data=data, **more)


def fails(cc, code):
    return {"cc": cc, "after": {15: code}}


TWO = [*access(flags=CC | SLI), *access(at=40, data=DATA + BLOCK, argument=ARGUMENTS + 8)]
SHORT = [*access(flags=CC | SLI), (0x31, CC, 5, ARGUMENTS + 10), (TIC, 0, 0, PROGRAM + 40),
         (READ, SLI, BLOCK, DATA + BLOCK)]
HEAD = [*access(flags=CC | SLI), (0x1B, CC, 6, ARGUMENTS + 8), (0x31, CC, 5, ARGUMENTS + 10), (TIC, 0, 0, PROGRAM + 48),
        (READ, SLI, BLOCK, DATA + BLOCK)]


def read_only(vm):
    device(vm, USER).disk.read_only = True


def busy(vm):
    subchannel(vm, USER).scsw.control = 0x4000


def pending(vm):
    subchannel(vm, USER).present(0x06)


def sense_is(number, *expected):
    def verify(vm):
        assert device(vm, number).sense[:len(expected)] == bytes(expected)
    return verify


STANDARD = [
    r18("read", access(), dev=SYSTEM, cc=0, storage={DATA: SYSTEM_BLOCKS[:BLOCK]}),
    r18("read without SET SECTOR", access(sector=False), dev=SYSTEM, cc=0, storage={DATA: SYSTEM_BLOCKS[:BLOCK]}),
    r18("read record 3 of head 1", access(), place(0, 1, 3), dev=SYSTEM, cc=0,
        storage={DATA: SYSTEM_BLOCKS[8 * BLOCK:9 * BLOCK]}),
    r18("read part of a record", access(count=100), dev=SYSTEM, cc=0, data={DATA: b"." * 200},
        storage={DATA: SYSTEM_BLOCKS[:100] + b"." * 100}),
    r18("read two", TWO, place(0, 0, 2) + place(0, 0, 5), dev=SYSTEM, count=2, cc=0,
        storage={DATA: SYSTEM_BLOCKS[BLOCK:2 * BLOCK] + SYSTEM_BLOCKS[4 * BLOCK:5 * BLOCK]}),
    r18("read two, one seek", SHORT, place(0, 0, 2) + place(0, 0, 5), dev=SYSTEM, count=2, cc=0,
        storage={DATA: SYSTEM_BLOCKS[BLOCK:2 * BLOCK] + SYSTEM_BLOCKS[4 * BLOCK:5 * BLOCK]}),
    r18("read two, SEEK HEAD", HEAD, place(0, 0, 2) + place(0, 1, 1), dev=SYSTEM, count=2, cc=0,
        storage={DATA: SYSTEM_BLOCKS[BLOCK:2 * BLOCK] + SYSTEM_BLOCKS[6 * BLOCK:7 * BLOCK]}),
    r18("R15 greater than the reads", access(), dev=SYSTEM, count=15, cc=0, storage={DATA: SYSTEM_BLOCKS[:BLOCK]}),
    r18("write", access(WRITE), cc=0, data={DATA: b"new" * 683}, verify=contents(0, (b"new" * 683)[:BLOCK])),
    r18("write a short record", access(WRITE, 3), cc=0, data={DATA: b"new"},
        verify=contents(0, b"new".ljust(BLOCK, b"\0"))),
    r18("not attached", access(), dev=0x192, **fails(1, 1)),
    r18("no device number at all", access(), dev=0x10191, **fails(1, 1)),
    r18("a console", access(), dev=CONSOLE, **fails(1, 2)),
    r18("a card reader", access(), dev=READER, **fails(1, 2)),
    r18("write to a read-only disk", access(WRITE), dev=SYSTEM, **fails(1, 3)),
    r18("write to a disk made read-only", access(WRITE), prepare=read_only, **fails(1, 3)),
    r18("cylinder beyond the disk", access(), place(10, 0, 1), **fails(1, 4)),
    r18("cylinder far beyond", access(), place(0xFFFF, 0, 1), **fails(1, 4)),
    r18("busy", access(), prepare=busy, **fails(1, 5)),
    r18("interruption pending", access(), prepare=pending, **fails(1, 5)),
    r18("CCWs not on a doubleword", access(), regs={4: PROGRAM + 4}, **fails(2, 5)),
    r18("CCWs at an odd address", access(), regs={4: PROGRAM + 1}, **fails(2, 5)),
    r18("SEEK argument outside storage", access(argument=NOWHERE), **fails(2, 6)),
    r18("SEARCH argument outside storage", access(search=NOWHERE), **fails(2, 6)),
    r18("SEARCH argument across the end of storage", access(search=MEMORY - 4), **fails(2, 6)),
    r18("neither read nor write", access(0x0E), **fails(2, 7)),
    r18("SENSE", access(0x04), **fails(2, 7)),
    r18("no SEEK at first", [(SEARCH, CC, 5, ARGUMENTS + 2), (TIC, 0, 0, PROGRAM), (READ, SLI, BLOCK, DATA)],
        **fails(2, 7)),
    r18("SEARCH without its TIC", [(SEEK, CC, 6, ARGUMENTS), (SEARCH, CC, 5, ARGUMENTS + 2), (READ, SLI, BLOCK, DATA)],
        **fails(2, 7)),
    r18("a TIC that leads elsewhere", [(SEEK, CC, 6, ARGUMENTS), (SEARCH, CC, 5, ARGUMENTS + 2), (TIC, 0, 0, PROGRAM),
                                       (READ, SLI, BLOCK, DATA)], **fails(2, 7)),
    r18("data chaining", access(flags=CD | SLI), **fails(2, 7)),
    r18("indirect data addresses", access(flags=IDA | SLI), **fails(2, 7)),
    r18("count 0", access(count=0), **fails(2, 8)),
    r18("count 2048 is the limit", access(count=2048, data=DATA), dev=SYSTEM, cc=0),
    r18("count 2049", access(count=2049), **fails(2, 9)),
    r18("count 65535", access(count=65535), **fails(2, 9)),
    r18("buffer outside storage", access(data=NOWHERE), **fails(2, 10)),
    r18("buffer across the end of storage", access(data=MEMORY - 2047), **fails(2, 10)),
    r18("buffer up to the end of storage", access(data=MEMORY - 2048), dev=SYSTEM, cc=0,
        storage={MEMORY - 2048: SYSTEM_BLOCKS[:BLOCK]}),
    r18("R15 is 0", access(), count=0, **fails(2, 11)),
    r18("R15 is 16", access(), count=16, **fails(2, 11)),
    r18("R15 is negative", access(), count=0xFFFFFFFF, **fails(2, 11)),
    r18("R15 less than the reads", TWO, place(0, 0, 2) + place(0, 0, 5), count=1, **fails(2, 11)),
    r18("another cylinder", TWO, place(0, 0, 2) + place(1, 0, 5), count=2, **fails(2, 12)),
    r18("no record of that number", access(), place(0, 0, 7), verify=sense_is(USER, 0, 8),
        storage={0x40: (PROGRAM + 24).to_bytes(4, "big") + b"\x0e\0\0\5"}, **fails(3, 13)),
    r18("a wrong length", access(count=100, flags=0), dev=SYSTEM,
        storage={0x40: (PROGRAM + 40).to_bytes(4, "big") + b"\x0c\x40\0\0"}, **fails(3, 13)),
    r18("no head of that number", access(), place(0, 19, 1), verify=sense_is(USER, 0x80), **fails(3, 13)),
    r18("SEARCH for another cylinder than SEEK", access(search=ARGUMENTS + 10), place(0, 0, 1) + place(1, 0, 1),
        verify=sense_is(USER, 0, 8), **fails(3, 13)),
    Row(0x18, "CCWs outside storage", regs={2: USER, 4: NOWHERE, 15: 1}, program=ADDRESSING),
    r18("31-bit mode", access(), dev=SYSTEM, mode=BITS31, cc=0, storage={DATA: SYSTEM_BLOCKS[:BLOCK]}),
    r18("problem state", access(), mode=BITS64 | PROBLEM, program=PRIVILEGED),
]


def r20(what, entries, dev=USER, **more):
    data = {PROGRAM: ccws(*entries), ARGUMENTS: place(0, 0, 1)} | more.pop("data", {})
    return Row(0x20, what, regs={2: dev, 4: PROGRAM, 15: 0} | more.pop("regs", {}), data=data, **more)


def error(sense):
    return {"cc": 3, "after": {15: 13, 4: PROGRAM & 0xFFFF0000 | sense}}


def cards(vm):
    device(vm, READER).load(["FIRST CARD"])


def no_cards(vm):
    device(vm, READER).load([])


def with_key(vm):
    """Key 5 for the data: only an I/O with that key may store there."""
    vm.keys.set(DATA, 0x50)


GENERAL = [
    r20("read", access(), SYSTEM, cc=0, storage={DATA: SYSTEM_BLOCKS[:BLOCK]}),
    r20("write", access(WRITE), cc=0, data={DATA: b"x" * BLOCK}, verify=contents(0, b"x" * BLOCK)),
    r20("no-operation", [(0x03, SLI, 1, 0)], cc=0),
    r20("data chaining", [*access()[:-1], (READ, CD, 48, DATA), (0, SLI, 16, DATA + 0x100)], SYSTEM, cc=0,
        storage={DATA: SYSTEM_BLOCKS[:48], DATA + 0x100: SYSTEM_BLOCKS[48:64]}),
    r20("a card", [(0x02, 0, 80, DATA)], READER, prepare=cards, cc=0,
        storage={DATA: to_ebcdic("FIRST CARD".ljust(80))}),
    r20("SENSE ID", [(0xE4, SLI, 7, DATA)], cc=0, storage={DATA: bytes.fromhex("ff 3830 02 3330 01")}),
    r20("not attached", access(), 0x777, **fails(1, 1)),
    r20("busy", access(), prepare=busy, **fails(1, 5)),
    r20("interruption pending", access(), prepare=pending, **fails(1, 5)),
    r20("end of file", [(0x02, 0, 80, DATA)], READER, prepare=no_cards, **fails(2, 2)),
    r20("wrong length", access(count=100, flags=0), SYSTEM, storage={DATA: SYSTEM_BLOCKS[:100]}, **fails(2, 3)),
    r20("no cards", [(0x02, 0, 80, DATA)], READER, **error(0x4000)),
    r20("no record found", access(), data={ARGUMENTS: place(0, 0, 9)}, **error(0x0008)),
    r20("write to a read-only disk", access(WRITE), SYSTEM, **error(0x8002)),
    r20("no such command", [(0x77, SLI, 1, DATA)], **error(0x8000)),
    r20("a console", [(0x09, SLI, 1, DATA)], CONSOLE, **error(0)),
    r20("command 0", [(0x00, SLI, 1, DATA)], **error(0)),
    r20("the first CCW is a TIC", [(TIC, 0, 0, PROGRAM + 8), (0x03, SLI, 1, 0)], **error(0)),
    r20("data outside storage", access(data=NOWHERE), SYSTEM, **error(0)),
    r20("a circle of CCWs", [(0x03, CC | SLI, 1, 0), (TIC, 0, 0, PROGRAM)], **error(0)),
    Row(0x20, "CCWs outside storage", regs={2: USER, 4: NOWHERE, 15: 0}, cc=3, after={15: 13, 4: NOWHERE & 0xFFFF0000}),
    Row(0x20, "CCWs not on a doubleword", regs={2: USER, 4: PROGRAM + 4, 15: 0}, cc=3, after={15: 13, 4: PROGRAM}),
    r20("the right key", access(), SYSTEM, regs={4: 0x50000000 | PROGRAM}, prepare=with_key, cc=0,
        storage={DATA: SYSTEM_BLOCKS[:BLOCK]}),
    r20("another key", access(), SYSTEM, regs={4: 0x60000000 | PROGRAM}, prepare=with_key, cc=3,
        after={15: 13, 4: 0x60000000 | PROGRAM & 0xFFFF0000}),
    r20("problem state", access(), mode=BITS64 | PROBLEM, program=PRIVILEGED),
]

ANY = -1 & 0xFFFFFFFF
DEVICE = [
    Row(0x24, "a disk", regs={2: USER, 4: 0, 5: 0}, cc=0, after={4: 0x04100000, 5: 0x041001C0}),
    Row(0x24, "a read-only disk", regs={2: SYSTEM, 4: 0, 5: 0}, cc=0, after={4: 0x04100080, 5: 0x041001C0}),
    Row(0x24, "a busy disk", regs={2: USER, 4: 0, 5: 0}, prepare=busy, cc=0, after={4: 0x04102000, 5: 0x041001C0}),
    Row(0x24, "the console by its number", regs={2: CONSOLE, 4: 0, 5: 0}, cc=0, after={4: 0x80000000, 5: 0x80000050}),
    Row(0x24, "the console wherever it is", regs={2: ANY, 4: 0, 5: 0}, cc=0,
        after={2: CONSOLE, 4: 0x80000000, 5: 0x80000050}),
    Row(0x24, "only low halves of registers change", regs={2: 1 << 40 | ANY, 4: 1 << 40, 5: 1 << 41}, cc=0,
        after={2: 1 << 40 | CONSOLE, 4: 1 << 40 | 0x80000000, 5: 1 << 41 | 0x80000050}),
    Row(0x24, "Ry is 15", ry=15, regs={2: USER, 15: 0}, cc=0, after={15: 0x04100000}),
    Row(0x24, "no real device behind it", regs={2: READER, 4: 0, 5: 7}, cc=2, after={4: 0x20820000}),
    Row(0x24, "no such device", regs={2: 0x192}, cc=3),
    Row(0x24, "no console", regs={2: ANY}, prepare=lambda vm: setattr(device(vm, CONSOLE), "name", "else"), cc=3),
    Row(0x24, "problem state", regs={2: USER}, mode=BITS64 | PROBLEM, program=PRIVILEGED),
]


def show(control, count, address=DATA, command=0x19, flags=SLI):
    return (struct.pack(">I", command << 24 | address) + bytes((flags, control)) + struct.pack(">H", count))


def r58(what, words, **more):
    data = {PROGRAM: words, DATA: to_ebcdic("A LINE OF TEXT".ljust(80) + "THE SECOND").ljust(2000, b"\x40")}
    return Row(0x58, what, regs={2: PROGRAM, 4: CONSOLE} | more.pop("regs", {}), data=data, **more)


def screen(**lines):
    def verify(vm):
        shown = {f"l{i}": text for i, text in enumerate(device(vm, CONSOLE).screen) if text}
        assert shown == lines
    return verify


def written(vm):
    device(vm, CONSOLE).show(7, to_ebcdic("OLD"))


def console_busy(vm):
    subchannel(vm, CONSOLE).scsw.control = 0x4000


def csw(words, device_status, status):
    return {"cc": 1, "storage": {0x40: struct.pack(">IBBH", PROGRAM + 8 * words, device_status, status, 0)}}


DISPLAY = [
    r58("two lines", show(3, 90), cc=0, output=b"A LINE OF TEXT\nTHE SECOND\n",
        verify=screen(l3="A LINE OF TEXT", l4="THE SECOND")),
    r58("the last line", show(21, 80), cc=0, verify=screen(l21="A LINE OF TEXT")),
    r58("a whole screen", show(0, 1760), cc=0, verify=screen(l0="A LINE OF TEXT", l1="THE SECOND")),
    r58("beside what is there", show(1, 14), prepare=written, cc=0, verify=screen(l1="A LINE OF TEXT", l7="OLD")),
    r58("erase first", show(0x81, 14), prepare=written, cc=0, verify=screen(l1="A LINE OF TEXT")),
    r58("clear", show(0xFF, 14), prepare=written, cc=0, output=b"OLD\n", verify=screen()),
    r58("data chaining", show(2, 8, flags=CD | SLI) + show(9, 10, DATA + 80), cc=0, output=b"A LINE OTHE SECOND\n"),
    r58("command chaining", show(2, 14, flags=CC | SLI) + show(5, 10, DATA + 80), cc=0,
        verify=screen(l2="A LINE OF TEXT", l5="THE SECOND")),
    r58("too long for the screen", show(0, 1761), **csw(1, 0, 0x20)),
    r58("does not fit from that line on", show(21, 81), **csw(1, 0x0A, 0)),
    r58("no such line", show(22, 1), **csw(1, 0x0A, 0)),
    r58("another command", show(0, 8, command=0x29), **csw(1, 0x0A, 0)),
    r58("text outside storage", show(0, 8, NOWHERE), **csw(1, 0, 0x20)),
    Row(0x58, "CCW outside storage", regs={2: NOWHERE, 4: CONSOLE}, cc=1,
        storage={0x40: struct.pack(">IHH", NOWHERE, 0x20, 0)}),
    Row(0x58, "CCW not on a doubleword", regs={2: PROGRAM + 4, 4: CONSOLE}, data={PROGRAM + 4: show(0, 8)}, cc=1),
    r58("a chain without end", show(0, 0, flags=CC | SLI) * 200, cc=1),
    r58("busy", show(0, 8), prepare=console_busy, cc=2),
    r58("no such device", show(0, 8), regs={4: 0x1F}, cc=3),
    r58("a disk", show(0, 8), regs={4: USER}, cc=3),
    r58("problem state", show(0, 8), mode=BITS64 | PROBLEM, program=PRIVILEGED),
]

ROWS = [*STANDARD, *GENERAL, *DEVICE, *DISPLAY]

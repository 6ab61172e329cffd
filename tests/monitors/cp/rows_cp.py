"""Rows of the DIAGNOSE table: the codes that are not about devices."""
from __future__ import annotations

from functools import partial

from pvlab.machine.s390x.storage import PAGE
from pvlab.monitors.cp import Cp, ebcdic
from pvlab.monitors.cp.vm import EPOCH
from monitors.cp.table import AFTER, BITS24, BITS31, BITS64, MEMORY, PROBLEM, UNTOUCHED, Row

AREA, AREA2 = 0x8000, 0x9000
BEYOND = MEMORY
HIGH = 0x7FFF_FFFF_FFFF_F000
PRIVILEGED, ADDRESSING, SPECIFICATION = 2, 5, 6
text = ebcdic.encode


def word(value: int, register: int = 4) -> int:
    """A register of which a code writes the low 32 bits only."""
    return (UNTOUCHED + register) & ~0xFFFFFFFF | value


# ------------------------------------------------------------------------------------------------ X'00'
_RECORD = (text("PVLAB CP") + bytes((0, 6, 0, 0xFF)) + bytes(4) + text("PVLAB   ") + (1 << 63).to_bytes(8, "big")
           + bytes(8))
R00 = [
    Row(0x00, "the whole record", regs={2: AREA, 4: 40}, after={4: 0}, storage={AREA: _RECORD + bytes(8)}),
    Row(0x00, "32 bytes as VM 370 had them", regs={2: AREA, 4: 32}, after={4: 0},
        storage={AREA: _RECORD[:32] + bytes(8)}),
    Row(0x00, "only the name", regs={2: AREA, 4: 8}, after={4: 0}, storage={AREA: text("PVLAB CP") + bytes(8)}),
    Row(0x00, "one byte", regs={2: AREA, 4: 1}, after={4: 0}, storage={AREA: text("P") + bytes(7)}),
    Row(0x00, "room for five levels, one there", regs={2: AREA, 4: 200}, after={4: 160}),
    Row(0x00, "registers 31 bits wide", mode=BITS31, regs={2: 0xFFFFFFFF80000000 | AREA, 4: 40}, after={4: 0},
        storage={AREA: _RECORD}),
    Row(0x00, "24-bit addressing cuts the address", mode=BITS24, regs={2: 0xFF000000 | AREA, 4: 40}, after={4: 0},
        storage={AREA: _RECORD}),
    Row(0x00, "length 0", regs={2: AREA, 4: 0}, program=SPECIFICATION),
    Row(0x00, "length below 0", regs={2: AREA, 4: -8}, program=SPECIFICATION),
    Row(0x00, "not on a doubleword", regs={2: AREA + 4, 4: 40}, program=SPECIFICATION, storage={AREA: bytes(48)}),
    Row(0x00, "outside storage", regs={2: BEYOND, 4: 40}, program=ADDRESSING),
    Row(0x00, "half outside storage", regs={2: BEYOND - 16, 4: 40}, program=ADDRESSING,
        storage={BEYOND - 16: bytes(16)}),
    Row(0x00, "problem state", mode=BITS64 | PROBLEM, regs={2: AREA, 4: 40}, program=PRIVILEGED,
        storage={AREA: bytes(40)}),
]

# ------------------------------------------------------------------------------------------------ X'08'
_QUERY = text("QUERY USERID")
_WHO = "PVLAB\n"


def command(line: bytes = _QUERY, flags: int = 0, size: int | None = None, **registers: int) -> dict:
    """Registers and storage for a command at AREA; with a buffer, Rx+1 and Ry+1 of registers 2 and 4."""
    size = len(line) if size is None else size
    return {"regs": {2: AREA, 4: flags << 24 | size} | {int(name[1:]): value for name, value in registers.items()},
            "data": {AREA: line} if line else {}}


R08 = [
    Row(0x08, "the answer on the console", **command(), after={4: 0}, output=_WHO.encode()),
    Row(0x08, "passwords refused makes no difference here", **command(flags=0x80), after={4: 0}, output=_WHO.encode()),
    Row(0x08, "the answer in a buffer", **command(flags=0x40, r3=AREA2, r5=100), cc=0,
        after={4: 0, 5: len(_WHO)}, storage={AREA2: text(_WHO) + bytes(8)}, output=b""),
    Row(0x08, "the answer fits exactly", **command(flags=0x40, r3=AREA2, r5=len(_WHO)), cc=0, after={4: 0,
        5: len(_WHO)}),
    Row(0x08, "one byte does not fit", **command(flags=0x40, r3=AREA2, r5=len(_WHO) - 1), cc=1, after={4: 0, 5: 1},
        storage={AREA2: text(_WHO)[:-1] + bytes(8)}),
    Row(0x08, "a buffer of no length", **command(flags=0x40, r3=AREA2, r5=0), cc=1, after={4: 0, 5: len(_WHO)},
        storage={AREA2: bytes(8)}),
    Row(0x08, "the greatest buffer", **command(flags=0x40, r3=AREA2, r5=8192), cc=0, after={4: 0, 5: len(_WHO)}),
    Row(0x08, "beyond the greatest buffer", **command(flags=0x40, r3=AREA2, r5=8193), program=SPECIFICATION),
    Row(0x08, "an unknown command", **command(text("FROBNICATE")), after={4: 1}),
    Row(0x08, "an unknown command, into a buffer", **command(text("FROBNICATE"), flags=0x40, r3=AREA2, r5=200), cc=0,
        verify=lambda vm: _starts(vm, AREA2, "DMKCFC001E"), after={4: 1, 5: 27}),
    Row(0x08, "two commands", **command(_QUERY + b"\x15" + _QUERY), after={4: 0}, output=2 * _WHO.encode()),
    Row(0x08, "length 0 does nothing", **command(size=0), output=b""),
    Row(0x08, "240 characters", **command(_QUERY.ljust(240, b"\x40")), after={4: 0}, output=_WHO.encode()),
    Row(0x08, "beyond 240 characters", **command(_QUERY.ljust(241, b"\x40")), program=SPECIFICATION),
    Row(0x08, "buffer and Rx 15", rx=15, regs={15: AREA, 4: 0x4000000C, 5: 10}, program=SPECIFICATION),
    Row(0x08, "buffer and Ry 15", ry=15, regs={2: AREA, 15: 0x4000000C}, program=SPECIFICATION),
    Row(0x08, "buffer and overlapping pairs", ry=3, regs={2: AREA, 3: 0x4000000C}, program=SPECIFICATION),
    Row(0x08, "buffer and the same pair", ry=2, regs={2: 0x4000000C}, program=SPECIFICATION),
    Row(0x08, "odd pairs are allowed", rx=5, ry=9, regs={5: AREA, 6: AREA2, 9: 0x4000000C, 10: 100},
        data={AREA: _QUERY}, cc=0, after={9: 0, 10: len(_WHO)}, storage={AREA2: text(_WHO)}),
    Row(0x08, "without a buffer Rx may be 15", rx=15, regs={15: AREA, 4: 12}, data={AREA: _QUERY}, after={4: 0}),
    Row(0x08, "command outside storage", regs={2: BEYOND, 4: 12}, program=ADDRESSING, output=b""),
    Row(0x08, "buffer outside storage", **command(flags=0x40, r3=BEYOND - 8, r5=16), program=ADDRESSING),
    Row(0x08, "problem state", mode=BITS64 | PROBLEM, **command(), program=PRIVILEGED, output=b""),
]


def _starts(vm, at: int, what: str) -> None:
    assert ebcdic.decode(vm.absolute.read(at, len(what))) == what


# The low words only are CP's.
R08 = [row if not row.after else Row(**{**row.__dict__, "after": {
    n: (row.regs.get(n, UNTOUCHED + n) & ~0xFFFFFFFF) | v for n, v in row.after.items()}}) for row in R08]

# ------------------------------------------------------------------------------------------------ X'0C', X'60', X'70'
R0C = [
    Row(0x0C, "date, time and CPU time", regs={2: AREA}, storage={AREA: text("08/02/7200:00:00") + bytes(16 + 8)}),
    Row(0x0C, "half a day later", regs={2: AREA}, prepare=lambda vm: vm.set_tod(vm.tod + (45_296_000_000 << 12)),
        storage={AREA: text("08/02/7212:34:56")}),
    Row(0x0C, "CPU time in microseconds, both the same", regs={2: AREA},
        prepare=lambda vm: setattr(vm.machine.state, "instructions", 12_345_678),
        storage={AREA + 16: 2 * (12_345).to_bytes(8, "big")}),
    Row(0x0C, "not on a doubleword", regs={2: AREA + 2}, program=SPECIFICATION, storage={AREA: bytes(40)}),
    Row(0x0C, "outside storage", regs={2: BEYOND}, program=ADDRESSING),
    Row(0x0C, "half outside storage", regs={2: BEYOND - 8}, program=ADDRESSING, storage={BEYOND - 8: bytes(8)}),
    Row(0x0C, "far outside storage", regs={2: HIGH}, program=ADDRESSING),
    Row(0x0C, "problem state", mode=BITS64 | PROBLEM, regs={2: AREA}, program=PRIVILEGED, storage={AREA: bytes(32)}),
]
R60 = [
    Row(0x60, "the size", after={2: word(MEMORY, 2)}),
    Row(0x60, "any register, the same one twice", rx=9, ry=9, after={9: word(MEMORY, 9)}),
    Row(0x60, "24-bit addressing", mode=BITS24, after={2: word(MEMORY, 2)}),
    Row(0x60, "problem state", mode=BITS64 | PROBLEM, program=PRIVILEGED),
]


def _accounted(vm) -> None:
    """At the last dispatch so much had been used, and it was that time."""
    used, dispatched = (vm.absolute.load(AREA + i, 8) for i in (0, 8))
    assert 0 < used <= vm.busy * 512 // 125 and EPOCH < dispatched <= vm.tod and dispatched - EPOCH == used


R70 = [
    Row(0x70, "kept from now on", regs={2: AREA}, verify=_accounted),
    Row(0x70, "address 0 ends it", regs={2: 0}, prepare=lambda vm: setattr(vm, "accounting", AREA),
        verify=lambda vm: _equal(vm.accounting, None)),
    Row(0x70, "not on a doubleword", regs={2: AREA + 4}, program=SPECIFICATION, storage={AREA: bytes(32)}),
    Row(0x70, "outside storage", regs={2: BEYOND}, program=ADDRESSING),
    Row(0x70, "half outside storage", regs={2: BEYOND - 8}, program=ADDRESSING),
    Row(0x70, "problem state", mode=BITS64 | PROBLEM, regs={2: AREA}, program=PRIVILEGED, storage={AREA: bytes(16)}),
]


def _equal(found, wanted) -> None:
    assert found == wanted


# ------------------------------------------------------------------------------------------------ X'10'
_FULL = b"\xAA" * PAGE
R10 = [
    Row(0x10, "one page", regs={2: 0x20000, 4: 0x20000}, data={0x20000: _FULL * 2},
        storage={0x20000: bytes(PAGE) + b"\xAA" * 8}),
    Row(0x10, "three pages", regs={2: 0x20000, 4: 0x22000}, data={0x20000: _FULL * 4},
        storage={0x20000: bytes(3 * PAGE) + b"\xAA" * 8}),
    Row(0x10, "the last page of storage", regs={2: MEMORY - PAGE, 4: MEMORY - PAGE}, data={MEMORY - PAGE: _FULL},
        storage={MEMORY - PAGE: bytes(PAGE)}),
    Row(0x10, "a page on CP's disk", regs={2: 0x20000, 4: 0x20000}, monitor=partial(Cp, frames=16),
        data={0x20000: _FULL, 0x40000: b"\1" * 20 * PAGE}, storage={0x20000: bytes(PAGE)},
        verify=lambda vm: _equal(0x20000 in vm.pager.paged_out, False)),
    Row(0x10, "first not on a page", regs={2: 0x20008, 4: 0x21000}, data={0x20000: _FULL}, program=SPECIFICATION,
        storage={0x20000: _FULL}),
    Row(0x10, "last not on a page", regs={2: 0x20000, 4: 0x21008}, data={0x20000: _FULL}, program=SPECIFICATION,
        storage={0x20000: _FULL}),
    Row(0x10, "last below first", regs={2: 0x21000, 4: 0x20000}, program=SPECIFICATION),
    Row(0x10, "page 0", regs={2: 0, 4: 0}, program=SPECIFICATION),
    Row(0x10, "page 1", regs={2: PAGE, 4: 2 * PAGE}, program=SPECIFICATION),
    Row(0x10, "outside storage", regs={2: BEYOND, 4: BEYOND}, program=ADDRESSING),
    Row(0x10, "up to outside storage", regs={2: MEMORY - PAGE, 4: MEMORY}, data={MEMORY - PAGE: _FULL},
        program=ADDRESSING, storage={MEMORY - PAGE: _FULL}),
    Row(0x10, "far outside storage", regs={2: 0x20000, 4: HIGH}, program=ADDRESSING),
    Row(0x10, "problem state", mode=BITS64 | PROBLEM, regs={2: 0x20000, 4: 0x20000}, data={0x20000: _FULL},
        program=PRIVILEGED, storage={0x20000: _FULL}),
]

# ------------------------------------------------------------------------------------------------ X'44', X'9C'
# Two CPUs: the other one stores at AREA and stops itself; who gives way finds that done.
OTHER = 0x11000
def _two(vm, running: bool = True) -> None:
    """CPU 1 is at OTHER: it stores X'77' at AREA, or more if CPU 0 went on before it, and stops."""
    from pvlab.machine.s390x.psw import Psw
    other = vm.cpus[1]

    def start():
        vm.load_psw(Psw(BITS64, OTHER))
    vm.on_cpu(other, start)
    other.running = running


# llilf %r1, AREA; l %r0, AFTER_CC; ahi %r0, 0x77; st %r0, 0(%r1); lhi %r2, 1; sigp %r0, %r2, 5
_STORE = bytes.fromhex("c01f00008000 58000980 a70a0077 50001000 a7280001 ae020005")
_DONE, _LATER, _NOT = {AREA: bytes((0, 0, 0, 0x77))}, {AREA: bytes((0x20, 0, 0, 0x77))}, {AREA: bytes(4)}
_two_cpus = {"monitor": partial(Cp, cpus=2), "data": {OTHER: _STORE}}
R44 = [
    Row(0x44, "alone", verify=lambda vm: _equal(vm.yielded, None)),
    Row(0x44, "the other CPU runs", **_two_cpus, prepare=_two, storage=_DONE),
    Row(0x44, "the other CPU is stopped", **_two_cpus, prepare=partial(_two, running=False), storage=_NOT),
    Row(0x44, "problem state", mode=BITS64 | PROBLEM, program=PRIVILEGED),
]
R9C = [
    Row(0x9C, "to the other CPU", regs={2: 1}, **_two_cpus, prepare=_two, storage=_DONE),
    Row(0x9C, "to itself", regs={2: 0}, verify=lambda vm: _equal(vm.yielded, None)),
    Row(0x9C, "to a CPU that is stopped", regs={2: 1}, **_two_cpus, prepare=partial(_two, running=False), storage=_NOT),
    Row(0x9C, "to a CPU that there is not", regs={2: 5}, **_two_cpus, prepare=_two, storage=_LATER),
    Row(0x9C, "problem state", mode=BITS64 | PROBLEM, regs={2: 1}, program=PRIVILEGED),
]


# ------------------------------------------------------------------------------------------------ X'64'
_SEGMENT = b"\xC7" * PAGE
_segments = {"monitor": lambda: Cp(segments={"WITHIN": (0x300000, _SEGMENT), "BEYOND": (MEMORY + (1 << 20), _SEGMENT),
                                             "SAME": (0x300000, b"\xC8" * 2 * PAGE)})}


def segment(name: str, function: int, **more) -> dict:
    return {**_segments, "regs": {2: AREA, 4: function}, "data": {AREA: text(name.ljust(8)), **more.pop("data", {})},
        **more}


def _loaded(*names: str, shared: bool = True):
    def prepare(vm):
        for name in names:
            address, content = vm.segments[name]
            if address >= vm.absolute.size:
                vm.machine.attach(address, address + len(content))
            vm.absolute.write(address, content)
            vm.loaded_segments[name] = shared
    return prepare


_OUT = MEMORY + (1 << 20)
R64 = [
    Row(0x64, "LOADSYS beyond storage", **segment("BEYOND", 0), cc=0, after={2: word(_OUT, 2)},
        verify=lambda vm: _equal(vm.absolute.read(_OUT, PAGE), _SEGMENT)),
    Row(0x64, "LOADSYS within storage", **segment("WITHIN", 0), cc=1,
        after={2: word(0x300000, 2), 4: word(0x300FFF)}, storage={0x300000: _SEGMENT}),
    Row(0x64, "LOADSYS not shared", **segment("WITHIN", 4), cc=1, after={2: word(0x300000, 2), 4: word(0x300FFF)},
        verify=lambda vm: _equal(vm.loaded_segments, {"WITHIN": False})),
    Row(0x64, "LOADSYS of what overlays another", **segment("SAME", 0, prepare=_loaded("WITHIN")), cc=1,
        after={2: word(0x300000, 2), 4: word(0x301FFF)}, verify=lambda vm: _equal(list(vm.loaded_segments), ["SAME"])),
    Row(0x64, "LOADSYS of what there is not", **segment("NOWHERE", 0), cc=2, after={4: word(44)}),
    Row(0x64, "PURGESYS", **segment("WITHIN", 8, prepare=_loaded("WITHIN")), cc=0, storage={0x300000: _SEGMENT},
        verify=lambda vm: _equal(vm.loaded_segments, {})),
    Row(0x64, "PURGESYS of what was not shared", **segment("WITHIN", 8, prepare=_loaded("WITHIN", shared=False)), cc=0,
        storage={0x300000: bytes(PAGE)}),
    Row(0x64, "PURGESYS beyond storage", **segment("BEYOND", 8, prepare=_loaded("BEYOND")), cc=0,
        verify=lambda vm: _equal(vm.machine.ram.holds(_OUT, 1), False)),
    Row(0x64, "PURGESYS of what is not loaded", **segment("WITHIN", 8), cc=1),
    Row(0x64, "PURGESYS of what there is not", **segment("NOWHERE", 8), cc=2, after={4: word(44)}),
    Row(0x64, "FINDSYS loaded", **segment("WITHIN", 12, prepare=_loaded("WITHIN")), cc=0,
        after={2: word(0x300000, 2), 4: word(0x300FFF)}),
    Row(0x64, "FINDSYS not loaded", **segment("BEYOND", 12), cc=1, after={2: word(_OUT, 2), 4: word(_OUT + 0xFFF)}),
    Row(0x64, "FINDSYS of what there is not", **segment("NOWHERE", 12), cc=2, after={4: word(44)}),
    Row(0x64, "another function", **segment("WITHIN", 16), program=SPECIFICATION),
    Row(0x64, "name not on a doubleword", **_segments, regs={2: AREA + 4, 4: 0}, program=SPECIFICATION),
    Row(0x64, "name outside storage", **_segments, regs={2: BEYOND, 4: 0}, program=ADDRESSING),
    Row(0x64, "problem state", **segment("WITHIN", 0, mode=BITS64 | PROBLEM), program=PRIVILEGED,
        storage={0x300000: bytes(16)}),
]
R64 = [row if not row.after else Row(**{**row.__dict__, "after": {
    n: row.regs[n] & ~0xFFFFFFFF | v & 0xFFFFFFFF for n, v in row.after.items()}}) for row in R64]

# ------------------------------------------------------------------------------------------------ X'258'


def block(function: int = 0, code: int = 0x258, length: int = 5, version: int = 2, token: int = AREA2, select: int = 0,
          compare: int = 0, zarch: int = 1 << 63) -> bytes:
    return b"".join(n.to_bytes(2, "big") for n in (code, function, length, version)) + b"".join(
        n.to_bytes(8, "big") for n in (token, select, compare, zarch))


CANCEL = block(1, token=0, zarch=0)


def page_reference(content: bytes, **more) -> dict:
    return {"regs": {2: AREA}, "data": {AREA: content}, **more}


def _active(vm) -> None:
    from pvlab.monitors.cp.paging import Handshake
    vm.handshake = Handshake(AREA2, 0, 0)


R258 = [
    Row(0x258, "a token", **page_reference(block()), after={4: 0}, verify=lambda vm: _equal(vm.handshake.token, AREA2)),
    Row(0x258, "a token, longer block", **page_reference(block(length=6)), after={4: 0}),
    Row(0x258, "select and compare", **page_reference(block(select=3 << 48, compare=1 << 48)), after={4: 0},
        verify=lambda vm: _equal(vm.handshake[1:], (3 << 48, 1 << 48))),
    Row(0x258, "a second token", **page_reference(block(), prepare=_active), after={4: 8}),
    Row(0x258, "cancelled", **page_reference(CANCEL, prepare=_active), after={4: 0},
        verify=lambda vm: _equal(vm.handshake, None)),
    Row(0x258, "nothing to cancel", **page_reference(CANCEL), after={4: 4}),
    Row(0x258, "cancelling with a token", **page_reference(block(1, zarch=0), prepare=_active), program=SPECIFICATION),
    Row(0x258, "cancelling with masks", **page_reference(block(1, token=0, select=1, zarch=0)), program=SPECIFICATION),
    Row(0x258, "cancelling with the z bit", **page_reference(block(1, token=0)), program=SPECIFICATION),
    Row(0x258, "another code in the block", **page_reference(block(code=0xC0FE)), program=SPECIFICATION),
    Row(0x258, "another function", **page_reference(block(2)), program=SPECIFICATION),
    Row(0x258, "too short", **page_reference(block(length=4)), program=SPECIFICATION),
    Row(0x258, "another version", **page_reference(block(version=1)), program=SPECIFICATION),
    Row(0x258, "not for z Architecture", **page_reference(block(zarch=0)), program=SPECIFICATION),
    Row(0x258, "compared but not selected", **page_reference(block(select=1, compare=3)), program=SPECIFICATION),
    Row(0x258, "token not on a doubleword", **page_reference(block(token=AREA2 + 4)), program=SPECIFICATION),
    Row(0x258, "token outside storage", **page_reference(block(token=BEYOND)), program=ADDRESSING),
    Row(0x258, "block not on a doubleword", regs={2: AREA + 4}, program=SPECIFICATION),
    Row(0x258, "block outside storage", regs={2: BEYOND}, program=ADDRESSING),
    Row(0x258, "block half outside storage", regs={2: BEYOND - 8}, data={BEYOND - 8: block()[:8]}, program=ADDRESSING),
    Row(0x258, "block at the end of addresses", regs={2: -16}, program=ADDRESSING),
    Row(0x258, "problem state", **page_reference(block(), mode=BITS64 | PROBLEM), program=PRIVILEGED,
        verify=lambda vm: _equal(vm.handshake, None)),
]

# ------------------------------------------------------------------------------------------------ X'288'


def bomb(function: int, seconds: int = 15, action: int = 0, **more) -> dict:
    return {"regs": {2: function, 3: seconds, 4: action}, **more}


def _set_bomb(vm) -> None:
    vm.bomb = object()


_BITTEN = "halted", "d120"             # the row's disabled wait is restarted

R288 = [
    Row(0x288, "set", **bomb(0), ends=_BITTEN, verify=lambda vm: _equal(vm.now // 10**9, 15)),
    Row(0x288, "set again", **bomb(0, 16, prepare=_set_bomb), ends=_BITTEN, verify=lambda vm: _equal(vm.now // 10**9,
        16)),
    Row(0x288, "changed", **bomb(1, 20, prepare=_set_bomb), ends=_BITTEN, verify=lambda vm: _equal(vm.now // 10**9,
        20)),
    Row(0x288, "cancelled", **bomb(2, 0, prepare=_set_bomb), verify=lambda vm: _equal((vm.bomb, vm.next_event()), (None,
        None))),
    Row(0x288, "nothing to change", **bomb(1), program=SPECIFICATION),
    Row(0x288, "nothing to cancel", **bomb(2), program=SPECIFICATION),
    Row(0x288, "fewer than 15 seconds", **bomb(0, 14), program=SPECIFICATION, verify=lambda vm: _equal(vm.bomb, None)),
    Row(0x288, "no seconds", **bomb(0, 0), program=SPECIFICATION),
    Row(0x288, "seconds beyond all limits", **bomb(0, -1), program=SPECIFICATION),
    Row(0x288, "another action", **bomb(0, action=42), program=SPECIFICATION),
    Row(0x288, "another function", **bomb(42), program=SPECIFICATION),
    Row(0x288, "Rx odd", rx=3, regs={3: 0, 4: 15}, ry=5, program=SPECIFICATION),
    Row(0x288, "problem state", **bomb(0, mode=BITS64 | PROBLEM), program=PRIVILEGED),
]

# ------------------------------------------------------------------------------------------------ X'308'
_PARAMETERS = (0x40).to_bytes(4, "big") + bytes(range(4, 0x40))
# What a reset goes on with, at 12000: lghi %r3, 0x42; stg %r3, AFTER; lpswe END_PSW
_AGAIN = bytes.fromhex("a7390042 e33009000024 b2b208a0")


def _ipl_psw(vm) -> None:
    """Absolute 0: an eight-byte PSW."""
    vm.absolute.write(0, (0x0008000180000000 | 0x12000).to_bytes(8, "big"))


R308 = [
    Row(0x308, "reset", regs={4: 1}, data={0x12000: _AGAIN}, prepare=_ipl_psw, storage={AFTER: bytes(7) + b"\x42"},
        ends=("halted", "1234"), verify=lambda vm: _equal(vm.regs[5], UNTOUCHED + 5)),
    Row(0x308, "reset with clear", regs={4: 0}, data={0x12000: _AGAIN}, prepare=_ipl_psw,
        storage={AFTER: bytes(7) + b"\x42"}, ends=("halted", "1234"), verify=lambda vm: _equal(vm.regs[5], 0)),
    Row(0x308, "reset to no short PSW", regs={4: 1}, ends=("halted", "d150")),
    Row(0x308, "load with clear", regs={4: 3}, ends=("shutdown", "subcode 3")),
    Row(0x308, "load", regs={4: 4}, ends=("shutdown", "subcode 4")),
    Row(0x308, "set", regs={2: AREA, 4: 5}, data={AREA: _PARAMETERS}, after={3: 1},
        verify=lambda vm: _equal(vm.ipl_parameters, _PARAMETERS)),
    Row(0x308, "set, length 0", regs={2: AREA, 4: 5}, after={3: 0x402}, verify=lambda vm: _equal(vm.ipl_parameters,
        None)),
    Row(0x308, "set, too long", regs={2: AREA, 4: 5}, data={AREA: (4097).to_bytes(4, "big")}, after={3: 0x402}),
    Row(0x308, "set, Rx odd", rx=3, regs={3: AREA, 4: 5}, program=SPECIFICATION),
    Row(0x308, "set, not on a page", regs={2: AREA + 8, 4: 5}, program=SPECIFICATION),
    Row(0x308, "set, outside storage", regs={2: BEYOND, 4: 5}, program=ADDRESSING),
    Row(0x308, "store", regs={2: AREA, 4: 6}, prepare=lambda vm: setattr(vm, "ipl_parameters", _PARAMETERS),
        after={3: 1},
        storage={AREA: _PARAMETERS}),
    Row(0x308, "store, none there", regs={2: AREA, 4: 6}, after={3: 0x102}, storage={AREA: bytes(16)}),
    Row(0x308, "store, Rx odd", rx=3, regs={3: AREA, 4: 6}, program=SPECIFICATION),
    Row(0x308, "store, not on a page", regs={2: AREA + 8, 4: 6}, program=SPECIFICATION),
    Row(0x308, "store, outside storage", regs={2: BEYOND, 4: 6}, program=ADDRESSING),
    *(Row(0x308, f"subcode {subcode:x}", regs={4: subcode}, program=SPECIFICATION)
      for subcode in (2, 7, 8, 0x101, 0xFFFF, 0x10001, (1 << 64) - 1)),
    Row(0x308, "problem state", mode=BITS64 | PROBLEM, regs={4: 3}, program=PRIVILEGED),
]

# ------------------------------------------------------------------------------------------------ X'500'
R500 = [
    Row(0x500, "early printk", rx=0, ry=0, regs={1: 0, 2: AREA}, data={AREA: b"hello\n\0more"}, after={2: 0},
        output=b"hello\n"),
    Row(0x500, "early printk of nothing", rx=0, ry=0, regs={1: 0, 2: AREA}, after={2: 0}, output=b""),
    Row(0x500, "early printk outside storage", rx=0, ry=0, regs={1: 0, 2: BEYOND}, after={2: -22}, output=b""),
    Row(0x500, "early printk across the end of storage", rx=0, ry=0, regs={1: 0, 2: BEYOND - 2},
        data={BEYOND - 2: b"ab"},
        after={2: -22}, output=b""),
    Row(0x500, "notify a subchannel without virtio", rx=0, ry=0, regs={1: 3, 2: 0x10000, 3: 0, 4: 0}, after={2: -22}),
    Row(0x500, "storage limit", rx=0, ry=0, regs={1: 4}, after={2: MEMORY}),
    *(Row(0x500, f"subcode {subcode:x}", rx=0, ry=0, regs={1: subcode}, program=SPECIFICATION)
      for subcode in (1, 2, 5, 0x100000003)),
    Row(0x500, "problem state", rx=0, ry=0, mode=BITS64 | PROBLEM, regs={1: 4}, program=PRIVILEGED),
]

# -------------------------------------------------------------------------------- codes that there are not
UNKNOWN = [
    *(Row(code, "unknown", program=SPECIFICATION) for code in (0x04, 0x07, 0x4C, 0x100, 0x1FC, 0x210, 0x501, 0xFFC)),
    Row(0x4C, "unknown, problem state", mode=BITS64 | PROBLEM, program=PRIVILEGED),
]

ROWS = [*R00, *R08, *R0C, *R10, *R44, *R60, *R64, *R70, *R9C, *R258, *R288, *R308, *R500, *UNKNOWN]

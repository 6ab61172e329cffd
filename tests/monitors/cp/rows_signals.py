"""Rows for what CPUs, the service processor and interruptions do."""
from __future__ import annotations

from functools import partial

from monitors.cp.rows_instructions import (ADDRESSING, AREA, BEYOND, OPERATION, PRIVILEGED, SPECIFICATION, at, both, cr,
    equal, u)
from monitors.cp.table import BITS64, CALL, MEMORY, PROBLEM, Row
from pvlab.machine.s390x import psw
from pvlab.monitors.cp import Cp, ebcdic

_text = ebcdic.encode

# ------------------------------------------------------------------------------------------------ SIGP
_SP = {1: 0, 3: 0}
_other = partial(Cp, cpus=2)


def _stopped(vm) -> None:
    vm.cpus[1].running = False


SIGP = [
    at("sigp sense of itself", insn="ae230001", regs=_SP, cc=0),
    at("sigp sense of a stopped CPU", insn="ae230001", regs={2: 0, 3: 1}, monitor=_other, cc=1, after={2: 0x40}),
    at("sigp to no CPU", insn="ae230001", regs={3: 7}, cc=3),
    at("sigp of no order", insn="ae2300ff", regs={2: 0, 3: 0}, cc=1, after={2: 2}),
    at("sigp set architecture", insn="ae230012", regs={2: 0, 3: 0}, cc=1, after={2: 0x100}),
    at("sigp emergency signal", insn="ae230003", regs={3: 1}, monitor=_other, cc=0,
       verify=lambda vm: equal(vm.cpus[1].emergencies, {0})),
    at("sigp external call", insn="ae230002", regs={3: 1}, monitor=_other, cc=0,
       verify=lambda vm: equal(vm.cpus[1].caller, 0)),
    at("sigp external call, one pending", insn="ae230002", regs={2: 0, 3: 1}, monitor=_other, cc=1, after={2: 0x80},
       prepare=lambda vm: setattr(vm.cpus[1], "caller", 0)),
    at("sigp stop of itself", insn="ae230005", regs={3: 0}, ends=("shutdown", "stopped")),
    at("sigp stop of the other", insn="ae230005", regs={3: 1}, monitor=_other, cc=0,
       verify=lambda vm: equal(vm.cpus[1].running, False)),
    at("sigp restart of itself", insn="ae230006", regs={3: 0}, ends=("halted", "d120")),
    at("sigp start", insn="ae230004", regs={3: 1}, monitor=_other, cc=0,
       prepare=lambda vm: vm.on_cpu(vm.cpus[1], lambda: vm.load_psw(psw.Psw(1 << 49 | BITS64, 0x5678))),
       verify=lambda vm: equal(vm.cpus[1].running, True)),
    at("sigp stop and store status", insn="ae230009", regs={3: 1}, monitor=_other, cc=0),
    at("sigp stop and store status of itself", insn="ae230009", regs={3: 0, 5: 0x5555}, ends=("shutdown", "stopped"),
       storage={0x1280 + 40: u(0x5555, 8), 0x1300: u(BITS64, 8) + u(CALL + 4, 8)}),
    at("sigp initial reset of itself", insn="ae23000b", regs={3: 0}, ends=("shutdown", "stopped")),
    at("sigp reset of the other", insn="ae23000c", regs={3: 1}, monitor=_other, cc=0,
       prepare=lambda vm: setattr(vm.cpus[1], "caller", 0),
       verify=lambda vm: equal(vm.cpus[1].caller, None)),
    at("sigp set prefix", insn="ae24000d", regs={2: 0, 4: 1, 3: 0x20000}, monitor=_other, cc=0,
       verify=lambda vm: vm.on_cpu(vm.cpus[1], lambda: equal(vm.env.prefix, 0x20000))),
    at("sigp set prefix beyond storage", insn="ae24000d", regs={2: 0, 4: 1, 3: BEYOND}, monitor=_other, cc=1,
       after={2: 0x100}),
    at("sigp set prefix of a CPU that runs", insn="ae24000d", regs={2: 0, 4: 0, 3: 0x20000}, cc=1, after={2: 0x200}),
    at("sigp store status", insn="ae24000e", regs={2: 0, 4: 1, 3: AREA}, monitor=_other, cc=0,
       verify=lambda vm: equal(vm.absolute.load(AREA + 0x180, 8), 0xE0)),
    at("sigp store status of a CPU that runs", insn="ae24000e", regs={2: 0, 4: 0, 3: AREA}, cc=1, after={2: 0x200}),
    at("sigp conditional emergency, disabled", insn="ae230013", regs={3: 0}, cc=0),
    at("sigp conditional emergency, in this space", insn="ae240013", regs={2: 0, 4: 0, 3: 0},
       mode=BITS64 | psw.EXTERNAL | psw.IO, cc=0),
    at("sigp conditional emergency, in another space", insn="ae240013", regs={2: 0, 4: 0, 3: 7},
       mode=BITS64 | psw.EXTERNAL | psw.IO, cc=1, after={2: 0x200}),
    at("sigp sense running", insn="ae230015", regs={3: 0}, cc=0),
    at("sigp in the problem state", insn="ae230001", regs=_SP, mode=BITS64 | PROBLEM, program=PRIVILEGED),
]

# ------------------------------------------------------------------------------------------------ SERVC
_READ = 0x00020001


def sclp(what: str, command: int, content: bytes, answer: int, reads: bytes = b"", **more) -> Row:
    """A service call with its block at AREA."""
    storage = {AREA + 6: u(answer, 2)} | ({AREA + 8: reads} if reads else {})
    return at(f"servc {what}", insn="b2200012", regs={1: command, 2: AREA}, data={AREA: content}, cc=0, storage=storage,
        **more)


def header(size: int, function: int = 0) -> bytes:
    return u(size, 2) + bytes((function,)) + bytes(5)


def message(*lines: str) -> bytes:
    objects = u(8, 2) + u(1, 2) + bytes(4) + b"".join(
        u(10 + len(line), 2) + u(4, 2) + bytes(6) + _text(line) for line in lines)
    block = u(12 + len(objects), 2) + u(1, 2) + b"\xD4\xC4\xC2\x40" + u(1, 4) + objects
    event = u(6 + len(block), 2) + bytes((2, 0, 0, 0)) + block
    return header(8 + len(event)) + event


def ascii_event(content: bytes) -> bytes:
    event = u(6 + len(content), 2) + bytes((0x1A, 0, 0, 0)) + content
    return header(8 + len(event)) + event


def mask(receive: int, send: int, size: int = 4) -> bytes:
    return header(12 + 4 * size) + bytes(2) + u(size, 2) + u(receive, size) + u(send, size) + bytes(2 * size)


def _sends(value: int):
    return lambda vm: setattr(vm.sclp, "sends", value)


SERVC = [
    sclp("read scp info", _READ, header(4096), 0x10, reads=u(4, 2) + b"\1"),
    sclp("read scp info, forced", 0x00120001, header(144), 0x10, reads=u(4, 2) + b"\1"),
    sclp("read scp info, too short", _READ, header(143), 0x300),
    sclp("read cpu info", 0x00010001, header(40), 0x10, reads=u(1, 2) + u(24, 2)),
    sclp("read cpu info, too short", 0x00010001, header(39), 0x300),
    sclp("unknown command", 0xDEAD0001, header(4096), 0x1F0),
    sclp("across a page", _READ, header(4097), 0x100),
    sclp("event mask", 0x00780005, mask(0, 1 << 30), 0x20, verify=lambda vm: equal((vm.sclp.sends,
         vm.absolute.load(AREA + 20, 4)), (1 << 30, 1 << 30 | 0x40))),
    sclp("event mask of 8 bytes", 0x00780005, mask(0, 1 << 62, 8), 0x20, verify=lambda vm: equal(vm.sclp.sends,
         1 << 30)),
    sclp("event mask of no length", 0x00780005, header(28) + bytes(20), 0x74F0),
    sclp("event mask that is cut", 0x00780005, header(20) + bytes(2) + u(4, 2) + bytes(8), 0x72F0),
    sclp("a line", 0x00760005, message("HELLO"), 0x20, output=b"HELLO\n"),
    sclp("two lines", 0x00760005, message("ONE", "TWO"), 0x20, output=b"ONE\nTWO\n"),
    sclp("an empty line", 0x00760005, message(""), 0x20, output=b"\n"),
    sclp("ASCII where lines are asked for", 0x00760005, ascii_event(b"x"), 0x5F0, output=b"",
         prepare=_sends(1 << 30 | 0x40)),
    sclp("ASCII where nothing else is", 0x00760005, ascii_event(b"x\r\n"), 0x20, output=b"x\n", prepare=_sends(0x40)),
    sclp("an event of another type", 0x00760005, header(14) + u(6, 2) + bytes((0x1D, 0, 0, 0)), 0x40F0),
    sclp("an event that is cut", 0x00760005, header(14) + u(7, 2) + bytes((2, 0, 0, 0)), 0x73F0),
    sclp("an event of no length", 0x00760005, header(14) + u(0, 2) + bytes((2, 0, 0, 0)), 0x73F0),
    sclp("less than an event", 0x00760005, header(13) + bytes(5), 0x72F0),
    sclp("a message that is cut", 0x00760005, header(20) + u(12, 2) + bytes((2, 0, 0, 0)) + u(99, 2) + bytes(4),
         0x73F0),
    sclp("an object of no length", 0x00760005, header(30) + u(22, 2) + bytes((2, 0, 0, 0)) + u(16, 2) + bytes(14),
         0x73F0),
    sclp("no event", 0x00770005, header(4096), 0x60F0),
    sclp("read events, too short", 0x00770005, header(4088), 0x300),
    sclp("read events, another function", 0x00770005, header(4096, 9), 0x40F0),
    at("servc, length below 8", insn="b2200012", regs={1: _READ, 2: AREA}, data={AREA: header(7)},
       program=SPECIFICATION),
    at("servc, not on a doubleword", insn="b2200012", regs={1: _READ, 2: AREA + 4}, program=SPECIFICATION),
    at("servc, in low core", insn="b2200012", regs={1: _READ, 2: 0x800}, program=SPECIFICATION),
    at("servc, above 2 GB", insn="b2200012", regs={1: _READ, 2: 1 << 32 | AREA}, program=ADDRESSING),
    at("servc, beyond storage", insn="b2200012", regs={1: _READ, 2: BEYOND}, program=ADDRESSING),
    at("servc in the problem state", insn="b2200012", regs={1: _READ, 2: AREA}, mode=BITS64 | PROBLEM,
       program=PRIVILEGED),
]

# ------------------------------------------------------------------------------------------------ CHSC
CHSC = [
    at("chsc", insn="b25f0060", regs={6: AREA}, data={AREA: u(16, 2) + u(0x31, 2) + bytes(12) + b"\xFF" * 8}, cc=0,
       storage={AREA + 16: u(8, 2) + u(4, 2) + bytes(4)}),
    *(at(f"chsc, length {size}", insn="b25f0060", regs={6: AREA}, data={AREA: u(size, 2)}, program=0x15)
      for size in (0, 15, 20, 4096)),
    at("chsc, not on a page", insn="b25f0060", regs={6: AREA + 8}, program=SPECIFICATION),
    at("chsc, beyond storage", insn="b25f0060", regs={6: BEYOND}, program=ADDRESSING),
    at("chsc in the problem state", insn="b25f0060", regs={6: AREA}, mode=BITS64 | PROBLEM, program=PRIVILEGED),
]

# ------------------------------------------------------------------------------------------------ interruptions
INTERRUPTIONS = [
    at("supervisor call", insn="0a2a", ends=("halted", "d140"), storage={0x88: u(2, 2) + u(42, 2), 0x148: u(CALL + 2,
       8)}),
    at("supervisor call by EXECUTE", insn="44006000", regs={6: AREA}, data={AREA: b"\x0A\x07"}, ends=("halted", "d140"),
       storage={0x88: u(4, 2) + u(7, 2), 0x148: u(CALL + 4, 8)}),
    at("diagnose by EXECUTE", insn="44006000", regs={6: AREA, 2: 0}, data={AREA: bytes.fromhex("83240060")},
       after={2: MEMORY}),
    at("stap by EXECUTE", insn="44006000", regs={6: AREA + 8}, data={AREA: b"\xFF" * 8 + bytes.fromhex("b2126010")},
       storage={AREA + 24: bytes(2)}),
    at("execute of execute", insn="44006000", regs={6: AREA}, data={AREA: bytes.fromhex("44006000")}, program=3),
    at("execute of an odd address", insn="44006000", regs={6: AREA + 1}, program=SPECIFICATION),
    at("operation", insn="0000", program=OPERATION),
    at("operation, six bytes", insn="e30000000001", program=OPERATION),
    at("addressing", insn="e31060000004", regs={6: BEYOND}, program=ADDRESSING),
    at("addressing, a store", insn="50106000", regs={6: -4}, program=ADDRESSING),
    at("specification", insn="e3706000008f", regs={6: AREA}, program=SPECIFICATION),
    at("fixed-point divide", insn="1d40", regs={0: 0, 4: 1, 5: 0}, program=9),
    at("data, AFP register", insn="b31a0088", program=7, storage={0x90: u(2, 4)}),
    at("monitor call, masked off", insn="af010000"),
    at("monitor call", insn="af016000", regs={6: 0x123}, prepare=cr(c8=0x4000), program=0x40,
       storage={0x94: u(1, 2), 0xB0: u(0x123, 8)}),
    at("monitor call of class 16", insn="af100000", program=SPECIFICATION),
    at("clock comparator", insn="ad016000", regs={6: AREA}, prepare=both(cr(c0=0x800), lambda vm: setattr(vm.cpu,
       "comparator", 0)),
       ends=("halted", "d130"), storage={0x86: u(0x1004, 2)}),
    at("cpu timer", insn="ad016000", regs={6: AREA}, prepare=cr(c0=0x400), ends=("halted", "d130"),
       storage={0x86: u(0x1005, 2)}),
    at("emergency signal", insn="ad016000", regs={6: AREA}, prepare=both(cr(c0=0x4000),
       lambda vm: vm.cpu.emergencies.add(3)),
       ends=("halted", "d130"), storage={0x84: u(3, 2) + u(0x1201, 2)}),
    at("external call", insn="ad016000", regs={6: AREA}, prepare=both(cr(c0=0x2000), lambda vm: setattr(vm.cpu,
       "caller", 5)),
       ends=("halted", "d130"), storage={0x84: u(5, 2) + u(0x1202, 2)}),
    at("interrupt key", insn="ad016000", regs={6: AREA}, prepare=both(cr(c0=0x40), lambda vm: setattr(vm,
       "interrupt_key", True)),
       ends=("halted", "d130"), storage={0x86: u(0x0040, 2)}),
    at("cp service", insn="ad016000", regs={6: AREA}, prepare=both(cr(c0=0x200),
       lambda vm: vm.cp_services.append((0x680, 1, 0x77))),
       ends=("halted", "d130"), storage={0x80: u(1, 4) + u(0x680, 2) + u(0x2603, 2), 0x11B8: u(0x77, 8)}),
    at("nothing that CR0 masks", insn="ad016000", regs={6: AREA}, prepare=both(cr(c0=0),
       lambda vm: vm.cpu.emergencies.add(3))),
]

ROWS = [*SIGP, *SERVC, *CHSC, *INTERRUPTIONS]

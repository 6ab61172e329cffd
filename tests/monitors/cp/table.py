"""A row of the DIAGNOSE table: registers and storage before, and everything that must be so afterwards.

Each row is a guest of seven instructions, of fixed machine code: load all registers, enter a state by LPSWE, DIAGNOSE,
store all registers and the condition code, wait disabled.
"""
from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from pvlab.guests.catalogue import Guest
from pvlab.guests.image import Image
from pvlab.monitors.cp import Cp

MEMORY = 4 << 20
START, CALL = 0x10000, 0x10100
REGISTERS, ENTRY_PSW, END_PSW, AFTER, AFTER_CC = 0x800, 0x890, 0x8A0, 0x900, 0x980
BITS64, BITS31, BITS24, PROBLEM = 0x180000000, 0x80000000, 0, 1 << 48
CC_BEFORE = 2                          # a row whose condition code must stay says cc=None
UNTOUCHED = 0x5A5A_0000_0000_0000      # general register n holds this and n, unless the row says otherwise


@dataclass(frozen=True)
class Row:
    """One call and its documented outcome.

    code, what       the DIAGNOSE code, and what the row is about
    nullified        the program interruption leaves the PSW at the instruction
    insn             another instruction than DIAGNOSE, in hexadecimal; code is then None
    rx, ry           the instruction's register numbers
    regs             general registers before: {number: value}; a negative value is taken as 64 bits
    data             storage before: {absolute address: bytes}
    program          the program-interruption code that must follow, or None
    cc               the condition code afterwards; None: as it was
    after            general registers afterwards; all that are not named must be as before
    storage          storage afterwards: {absolute address: bytes}
    output           what the console shows, if the row says so
    mode             BITS64, BITS31 or BITS24, with PROBLEM in it for the problem state
    monitor          makes the monitor
    prepare, verify  functions of the virtual machine: before the call (through the monitor), and after the run
    ends             the outcome and a part of the detail, where the call ends the run
    """

    code: int | None
    what: str
    rx: int = 2
    ry: int = 4
    regs: Mapping[int, int] = field(default_factory=dict)
    data: Mapping[int, bytes] = field(default_factory=dict)
    program: int | None = None
    cc: int | None = None
    after: Mapping[int, int] = field(default_factory=dict)
    storage: Mapping[int, bytes] = field(default_factory=dict)
    output: bytes | None = None
    mode: int = BITS64
    monitor: Callable[[], Cp] = Cp
    prepare: Callable | None = None
    verify: Callable | None = None
    ends: tuple[str, str] | None = None
    insn: str = ""
    nullified: bool = False

    @property
    def instruction(self) -> bytes:
        if self.insn:
            return bytes.fromhex(self.insn)
        return bytes((0x83, self.rx << 4 | self.ry)) + self.code.to_bytes(2, "big")

    def __str__(self) -> str:
        if self.insn:
            return self.what.replace(" ", "-")
        return f"{self.code:02X}-{self.what.replace(' ', '-')}"


def perform(row: Row):
    """Run the row's guest; gives (run, monitor)."""
    values = [UNTOUCHED + number for number in range(16)]
    for number, value in row.regs.items():
        values[number] = value & (1 << 64) - 1
    low = bytearray(0x1000)
    for at in range(0x1A0, 0x200, 16):      # each new PSW: a disabled wait that tells which it was
        low[at:at + 16] = _psw(1 << 49 | BITS64, 0xD000 + at - 0x80)
    low[REGISTERS:REGISTERS + 128] = b"".join(value.to_bytes(8, "big") for value in values)
    low[ENTRY_PSW:ENTRY_PSW + 16] = _psw(row.mode | CC_BEFORE << 44, CALL)
    low[END_PSW:END_PSW + 16] = _psw(1 << 49 | BITS64, 0x1234)
    start = bytes.fromhex(f"eb0f{REGISTERS:04x}0004 b2b2{ENTRY_PSW:04x}")
    call = row.instruction + bytes.fromhex(
        f"eb0f{AFTER:04x}0024 b2220000 5000{AFTER_CC:04x} b2b2{END_PSW:04x}")
    segments = [(0, bytes(low), len(low)), (START, start, len(start)), (CALL, call, len(call)),
                *((at, content, len(content)) for at, content in row.data.items())]
    monitor = row.monitor()
    if row.prepare is not None:
        made = monitor.prepare

        def prepare(guest):
            made(guest)
            row.prepare(monitor.vm)
        monitor.prepare = prepare
    guest = Guest("row", "", {}, Image(START, segments, {}, None, 0, "s390x"), MEMORY)
    return monitor.run(guest, budget=20_000_000), monitor


def _psw(mask: int, address: int) -> bytes:
    return mask.to_bytes(8, "big") + address.to_bytes(8, "big")


def check(row: Row) -> None:
    """Perform the row and assert its outcome."""
    run, monitor = perform(row)
    read = monitor.machine.ram.read
    assert row.insn or any(name.startswith("diagnose:") for name in run.trace.by_reason()), run
    if row.ends is not None:
        assert run.outcome == row.ends[0] and row.ends[1] in run.detail, run
    elif row.program is not None:
        assert run.detail.endswith("d150"), run.detail
        size = 0 if row.nullified else len(row.instruction)
        assert int.from_bytes(read(0x8C, 4), "big") == len(row.instruction) << 16 | row.program, read(0x8C, 4).hex()
        assert int.from_bytes(read(0x158, 8), "big") == CALL + size
        assert not row.after and row.cc is None
    else:
        assert run.outcome == "halted" and run.detail.endswith("1234"), run
        cc = read(AFTER_CC, 1)[0] >> 4 & 3
        assert cc == (CC_BEFORE if row.cc is None else row.cc), f"condition code {cc}"
        for number in range(16):
            before = row.regs.get(number, UNTOUCHED + number)
            want = row.after.get(number, before) & (1 << 64) - 1
            got = int.from_bytes(read(AFTER + 8 * number, 8), "big")
            assert got == want, f"GR{number} is {got:#x}, not {want:#x}"
    for at, content in row.storage.items():
        assert read(at, len(content)) == content, f"{at:#x}: {read(at, len(content)).hex()}, not {content.hex()}"
    if row.output is not None:
        assert run.output == row.output
    if row.verify is not None:
        row.verify(monitor.vm)

"""The I/O instructions as a guest meets them: condition codes, exceptions in their order, and interruptions."""
from pvlab.devices.channel.console import to_ebcdic
from devices.channel.world import ccws, orb
from monitors.cp.harness import run

CONSOLE = 0x10000                    # the console is the first device: subchannel 0
AREA, PROGRAM, TEXT, LOG = 0x8000, 0x9000, 0x9100, 0xA000

# Behind each instruction of a test the condition code, or 0x100 + the program-interruption code, is noted.
_PROLOGUE = f"""
        larl    %r9, .Lprogram_new
        mvc     0x1d0(16, %r0), 0(%r9)
        lghi    %r10, {LOG:#x} >> 1
        agr     %r10, %r10
        llilf   %r1, {CONSOLE:#x}
        lghi    %r2, {AREA // 2:#x}
        agr     %r2, %r2
"""
_NOTE = """
        ipm     %r8
        srl     %r8, 28
        sth     %r8, 0(%r10)
        la      %r10, 2(%r10)
"""
_EPILOGUE = """
        svc     0                    # the harness has a disabled wait for it
.Lprogram:                           # an exception: note it, and go on behind the noting of a condition code
        llgh    %r8, 0x8e
        oill    %r8, 0x100
        sth     %r8, 0(%r10)
        la      %r10, 2(%r10)
        lg      %r8, 0x158
        la      %r8, 16(%r8)
        stg     %r8, 0x158
        lpswe   0x150
        .balign 8
.Lprogram_new:
        .quad   0x0000000180000000, .Lprogram
.Lproblem:
        .quad   0x0001000180000000, .Lbehind
"""


def noted(*lines, data=None, problem=False):
    """Run these instructions one after the other; gives what was noted of each, and the monitor."""
    body = "".join(f"        {line[1:]}\n" if line.startswith("!") else f"        {line}\n{_NOTE}" for line in lines)
    enter = "        larl %r9, .Lproblem\n        lpswe 0(%r9)\n.Lbehind:\n" if problem else ".Lbehind:\n"
    tested = sum(not line.startswith("!") for line in lines)
    found, monitor = run(_PROLOGUE + enter + body + _EPILOGUE, data)
    assert found.detail.endswith("d140"), found.detail
    log = monitor.machine.ram.read(LOG, 2 * tested)
    return [int.from_bytes(log[i:i + 2], "big") for i in range(0, len(log), 2)], monitor


def enabled(isc=0):
    """The SCHIB that enables the console's subchannel."""
    return bytes(4) + (0x0081 | isc << 11).to_bytes(2, "big") + bytes.fromhex("0009 80 00 00 80 0000 ff 80") + bytes(36)


OPERAND, SPECIFICATION, ADDRESSING, PRIVILEGED = 0x115, 0x106, 0x105, 0x102
ALL_SUBCLASSES = {AREA + 0x3F8: bytes.fromhex("00000000ff000000")}      # for CR6
HELLO = {AREA: enabled(), PROGRAM: ccws((0x09, 0, 5, TEXT)), TEXT: to_ebcdic("hello"), AREA + 0x100: orb(PROGRAM)}


def test_a_program_from_start_to_end():
    log, monitor = noted("tsch 0x200(%r2)", "msch 0(%r2)", "ssch 0x100(%r2)", "ssch 0x100(%r2)", "tpi 0x300(%r2)",
                         "!lctlg 6, 6, 0x3f8(%r2)", "tpi 0x300(%r2)", "tpi 0x310(%r2)", "tsch 0x200(%r2)",
                         "tsch 0x200(%r2)", "stsch 0x400(%r2)", data=HELLO | ALL_SUBCLASSES)
    assert log == [3, 0, 0, 1, 0, 1, 0, 0, 1, 0]
    ram = monitor.machine.ram
    assert ram.read(AREA + 0x300, 8) == bytes.fromhex("00010000 0000cafe") and not any(ram.read(AREA + 0x310, 12))
    assert monitor.vm.console.output == b"hello\n"
    assert ram.read(AREA + 0x400, 6) == bytes.fromhex("0000cafe 0081")


def test_tpi_to_low_core():
    log, monitor = noted("msch 0(%r2)", "ssch 0x100(%r2)", "!lctlg 6, 6, 0x3f8(%r2)", "tpi 0",
                         data=HELLO | {AREA: enabled(isc=3)} | ALL_SUBCLASSES)
    assert log == [0, 0, 1]
    assert monitor.machine.ram.read(0xB8, 12) == bytes.fromhex("00010000 0000cafe 18000000")


def test_the_other_functions():
    log, _ = noted("hsch", "csch", "rsch", "xsch", "msch 0(%r2)", "rsch", "xsch", "hsch", "hsch", "csch",
                   "stcrw 0x500(%r2)", data=HELLO | {AREA + 0x500: b"\xff" * 4})
    assert log == [3, 3, 3, 3, 0, 2, 2, 0, 1, 0, 1]


def test_exceptions_and_their_order():
    """Alignment comes before storage, and storage before the operands themselves."""
    log, _ = noted(*(f"{name} 1(%r2)" for name in ("stsch", "msch", "ssch", "tsch", "tpi", "stcrw")),
                   "!llilf %r4, 0x10000000",
                   *(f"{name} 0(%r4)" for name in ("stsch", "msch", "ssch", "tsch", "tpi", "stcrw")),
                   "!lghi %r1, 0", *(f"{name} 0(%r2)" for name in ("stsch", "msch", "ssch", "tsch")),
                   *(f"{name} 0(%r4)" for name in ("stsch", "msch", "ssch", "tsch")), "hsch", "csch", "rsch", "xsch",
                   "!llilf %r1, 0x10000", "!mvi 0x104(%r2), 0xff", "!mvi 0x105(%r2), 0xff", "ssch 0x100(%r2)",
                   data=HELLO)
    assert log == ([SPECIFICATION] * 6 + [ADDRESSING] * 6 + [OPERAND] * 4 + [ADDRESSING] * 4 + [OPERAND] * 4
                   + [OPERAND])


def test_nothing_of_it_in_the_problem_state():
    names = ["stsch 0(%r2)", "msch 0(%r2)", "ssch 0(%r2)", "tsch 0(%r2)", "tpi 0(%r2)", "hsch", "csch", "rsch", "xsch",
             "stcrw 0(%r2)"]
    log, _ = noted(*names, problem=True, data=HELLO)
    assert log == [PRIVILEGED] * len(names)


def test_an_interruption_by_subclass_mask():
    """Subclass 3 is masked off in CR6 at first: the interruption comes when it is on."""
    text = f"""
        larl    %r9, .Lio_new
        mvc     0x1f0(16, %r0), 0(%r9)
        llilf   %r1, {CONSOLE:#x}
        llilf   %r2, {AREA:#x}
        msch    0(%r2)
        ssch    0x100(%r2)
        stosm   0x600(%r2), 2        # I/O interruptions on: but not this subclass
        stnsm   0x601(%r2), 0
        lctlg   6, 6, 0x3f8(%r2)
        lghi    %r7, 1
        stosm   0x600(%r2), 2
        lghi    %r7, 2               # not reached
.Lio:   svc     0
        .balign 8
.Lio_new:
        .quad   0x0000000180000000, .Lio
"""
    found, monitor = run(text, HELLO | {AREA: enabled(isc=3), AREA + 0x3F8: bytes.fromhex("0000000010000000")})
    assert found.detail.endswith("d140") and monitor.vm.regs[7] == 1
    assert monitor.machine.ram.read(0xB8, 12) == bytes.fromhex("00010000 0000cafe 18000000")
    assert found.trace.events.counts() == {"io": 1, "svc": 1}


def test_a_guest_that_prints_without_end_spends_its_budget(monkeypatch):
    """A channel program that prints 64 KiB, again and again, and then the same once more."""
    monkeypatch.setattr("pvlab.monitors.base.ALLOWANCE", 1_000_000)
    flood = ccws((0x09, 0x40, 0xFFFF, 0), (0x08, 0, 0, PROGRAM))
    text = f"""
        llilf   %r1, {CONSOLE:#x}
        llilf   %r2, {AREA:#x}
        msch    0(%r2)
1:      ssch    0x100(%r2)
        csch
        tsch    0x200(%r2)
        j       1b
"""
    found, _ = run(text, HELLO | {PROGRAM: flood}, budget=10_000)
    assert found.outcome == "budget" and len(found.output) < 100 << 20

"""What each I/O instruction does to a subchannel: condition codes, SCHIB, IRB, interruptions."""
import struct

import pytest

from pvlab.devices.channel import formats as f
from pvlab.devices.channel.console import Console, to_ebcdic, to_text
from pvlab.devices.channel.formats import Scsw
from pvlab.devices.channel.subsystem import ChannelSubsystem, OperandError
from devices.channel.world import DATA, PROGRAM, SCHID, Scripted, Storage, ccws, orb, scsw, subsystem

OK = f.S_PRIMARY | f.S_SECONDARY | f.S_PENDING
READ_INQUIRY, WRITE_AND_RETURN = 0x0A, 0x09


def started(device, *entries, control=0):
    css, storage, subchannel = subsystem(device)
    storage.write(PROGRAM, ccws(*entries))
    assert css.start(SCHID, orb(control=control)) == 0
    return css, storage, subchannel


# ------------------------------------------------------------------------------------------------ words that are wrong

@pytest.mark.parametrize("word", [0, 0x00080000 | SCHID, 0x01000000 | SCHID, 0x00200000 | SCHID, 0x0000FFFF])
def test_what_is_no_identification_word_is_an_operand_exception(word):
    css, _, _ = subsystem(Scripted())
    for instruction in (css.store, css.test, css.halt, css.clear, css.resume, css.cancel):
        with pytest.raises(OperandError):
            instruction(word)
    with pytest.raises(OperandError):
        css.start(word, orb())
    with pytest.raises(OperandError):
        css.modify(word, bytes(52))


@pytest.mark.parametrize("word", [SCHID + 1, SCHID | 0xFFFF, SCHID | 0x20000])
def test_where_there_is_no_subchannel_the_condition_code_is_3(word):
    css, _, _ = subsystem(Scripted())
    assert css.store(word) == css.test(word) == (3, b"")
    assert [css.modify(word, bytes(52)), css.start(word, orb()), css.halt(word), css.clear(word), css.resume(word),
            css.cancel(word)] == [3] * 6


def test_a_subchannel_that_is_not_enabled_is_not_operational():
    css, _, _ = subsystem(Scripted(), enabled=False)
    assert css.store(SCHID)[0] == 0 and css.test(SCHID) == (3, b"")
    assert [css.start(SCHID, orb()), css.halt(SCHID), css.clear(SCHID), css.resume(SCHID), css.cancel(SCHID)] == [3] * 5


@pytest.mark.parametrize("request_block", [
    orb(control=0x0004), orb(control2=0x40), orb(control2=0x02), orb(program=0x80001000)])
def test_reserved_bits_of_an_orb(request_block):
    css, _, _ = subsystem(Scripted())
    with pytest.raises(OperandError):
        css.start(SCHID, request_block)


@pytest.mark.parametrize("at, value", [(4, 0x04), (4, 0x02), (24, 0x01), (27, 0x08), (27, 0x02), (25, 0x10)])
def test_reserved_bits_of_a_pmcw(at, value):
    css, _, _ = subsystem(Scripted())
    schib = bytearray(css.store(SCHID)[1])
    schib[at] |= value
    with pytest.raises(OperandError):
        css.modify(SCHID, bytes(schib))


# --------------------------------------------------------------------------------------------------- SCHIB

def test_a_new_schib():
    css, _, _ = subsystem(Scripted(), enabled=False)
    cc, schib = css.store(SCHID)
    assert (cc, len(schib)) == (0, 52)
    assert schib == (bytes(4) + bytes.fromhex("0001 0190 80 00 00 80 0000 ff 80") + b"\x40" + bytes(7) + bytes(4)
                     + bytes(12) + bytes(12))


def test_modify_changes_what_a_program_may_change():
    css, _, _ = subsystem(Scripted())
    assert css.modify(SCHID, b"\xff" * 4 + bytes.fromhex("f8ff ffff 40 ff ff ff 1234 55 ff") + b"\xff" * 8
                      + bytes.fromhex("00000001") + bytes(24)) == 0
    assert css.store(SCHID)[1][:28] == (b"\xff" * 4 + bytes.fromhex("38fd 0190 40 00 00 80 1234 55 80") + b"\x40"
                                        + bytes(7) + bytes.fromhex("00000001"))
    assert css.start(SCHID, orb()) == 3, "the path is masked off"


# ------------------------------------------------------------------------------------------------ start and test

def test_start_and_test():
    css, storage, subchannel = started(Scripted(b"ABC"), (0x02, f.SLI, 5, DATA), control=0x0048)
    assert css.start(SCHID, orb()) == 1 and css.modify(SCHID, bytes(52)) == 1, "status is pending"
    assert css.pending() and css.store(SCHID)[1][28:40] == subchannel.scsw.pack()
    cc, irb = css.test(SCHID)
    assert (cc, len(irb)) == (0, 64)
    assert scsw(irb) == {"flags": 0x0048, "control": f.F_START | OK, "address": PROGRAM + 8, "device": f.ENDED,
                         "status": 0, "count": 2}
    assert irb[12:] == bytes.fromhex("00800000") + bytes(48)
    assert not css.pending()
    cc, irb = css.test(SCHID)
    assert (cc, scsw(irb)["control"], irb[12:]) == (1, 0, bytes(52))
    assert css.store(SCHID)[1][:4] == (0xCAFE).to_bytes(4, "big"), "the interruption parameter comes from the ORB"
    assert css.start(SCHID, orb(lpm=0x7F)) == 3 and css.start(SCHID, orb()) == 0


@pytest.mark.parametrize("entry, device, status", [
    ((0x02, 0, 5, DATA), f.ENDED, f.INCORRECT_LENGTH), ((0x00, 0, 5, DATA), 0, f.PROGRAM_CHECK),
    ((0xC3, 0, 1, DATA), f.UNIT_CHECK, 0), ((0x0F, f.SLI, 1, 0), f.ENDED | f.UNIT_EXCEPTION, 0)])
def test_unusual_endings_are_alerts(entry, device, status):
    css, _, _ = started(Scripted(b"ABC", f.ENDED | f.UNIT_EXCEPTION), entry)
    found = scsw(css.test(SCHID)[1])
    assert (found["control"], found["device"], found["status"]) == (f.F_START | OK | f.S_ALERT, device, status)


@pytest.mark.parametrize("concurrent", [0, 1])
def test_sense_data_come_with_the_irb_where_concurrent_sense_is_on(concurrent):
    css, storage, subchannel = subsystem(Scripted())
    schib = css.store(SCHID)[1]
    assert css.modify(SCHID, schib[:27] + bytes([concurrent]) + schib[28:]) == 0
    storage.write(PROGRAM, ccws((0xC3, 0, 1, DATA)))
    css.start(SCHID, orb())
    cc, irb = css.test(SCHID)
    assert struct.unpack(">5I", irb[12:32]) == (0x00800000, 0x01010000 * concurrent, 0, 0, 0)
    assert irb[32:] == (b"\x80" if concurrent else b"\0") + bytes(31)
    assert scsw(irb)["flags"] == 0x0402 * concurrent
    assert subchannel.device.sense == (b"\0" if concurrent else b"\x80")


def test_program_controlled_interruption():
    """Seen together with the end when the program ends at once; by itself while the device waits."""
    css, _, _ = started(Scripted(b"ABC"), (0x02, f.PCI_FLAG, 3, DATA))
    found = scsw(css.test(SCHID)[1])
    assert (found["control"], found["status"]) == (f.F_START | OK | f.S_INTERMEDIATE, f.PCI)

    console = Console()
    css, storage, _ = started(console, (READ_INQUIRY, f.PCI_FLAG | f.SLI, 80, DATA))
    found = scsw(css.test(SCHID)[1])
    assert found["control"] == f.F_START | f.A_SUBCHANNEL | f.A_DEVICE | f.S_INTERMEDIATE | f.S_PENDING
    assert found["status"] == f.PCI and css.test(SCHID)[0] == 1
    console.type("go on")
    found = scsw(css.test(SCHID)[1])
    assert (found["control"], found["status"]) == (f.F_START | OK, 0)


def test_suspend_and_resume():
    entries = [(0x0B, f.CC, 1, 0), (0x01, f.SUSPEND | f.CC, 1, DATA), (0x0B, 0, 1, 0)]
    device = Scripted()
    css, storage, _ = started(device, *entries, control=0x0800)
    assert css.resume(SCHID) == 1, "the suspension's status is pending"
    found = scsw(css.test(SCHID)[1])
    assert found["control"] == f.F_START | f.A_SUSPENDED | f.S_INTERMEDIATE | f.S_PENDING
    assert found["address"] == PROGRAM + 16 and not device.written
    assert css.start(SCHID, orb()) == 2 and css.modify(SCHID, bytes(52)) == 2
    assert css.resume(SCHID) == 0 and css.resume(SCHID) == 1, "the flag still stands: suspended once more"
    css.test(SCHID)
    storage.write(PROGRAM + 8, ccws((0x01, f.CC, 1, DATA)))
    assert css.resume(SCHID) == 0 and device.written == [b"\0"]
    assert scsw(css.test(SCHID)[1])["control"] == f.F_START | OK
    assert css.resume(SCHID) == 2

    css, _, _ = started(Scripted(), *entries, control=0x0808)
    assert not css.pending() and css.resume(SCHID) == 0, "U: nothing is said of a suspension"


# ------------------------------------------------------------------------------------------------ halt and clear

def test_halt_ends_what_waits():
    console = Console()
    css, _, _ = started(console, (READ_INQUIRY, f.SLI, 80, DATA))
    assert css.start(SCHID, orb()) == 2 and css.test(SCHID)[0] == 1 and css.cancel(SCHID) == 2
    assert css.halt(SCHID) == 0 and css.halt(SCHID) == 1
    found = scsw(css.test(SCHID)[1])
    assert (found["control"], found["device"]) == (f.F_START | f.F_HALT | f.S_PENDING, f.DEVICE_END)
    console.type("nobody reads this now")
    assert scsw(css.test(SCHID)[1])["device"] == f.ATTENTION
    assert css.halt(SCHID) == 0 and scsw(css.test(SCHID)[1])["control"] == f.F_HALT | f.S_PENDING


def test_halt_and_clear_where_status_is_pending():
    css, _, _ = started(Scripted(), (0x0B, 0, 1, 0))
    assert css.halt(SCHID) == 1 and css.cancel(SCHID) == 1
    assert css.clear(SCHID) == 0 and css.halt(SCHID) == 1 and css.clear(SCHID) == 0
    found = scsw(css.test(SCHID)[1])
    assert found == {"flags": 0, "control": f.F_CLEAR | f.S_PENDING, "address": 0, "device": 0, "status": 0, "count": 0}
    assert css.start(SCHID, orb()) == 0


def test_a_circle_of_ccws_is_busy_until_it_is_halted():
    css, _, _ = started(Scripted(), (0x0B, f.CC, 1, 0), (0x08, 0, 0, PROGRAM))
    assert css.test(SCHID)[0] == 1 and css.start(SCHID, orb()) == 2 and not css.pending()
    assert css.halt(SCHID) == 0 and css.test(SCHID)[0] == 0 and css.start(SCHID, orb()) == 0
    assert css.clear(SCHID) == 0 and css.test(SCHID)[0] == 0


def test_reset():
    css, _, subchannel = started(Scripted(), (0x0B, 0, 1, 0))
    css.reset()
    assert not css.pending() and css.test(SCHID)[0] == 3 and subchannel.scsw.pack() == Scsw().pack()


# ------------------------------------------------------------------------------------------------ interruptions

def test_interruptions_come_by_subclass_and_then_by_subchannel():
    storage = Storage()
    css = ChannelSubsystem(storage)
    storage.write(PROGRAM, ccws((0x0B, 0, 1, 0)))
    for number, isc in enumerate((5, 3, 5, 0)):
        css.attach(0x200 + number, Scripted())
        schib = css.store(SCHID + number)[1]
        css.modify(SCHID + number, schib[:4] + (0x0081 | isc << 11).to_bytes(2, "big") + schib[6:])
        css.start(SCHID + number, orb(parameter=number))
    assert not css.pending(0x40) and css.take(0x40) is None
    assert css.take(0x14) == (SCHID + 1, 1, 3 << 27)
    assert [css.take() for _ in range(4)] == [(SCHID + 3, 3, 0), (SCHID, 0, 5 << 27), (SCHID + 2, 2, 5 << 27), None]
    assert [css.test(SCHID + number)[0] for number in range(4)] == [0, 0, 0, 0], "the status is still to be seen"
    assert [each.device_number for each in css] == [0x200, 0x201, 0x202, 0x203]
    assert css.by_device_number(0x202).number == 2 and css.by_device_number(0x190) is None


def test_test_subchannel_takes_the_interruption_away():
    css, _, _ = started(Scripted(), (0x0B, 0, 1, 0))
    assert css.pending() and css.test(SCHID)[0] == 0 and css.take() is None


# ------------------------------------------------------------------------------------------------ the console

def test_console_round_trip():
    console = Console()
    css, storage, _ = subsystem(console)
    storage.write(DATA, to_ebcdic("WHO ARE YOU?"))
    storage.write(PROGRAM, ccws((WRITE_AND_RETURN, f.CC, 12, DATA), (READ_INQUIRY, f.SLI, 80, DATA)))
    assert css.start(SCHID, orb()) == 0 and console.output == b"WHO ARE YOU?\n"
    assert css.test(SCHID)[0] == 1, "it waits for the operator"
    console.type("Maréchal 42")
    found = scsw(css.test(SCHID)[1])
    assert (found["control"], found["device"], found["count"]) == (f.F_START | OK, f.ENDED, 69)
    assert to_text(storage.read(DATA, 11)) == "Maréchal 42"
    assert console.output.decode() == "WHO ARE YOU?\nMaréchal 42\n"


def test_what_is_typed_unasked_is_an_attention_and_stays_in_the_queue():
    paper = bytearray(b"before\n")
    console = Console(paper.extend)
    css, storage, _ = subsystem(console)
    console.type("one")
    console.type("two")
    assert scsw(css.test(SCHID)[1]) == {"flags": 0, "control": f.S_ALERT | f.S_PENDING, "address": 0,
                                        "device": f.ATTENTION, "status": 0, "count": 0}
    storage.write(PROGRAM, ccws((READ_INQUIRY, f.SLI | f.CC, 80, DATA), (0x0B, f.CC, 1, 0), (0x01, 0, 3, DATA)))
    assert css.start(SCHID, orb()) == 0 and paper == b"before\none\none"
    assert console.waiting_lines == 1


def test_console_refuses_what_is_no_command_of_it():
    css, storage, _ = started(Console(), (0x05, 0, 1, DATA))
    assert scsw(css.test(SCHID)[1])["device"] == f.UNIT_CHECK
    storage.write(PROGRAM, ccws((f.SENSE, f.CC, 1, DATA), (f.SENSE_ID, f.SLI, 7, DATA + 1)))
    css.start(SCHID, orb())
    assert storage.read(DATA, 8) == bytes.fromhex("80 ff 3215 00 3215 00")


def test_no_console_line_while_not_enabled():
    console = Console()
    css, _, _ = subsystem(console, enabled=False)
    console.type("hello?")
    assert not css.pending() and console.waiting_lines == 1


def test_ebcdic_there_and_back():
    text = "ABC xyz 019 [](){}!|~\n"
    assert to_text(to_ebcdic(text)) == text
    assert to_ebcdic("A\n→") == b"\xc1\x15\x6f" and to_text(b"\x25") == "\n"

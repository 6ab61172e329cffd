"""The guests for the control program: what they print and leave behind, and exactly how often they exit."""
import struct

import pytest

import pvlab
from pvlab.devices.backends.disk import MemoryDisk
from pvlab.devices.channel.dasd import Dasd
from pvlab.monitors.cp import Cp
from pvlab.monitors.cp.devices import SYSTEM_DISK, USER_DISK, scratch_disk, system_disk

END = {"stap": 1, "sigp": 1}


def run(name, monitor=None, **parameters):
    monitor = monitor or Cp()
    found = monitor.run(pvlab.guest(name, **parameters))
    assert found.outcome == "shutdown", found.detail
    return found, monitor


@pytest.mark.parametrize("by, output, exits", [
    ("channel", "hello, world\n", {"stsch": 1, "msch": 1, "lctlg": 1, "ssch": 1, "tsch": 1, "lpswe": 2}),
    ("sclp", "hello, world\n", {"servc": 2, "lpswe": 4, "stctg": 2, "lctlg": 4}),
    ("diagnose", "00:00:00 * MSG FROM PVLAB   : hello, world\n", {"stidp": 1, "diagnose:0x08": 1}),
])
def test_hello(by, output, exits):
    found, _ = run("s390-hello", by=by)
    assert found.text == output and found.trace.by_reason() == exits | END


def disk(monitor, number):
    return monitor.vm.channels.by_device_number(number).device


def checksum(data):
    total = 0
    for (word,) in struct.iter_unpack(">Q", data):
        total = (total << 5 | total >> 59) & (1 << 64) - 1 ^ word
    return total


# Exits for each request: a channel program takes four (START SUBCHANNEL, the load of a wait PSW, TEST SUBCHANNEL, and
# the load of the old PSW at the end of the interruption handler), a DIAGNOSE one.
PER_REQUEST = {"channel": {"ssch": 1, "tsch": 1, "lpswe": 2}, "x18": {"diagnose:0x18": 1}, "x20": {"diagnose:0x20": 1},
               "x250": {"diagnose:0x250": 1}}
AT_FIRST = {"channel": {"stsch": 7, "msch": 2, "lctlg": 2}, "x18": {}, "x20": {}, "x250": {"diagnose:0x250": 2}}


@pytest.mark.parametrize("by", PER_REQUEST)
@pytest.mark.parametrize("n, batch", [(12, 1), (120, 15)])
def test_disk_copy(by, n, batch):
    """Each way leaves the same bytes and the same result; the exits are exact, for each block read or written."""
    found, monitor = run("s390-disk-copy", by=by, n=n, batch=batch)
    source = b"".join(disk(monitor, SYSTEM_DISK).read_block(i) for i in range(n))
    target = disk(monitor, USER_DISK)
    assert b"".join(target.read_block(i) for i in range(n)) == source
    untouched = Dasd(scratch_disk())
    assert all(target.read_block(i) == untouched.read_block(i) for i in range(n, target.blocks))
    assert struct.unpack(">2Q", found.result) == (checksum(source), n)
    requests = 2 * -(-n // batch)
    if by == "x18" and n > 114:
        requests += 2             # the batch that would cross a cylinder is cut in two there
    expected = dict(AT_FIRST[by])
    for reason, count in PER_REQUEST[by].items():
        expected[reason] = expected.get(reason, 0) + count * requests
    assert found.trace.by_reason() == expected | END
    assert found.trace.events.counts() == ({"io": requests} if by == "channel" else {})
    assert found.trace.accesses.counts() == {"disk": 2 * n if by == "x250" else requests}


def test_all_ways_of_copying_end_with_the_same_digest():
    """Of the output, the disk's contents and the result."""
    assert len({run("s390-disk-copy", by=by, n=3)[0].digest for by in PER_REQUEST}) == 1
    assert len({run("s390-disk-copy", by="x18", n=n)[0].digest for n in (3, 4)}) == 2


def test_disk_copy_to_a_disk_of_ones_own():
    mine = MemoryDisk(bytes(19 * 6 * 2048))
    Cp().run(pvlab.guest("s390-disk-copy", by="x250", n=5), disk=mine)
    assert mine.read(0, 20) == system_disk().read(0, 20) and not any(mine.read(20))


def test_disk_copy_of_256_blocks_in_one_request():
    found, _ = run("s390-disk-copy", by="x250", n=256, batch=256)
    assert found.trace.by_reason() == {"diagnose:0x250": 4} | END


@pytest.mark.parametrize("by, exits", [
    ("comparator", {"sckc": 6, "stck": 6}), ("cpu-timer", {"spt": 6, "stck": 1})])
def test_timer(by, exits):
    found, monitor = run("s390-timer", by=by, n=5)
    assert struct.unpack(">2I", found.result) == (5, 0), "five ticks, and none too early"
    assert found.trace.by_reason() == exits | {"lpswe": 10, "stctg": 1, "lctlg": 1} | END
    assert 5_000_000 <= monitor.now < 5_010_000, "virtual nanoseconds"


def test_epsw_is_a_hole():
    """What EPSW shows is the real PSW, where CP leaves it alone; what an interruption stores is the virtual one."""
    found, _ = run("s390-epsw")
    assert found.text == "EPSW:        supervisor state\nSVC old PSW: supervisor state\n"
    found = Cp(epsw_hole=True).run(pvlab.guest("s390-epsw"))
    assert found.text == "EPSW:        problem state\nSVC old PSW: supervisor state\n"
    assert (found.outcome, found.trace.by_reason().get("epsw")) == ("halted", None)


@pytest.mark.parametrize("by, exits, most", [
    ("spin", {}, 2_500_000), ("x44", {"diagnose:0x44": 39}, 1000),
    ("x9c", {"diagnose:0x9c": 38, "diagnose:0x44": 1}, 1000)])
def test_yield(by, exits, most):
    """Twenty hand-overs on each CPU: without a word to CP, each costs the other CPU's whole time slice."""
    found, _ = run("s390-yield", by=by, n=20)
    assert struct.unpack(">I", found.result) == (40,)
    assert found.trace.by_reason() == exits | {"stap": 2, "sigp": 3}
    assert found.instructions < most and (by != "spin" or found.instructions > 1_500_000)


@pytest.mark.parametrize("by, empty, milliseconds", [("keep", 0, 350), ("release", 32, 30)])
def test_release(by, empty, milliseconds):
    found, monitor = run("s390-release", by=by)
    assert found.text == f"32 pages used again, {empty} of them empty; {milliseconds} milliseconds\n"
    assert struct.unpack(">2I", found.result) == (32, empty)
    assert found.trace.by_reason().get("diagnose:0x10", 0) == (by == "release")


@pytest.mark.parametrize("by, told, meanwhile, milliseconds", [("wait", 0, 0, 80), ("handshake", 4, 3996, 40)])
def test_page_fault(by, told, meanwhile, milliseconds):
    """Four pages of ten milliseconds each, and as much other work: one after the other, or both at once."""
    found, _ = run("s390-page-fault", by=by)
    assert found.text == (f"{meanwhile} units of work while pages came, {4000 - meanwhile} after; "
                          f"{milliseconds} milliseconds\n")
    assert struct.unpack(">4I", found.result) == (10, 4000, told, meanwhile)


CONVERSATION = """\
QUERY USERID
PVLAB
SET PAGEX ON
HULLO
DMKCFC001E ?CP: HULLO
LOGOFF
"""


def test_console():
    """A round trip takes nine exits: four to read a line, one to ask CP, four to print what is not empty."""
    found, _ = run("s390-console", Cp(typed=["QUERY USERID", "SET PAGEX ON", "HULLO", "LOGOFF"]))
    assert found.text == CONVERSATION
    expected = {"lpswe": 2 * 6, "ssch": 6, "tsch": 6, "diagnose:0x08": 3, "lctlg": 1, "stsch": 1, "msch": 1}
    assert found.trace.by_reason() == expected | END
    assert run("s390-console")[0].text.endswith("DMKCFC001E ?CP: HELLO\nLOGOFF\n")


def test_console_at_which_nobody_types():
    found = Cp(typed=[]).run(pvlab.guest("s390-console"))
    assert (found.outcome, found.text) == ("halted", "") and "enabled wait" in found.detail


@pytest.mark.parametrize("by, exits", [
    ("lines", {"ssch": 22, "tsch": 22, "lpswe": 44, "lctlg": 1, "stsch": 1, "msch": 1}),
    ("chained", {"ssch": 1, "tsch": 1, "lpswe": 2, "lctlg": 1, "stsch": 1, "msch": 1}), ("x58", {"diagnose:0x58": 1})])
def test_screen(by, exits):
    found, _ = run("s390-screen", by=by)
    assert found.text == "".join(f"line {i:02} of a screen of 22\n" for i in range(1, 23))
    assert found.trace.by_reason() == exits | END

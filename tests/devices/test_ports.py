"""The port bus, and the two devices that only experiments have.

On a PC nobody answers at most of the 65,536 ports: the bus lines float high, so a read gives all ones and a write
disappears. Operating systems find devices, or their absence, by exactly that. The debug console (port 0xE9) is
Bochs's and QEMU's, and so is the switch at 0xF4: a guest that prints and ends by them does the same there.
"""
import pytest

from pvlab.devices.backends.disk import patterned
from pvlab.devices.bus import Ports
from pvlab.devices.debug import DebugConsole, DebugExit, PowerOff
from pvlab.devices.pc import Pc


class Recorder:
    name = "recorder"

    def __init__(self, answer=0x12345678):
        self.answer, self.seen = answer, []

    def read(self, port, size):
        self.seen.append(("read", port, size))
        return self.answer

    def write(self, port, size, value):
        self.seen.append(("write", port, size, value))


UNKNOWN = [(port, size, (1 << 8 * size) - 1) for port in (0, 0x60, 0x80, 0x1F0, 0xFFFF) for size in (1, 2, 4)]


@pytest.mark.parametrize("port, size, expected", UNKNOWN)
def test_a_port_where_nobody_is_reads_all_ones_and_swallows_writes(port, size, expected):
    ports = Pc(lambda: 0).ports
    assert ports.read(port, size) == expected
    ports.write(port, size, 0)
    assert ports.read(port, size) == expected
    assert ports.name(port) == f"port-{port:#x}"


@pytest.mark.parametrize("size, expected", [(1, 0x78), (2, 0x5678), (4, 0x12345678)])
def test_a_read_has_the_width_that_was_asked_for(size, expected):
    ports, device = Ports(), Recorder()
    ports.attach(device, 0x100)
    assert ports.read(0x100, size) == expected
    assert device.seen == [("read", 0x100, size)]


def test_a_device_hears_of_its_own_ports_only():
    ports, one, other = Ports(), Recorder(1), Recorder(2)
    ports.attach(one, 0x100, 0x102)
    ports.attach(other, 0x101)
    assert [ports.read(port, 1) for port in (0x100, 0x101, 0x102, 0x103)] == [1, 2, 1, 0xFF]
    ports.write(0x102, 2, 0xABCD)
    assert one.seen == [("read", 0x100, 1), ("read", 0x102, 1), ("write", 0x102, 2, 0xABCD)]
    assert other.seen == [("read", 0x101, 1)]


def test_two_devices_cannot_have_the_same_port():
    ports = Ports()
    ports.attach(Recorder(), 0x100, 0x101)
    with pytest.raises(ValueError, match="port 0x101 belongs to recorder already"):
        ports.attach(DebugConsole(), 0x101)


WRITES = [     # size, value, what is printed: an OUT of a word prints both bytes, the low one first
    (1, 0x41, b"A"), (1, 0x1FF, b"\xff"), (1, 0, b"\0"), (2, 0x4241, b"AB"), (4, 0x44434241, b"ABCD"),
    (2, 0x41, b"A\0"),
]


@pytest.mark.parametrize("size, value, printed", WRITES)
def test_the_debug_console_prints_every_byte(size, value, printed):
    pc = Pc(lambda: 0)
    pc.ports.write(0xE9, size, value)
    assert bytes(pc.console.output) == printed


def test_the_debug_console_says_that_it_is_there():
    """A guest may ask before it prints: the port gives its own number. Elsewhere that read gives all ones."""
    pc = Pc(lambda: 0)
    assert pc.ports.read(0xE9, 1) == 0xE9
    assert pc.ports.name(0xE9) == "debug-console"
    assert bytes(pc.console.output) == b""


@pytest.mark.parametrize("size, value, status", [(1, 0, 0), (1, 3, 3), (1, 0x103, 3), (2, 0x1234, 0x1234),
                                                 (4, 0xDEADBEEF, 0xDEADBEEF)])
def test_a_write_to_the_switch_turns_the_machine_off(size, value, status):
    with pytest.raises(PowerOff) as off:
        Pc(lambda: 0).ports.write(0xF4, size, value)
    assert off.value.status == status


def test_a_read_of_the_switch_does_nothing():
    assert Pc(lambda: 0).ports.read(0xF4, 1) == DebugExit().read(0xF4, 1) == 0


BOARD = {0x20: "pic", 0x21: "pic", 0xA0: "pic", 0xA1: "pic", 0x40: "pit", 0x41: "pit", 0x42: "pit", 0x43: "pit",
         0xE9: "debug-console", 0xF4: "debug-exit", **dict.fromkeys(range(0x3F8, 0x400), "uart")}
DISK = dict.fromkeys((*range(0x1F0, 0x1F8), 0x3F6), "ata")


@pytest.mark.parametrize("disk, expected", [(None, BOARD), (patterned(8), BOARD | DISK)])
def test_what_stands_where_on_the_board(disk, expected):
    ports = Pc(lambda: 0, disk=disk).ports
    assert {port: ports.name(port) for port in range(0x10000) if not ports.name(port).startswith("port-")} == expected

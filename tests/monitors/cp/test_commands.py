"""CP commands: abbreviations, responses, and CP's own error messages with their numbers."""
from types import SimpleNamespace

import pytest

from pvlab.devices.backends.disk import patterned
from pvlab.devices.channel.console import Console
from pvlab.devices.channel.dasd import Dasd
from pvlab.devices.channel.subsystem import ChannelSubsystem
from pvlab.monitors.cp import commands

NOW = 3_725_250_000_000             # an hour, two minutes and five seconds, and a quarter
TOD = (26_511 * 86_400 * 1_000_000 << 12) + (NOW // 1000 << 12)


class Paper:
    def __init__(self):
        self.output = b""

    def write(self, data):
        self.output += data


@pytest.fixture
def vm():
    channels = ChannelSubsystem(None)
    channels.attach(0x009, Console())
    channels.attach(0x190, Dasd(patterned(4560, read_only=True)))
    channels.attach(0x191, Dasd(patterned(9120)))
    cpus = [SimpleNamespace(address=0, running=True), SimpleNamespace(address=1, running=False)]
    return SimpleNamespace(userid="PVLAB", channels=channels, cpus=cpus, now=NOW, tod=TOD, console=Paper(),
                           absolute=SimpleNamespace(size=32 << 20), settings=dict(commands.SETTINGS),
                           cpu_id=lambda cpu: 0xFF00000020968000 | cpu.address << 48)


CONS = "CONS 009 ON DEV 01F\n"
DISK_190, DISK_191 = "DASD 190 3330 PVLAB  R/O 010 CYL\n", "DASD 191 3330 PVLAB  R/W 020 CYL\n"
STORAGE = "STORAGE = 32768K\n"
CPUS = "CPU 00  ID  FF00000020968000 (BASE)\nCPU 01  ID  FF01000020968000 STOPPED\n"
TIME = "TIME IS 01:02:05 GMT WEDNESDAY 08/02/72\nCONNECT= 01:02:05 VIRTCPU= 062:05.25 TOTCPU= 062:05.25\n"


@pytest.mark.parametrize("line, code, response", [
    ("QUERY USERID", 0, "PVLAB\n"), ("q userid", 0, "PVLAB\n"), ("Quer  userid ", 0, "PVLAB\n"),
    ("QUERY TIME", 0, TIME), ("Q T", 0, TIME),
    ("QUERY STORAGE", 0, STORAGE), ("Q V STOR", 0, STORAGE), ("Q ST", 0, STORAGE),
    ("QUERY VIRTUAL", 0, STORAGE + CONS + DISK_190 + DISK_191), ("Q V CON", 0, CONS), ("Q V CONSOLE", 0, CONS),
    ("Q V D", 0, DISK_190 + DISK_191), ("Q V DASD", 0, DISK_190 + DISK_191), ("Q V 191", 0, DISK_191),
    ("Q V 009", 0, CONS), ("Q V 9", 0, CONS), ("QUERY CPUS", 0, CPUS), ("Q V CPUS", 0, CPUS), ("Q CPU", 0, CPUS),
    ("", 0, ""), ("   ", 0, ""),
    ("Q", 26, "DMKCFG026E OPERAND MISSING OR INVALID\n"),
    ("Q V 192", 40, "DMKCQG040E DEV 192 DOES NOT EXIST\n"), ("Q V 7", 40, "DMKCQG040E DEV 007 DOES NOT EXIST\n"),
    ("Q V 12345", 40, "DMKCQG040E DEV 12345 DOES NOT EXIST\n"),
    ("Q V PRT", 3, "DMKCQG003E INVALID OPTION - PRT\n"), ("Q TIME NOW", 3, "DMKCQG003E INVALID OPTION - NOW\n"),
    ("Q V 191 192", 3, "DMKCQG003E INVALID OPTION - 192\n"), ("Q V CO", 3, "DMKCQG003E INVALID OPTION - CO\n"),
    ("query weather", 3, "DMKCQG003E INVALID OPTION - WEATHER\n"),
    ("hello there", 1, "DMKCFC001E ?CP: HELLO THERE\n"), ("QUERYX", 1, "DMKCFC001E ?CP: QUERYX\n"),
    ("SE PAGEX ON", 1, "DMKCFC001E ?CP: SE PAGEX ON\n"),
    ("SET", 26, "DMKCFS026E OPERAND MISSING OR INVALID\n"),
    ("SET PAGEX", 26, "DMKCFS026E OPERAND MISSING OR INVALID\n"),
    ("SET PAGEX YES", 3, "DMKCFS003E INVALID OPTION - YES\n"),
    ("SET COLOUR ON", 3, "DMKCFS003E INVALID OPTION - COLOUR\n"),
    ("SET PAGEX ON NOW", 3, "DMKCFS003E INVALID OPTION - NOW\n"),
    ("SET RUN CODE", 3, "DMKCFS003E INVALID OPTION - CODE\n"),
    ("MSG", 20, "DMKMSG020E USERID MISSING OR INVALID\n"), ("MSG *", 26, "DMKMSG026E OPERAND MISSING OR INVALID\n"),
    ("M MAINT hello", 45, "DMKMSG045E MAINT NOT LOGGED ON\n"),
])
def test_response(vm, line, code, response):
    assert commands.execute(vm, line) == (response, code)
    assert vm.console.output == b"" and vm.settings == commands.SETTINGS


@pytest.mark.parametrize("line", ["MESSAGE * good morning", "msg pvlab good morning", "M * good morning"])
def test_a_message_appears_at_the_receivers_terminal(vm, line):
    assert commands.execute(vm, line) == ("", 0)
    assert vm.console.output == b"01:02:05 * MSG FROM PVLAB   : good morning\n"


def test_set_and_query_set(vm):
    assert commands.execute(vm, "SET PAGEX ON") == commands.execute(vm, "SET RUN ON") == ("", 0)
    assert commands.execute(vm, "Q SET")[0] == ("ACNT ON , MSG ON , WNG ON , EMSG ON\n"
                                                "RUN ON , LINEDIT ON , ECMODE ON , ISAM OFF\n"
                                                "NOTRANS OFF , PAGEX ON , AUTOPOLL OFF , TIMER ON\n")
    assert commands.execute(vm, "SET MSG OFF") == ("", 0)
    assert commands.execute(vm, "MSG * hi") == ("DMKMSG057W PVLAB NOT RECEIVING; MSG OFF\n", 57)


@pytest.mark.parametrize("how, shown", [("ON", "DMKCFC001E ?CP: X\n"), ("TEXT", "?CP: X\n"), ("CODE", "DMKCFC001E\n"),
                                        ("OFF", "\n")])
def test_error_messages_are_edited_as_set_emsg_wants(vm, how, shown):
    assert commands.execute(vm, f"SET EMSG {how}") == ("", 0) and commands.execute(vm, "x") == (shown, 1)


@pytest.mark.parametrize("between", ["\n", "\x85"])
def test_several_commands_at_once(vm, between):
    assert commands.execute(vm, between.join(("Q USERID", "", "HUH", "Q V STOR"))) == (
        "PVLAB\nDMKCFC001E ?CP: HUH\n" + STORAGE, 0)
    assert commands.execute(vm, between.join(("Q USERID", "HUH"))) == ("PVLAB\nDMKCFC001E ?CP: HUH\n", 1)

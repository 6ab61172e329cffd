"""CP's commands, as far as guests ask for them: what an operator types at CP READ, and what DIAGNOSE X'08' passes on.

Names may be shortened as in CP (capitals are what must be there: Query, Message or MSG, SET). Responses and errors are
those of VM/370 Release 6 (IBM, CP Command Reference for General Users, GC20-1820; System Messages, GC20-1808), with the
identifier that EMSG ON shows; the return code is the message's number, 1 for an unknown command. What is not theirs:
QUERY VIRTUAL CPUS is z/VM's (a VM/370 virtual machine has one CPU), and QUERY STORAGE and QUERY CPUS answer for the
virtual machine, too. Times are virtual. What SET sets is kept and shown; EMSG and MSG also do what they say.
"""
from __future__ import annotations

from datetime import datetime, timedelta

SETTINGS = {"ACNT": "ON", "MSG": "ON", "WNG": "ON", "EMSG": "ON", "RUN": "OFF", "LINEDIT": "ON", "ECMODE": "ON",
            "ISAM": "OFF", "NOTRANS": "OFF", "PAGEX": "OFF", "AUTOPOLL": "OFF", "TIMER": "ON"}
_EPOCH = datetime(1900, 1, 1)


class CpError(Exception):
    """The command failed: a message number, and the message with its identifier."""

    def __init__(self, code: int, text: str):
        super().__init__(code, text)
        self.code, self.text = code, text


def execute(vm, text: str) -> tuple[str, int]:
    """Commands for a virtual machine, with X'15' (as text: a new line, or NEL) between them: the response, lines that
    end in a newline each, and CP's return code, that of the last one."""
    response, code = "", 0
    for line in text.replace("\x85", "\n").split("\n"):
        try:
            response += "".join(f"{each}\n" for each in _one(vm, line))
            code = 0
        except CpError as error:
            response, code = response + _edited(vm, error.text) + "\n", error.code
    return response, code


def _one(vm, line: str) -> list[str]:
    words = line.upper().split()
    if not words:
        return []
    for shortest, name, function in _COMMANDS:
        if is_short_for(words[0], name, shortest):
            return function(vm, words[1:], line)
    raise CpError(1, f"DMKCFC001E ?CP: {line.strip().upper()}")


def is_short_for(word: str, name: str, shortest: int) -> bool:
    """Whether a word is the name, or its beginning with at least so many characters."""
    return len(word) >= shortest and name.startswith(word)


def _edited(vm, message: str) -> str:
    """An error message as SET EMSG wants it: ON, TEXT, CODE or OFF."""
    code, _, text = message.partition(" ")
    return {"ON": message, "TEXT": text, "CODE": code, "OFF": ""}[vm.settings["EMSG"]]


# ------------------------------------------------------------------------------------------------------- QUERY

def query(vm, words: list[str], line: str) -> list[str]:
    """Query Time | SEt | USERID | STorage | CPUs | Virtual [CONsole | Dasd | UR | STorage | CPUs | vaddr]"""
    if not words:
        raise CpError(26, "DMKCFG026E OPERAND MISSING OR INVALID")
    for shortest, name, function in _QUERIES:
        if is_short_for(words[0], name, shortest):
            return function(vm, words[1:])
    raise CpError(3, f"DMKCQG003E INVALID OPTION - {words[0]}")


def _alone(words: list[str]) -> None:
    if words:
        raise CpError(3, f"DMKCQG003E INVALID OPTION - {words[0]}")


def _query_userid(vm, words: list[str]) -> list[str]:
    _alone(words)
    return [vm.userid]


def _query_time(vm, words: list[str]) -> list[str]:
    """The date and time of the TOD clock; connect time and processor time are one here: the guest has the CPU alone."""
    _alone(words)
    then = _EPOCH + timedelta(microseconds=vm.tod >> 12)
    seconds, hundredths = vm.now // 1_000_000_000, vm.now // 10_000_000 % 100
    spent = f"{seconds // 60:03}:{seconds % 60:02}.{hundredths:02}"
    day = ("MONDAY", "TUESDAY", "WEDNESDAY", "THURSDAY", "FRIDAY", "SATURDAY", "SUNDAY")[then.weekday()]
    return [f"TIME IS {then:%H:%M:%S} GMT {day} {then:%m/%d/%y}",
            f"CONNECT= {seconds // 3600:02}:{seconds // 60 % 60:02}:{seconds % 60:02} VIRTCPU= {spent} TOTCPU= {spent}"]


def _query_storage(vm, words: list[str]) -> list[str]:
    _alone(words)
    return [f"STORAGE = {vm.absolute.size >> 10:05}K"]


def _query_cpus(vm, words: list[str]) -> list[str]:
    _alone(words)
    return [f"CPU {cpu.address:02X}  ID  {vm.cpu_id(cpu):016X}" + (" (BASE)" if cpu is vm.cpus[0] else "")
            + ("" if cpu.running else " STOPPED") for cpu in vm.cpus]


def _query_settings(vm, words: list[str]) -> list[str]:
    _alone(words)
    said = [f"{name} {value}" for name, value in vm.settings.items()]
    return [" , ".join(said[at:at + 4]) for at in range(0, len(said), 4)]


def _query_virtual(vm, words: list[str]) -> list[str]:
    if not words:
        return _query_storage(vm, []) + [_device(vm, each) for each in vm.channels]
    _alone(words[1:])
    for shortest, name, function in _VIRTUAL:
        if is_short_for(words[0], name, shortest):
            return function(vm, [])
    try:
        found = vm.channels.by_device_number(int(words[0], 16)) if len(words[0]) <= 4 else None
    except ValueError:
        raise CpError(3, f"DMKCQG003E INVALID OPTION - {words[0]}") from None
    if found is None:
        raise CpError(40, f"DMKCQG040E DEV {words[0]:0>3} DOES NOT EXIST")
    return [_device(vm, found)]


def _query_kind(what: str):
    def answer(vm, words: list[str]) -> list[str]:
        found = [each for each in vm.channels if each.device.name == what]
        if not found:
            raise CpError(40, "DMKCQG040E DEV DOES NOT EXIST")
        return [_device(vm, each) for each in found]
    return answer


def _device(vm, subchannel) -> str:
    number, device = f"{subchannel.device_number:03X}", subchannel.device
    if device.name == "console":
        return f"CONS {number} ON DEV 01F"
    if device.name == "reader":
        return f"RDR  {number} CL * NOCONT NOHOLD EOF READY"
    return (f"DASD {number} {device.kind[0]:04X} {vm.userid[:6]:<6} {'R/O' if device.read_only else 'R/W'} "
            f"{device.cylinders:03} CYL")


_VIRTUAL = ((3, "CONSOLE", _query_kind("console")), (1, "DASD", _query_kind("disk")), (2, "STORAGE", _query_storage),
            (3, "CPUS", _query_cpus), (2, "UR", _query_kind("reader")))
_QUERIES = ((1, "TIME", _query_time), (6, "USERID", _query_userid), (1, "VIRTUAL", _query_virtual),
            (2, "STORAGE", _query_storage), (3, "CPUS", _query_cpus), (2, "SET", _query_settings))


# ------------------------------------------------------------------------------------------------- MESSAGE, SET

def message(vm, words: list[str], line: str) -> list[str]:
    """Message {userid | * | OPerator} text. The receiver's terminal shows it; the sender's shows nothing."""
    if not words:
        raise CpError(20, "DMKMSG020E USERID MISSING OR INVALID")
    if len(words) == 1:
        raise CpError(26, "DMKMSG026E OPERAND MISSING OR INVALID")
    if words[0] not in ("*", vm.userid):
        raise CpError(45, f"DMKMSG045E {words[0]} NOT LOGGED ON")
    if vm.settings["MSG"] == "OFF":
        raise CpError(57, f"DMKMSG057W {vm.userid} NOT RECEIVING; MSG OFF")
    text = line.split(None, 2)[2].rstrip()
    then = _EPOCH + timedelta(microseconds=vm.tod >> 12)
    vm.console.write(f"{then:%H:%M:%S} * MSG FROM {vm.userid:<8}: {text}\n".encode())
    return []


def set_(vm, words: list[str], line: str) -> list[str]:
    """SET function {ON | OFF}; SET EMSG {ON | OFF | CODE | TEXT}."""
    if not words:
        raise CpError(26, "DMKCFS026E OPERAND MISSING OR INVALID")
    name = next((each for each in SETTINGS if each.startswith(words[0]) and len(words[0]) >= min(3, len(each))), None)
    if name is None:
        raise CpError(3, f"DMKCFS003E INVALID OPTION - {words[0]}")
    if len(words) == 1:
        raise CpError(26, "DMKCFS026E OPERAND MISSING OR INVALID")
    if words[1] not in ("ON", "OFF", *(("CODE", "TEXT") if name == "EMSG" else ())) or len(words) > 2:
        raise CpError(3, f"DMKCFS003E INVALID OPTION - {words[-1]}")
    vm.settings[name] = words[1]
    return []


_COMMANDS = ((1, "QUERY", query), (1, "MESSAGE", message), (3, "MSG", message), (3, "SET", set_))

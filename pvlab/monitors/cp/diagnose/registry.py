"""The table of DIAGNOSE codes, and how a code gets into it.

    @diagnose(0x60, "Virtual storage size", since="VM/370")
    def storage_size(vm, rx, ry): ...

A code's function gets the virtual machine (vm.py) and the numbers of the instruction's two registers, R1 and R3 of the
format: VM/370's manuals call them Rx and Ry. It answers a condition code, or None to leave that as it is, and raises
Interruption for what the guest's program is to be interrupted by; one that has loaded a PSW answers LOADED. Its
docstring says what is in the registers, and where that was published: the table that `codes()` makes is the
documentation.
"""
from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import NamedTuple

from pvlab.errors import PvlabError
from pvlab.machine.s390x.faults import SPECIFICATION, Interruption
from pvlab.monitors.base import Ended
from pvlab.monitors.cp.simulation import LOADED, simulates

USER = range(0x100, 0x200, 4)      # IBM's manuals leave these codes to a system's own users


class Code(NamedTuple):
    """One DIAGNOSE code. since: the first system that had it."""

    number: int
    name: str
    since: str
    function: Callable

    @property
    def reason(self) -> str:
        return "diagnose:user" if self.number in USER else f"diagnose:{self.number:#04x}"

    @property
    def family(self) -> str:
        """The file that it stands in."""
        return self.function.__module__.rpartition(".")[2]

    def to_dict(self) -> dict:
        return {"code": f"X'{self.number:02X}'", "name": self.name, "since": self.since, "family": self.family,
                "registers": inspect.cleandoc(self.function.__doc__ or "")}


CODES: dict[int, Code] = {}


def diagnose(number: int, name: str, since: str) -> Callable:
    """Put a function into the table."""
    def register(function: Callable) -> Callable:
        if number in CODES:
            raise ValueError(f"{CODES[number].name} has the code {number:#x} already")
        CODES[number] = Code(number, name, since, function)
        return function
    return register


def user_code(number: int, function: Callable, name: str = "") -> Code:
    """A code of a system's own user, or PvlabError."""
    if not isinstance(number, int) or number not in USER:
        said = f"X'{number:X}'" if isinstance(number, int) else repr(number)
        raise PvlabError(f"DIAGNOSE {said} is not a user's: those are X'100' to X'1FC', multiples of 4")
    if not callable(function):
        raise PvlabError(f"DIAGNOSE X'{number:X}' needs a function of (vm, rx, ry), not {function!r}")
    return Code(number, name or getattr(function, "__name__", "user"), "user", function)


def codes() -> list[Code]:
    """All codes that CP itself has, in order."""
    return [CODES[number] for number in sorted(CODES)]


def _number(vm, instruction) -> int:
    """The second-operand address is the code; only its last 16 bits count."""
    return vm.machine.effective(instruction.base) & 0xFFFF


def _find(vm, number: int) -> Code | None:
    return vm.user_codes.get(number) or CODES.get(number)


def _reason(vm, instruction) -> str:
    code = _find(vm, _number(vm, instruction))
    return code.reason if code else "diagnose:unknown"


@simulates(0x83, "diagnose", reason=_reason)
def _diagnose(vm, instruction):
    number = _number(vm, instruction)
    code = _find(vm, number)
    if code is None:
        raise Interruption(SPECIFICATION)
    if number not in USER:
        answer = code.function(vm, instruction.r1, instruction.r3)
    else:
        answer = _ask_user(vm, code, instruction)
    if answer is LOADED:
        return LOADED
    if answer is not None:
        vm.cc = answer
    return None


def _ask_user(vm, code: Code, instruction) -> int | None:
    """A user's function may be wrong in any way: the run then ends, and says how."""
    try:
        answer = code.function(vm, instruction.r1, instruction.r3)
        wrong = answer is not None and answer not in (0, 1, 2, 3) and f"answered {answer!r}, which is no condition code"
    except (Interruption, Ended):
        raise
    except Exception as error:
        wrong = f"raised {type(error).__name__}: {error}"
    if wrong:
        raise Ended("crashed", f"the function of DIAGNOSE X'{code.number:X}' ({code.name}) {wrong} "
                               f"(called at {vm.machine.pc:#x})")
    return answer

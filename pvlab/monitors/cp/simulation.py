"""The table of the instructions that CP simulates, and how one gets into it.

    @simulates(0xB210, "spx")
    def set_prefix(vm, instruction): ...

A simulation gets the virtual machine (vm.py) and the decoded instruction, and changes the one as the other says. It
answers None, and CP steps over the instruction, or LOADED, where it has loaded a PSW itself. It raises Interruption for
what the guest's program is to be interrupted by; then the instruction has not been executed. The name is the reason in
the trace.
"""
from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

LOADED = object()


class Simulation(NamedTuple):
    """privileged: in the virtual problem state it is a privileged-operation exception before anything else. reason:
    gives the trace's reason from (vm, instruction), where the name alone is not enough."""

    name: str
    function: Callable
    privileged: bool
    reason: Callable | None


INSTRUCTIONS: dict[int, Simulation] = {}


def simulates(opcode: int, name: str, privileged: bool = True, reason: Callable | None = None) -> Callable:
    """Put a function into the table. `opcode` is what decode.opcode() makes of the instruction."""
    def register(function: Callable) -> Callable:
        if opcode in INSTRUCTIONS:
            raise ValueError(f"{INSTRUCTIONS[opcode].name} has the opcode {opcode:#x} already")
        INSTRUCTIONS[opcode] = Simulation(name, function, privileged, reason)
        return function
    return register

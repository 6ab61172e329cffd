"""One virtual CPU: what its guest believes that it has, as far as the real CPU does not hold it.

The guest runs in the real problem state. Its registers, its control registers, its prefix, its addressing mode, its
key and even its address translation are the real CPU's own: the engine has one virtual machine to itself, whose
absolute storage is all that there is. (VM/370 called such a machine virtual=real, and its operator could say SET
STBYPASS VR: no shadow tables.) What must be kept apart is what would take the machine from CP: the problem-state bit,
the interruption masks, the wait state, and PER.
"""
from __future__ import annotations

from dataclasses import dataclass, field

from pvlab.machine.s390x import psw

# The bits of the virtual PSW that are CP's to keep; the rest stands in the real PSW.
OWN = psw.PER | psw.IO | psw.EXTERNAL | psw.MACHINE_CHECK | psw.WAIT | psw.PROBLEM


@dataclass
class VirtualCpu:
    """address: as STAP stores it. own: the OWN bits of its PSW. running: operating, not stopped."""

    address: int
    own: int = 0
    running: bool = True
    comparator: int = 0                  # the clock comparator: a TOD value
    timer: int = 0                       # the CPU timer's value when it was set, in TOD units, unsigned
    timer_set: int = 0                   # and the virtual time at which that was
    tod_programmable: int = 0
    restart: bool = False                # a restart interruption is pending
    emergencies: set[int] = field(default_factory=set)
    caller: int | None = None            # an external call is pending from this CPU
    saved: bytes = b""                   # the real CPU's content, while another virtual CPU has it

    @property
    def problem(self) -> bool:
        return bool(self.own & psw.PROBLEM)

    @property
    def waiting(self) -> bool:
        return bool(self.own & psw.WAIT)

    @property
    def disabled(self) -> bool:
        """No interruption but a restart can reach it."""
        return not self.own & (psw.IO | psw.EXTERNAL | psw.MACHINE_CHECK)

    def reset(self) -> None:
        """What a CPU reset clears: pending interruptions."""
        self.restart, self.caller = False, None
        self.emergencies.clear()

    def initial_reset(self) -> None:
        """An initial CPU reset clears the timers, too."""
        self.reset()
        self.own = self.comparator = self.timer = self.timer_set = self.tod_programmable = 0

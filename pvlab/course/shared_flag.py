"""A monitor that shares the interrupt flag with its guest: a store turns events off and on, and no exit is needed.

It is trap and emulate but for three things: the virtual IF is a byte of the guest's memory, a second byte beside it
tells the guest that an event waits, and `int $0x82` asks for a look. Xen's `evtchn_upcall_mask` and
`evtchn_upcall_pending` are such bytes.
"""
from __future__ import annotations

from pathlib import Path

from pvlab.monitors.trap_and_emulate import TrapAndEmulate
from pvlab.monitors.vcpu import VirtualCpu

CALL = 0x82
_PLACE = "/* THE TWO FUNCTIONS */"


def program(functions: str) -> str:
    """The C source of the guest in shared_flag.c with these two functions in it."""
    return Path(__file__).with_suffix(".c").read_text("utf-8").replace(_PLACE, functions)


class _Vcpu(VirtualCpu):
    """A virtual CPU whose interrupt flag is a byte of the guest's memory."""

    def __init__(self, at: int, *others):
        self.at = at
        super().__init__(*others)

    @property
    def interrupts(self) -> bool:
        return bool(self.machine.ram.bytes[self.at])

    @interrupts.setter
    def interrupts(self, on: bool) -> None:
        self.machine.ram.bytes[self.at] = int(on)


class SharedFlag(TrapAndEmulate):
    """Runs a guest that has a symbol `shared`: two bytes, enabled and pending. It must not switch paging on."""

    description = "trap and emulate, with an interrupt flag in shared memory"

    def prepare(self, guest) -> None:
        super().prepare(guest)
        self.at = guest.image.symbols["shared"]

    def make_vcpu(self) -> VirtualCpu:
        return _Vcpu(self.at, self.machine, self.shadow, lambda: self.now)

    def take_interrupt(self) -> int | None:
        until = super().take_interrupt()
        self.machine.ram.bytes[self.at + 1] = int(self.board.interrupt_pending())
        return until

    def on_int(self, vector: int) -> None:
        if vector == CALL:
            self.leave("int", f"int {CALL:#x}")     # EIP is behind it, and the loop delivers what is pending
        else:
            super().on_int(vector)

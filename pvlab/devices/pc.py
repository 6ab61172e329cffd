"""The board: which devices a guest finds, at which ports, and what raises interrupts."""
from __future__ import annotations

from collections.abc import Callable

from pvlab.devices.bus import Ports
from pvlab.devices.debug import DebugConsole, DebugExit
from pvlab.devices.pic import PicPair
from pvlab.devices.pit import Pit


class Pc:
    """A PC as far as the course needs it: interrupt controllers, a timer, a console and a switch.

    `clock()` is virtual time in nanoseconds.
    """

    def __init__(self, clock: Callable[[], int]):
        self.ports = Ports()
        self.pic = PicPair()
        self.pit = Pit(clock, lambda: self.pic.raise_line(0))
        self.console = DebugConsole()
        self.pic.attach(self.ports)
        self.ports.attach(self.pit, 0x40, 0x41, 0x42, 0x43)
        self.ports.attach(self.console, 0xE9)
        self.ports.attach(DebugExit(), 0xF4)

    def interrupt_pending(self) -> bool:
        """Whether a device asks for the CPU now."""
        self.pit.advance()
        return self.pic.pending()

    def acknowledge(self) -> int:
        """The vector of the interrupt that the CPU takes."""
        return self.pic.acknowledge()

    def next_event(self) -> int | None:
        """The virtual nanosecond at which a device will act by itself, or None."""
        return self.pit.next_tick()

"""The PC's timer: channel 0 of an 8254, which asks for interrupts (Intel 8254 data sheet, 1993).

Its clock runs at 1,193,182 Hz of virtual time, which the machine counts in nanoseconds.
"""
from __future__ import annotations

from collections.abc import Callable

HERTZ = 1_193_182
_SECOND = 1_000_000_000


class Pit:
    """Channels 0 to 2; only channel 0 has an output that goes anywhere.

    clock() tells virtual nanoseconds; tick() is called once for each rising edge of channel 0's output.
    """

    name = "pit"

    def __init__(self, clock: Callable[[], int], tick: Callable[[], None]):
        self._clock, self._tick = clock, tick
        self._reload = [0, 0, 0]
        self._mode, self._access = [3, 3, 3], [3, 3, 3]
        self._started = [0, 0, 0]
        self._low: list[int | None] = [None, None, None]
        self._latched: list[list[int]] = [[], [], []]
        self._next: int | None = None            # when channel 0 ticks next, in nanoseconds

    # The number of counts is kept, and nanoseconds computed from it, so that no rounding error adds up.
    def _when(self, counts: int) -> int:
        return self._started[0] + -(-counts * _SECOND // HERTZ)

    def _counts(self, channel: int) -> int:
        return (self._clock() - self._started[channel]) * HERTZ // _SECOND

    def next_event(self) -> int | None:
        """The virtual nanosecond of channel 0's next tick, or None while it is not running."""
        return self._next

    def advance(self) -> None:
        """Tick if the time has come. Ticks that the guest was too busy to see become one, as on a PC."""
        if self._next is None or self._clock() < self._next:
            return
        self._tick()
        if self._mode[0] in (2, 3):
            period = self._reload[0] or 0x10000
            self._next = self._when((self._counts(0) // period + 1) * period)
        else:
            self._next = None

    def read(self, port: int, size: int) -> int:
        channel = port - 0x40
        if channel == 3:
            return 0xFF
        latched = self._latched[channel]
        if not latched:
            latched.extend(self._bytes(channel))
        return latched.pop(0)

    def _bytes(self, channel: int) -> list[int]:
        period = self._reload[channel] or 0x10000
        value = period - self._counts(channel) % period
        both = [value & 0xFF, value >> 8 & 0xFF]
        return both if self._access[channel] == 3 else [both[self._access[channel] - 1]]

    def write(self, port: int, size: int, value: int) -> None:
        value &= 0xFF
        channel = port - 0x40
        if channel == 3:
            self._control(value)
            return
        access = self._access[channel]
        if access == 3 and self._low[channel] is None:
            self._low[channel] = value
            return
        count = value << 8 | (self._low[channel] or 0) if access == 3 else value << 8 * (access - 1)
        self._low[channel] = None
        self._reload[channel], self._started[channel] = count, self._clock()
        if channel == 0:
            self._next = self._when(count or 0x10000)

    def _control(self, value: int) -> None:
        channel, access = value >> 6, value >> 4 & 3
        if channel == 3:                         # read-back: not on the 8253, and no guest here needs it
            return
        if access == 0:
            if not self._latched[channel]:
                self._latched[channel] = self._bytes(channel)
            return
        mode = value >> 1 & 7
        self._access[channel], self._mode[channel] = access, mode - 4 if mode > 5 else mode
        self._low[channel], self._latched[channel] = None, []
        if channel == 0:
            self._next = None                    # no output until a count is written

"""A card reader, as CP gives every virtual machine one: a 2540R whose cards come from a spool file."""
from __future__ import annotations

from collections import deque

from pvlab.devices.channel.console import to_ebcdic
from pvlab.devices.channel.device import INTERVENTION_REQUIRED, Device
from pvlab.devices.channel.formats import ENDED, UNIT_EXCEPTION
from pvlab.devices.channel.program import Transfer

_CARD = 80
_READ = (0x02, 0x42, 0x82)          # feed, and select stacker 1, 2 or 3


class CardReader(Device):
    """Cards of 80 columns. Behind the last one comes a unit exception: end of file. Then it is empty, until loaded."""

    name = "reader"
    control_unit, kind = (0x2821, 1), (0x2540, 2)

    def __init__(self):
        super().__init__()
        self._cards: deque[bytes] = deque()
        self._end = False

    def load(self, lines: list[str]) -> None:
        """Put a deck of cards into the hopper."""
        self._cards.extend(to_ebcdic(line)[:_CARD].ljust(_CARD, b"\x40") for line in lines)
        self._end = True

    def operate(self, code: int, transfer: Transfer) -> int:
        if code not in _READ:
            return super().operate(code, transfer)
        if self._cards:
            transfer.give(self._cards.popleft())
            return ENDED
        if self._end:
            self._end = False
            return ENDED | UNIT_EXCEPTION
        return self.check(INTERVENTION_REQUIRED)

"""The console: a 3215 printer-keyboard (IBM System/370 Model 145 Functional Characteristics, GA24-3557).

The guest writes and reads EBCDIC, code page 37. What it prints goes to the lab's console as UTF-8; what is typed waits
in a queue, one line for each read.
"""
from __future__ import annotations

from collections import deque
from collections.abc import Callable

from pvlab.devices.channel.device import Device
from pvlab.devices.channel.formats import ENDED
from pvlab.devices.channel.program import Transfer, Waiting

_WRITE, _WRITE_AND_RETURN, _READ_INQUIRY, _ALARM = 0x01, 0x09, 0x0A, 0x0B
_NEW_LINE = "\x85"         # what the code page makes of X'15'
SCREEN = (22, 80)         # lines and columns of a 3277's output area: 1,760 bytes


def to_text(data: bytes) -> str:
    """EBCDIC as text. X'15' is the new-line character; X'25', line feed, ends a line, too."""
    return data.decode("cp037").replace(_NEW_LINE, "\n")


def to_ebcdic(text: str) -> bytes:
    """Text as EBCDIC; a character that it does not have becomes X'6F', the question mark."""
    return text.replace("\n", _NEW_LINE).encode("cp037", "replace")


class Console(Device):
    """A 3215. What it prints, as UTF-8, goes to `write`, and unless that is given into `output`."""

    name = "console"
    control_unit, kind = (0x3215, 0), (0x3215, 0)

    def __init__(self, write: Callable[[bytes], None] | None = None):
        super().__init__()
        self.output = bytearray()
        self._write = write or self.output.extend
        self.attention: Callable[[], None] = lambda: None       # the REQUEST key: the subchannel sets it
        self.screen = [""] * SCREEN[0]          # what `show` has put on the display station that the console may be
        self._lines: deque[bytes] = deque()

    def type(self, line: str) -> None:
        """Someone types a line and presses END; a program that waits for it goes on, or gets an attention."""
        self._lines.append(to_ebcdic(line))
        self.attention()

    @property
    def waiting_lines(self) -> int:
        """Lines that were typed and not yet read."""
        return len(self._lines)

    def show(self, line: int, data: bytes, erase: bool = False) -> None:
        """Put EBCDIC onto the screen from a line on, as a control program can where the terminal is a 3270."""
        lines, width = SCREEN
        if erase:
            self.screen = [""] * lines
        text = to_text(data).replace("\n", " ")
        for at in range(0, len(text), width):
            shown = text[at:at + width].rstrip()
            self.screen[line + at // width] = shown
            self._write((shown + "\n").encode())

    def operate(self, code: int, transfer: Transfer) -> int:
        if code in (_WRITE, _WRITE_AND_RETURN):
            text = to_text(transfer.take())
            self._write((text + "\n" * (code == _WRITE_AND_RETURN)).encode())
            return ENDED
        if code == _READ_INQUIRY:
            if not self._lines:
                raise Waiting
            line = self._lines.popleft()
            self._write((to_text(line) + "\n").encode())        # the keyboard prints what it sends
            transfer.give(line)
            return ENDED
        if code == _ALARM:
            return ENDED
        return super().operate(code, transfer)

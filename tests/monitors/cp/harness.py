"""Small s390x guests from lines of assembly, run under CP."""
from __future__ import annotations

from pvlab.guests.assembly import ORIGIN, assemble
from pvlab.guests.catalogue import Guest
from pvlab.guests.image import Image
from pvlab.monitors.cp import Cp

MEMORY = 4 << 20
DATA = 0x8000                 # a page that guests may use as they like
END = "lpswe .Lend_psw\n"     # see run(): a disabled wait

# Every new PSW leads to a disabled wait whose address tells which it was: 0xD00 + the class's old PSW.
_LOW_CORE = b"".join((
    bytes(0x1A0),
    *((0x0002000180000000).to_bytes(8, "big") + (0xD000 + old).to_bytes(8, "big")
      for old in (0x120, 0x130, 0x140, 0x150, 0x160, 0x170)),
))


def image(text: str, low_core: bytes = _LOW_CORE, data: dict[int, bytes] | None = None) -> Image:
    """Assembly at ORIGIN, low core, and bytes at other addresses."""
    code = assemble(text, "s390x")
    segments = [(0, low_core, len(low_core)), (ORIGIN, code, len(code)),
                *((at, content, len(content)) for at, content in sorted((data or {}).items()))]
    return Image(ORIGIN, segments, {}, None, ORIGIN + len(code), "s390x")


def run(text: str, data: dict[int, bytes] | None = None, monitor: Cp | None = None, budget: int = 1_000_000,
        low_core: bytes = _LOW_CORE, memory: int = MEMORY):
    """Run assembly under CP; it ends in a disabled wait by `END`-like code of its own, or by a program check. Returns
    (run, monitor): look at monitor.vm afterwards."""
    monitor = monitor or Cp()
    guest = Guest("snippet", "", {}, image(text, low_core, data), memory)
    return monitor.run(guest, budget=budget), monitor

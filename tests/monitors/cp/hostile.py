"""Guests that are made to hurt: random instructions, privileged ones and DIAGNOSE among them, random registers, PSWs
and low cores."""
from __future__ import annotations

import random

from pvlab.guests.catalogue import Guest
from pvlab.guests.image import Image
from pvlab.monitors.cp.diagnose import CODES
from pvlab.monitors.cp.simulation import INSTRUCTIONS

MEMORY = 2 << 20
START, LENGTH = 0x10000, 60
_MASKS = (0x180000000, 0x80000000, 0, 0x0400000180000000, 0x0300000180000000, 0x0002000180000000, 0x0003000180000000,
          0x0001000180000000, 0x0008000180000000, 0x100000000, 0xFFFFFFFFFFFFFFFF, 0x0701400180000000)
_PLACES = (0, 8, 0x1000, 0x1FF8, 0x8000, START, START + 0x20, MEMORY - 8, MEMORY - 1, MEMORY, 0x7FFFFFFF, 0xFFFFFFFF,
           (1 << 64) - 8, (1 << 64) - 1)
_COMMON = ("eb0f{:04x}0024", "eb0f{:04x}0004", "d2ff{:04x}{:04x}", "58{:02x}{:04x}", "50{:02x}{:04x}", "0e{:02x}",
    "0f{:02x}",
           "a7{:02x}{:04x}", "07{:02x}", "44{:02x}{:04x}", "c600{:04x}{:04x}", "0a{:02x}", "0d{:02x}", "b2b0{:04x}",
           "b205{:04x}", "b98d00{:02x}", "e3{:02x}{:04x}0004", "e3{:02x}{:04x}0024", "a8{:02x}{:04x}", "a9{:02x}{:04x}")


def build(seed: int) -> Guest:
    """The guest of that number."""
    draw = random.Random(seed)
    code = b"".join(_instruction(draw) for _ in range(LENGTH)) + bytes.fromhex("a7f40000")
    low = bytearray(draw.choice((bytes(0x200), draw.randbytes(0x200), bytes(0x200), bytes(0x200))))
    for at in range(0x1A0, 0x200, 16):
        if draw.random() < 0.8:
            address = draw.choice((START, START, START + 2 * draw.randrange(2 * LENGTH), draw.choice(_PLACES)))
            mask = draw.choice(_MASKS) if draw.random() < 0.5 else draw.choice((0x180000000, 0x0002000180000000))
            low[at:at + 16] = mask.to_bytes(8, "big") + address.to_bytes(8, "big")
    values = [_value(draw) for _ in range(16)]
    load = bytes.fromhex("c0100000") + (0x800).to_bytes(2, "big")                   # larl %r1, +0x1000
    load += bytes.fromhex("eb0f10000004")                                           # lmg %r0, %r15, 0(%r1)
    data = b"".join(value.to_bytes(8, "big") for value in values) + draw.randbytes(0x800)
    segments = [(0, bytes(low), len(low)), (START - len(load), load + code, len(load) + len(code)),
                (START - len(load) + 0x1000, data, len(data))]
    return Guest(f"hostile-{seed}", "", {}, Image(START - len(load), segments, {}, None, 0, "s390x"), MEMORY)


def _value(draw) -> int:
    kind = draw.random()
    if kind < 0.4:
        return draw.choice(_PLACES)
    return draw.randrange(256) if kind < 0.7 else draw.getrandbits(64)


def _instruction(draw) -> bytes:
    kind = draw.random()
    if kind < 0.15:
        return bytes((0x83, draw.randrange(256))) + draw.choice((*CODES, draw.randrange(0x600))).to_bytes(2, "big")
    if kind < 0.55:
        return _privileged(draw, draw.choice(list(INSTRUCTIONS)))
    if kind < 0.85:
        form = draw.choice(_COMMON)
        return bytes.fromhex(form.format(*(draw.randrange(256 if i == 0 and ":02x" in form else 0x10000)
                                           for i in range(form.count("{")))))
    return draw.randbytes(draw.choice((2, 4, 6)))


def _privileged(draw, opcode: int) -> bytes:
    """The opcode, with random operands."""
    first = opcode >> 8 if opcode > 0xFF else opcode
    size = (2, 4, 4, 6)[first >> 6]
    code = bytearray((first, *draw.randbytes(size - 1)))
    if opcode > 0xFF and first in (0xB2, 0xB9, 0xE5, 0x01):
        code[1] = opcode & 0xFF
    elif opcode > 0xFF and first in (0xE3, 0xEB):
        code[5] = opcode & 0xFF
    elif opcode > 0xFF:
        code[1] = code[1] & 0xF0 | opcode & 15
    return bytes(code)

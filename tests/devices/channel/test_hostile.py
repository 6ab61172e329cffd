"""Channel programs that mean harm, or nothing at all: whatever is in storage, the subchannel ends with a status."""
import random

import pytest

from devices.channel.world import DATA, PROGRAM, SCHID, SIZE, Storage, orb
from pvlab.devices.backends.disk import patterned
from pvlab.devices.channel import formats as f
from pvlab.devices.channel.console import Console
from pvlab.devices.channel.dasd import HEADS, Dasd
from pvlab.devices.channel.formats import Ccw
from pvlab.devices.channel.reader import CardReader
from pvlab.devices.channel.subsystem import ChannelSubsystem, OperandError

COMMANDS = (0x01, 0x02, 0x03, 0x04, 0x05, 0x06, 0x07, 0x08, 0x09, 0x0A, 0x0B, 0x0E, 0x12, 0x13, 0x16, 0x1A, 0x1B, 0x1E,
            0x1F, 0x22, 0x23, 0x31, 0x39, 0x51, 0x71, 0x86, 0xB1, 0xE4)
PLACES = (0, PROGRAM, PROGRAM + 8, PROGRAM + 0x10, PROGRAM + 0x20, DATA, DATA + 3, SIZE - 8, SIZE, SIZE + 4, 0xFFFFF8)


def channel(random):
    """Three devices, storage full of CCWs that make some sense, and keys."""
    storage = Storage()
    for at in range(PROGRAM, PROGRAM + 0x200, 8):
        format1 = random.random() < 0.5
        command = random.choice(COMMANDS) if random.random() < 0.9 else random.randrange(256)
        flags = random.choice((0, f.CC, f.CC | f.SLI, f.CD, f.CD | f.SLI, f.IDA | f.CC, random.randrange(256)))
        count = random.choice((0, 1, 5, 6, 80, 2048, 65535))
        storage.write(at, Ccw(command, flags, count, random.choice(PLACES)).pack(format1))
    storage.write(DATA, random.randbytes(64))
    storage.keys[random.randrange(256)] = random.randrange(256)
    css = ChannelSubsystem(storage)
    reader = CardReader()
    reader.load(["A CARD"])
    for number, device in enumerate((Console(), reader, Dasd(patterned(HEADS * 24, "hostile")))):
        css.attach(number, device)
        _, schib = css.store(SCHID + number)
        assert css.modify(SCHID + number, schib[:5] + b"\x81" + schib[6:]) == 0
    return css


@pytest.mark.parametrize("block", range(4))
def test_no_program_escapes(block, monkeypatch):
    monkeypatch.setattr("pvlab.devices.channel.program.LONGEST", 200)
    for seed in range(250 * block, 250 * (block + 1)):
        rolls = random.Random(seed)
        css = channel(rolls)
        for _ in range(8):
            word = SCHID + rolls.randrange(3)
            instruction = rolls.choice((css.start, css.start, css.start, css.test, css.halt, css.clear, css.resume))
            try:
                if instruction == css.start:
                    control = rolls.choice((0, 0x80, 0x0880, 0x2000, 0x0083, rolls.randrange(1 << 16)))
                    cc = instruction(word, orb(PROGRAM + 8 * rolls.randrange(8), control))
                else:
                    cc = instruction(word)
            except OperandError:
                continue
            assert (cc[0] if isinstance(cc, tuple) else cc) in (0, 1, 2, 3)
            next(iter(css)).device.type("something")
        assert len(next(iter(css)).device.output) < 200 << 20

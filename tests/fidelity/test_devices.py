"""Guests that mean harm to devices: random accesses to every register there is, through rings of random bytes.

Whatever they do, the run ends within its budget in one of the four ways, alike on the bare machine and under
trap-and-emulate, and the host's file is written nowhere but where a disk's guest may.
"""
import random

import pytest
from machine.bare import bare

from pvlab.devices.backends.disk import patterned
from pvlab.devices.pc import E1000_BASE, VIRTIO_BASE
from pvlab.devices.virtio.mmio import REGISTERS
from pvlab.monitors import Native, TrapAndEmulate

CARD = (0x0, 0xC0, 0xC4, 0xC8, 0xD0, 0xD8, 0x100, 0x400, 0x2800, 0x2804, 0x2808, 0x2810, 0x2818, 0x3800, 0x3804, 0x3808,
        0x3810, 0x3818)
PORTS = (*range(0x1F0, 0x1F8), 0x3F6, *range(0x3F8, 0x400), 0x20, 0x21, 0xA0, 0xA1, 0x40, 0x43)
RINGS = 0x240000
BUDGET = 300_000


def place(source):
    """A device's register, the likely ones more often."""
    if source.random() < 0.4:
        return E1000_BASE + source.choice(CARD)
    offset = source.choice([at for at, _ in REGISTERS.values()] + [0x100, 0x104, 0x108])
    return VIRTIO_BASE + source.randrange(8) * 0x200 + offset


def value(source):
    return source.choice((0, 1, 2, 3, 7, 11, 15, 16, 256, 0x20, 0x30, 0xEC, source.getrandbits(32),
                          source.getrandbits(8), RINGS + source.randrange(16) * 256, RINGS + source.randrange(4096)))


def queue(source):
    """A queue set up as it should be, over random bytes."""
    base = VIRTIO_BASE + source.randrange(5) * 0x200
    steps = [("Status", 0), ("Status", 1), ("Status", 3), ("DriverFeaturesSel", 1), ("DriverFeatures", 1),
             ("DriverFeaturesSel", 0), ("DriverFeatures", source.choice((0, 1 << 28, 1 << 29, 3 << 28))),
             ("Status", 11),
             ("QueueSel", source.randrange(2)), ("QueueNum", source.choice((1, 2, 4, 8, 256))),
             ("QueueDescLow", RINGS + source.randrange(64) * 16), ("QueueDriverLow", RINGS + source.randrange(512) * 2),
             ("QueueDeviceLow", RINGS + source.randrange(256) * 4), ("QueueReady", 1), ("Status", 15),
             ("QueueNotify", source.randrange(2)), ("QueueNotify", source.randrange(2))]
    return [f"movl ${number:#x}, {base + REGISTERS[name][0]:#x}" for name, number in steps]


def program(seed):
    source, lines = random.Random(seed), []
    while len(lines) < 150:
        kind = source.random()
        if kind < 0.1:
            lines += queue(source)
        elif kind < 0.4:
            lines.append(f"movl ${value(source):#x}, {place(source):#x}")
        elif kind < 0.5:
            lines.append(f"mov {place(source):#x}, %eax; or %eax, %ebp")
        elif kind < 0.6:
            name = source.choice(("orl", "andl", "xorl", "addl", "cmpl"))
            lines.append(f"{name} ${value(source):#x}, {place(source):#x}")
        elif kind < 0.8:
            lines.append(f"mov ${source.choice(PORTS):#x}, %edx; mov ${value(source):#x}, %eax; out %al, %dx")
        elif kind < 0.9:
            lines.append(f"mov ${source.choice(PORTS):#x}, %edx; in %dx, %{source.choice(('al', 'ax', 'eax'))}")
        else:
            name = source.choice(("rep insw", "rep outsw", "rep movsl", "rep stosl"))
            begin, end = (RINGS + source.randrange(4096) for _ in range(2))
            lines.append(f"mov ${source.choice(PORTS):#x}, %edx; mov ${source.randrange(600)}, %ecx; "
                         f"mov ${begin:#x}, %esi; mov ${end:#x}, %edi; {name}")
    return "\n".join([*lines, "mov $2000, %ecx; 1: loop 1b; cli; hlt"]), source.randbytes(8192)


@pytest.mark.parametrize("seed", range(24))
def test_devices_and_their_host_survive(seed):
    text, rings = program(seed)
    ends = []
    for monitor in (Native, TrapAndEmulate):
        class Lent(monitor):
            def run(self, guest, **how):
                self.given = patterned(16)
                return super().run(guest, disk=self.given, **how)
        found = bare(text, Lent, memory={RINGS: rings}, budget=BUDGET)
        assert found.outcome in ("halted", "shutdown", "budget", "crashed")
        assert found.monitor.given.sectors == 16
        ends.append((found.outcome, found.detail, found.regs[:8], found.monitor.given.sha256()))
    assert ends[0] == ends[1]

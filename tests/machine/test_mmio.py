"""Instructions with a device's register as operand: emulated, they do what the CPU does to RAM.

Each form runs twice from the same state: on the real CPU with its operand in RAM, and emulated with its operand in a
device that only keeps what it is given. Registers, flags and bytes must end alike.
"""
import random

import pytest

from pvlab.devices.bus import Mmio
from pvlab.machine.engine import Why
from pvlab.machine.memory import Dead
from pvlab.machine.x86 import cpu as c
from pvlab.machine.x86 import mmio
from pvlab.machine.x86.machine import Machine

CODE, DATA, DEVICE, STACK = 0x100000, 0x200000, 0xFEB00000, 0x300000
NAMES = ("add", "or", "adc", "sbb", "and", "sub", "xor", "cmp")
UNDEFINED = {"and", "or", "xor", "test"}          # leave AF undefined


class Cells:
    """A device of plain memory."""

    name = "cells"

    def __init__(self, data):
        self.data, self.seen = bytearray(data), []

    def read(self, offset, size):
        self.seen.append(("read", offset, size))
        return int.from_bytes(self.data[offset:offset + size], "little")

    def write(self, offset, size, value):
        self.seen.append(("write", offset, size))
        self.data[offset:offset + size] = value.to_bytes(size, "little")


def forms():
    """(name, code): the memory operand is [ebx] where there is a ModRM byte."""
    found = []
    for number, name in enumerate(NAMES):
        for kind in range(4):                     # rm8,r8  rm32,r32  r8,rm8  r32,rm32
            found.append((f"{name}-{kind}", bytes([number * 8 + kind, 0x03 | 5 << 3])))
        found += [(f"{name}-imm8", bytes([0x80, number << 3 | 3, 0x91])),
                  (f"{name}-imm32", bytes([0x81, number << 3 | 3, 0x78, 0x56, 0x34, 0x92])),
                  (f"{name}-short", bytes([0x83, number << 3 | 3, 0xF1]))]
    found += [(f"test-{op:x}", bytes([op, 0x2B])) for op in (0x84, 0x85)]
    found += [("test-imm8", b"\xF6\x03\x81"), ("test-imm32", b"\xF7\x03\x00\x00\x00\x80")]
    found += [(f"{name}-{op:x}", bytes([op, number << 3 | 3])) for number, name, ops in (
        (0, "inc", (0xFE, 0xFF)), (1, "dec", (0xFE, 0xFF)), (2, "not", (0xF6, 0xF7)), (3, "neg", (0xF6, 0xF7)))
        for op in ops]
    found += [(f"mov-{op:x}", bytes([op, 0x2B])) for op in range(0x88, 0x8C)]
    found += [(f"mov-{op:x}-high", bytes([op, 0x23])) for op in (0x88, 0x8A)]
    found += [("mov-imm8", b"\xC6\x03\x77"), ("mov-imm32", b"\xC7\x03\x01\x02\x03\x84"), ("push", b"\xFF\x33"),
              ("xchg-86", b"\x86\x2B"), ("xchg-87", b"\x87\x2B")]
    found += [(f"{name}-{op:x}", bytes([0x0F, op, 0x2B])) for op, name in (
        (0xB6, "movzx"), (0xB7, "movzx"), (0xBE, "movsx"), (0xBF, "movsx"))]
    for op in (0xA4, 0xA5, 0xAA, 0xAB, 0xAC, 0xAD):
        found += [(f"string-{op:x}", bytes([op])), (f"rep-{op:x}", bytes([0xF3, op]))]
    found += [(f"{name}-16", b"\x66" + code) for name, code in found
              if name.split("-")[0] in ("mov", "push", "xchg") or "rep-" in name and name[-1] in "5bd" or name == "neg-f7"
              if name != "mov-imm32"]
    return found


def start(code, registers, flags, data):
    machine = Machine(4 << 20)
    machine.ram.write(CODE, code + b"\xF4")
    machine.ram.write(DATA, data)
    for i, value in enumerate(registers):
        machine.regs[i] = value
    machine.eip, machine.eflags = CODE, flags
    return machine


def state(machine, moved):
    regs = [value - (DEVICE - DATA) if moved and DEVICE <= value < DEVICE + 0x1000 else value
            for value in machine.regs[:8]]
    return regs, machine.eip, machine.instructions


@pytest.mark.parametrize("name, code", forms(), ids=[name for name, _ in forms()])
def test_an_emulated_access_does_what_the_cpu_does(name, code):
    source = random.Random(name)
    source_is_device = code[-1] in (0xAC, 0xAD)
    for turn in range(8):
        data = source.choice((source.randbytes(64), bytes(64), b"\xff" * 64, b"\x80\0\0\0" * 16, b"\x7f" * 64))
        registers = [source.choice((0, 1, 0x7FFFFFFF, 0x80000000, source.getrandbits(32))) for _ in range(8)]
        registers[c.ESP], registers[c.ECX] = STACK, source.choice((0, 1, 3, 5))
        flags = 2 | source.getrandbits(12) & (c.ARITHMETIC | (c.DF if "string" in name else 0))
        string = len(code) - code.count(0x66) - code.count(0xF3) == 1
        machines = []
        for base in (DATA, DEVICE):
            mine = list(registers)
            mine[c.EBX] = base
            if string:
                mine[c.ESI] = (base if source_is_device or turn % 2 else DATA) + 24
                mine[c.EDI] = (DATA if source_is_device else base) + 24
            machines.append(start(code, mine, flags, data))
        real, emulated = machines
        assert real.enter(1 << 40) is Why.HALTED
        device, bus, noted = Cells(data), Mmio(), []
        bus.attach(device, DEVICE, 64)
        why = emulated.enter(1 << 40)
        if why is Why.UNMAPPED:                   # REP with a count of 0 touches nothing
            memory = mmio.Memory(emulated, emulated.ram.size, bus, lambda write, what: noted.append((write, what)))
            assert mmio.execute(emulated, emulated.instruction(), memory)
            emulated.retire(len(code))
            emulated.enter(1 << 40)
        assert len(noted) == len(device.seen) and {what for _, what in noted} <= {device}
        assert [write for write, _ in noted] == [kind == "write" for kind, _, _ in device.seen]
        ram = emulated.ram.read(DATA, 64)
        assert state(real, False) == state(emulated, True)
        unseen = c.AF if name.split("-")[0] in UNDEFINED else 0
        assert real.eflags & ~unseen == emulated.eflags & ~unseen
        kept = bytes(device.data) if not string or not source_is_device else ram
        assert real.ram.read(DATA, 64) == kept
        assert real.ram.read(STACK - 8, 8) == emulated.ram.read(STACK - 8, 8)


@pytest.mark.parametrize("code", [b"\x0F\xAB\x03", b"\x8F\x03", b"\xFF\x23", b"\x0F\xA3\x03", b"\xD9\x03", b"\x8E\x03"])
def test_what_is_not_emulated_ends_the_guest_with_its_text(code):
    machine = start(code, [0] * 3 + [DEVICE, STACK, 0, 0, 0], 2, bytes(64))
    bus = Mmio()
    bus.attach(Cells(bytes(64)), DEVICE, 64)
    assert machine.enter(1 << 40) is Why.UNMAPPED
    text = machine.instruction().text
    with pytest.raises(Dead) as dead:
        mmio.execute(machine, machine.instruction(), mmio.Memory(machine, machine.ram.size, bus, lambda *_: None))
    assert text in str(dead.value) and "0x00100000" in str(dead.value)


@pytest.mark.parametrize("at, size", [
    (DEVICE + 62, 4), (DEVICE - 2, 4), (DEVICE + 64, 1), (4 << 20, 4), ((4 << 20) - 2, 4)])
def test_an_access_that_no_device_answers_whole_is_none(at, size):
    machine = start(b"\x8B\x03" if size == 4 else b"\x8A\x03", [0] * 3 + [at, STACK, 0, 0, 0], 2, bytes(64))
    bus = Mmio()
    bus.attach(Cells(bytes(64)), DEVICE, 64)
    with pytest.raises(Dead, match=f"physical address {at:#x} is not memory"):
        mmio.execute(machine, machine.instruction(), mmio.Memory(machine, machine.ram.size, bus, lambda *_: None))

"""The saved CPU, held against the public interface.

Everything that the lab does to a CPU it does in Unicorn's saved context: privilege levels, hidden parts of segment
registers, error codes. That is QEMU's own structure, which no interface promises, so its layout is not written down
as numbers: at start-up the fields are found by what stands in them, and each field that has a public name is compared
with it. A build that keeps the CPU otherwise is refused with one sentence; it never runs guests wrongly.
"""
import ctypes
import mmap

import pytest
import unicorn
from unicorn import x86_const as x86

from pvlab.errors import PvlabError
from pvlab.machine.x86 import cpu as c
from pvlab.machine.x86.cpu import find_layout
from pvlab.machine.x86.machine import Machine

MIB = 1 << 20


@pytest.fixture
def machine():
    return Machine(2 * MIB)


def public(machine, name):
    """A register by its public name, from the engine after it has restored the context."""
    machine.engine.restore()
    return machine.engine.uc.reg_read(getattr(x86, f"UC_X86_REG_{name}"))


GENERAL = [(name.upper(), number) for number, name in enumerate(c.REGISTER_NAMES)]


@pytest.mark.parametrize("name, number", GENERAL)
def test_general_registers(machine, name, number):
    machine.regs[number] = 0xCAFE0000 + number
    assert public(machine, name) == 0xCAFE0000 + number
    machine.engine.uc.reg_write(getattr(x86, f"UC_X86_REG_{name}"), 0xBEEF0000 + number)
    machine.engine.save()
    assert machine.regs[number] == 0xBEEF0000 + number


def test_the_instruction_pointer_and_the_flags(machine):
    machine.eip, machine.eflags = 0x1_0010_0000, c.CF | c.ZF | c.OF | c.IF | c.IOPL
    assert public(machine, "EIP") == machine.eip == 0x100000, "32 bits"
    assert public(machine, "EFLAGS") & (c.IF | c.IOPL) == c.IF | c.IOPL
    assert machine.eflags & 2, "a bit that is always set"
    machine.ram.write(0x1000, b"\x9c\x58\xcc")              # the rest by a program: pushf; pop %eax; int3
    machine.regs[c.ESP], machine.eip = 0x8000, 0x1000
    machine.enter(100)
    assert machine.regs[c.EAX] == 2 | c.CF | c.ZF | c.OF | c.IF | c.IOPL


@pytest.mark.parametrize("flag", ["CF", "PF", "AF", "ZF", "SF", "DF", "OF"])
def test_flags_that_a_program_sets_are_there_when_it_stops(machine, flag):
    """While it runs, QEMU computes flags when somebody asks; the saved ones must be the right ones all the same."""
    bit = getattr(c, flag)
    machine.ram.write(0x1000, b"\x68" + (bit | 2).to_bytes(4, "little") + b"\x9d\xcc")     # push $bit; popf; int3
    machine.regs[c.ESP], machine.eip = 0x8000, 0x1000
    machine.enter(100)
    assert machine.eflags & (c.ARITHMETIC | c.DF) == bit


@pytest.mark.parametrize("name, number", [("CR0", 0), ("CR2", 2), ("CR3", 3), ("CR4", 4)])
def test_control_registers(machine, name, number):
    assert public(machine, name) == machine.cpu.cr[number]
    value = {"CR0": c.CR0_PE | c.CR0_ET | c.CR0_WP, "CR2": 0x12345678, "CR3": 0x5000, "CR4": c.CR4_PAE}[name]
    machine.engine.uc.reg_write(getattr(x86, f"UC_X86_REG_{name}"), value)
    machine.engine.save()
    assert machine.cpu.cr[number] == value


@pytest.mark.parametrize("name", ["gdt", "idt", "ldt", "tr"])
def test_tables(machine, name):
    machine.cpu.set_table(name, c.Segment(0x28 if name in ("ldt", "tr") else 0, 0x123450, 0x67, 0x8900))
    found = public(machine, {"gdt": "GDTR", "idt": "IDTR", "ldt": "LDTR", "tr": "TR"}[name])
    assert found[:3] == (0x28 if name in ("ldt", "tr") else 0, 0x123450, 0x67)
    assert machine.cpu.table(name) == machine.table(name)


@pytest.mark.parametrize("number, name", list(enumerate(c.SEGMENT_NAMES)))
def test_segment_registers_stand_in_the_order_of_the_architecture(machine, number, name):
    segment = c.Segment(0x18 + 8 * number, 0, 0xFFFFFFFF, 0x00CF9300)
    machine.set_segment(number, segment)
    assert public(machine, name.upper()) == segment.selector
    assert machine.segment(number) == segment


def test_efer(machine):
    machine.cpu.efer = c.EFER_NXE
    machine.engine.restore()
    assert machine.engine.uc.reg_read(x86.UC_X86_REG_MSR, c.EFER) & c.EFER_NXE
    machine.cpu.efer = 0
    machine.engine.restore()
    assert not machine.engine.uc.reg_read(x86.UC_X86_REG_MSR, c.EFER) & c.EFER_NXE


@pytest.mark.parametrize("ring", [0, 1, 2, 3])
def test_the_privilege_level(machine, ring):
    """It has no public name: the CPU itself is asked, by an instruction that only ring 0 may execute."""
    code = c.Segment(8 | ring, 0, 0xFFFFFFFF, 0x00CF9B00 | ring << 13)
    data = c.Segment(16 | ring, 0, 0xFFFFFFFF, 0x00CF9300 | ring << 13)
    machine.set_ring(code, data, ring)
    machine.ram.write(0x1000, b"\x0f\x06\xcc")              # clts; int3
    machine.eip = 0x1000
    machine.enter(100)
    assert machine.cpl == ring
    assert machine.state.vector == (3 if ring == 0 else 13)


def test_the_fields_are_apart_and_inside_the_context(machine):
    layout = find_layout()
    size = machine.engine.context_size
    places = [(layout.env, ctypes.sizeof(c._Env)), (layout.old_exception, 4), (layout.error_code, 4),
              (layout.is_int, 4), (layout.efer, 8)]
    places.sort()
    assert all(at + width <= following for (at, width), (following, _) in zip(places, places[1:]))
    assert places[0][0] >= 0 and sum(places[-1]) <= size


def test_the_layout_is_looked_for_once():
    assert find_layout() is find_layout()


# ------------------------------------------------------------------------------------- other builds
class Other:
    """A saved context of a build that we do not know: the real one, with something changed."""

    def __init__(self, context, change):
        data = change(bytearray(ctypes.string_at(context.context, context.size)))
        self._buffer = ctypes.create_string_buffer(bytes(data), len(data))
        self.context, self.size = ctypes.addressof(self._buffer), len(data)


def reversed_words(data):
    """Another order of everything."""
    return bytearray(b"".join(bytes(data[i:i + 4]) for i in reversed(range(0, len(data), 4))))


def narrow_registers(data):
    """General registers of 32 bits each, as in a 32-bit QEMU: half of them are elsewhere."""
    at = find_layout().env
    registers = b"".join(bytes(data[at + 8 * i:at + 8 * i + 4]) for i in range(16))
    return bytearray(data[:at] + registers + data[at + 128:] + bytes(64))


def moved_tables(data):
    """The registers where they were, and another field put in before the segments."""
    at = find_layout().env + 16 * 8 + 16
    return bytearray(data[:at] + bytes(16) + data[at:-16])


def no_memory_of_exceptions(data):
    """A build in which issue 1883 is solved by leaving the field out."""
    at = find_layout().old_exception
    data[at:at + 4] = bytes(4)
    return data


def no_error_code(data):
    at = find_layout().error_code
    data[at:at + 4] = bytes(4)
    return data


def two_error_codes(data):
    """Two fields that look the same: which one is it?"""
    at, free = find_layout().error_code, find_layout().env + ctypes.sizeof(c._Env) + 64
    data[free:free + 4] = data[at:at + 4]
    return data


def no_efer(data):
    at = find_layout().efer
    data[at:at + 8] = bytes(8)
    return data


def too_short(data):
    return data[:64]


BUILDS = [reversed_words, narrow_registers, moved_tables, no_memory_of_exceptions, no_error_code, two_error_codes,
          no_efer, too_short]


@pytest.mark.parametrize("change", BUILDS, ids=lambda change: change.__name__)
def test_a_build_that_keeps_the_cpu_otherwise_is_refused(change, monkeypatch):
    find_layout()                        # the real one, which the changes are made from
    save = unicorn.Uc.context_save
    monkeypatch.setattr(unicorn.Uc, "context_save", lambda uc: Other(save(uc), change))
    with pytest.raises(PvlabError, match=rf"this build of Unicorn \({unicorn.__version__}\) keeps the x86 CPU in a"):
        find_layout.__wrapped__()


def test_the_build_at_hand_is_not_refused():
    """The same call without a change: what the tests above hold is the change, not the call."""
    assert find_layout.__wrapped__() == find_layout()


def test_memory_is_the_labs_own(machine):
    """What the engine writes is in the buffer at once, and the other way round: no copy is made at an exit."""
    assert isinstance(machine.ram.bytes, mmap.mmap)
    machine.ram.write(0x1000, b"\xc6\x05\x00\x20\x00\x00\x2a\xcc")     # movb $42,0x2000; int3
    machine.eip = 0x1000
    machine.enter(100)
    assert machine.ram.bytes[0x2000] == 42

"""The I/O instructions: STSCH, MSCH, SSCH, TSCH, TPI, HSCH, CSCH, RSCH, XSCH, STCRW.

Each is an exit, and then CP lets the virtual machine's channel subsystem (devices/channel/) do what a real one would.
Exceptions come in the order that the Principles of Operation give them: alignment, access, operand.
"""
from __future__ import annotations

from pvlab.devices.channel.subsystem import IRB_SIZE, ORB_SIZE, SCHIB_SIZE, OperandError
from pvlab.machine.s390x.faults import OPERAND, Interruption
from pvlab.machine.s390x.storage import aligned
from pvlab.monitors.cp.devices import note, weigh
from pvlab.monitors.cp.simulation import simulates

_INTERRUPTION_CODE = 0xB8         # where in low core an I/O interruption, or TPI, stores what it is about


def _subchannel(vm, method, *arguments):
    """Call a method of the channel subsystem for the subchannel in general register 1."""
    steps, moved = vm.channels.steps, vm.channels.moved
    try:
        return method(vm.word(1), *arguments)
    except OperandError:
        raise Interruption(OPERAND) from None
    finally:
        weigh(vm, vm.channels.steps - steps, vm.channels.moved - moved)


def _operand(vm, instruction, size: int, write: bool = False) -> int:
    """The second operand's address, on a word boundary and accessible."""
    address = aligned(vm.machine.effective(instruction.base), 4)
    vm.logical.check(address, size, write)
    return address


@simulates(0xB234, "stsch")
def store_subchannel(vm, instruction):
    address = _operand(vm, instruction, SCHIB_SIZE, write=True)
    vm.cc, schib = _subchannel(vm, vm.channels.store)
    vm.logical.write(address, schib)


@simulates(0xB232, "msch")
def modify_subchannel(vm, instruction):
    address = _operand(vm, instruction, SCHIB_SIZE)
    vm.cc = _subchannel(vm, vm.channels.modify, vm.logical.read(address, SCHIB_SIZE))


@simulates(0xB233, "ssch")
def start_subchannel(vm, instruction):
    address = _operand(vm, instruction, ORB_SIZE)
    vm.cc = _subchannel(vm, vm.channels.start, vm.logical.read(address, ORB_SIZE))
    if vm.cc == 0:
        note(vm, next(each.device for each in vm.channels if each.number == vm.word(1) & 0xFFFF))


@simulates(0xB235, "tsch")
def test_subchannel(vm, instruction):
    address = _operand(vm, instruction, IRB_SIZE, write=True)
    vm.cc, irb = _subchannel(vm, vm.channels.test)
    vm.logical.write(address, irb)


@simulates(0xB236, "tpi")
def test_pending_interruption(vm, instruction):
    """Operand address 0: the whole interruption code goes to low core; else its first two words to the operand."""
    address = aligned(vm.machine.effective(instruction.base), 4)
    if address:
        vm.logical.check(address, 8, write=True)
    found = vm.channels.take(vm.cregs[6] >> 24 & 0xFF)
    vm.cc = 0 if found is None else 1
    if found is not None:
        words = b"".join(word.to_bytes(4, "big") for word in found)
        if address:
            vm.logical.write(address, words[:8])
        else:
            vm.real.write(_INTERRUPTION_CODE, words)


@simulates(0xB231, "hsch")
def halt_subchannel(vm, instruction):
    vm.cc = _subchannel(vm, vm.channels.halt)


@simulates(0xB230, "csch")
def clear_subchannel(vm, instruction):
    vm.cc = _subchannel(vm, vm.channels.clear)


@simulates(0xB238, "rsch")
def resume_subchannel(vm, instruction):
    vm.cc = _subchannel(vm, vm.channels.resume)


@simulates(0xB276, "xsch")
def cancel_subchannel(vm, instruction):
    vm.cc = _subchannel(vm, vm.channels.cancel)


@simulates(0xB239, "stcrw")
def store_channel_report_word(vm, instruction):
    """No device here comes or goes: there is never a channel report, and zeros are stored."""
    vm.logical.write(_operand(vm, instruction, 4, write=True), bytes(4))
    vm.cc = 1

"""The clocks: TOD clock, clock comparator and CPU timer, in virtual time."""
from __future__ import annotations

from pvlab.machine.s390x.faults import SPECIFICATION, Interruption
from pvlab.machine.s390x.psw import MASK64
from pvlab.machine.s390x.storage import aligned
from pvlab.monitors.cp.simulation import simulates


def _operand(vm, instruction) -> int:
    return aligned(vm.machine.effective(instruction.base), 8)


@simulates(0xB205, "stck", privileged=False)
def store_clock(vm, instruction):
    """STCK: does not trap; CP stops before it because the engine has no clock."""
    address = vm.machine.effective(instruction.base)
    vm.logical.check(address, 8, write=True)
    vm.logical.store(address, 8, vm.read_tod())
    vm.cc = 0


@simulates(0xB27C, "stckf", privileged=False)
def store_clock_fast(vm, instruction):
    store_clock(vm, instruction)


@simulates(0xB278, "stcke", privileged=False)
def store_clock_extended(vm, instruction):
    """STCKE: 16 bytes: an epoch index of zero, the clock, zeros, and the programmable field."""
    data = bytes(1) + vm.read_tod().to_bytes(8, "big") + bytes(5) + vm.cpu.tod_programmable.to_bytes(2, "big")
    vm.logical.write(vm.machine.effective(instruction.base), data)
    vm.cc = 0


@simulates(0xB204, "sck")
def set_clock(vm, instruction):
    vm.set_tod(vm.logical.load(_operand(vm, instruction), 8))
    vm.cc = 0


@simulates(0x0107, "sckpf")
def set_programmable_field(vm, instruction):
    """SCKPF: bits 48-63 of GR0; bits 32-47 must be zero."""
    if vm.regs[0] & 0xFFFF0000:
        raise Interruption(SPECIFICATION)
    vm.cpu.tod_programmable = vm.regs[0] & 0xFFFF


@simulates(0xB206, "sckc")
def set_comparator(vm, instruction):
    vm.cpu.comparator = vm.logical.load(_operand(vm, instruction), 8)


@simulates(0xB207, "stckc")
def store_comparator(vm, instruction):
    vm.logical.store(_operand(vm, instruction), 8, vm.cpu.comparator)


@simulates(0xB208, "spt")
def set_timer(vm, instruction):
    vm.cpu.timer, vm.cpu.timer_set = vm.logical.load(_operand(vm, instruction), 8), vm.now


@simulates(0xB209, "stpt")
def store_timer(vm, instruction):
    vm.logical.store(_operand(vm, instruction), 8, vm.cpu_timer(vm.cpu))


@simulates(0xC801, "ectg", privileged=False)
def extract_cpu_time(vm, instruction):
    """ECTG: GR0 is the first operand less the CPU timer, GR1 the second operand, R3 the doubleword that it points at.
    It does not trap: CP stops before it."""
    first = vm.logical.load(vm.machine.effective(instruction.base), 8)
    second = vm.logical.load(vm.machine.effective(instruction.base2), 8)
    r3 = instruction.r1
    third = vm.logical.load(vm.address(r3), 8)
    vm.regs[0], vm.regs[1], vm.regs[r3] = first - vm.cpu_timer(vm.cpu) & MASK64, second, third

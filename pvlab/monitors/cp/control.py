"""The instructions that load and store control registers, the prefix and address-space numbers, and that purge."""
from __future__ import annotations

from pvlab.machine.s390x.faults import MONITOR_EVENT, SPECIAL_OPERATION, SPECIFICATION, Interruption
from pvlab.machine.s390x.storage import PREFIX_AREA, aligned
from pvlab.monitors.cp.masks import needs_extraction
from pvlab.monitors.cp.simulation import simulates

_TRANSLATION = frozenset((0, 1, 2, 7, 13))         # control registers that say how addresses are translated


def _registers(instruction) -> list[int]:
    """R1 to R3, going round from 15 to 0."""
    count = (instruction.r3 - instruction.r1) % 16 + 1
    return [(instruction.r1 + i) % 16 for i in range(count)]


def _load(vm, instruction, size: int) -> None:
    numbers = _registers(instruction)
    data = vm.logical.read(aligned(vm.machine.effective(instruction.base), size), size * len(numbers))
    keep = 0xFFFFFFFF00000000 if size == 4 else 0
    for i, number in enumerate(numbers):
        vm.cregs[number] = vm.cregs[number] & keep | int.from_bytes(data[i * size:(i + 1) * size], "big")
    if _TRANSLATION & set(numbers):
        vm.machine.flush()


def _store(vm, instruction, size: int) -> None:
    mask = (1 << size * 8) - 1
    data = b"".join((vm.cregs[number] & mask).to_bytes(size, "big") for number in _registers(instruction))
    vm.logical.write(aligned(vm.machine.effective(instruction.base), size), data)


@simulates(0xB7, "lctl")
def load_control(vm, instruction):
    _load(vm, instruction, 4)


@simulates(0xEB2F, "lctlg")
def load_control_long(vm, instruction):
    _load(vm, instruction, 8)


@simulates(0xB6, "stctl")
def store_control(vm, instruction):
    _store(vm, instruction, 4)


@simulates(0xEB25, "stctg")
def store_control_long(vm, instruction):
    _store(vm, instruction, 8)


@simulates(0xB210, "spx")
def set_prefix(vm, instruction):
    """SPX: the prefix area (8 KiB) must be in storage."""
    prefix = vm.logical.load(aligned(vm.machine.effective(instruction.base), 4), 4) & 0x7FFFE000
    vm.absolute.check(prefix, PREFIX_AREA)
    vm.machine.set_prefix(prefix)


@simulates(0xB211, "stpx")
def store_prefix(vm, instruction):
    vm.logical.store(aligned(vm.machine.effective(instruction.base), 4), 4, vm.env.prefix)


@simulates(0xB20D, "ptlb")
def purge_tlb(vm, instruction):
    vm.machine.flush()


@simulates(0xB248, "palb")
def purge_alb(vm, instruction):
    """PALB: the engine keeps no ART look-aside buffer."""


def _extract(number: int, shift: int, name: str):
    def extract(vm, instruction):
        if not vm.env.psw_mask & 1 << 58:
            raise Interruption(SPECIAL_OPERATION)
        needs_extraction(vm)
        vm.set_word(instruction.rre[0], vm.cregs[number] >> shift & 0xFFFF)
    extract.__doc__ = f"{name.upper()}: an address-space number, from control register {number}."
    return extract


simulates(0xB226, "epar", privileged=False)(_extract(4, 0, "epar"))
simulates(0xB227, "esar", privileged=False)(_extract(3, 0, "esar"))


@simulates(0xAF, "mc", privileged=False)
def monitor_call(vm, instruction):
    """MC: nothing, unless CR8 has the bit of the class; then a program interruption that tells class and code."""
    kind = instruction.code[1]
    if kind > 15:
        raise Interruption(SPECIFICATION)
    if vm.cregs[8] & 0x8000 >> kind:
        vm.real.store(0x94, 2, kind)
        vm.real.store(0xB0, 8, vm.machine.effective(instruction.base))
        raise Interruption(MONITOR_EVENT)

"""The instructions that change or show the PSW's mask: LPSW, LPSWE, SSM, STOSM, STNSM, SPKA, IPK, SAC, SACF, IAC."""
from __future__ import annotations

from pvlab.machine.s390x import psw
from pvlab.machine.s390x.faults import PRIVILEGED, SPECIAL_OPERATION, SPECIFICATION, Interruption
from pvlab.machine.s390x.psw import Psw
from pvlab.machine.s390x.storage import aligned
from pvlab.monitors.cp.simulation import LOADED, simulates

_SYSTEM = 56                  # the system mask's place: bits 0-7
_SECONDARY_CONTROL = 1 << 26  # CR0 bit 37: secondary space
_EXTRACTION = 1 << 27         # CR0 bit 36: extraction authority, for the problem state


@simulates(0x82, "lpsw")
def load_psw(vm, instruction):
    """LPSW: the eight-byte PSW; bit 12 must be one."""
    word = vm.logical.load(aligned(vm.machine.effective(instruction.base), 8), 8)
    if not word & psw.SHORT:
        raise Interruption(SPECIFICATION)
    vm.load_psw(Psw.of_short(word))
    return LOADED


@simulates(0xB2B2, "lpswe")
def load_psw_extended(vm, instruction):
    data = vm.logical.read(aligned(vm.machine.effective(instruction.base), 8), 16)
    vm.load_psw(Psw.of(data))
    return LOADED


def _store_and_change(vm, instruction, change) -> None:
    """STOSM and STNSM: the system mask goes to storage, and is then changed by the immediate byte."""
    mask, immediate = vm.psw.mask, instruction.code[1]
    vm.logical.store(vm.machine.effective(instruction.base), 1, mask >> _SYSTEM)
    _set_system_mask(vm, change(mask >> _SYSTEM, immediate), instruction)


def _set_system_mask(vm, byte: int, instruction) -> None:
    mask = vm.psw.mask & ~psw.SYSTEM_MASK | byte << _SYSTEM
    new = Psw(mask, psw.wrap(mask, vm.machine.pc + instruction.size))
    vm.load_psw(new, size=instruction.size)


@simulates(0x80, "ssm")
def set_system_mask(vm, instruction):
    if vm.cregs[0] & 1 << 30:                    # CR0 bit 33: SSM suppression
        raise Interruption(SPECIAL_OPERATION)
    _set_system_mask(vm, vm.logical.load(vm.machine.effective(instruction.base), 1), instruction)
    return LOADED


@simulates(0xAC, "stnsm")
def store_then_and_system_mask(vm, instruction):
    _store_and_change(vm, instruction, lambda mask, byte: mask & byte)
    return LOADED


@simulates(0xAD, "stosm")
def store_then_or_system_mask(vm, instruction):
    _store_and_change(vm, instruction, lambda mask, byte: mask | byte)
    return LOADED


@simulates(0xB20A, "spka", privileged=False)
def set_psw_key(vm, instruction):
    """SPKA: privileged, but in the problem state the PSW-key mask of CR3 may allow a key."""
    key = vm.machine.effective(instruction.base) >> 4 & 15
    if vm.cpu.problem and not vm.cregs[3] >> 16 & 0x8000 >> key:
        raise Interruption(PRIVILEGED)
    vm.env.psw_mask = vm.env.psw_mask & ~psw.KEY | key << 52


def needs_extraction(vm) -> None:
    """In the problem state the extraction-authority control of CR0 must be one."""
    if vm.cpu.problem and not vm.cregs[0] & _EXTRACTION:
        raise Interruption(PRIVILEGED)


@simulates(0xB20B, "ipk", privileged=False)
def insert_psw_key(vm, instruction):
    needs_extraction(vm)
    vm.regs[2] = vm.regs[2] & ~0xFF | (vm.psw.mask >> 52 & 15) << 4


@simulates(0xB224, "iac", privileged=False)
def insert_address_space_control(vm, instruction):
    """IAC: the two address-space-control bits, with 0 before them; the condition code is the same number."""
    if not vm.psw.mask & psw.DAT:
        raise Interruption(SPECIAL_OPERATION)
    needs_extraction(vm)
    space = vm.psw.mask >> 46 & 3
    space = (space & 1) << 1 | space >> 1                 # its order of bits is the other way round
    r1 = instruction.rre[0]
    vm.regs[r1] = vm.regs[r1] & ~0xFF00 | space << 8
    vm.cc = space


def _set_space(vm, instruction) -> None:
    space = vm.machine.effective(instruction.base) >> 8 & 15
    if space > 3:
        raise Interruption(SPECIFICATION)
    if not vm.psw.mask & psw.DAT or not vm.cregs[0] & _SECONDARY_CONTROL:
        raise Interruption(SPECIAL_OPERATION)
    if space == 3 and vm.cpu.problem:
        raise Interruption(PRIVILEGED)
    vm.env.psw_mask = vm.env.psw_mask & ~psw.SPACE | ((space & 1) << 1 | space >> 1) << 46


@simulates(0xB219, "sac", privileged=False)
def set_address_space_control(vm, instruction):
    """SAC: codes 0 primary, 1 secondary, 2 access-register, 3 home."""
    _set_space(vm, instruction)


@simulates(0xB279, "sacf", privileged=False)
def set_address_space_control_fast(vm, instruction):
    _set_space(vm, instruction)

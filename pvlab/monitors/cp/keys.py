"""Storage keys: one byte for each 4 KiB (access control, fetch protection, reference, change), and the instructions
that show and set them: ISKE, SSKE, IVSK, RRBE, PFMF, TPROT's part is in translation.py.

The keys are CP's bookkeeping. The engine does not check them at a guest's own accesses; channel programs do. So the
reference and change bits are set by SSKE alone.
"""
from __future__ import annotations

from pvlab.machine.s390x import psw
from pvlab.machine.s390x.faults import ADDRESSING, SPECIAL_OPERATION, SPECIFICATION, Interruption
from pvlab.machine.s390x.storage import PAGE
from pvlab.monitors.cp.masks import needs_extraction
from pvlab.monitors.cp.simulation import simulates

ACCESS, FETCH, REFERENCE, CHANGE = 0xF0, 0x08, 0x04, 0x02
_MULTIPLE, _CONDITIONAL = 1, 0x0C        # SSKE's M3: MB; MR or MC


class StorageKeys:
    """The key of each block of absolute storage; those not yet set are 0."""

    def __init__(self, size: int):
        self._size = size
        self._keys: dict[int, int] = {}

    def get(self, address: int) -> int:
        self._check(address)
        return self._keys.get(address // PAGE, 0)

    def set(self, address: int, key: int) -> None:
        self._check(address)
        self._keys[address // PAGE] = key & 0xFE

    def clear(self) -> None:
        self._keys.clear()

    def _check(self, address: int) -> None:
        if not 0 <= address < self._size:
            raise Interruption(ADDRESSING, address)


def _block(vm, register: int) -> int:
    """The absolute address of the block that a register names by a real address."""
    address = vm.address(register) & ~(PAGE - 1)
    return next(vm.real.absolute(address, 1, False))[0]


@simulates(0xB229, "iske")
def insert_storage_key(vm, instruction):
    r1, r2 = instruction.rre
    vm.regs[r1] = vm.regs[r1] & ~0xFF | vm.keys.get(_block(vm, r2))


@simulates(0xB22B, "sske")
def set_storage_key(vm, instruction):
    """SSKE: with the conditional and multiple-block controls of z/Architecture (M3); NQ changes nothing here."""
    (r1, r2), m3 = instruction.rre, instruction.code[2] >> 4
    new, conditional = vm.regs[r1] & 0xFE, m3 & _CONDITIONAL
    if m3 & _MULTIPLE:                       # every block up to the next megabyte
        if not vm.env.psw_mask & psw.EXTENDED and not vm.env.psw_mask & psw.BASIC:
            raise Interruption(SPECIAL_OPERATION)
        start = vm.address(r2) & ~(PAGE - 1)
        end = (start | 0xFFFFF) + 1
        for address in range(start, end, PAGE):
            vm.keys.set(address, _conditionally(vm.keys.get(address), new, conditional))
        vm.regs[r2] = end & psw.MASK64
        return
    block = _block(vm, r2)
    old = vm.keys.get(block)
    if conditional:
        ignored = (REFERENCE if m3 & 8 else 0) | (CHANGE if m3 & 4 else 0)
        vm.regs[r1] = vm.regs[r1] & ~0xFF00 | old << 8
        if not (old ^ new) & 0xFE & ~ignored:
            vm.cc = 0
            return
        vm.cc = 1
    vm.keys.set(block, new)


def _conditionally(old: int, new: int, conditional: int) -> int:
    ignored = (REFERENCE if conditional & 8 else 0) | (CHANGE if conditional & 4 else 0)
    return old if conditional and not (old ^ new) & 0xFE & ~ignored else new


@simulates(0xB223, "ivsk", privileged=False)
def insert_virtual_storage_key(vm, instruction):
    """IVSK: by a logical address; access control and fetch protection only."""
    if not vm.env.psw_mask & psw.DAT:
        raise Interruption(SPECIAL_OPERATION)
    needs_extraction(vm)
    r1, r2 = instruction.rre
    block = next(vm.logical.absolute(vm.address(r2), 1, False))[0]
    vm.regs[r1] = vm.regs[r1] & ~0xFF | vm.keys.get(block) & (ACCESS | FETCH)


@simulates(0xB22A, "rrbe")
def reset_reference_bit(vm, instruction):
    """RRBE: the condition code is the old reference and change bits."""
    block = _block(vm, instruction.rre[1])
    key = vm.keys.get(block)
    vm.keys.set(block, key & ~REFERENCE)
    vm.cc = (key & (REFERENCE | CHANGE)) >> 1


@simulates(0xB9AF, "pfmf")
def perform_frame_management(vm, instruction):
    """PFMF: clear a frame, set its key, or both; frames of 4 KiB and 1 MiB."""
    r1, r2 = instruction.rre
    control = vm.regs[r1] & 0xFFFFFFFF
    size = {0: PAGE, 1: 1 << 20}.get(control >> 12 & 7)
    if control & 0xFFFC0101 or size is None:
        raise Interruption(SPECIFICATION)
    start = vm.address(r2) & ~(PAGE - 1)
    end = start + PAGE if size == PAGE else (start | size - 1) + 1
    for address in range(start, end, PAGE):
        block = next(vm.real.absolute(address, 1, False))[0] if size == PAGE else address
        if control & 0x00020000:             # SK: set the key
            vm.keys.set(block, control)
        if control & 0x00010000:             # CF: clear the frame
            vm.absolute.write(block, bytes(PAGE))
    if size != PAGE:
        vm.regs[r2] = end & psw.MASK64

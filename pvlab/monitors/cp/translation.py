"""The instructions that translate addresses, test storage and change translation tables."""
from __future__ import annotations

from pvlab.machine.s390x import psw
from pvlab.machine.s390x.dat import Missing, translate
from pvlab.machine.s390x.faults import (PAGE_TRANSLATION, PROTECTION, SEGMENT_TRANSLATION, SPECIAL_OPERATION,
                                        SPECIFICATION, Interruption)
from pvlab.machine.s390x.storage import PAGE
from pvlab.monitors.cp.simulation import simulates

_LOW_PROTECTION = 1 << 28          # CR0: stores to real 0-511 and 4096-4607 are refused


def _load_real(vm, instruction, long: bool) -> None:
    """cc 0: the real address; 1 and 2: the address of the segment- or page-table entry that is not valid; 3: the
    exception's code, with bit 32 set."""
    address = vm.machine.effective(instruction.base, instruction.r3)
    try:
        real = translate(vm.real, vm.cregs, vm.env.psw_mask, address).real
        value, vm.cc = real, 0
    except Missing as missing:
        kind = {SEGMENT_TRANSLATION: 1, PAGE_TRANSLATION: 2}.get(missing.code, 3)
        if missing.entry is None or kind == 3 or not long and missing.entry >> 31:
            value, vm.cc = 1 << 31 | missing.code, 3
        else:
            value, vm.cc = missing.entry, kind
    if long:
        vm.regs[instruction.r1] = value
    elif vm.cc == 0 and value >> 31 and not vm.env.psw_mask & psw.EXTENDED:
        raise Interruption(SPECIAL_OPERATION)
    elif vm.cc == 0 and vm.env.psw_mask & psw.EXTENDED:
        vm.regs[instruction.r1] = value
    else:
        vm.set_word(instruction.r1, value)


@simulates(0xB1, "lra")
def load_real_address(vm, instruction):
    _load_real(vm, instruction, long=False)


@simulates(0xE313, "lray")
def load_real_address_long_displacement(vm, instruction):
    _load_real(vm, instruction, long=False)


@simulates(0xE303, "lrag")
def load_real_address_long(vm, instruction):
    _load_real(vm, instruction, long=True)


@simulates(0xE501, "tprot")
def test_protection(vm, instruction):
    """TPROT: cc 0 fetch and store, 1 fetch only, 2 neither, 3 no translation; the second operand's address is a key."""
    address = vm.machine.effective(instruction.base)
    key = vm.machine.effective(instruction.base2) >> 4 & 15
    protected = False
    real = address
    if vm.env.psw_mask & psw.DAT:
        try:
            page = translate(vm.real, vm.cregs, vm.env.psw_mask, address)
        except Missing:
            vm.cc = 3
            return
        real, protected = page.real, page.protected
    block = next(vm.real.absolute(real, 1, False))[0]
    storage = vm.keys.get(block)
    if key and storage >> 4 != key:
        vm.cc = 2 if storage & 8 else 1
        return
    low = address < 0x2000 and address & 0xFFF < 512 and vm.cregs[0] & _LOW_PROTECTION
    vm.cc = 1 if protected or low else 0


@simulates(0xB22C, "tb")
def test_block(vm, instruction):
    """TB: clears a usable block, cc 0; GR0 is cleared, too."""
    address = vm.address(instruction.rre[1]) & ~(PAGE - 1)
    if address < 0x2000 and vm.cregs[0] & _LOW_PROTECTION:
        raise Interruption(PROTECTION, address)
    vm.real.write(address, bytes(PAGE))
    vm.regs[0] = 0
    vm.cc = 0


@simulates(0xB221, "ipte")
def invalidate_page_table_entry(vm, instruction):
    """IPTE: R1 the page table's origin (in the form of a segment-table entry), R2 the page's address."""
    r1, r2 = instruction.rre
    third = instruction.code[2] >> 4
    more = vm.regs[third] & 0xFF if third else 0                # the IPTE-range facility: so many pages more
    for i in range(more + 1):
        entry = (vm.regs[r1] & ~0x7FF) + ((vm.regs[r2] >> 12) + i & 0xFF) * 8 & psw.MASK64
        vm.real.store(entry, 8, vm.real.load(entry, 8) | 0x400)
    if third:
        vm.regs[third] = vm.regs[third] & ~0xFF
        vm.regs[r2] += more << 12
    vm.machine.flush()


@simulates(0xB98E, "idte")
def invalidate_dat_table_entry(vm, instruction):
    """IDTE: R3 (bits 16-19) an ASCE or table origin, R2 the effective invalidation address and options."""
    r1, r2 = instruction.rre
    r3 = instruction.code[2] >> 4
    if not vm.regs[r2] & 0x800:                                 # not the clearing-by-ASCE option
        origin, kind = vm.regs[r3] & ~0xFFF, vm.regs[r3] >> 2 & 3
        index = vm.regs[r2] >> (20, 31, 42, 53)[kind] & 0x7FF
        for i in range((vm.regs[r2] & 0x7FF) + 1):
            entry = origin + ((index + i) & 0x7FF) * 8 & psw.MASK64
            vm.real.store(entry, 8, vm.real.load(entry, 8) | 0x20)
    vm.machine.flush()


@simulates(0xB98A, "cspg")
def compare_and_swap_and_purge_long(vm, instruction):
    _compare_and_swap(vm, instruction, 8)


@simulates(0xB250, "csp")
def compare_and_swap_and_purge(vm, instruction):
    _compare_and_swap(vm, instruction, 4)


def _compare_and_swap(vm, instruction, size: int) -> None:
    """R1 compared with storage, R1+1 stored; R2 the address, whose last bit asks for the purge."""
    r1, r2 = instruction.rre
    if r1 & 1:
        raise Interruption(SPECIFICATION)
    target, mask = vm.address(r2) & ~(size - 1), (1 << size * 8) - 1
    old = vm.logical.load(target, size)
    vm.logical.check(target, size, write=True)
    if old == vm.regs[r1] & mask:
        vm.logical.store(target, size, vm.regs[r1 + 1])
        vm.cc = 0
        if vm.regs[r2] & 1:
            vm.machine.flush()
    else:
        vm.regs[r1] = vm.regs[r1] & ~mask | old
        vm.cc = 1


def _real_operand(vm, register: int, size: int) -> int:
    address = vm.address(register)
    if address % size:
        raise Interruption(SPECIFICATION)
    return address


@simulates(0xB24B, "lura")
def load_using_real_address(vm, instruction):
    r1, r2 = instruction.rre
    vm.set_word(r1, vm.real.load(_real_operand(vm, r2, 4), 4))


@simulates(0xB905, "lurag")
def load_using_real_address_long(vm, instruction):
    r1, r2 = instruction.rre
    vm.regs[r1] = vm.real.load(_real_operand(vm, r2, 8), 8)


@simulates(0xB246, "stura")
def store_using_real_address(vm, instruction):
    r1, r2 = instruction.rre
    vm.real.store(_real_operand(vm, r2, 4), 4, vm.regs[r1])


@simulates(0xB925, "sturg")
def store_using_real_address_long(vm, instruction):
    r1, r2 = instruction.rre
    vm.real.store(_real_operand(vm, r2, 8), 8, vm.regs[r1])

"""The instructions that say what the machine is: STIDP, STAP, STSI, STFL, STFLE, EPSW."""
from __future__ import annotations

from pvlab.machine.s390x.faults import SPECIFICATION, Interruption
from pvlab.machine.s390x.storage import PAGE, aligned
from pvlab.monitors.cp import ebcdic
from pvlab.monitors.cp.simulation import simulates

MACHINE_TYPE = 0x2964            # the engine executes, of the z13's instructions, what QEMU 5.0 does
_VERSION = 0xFF                  # under VM, by which a guest knows that DIAGNOSE X'00' may be asked
_SERIAL = 0x000370
_LEVEL = 3                       # STSI: a virtual machine

# Facilities (STFLE bits; Principles of Operation, figure 4-22) that this machine has: what the engine executes and what
# CP simulates. tests/monitors/cp/test_facilities.py executes instructions of each.
FACILITIES = {
    0: "instructions marked N3", 1: "z/Architecture installed", 2: "z/Architecture active", 3: "DAT enhancement",
    4: "IDTE of segments", 7: "STFLE", 8: "enhanced DAT", 10: "conditional SSKE", 13: "IPTE range",
    14: "non-quiescing key setting", 16: "extended translation 2", 18: "long displacement",
    19: "long displacement is fast", 21: "extended immediate", 22: "extended translation 3",
    24: "ETF2 enhancement", 25: "store clock fast", 27: "MVCOS", 30: "ETF3 enhancement", 31: "extract CPU time",
    32: "compare and swap and store", 33: "compare and swap and store 2", 34: "general instructions extension",
    35: "execute extensions", 37: "floating-point extension", 41: "floating-point support enhancements",
    45: "distinct operands, load/store on condition, population count", 49: "miscellaneous instructions 1",
    51: "local TLB clearing", 75: "access-exception fetch/store indication", 129: "vector",
    138: "z/Architecture is the only mode",
}


def facility_bytes() -> bytes:
    """The facility list as STFLE stores it: bit 0 first, in whole doublewords."""
    size = (max(FACILITIES) // 64 + 1) * 8
    return sum(1 << size * 8 - 1 - bit for bit in FACILITIES).to_bytes(size, "big")


@simulates(0xB202, "stidp")
def store_cpu_id(vm, instruction):
    """STIDP: version code X'FF' says that this is a virtual machine."""
    vm.logical.store(aligned(vm.machine.effective(instruction.base), 8), 8, cpu_id(vm.cpu))


def cpu_id(cpu) -> int:
    """Version, CPU address and serial number, machine type, and zeros."""
    return _VERSION << 56 | cpu.address << 52 | _SERIAL << 32 | MACHINE_TYPE << 16


@simulates(0xB212, "stap")
def store_cpu_address(vm, instruction):
    vm.logical.store(aligned(vm.machine.effective(instruction.base), 2), 2, vm.cpu.address)


@simulates(0xB2B1, "stfl")
def store_facility_list(vm, instruction):
    """STFL: the first 32 facilities, into low core at real 200."""
    vm.real.write(200, facility_bytes()[:4])


@simulates(0xB2B0, "stfle", privileged=False)
def store_facility_list_extended(vm, instruction):
    """STFLE: GR0's last byte is the room in doublewords, less one; afterwards it is the need. It does not trap: CP
    stops before it."""
    address = aligned(vm.machine.effective(instruction.base), 8)
    data = facility_bytes()
    room, need = (vm.regs[0] & 0xFF) + 1, len(data) // 8
    vm.logical.write(address, data[:room * 8])
    vm.regs[0] = vm.regs[0] & ~0xFF | need - 1
    vm.cc = 0 if room >= need else 3


@simulates(0xB98D, "epsw", privileged=False)
def extract_psw(vm, instruction):
    """EPSW: not privileged, so it shows the real PSW: a hole. CP stops before it (unless the monitor is told not to)
    and gives the guest the virtual PSW's mask."""
    r1, r2 = instruction.rre
    mask = vm.psw.mask
    vm.set_word(r1, mask >> 32)
    if r2:
        vm.set_word(r2, mask)


@simulates(0xB27D, "stsi")
def store_system_information(vm, instruction):
    """STSI: function code in GR0 bits 32-35, selectors in GR0 and GR1; level 3 is the virtual machine's."""
    function, selector1, selector2 = vm.regs[0] >> 28 & 15, vm.regs[0] & 0xFF, vm.regs[1] & 0xFFFF
    if vm.regs[0] & 0x0FFFFF00 or vm.regs[1] & 0xFFFF0000:
        raise Interruption(SPECIFICATION)
    if function == 0:
        vm.regs[0] = vm.regs[0] & ~0xFFFFFFFF | _LEVEL << 28
        vm.cc = 0
        return
    made = _SYSIB.get((function, selector1, selector2))
    if made is None:
        if function <= _LEVEL:
            aligned_operand(vm, instruction)
        vm.cc = 3
        return
    vm.logical.write(aligned_operand(vm, instruction), made(vm).ljust(PAGE, b"\0"))
    vm.cc = 0


def aligned_operand(vm, instruction) -> int:
    return aligned(vm.machine.effective(instruction.base), PAGE)


def _text(text: str, size: int) -> bytes:
    return ebcdic.encode(text.ljust(size))


def _machine(vm) -> bytes:
    """1.1.1: the basic machine."""
    return bytes(32) + _text("IBM", 16) + _text(f"{MACHINE_TYPE:04X}", 4) + bytes(12) + _text("PVLAB", 16) + _text(
        f"{_SERIAL:016X}", 16) + _text("", 4) + _text("PVLAB", 16)


def _processor(vm) -> bytes:
    """1.2.1 and 2.2.1: one processor."""
    return bytes(80) + _text(f"{vm.cpu.address:X}{_SERIAL & 0xFFFFF:015X}", 16) + _text("", 4) + bytes(
        2) + vm.cpu.address.to_bytes(2, "big")


def _processors(vm) -> bytes:
    """1.2.2: all processors: capability, then total, configured, standby and reserved."""
    count = len(vm.cpus)
    return bytes(32) + (1).to_bytes(4, "big") + b"".join(n.to_bytes(2, "big") for n in (count, count, 0, 0))


def _partition(vm) -> bytes:
    """2.2.2: the logical partition, whose only guest is CP's."""
    count = len(vm.cpus)
    return bytes(32) + bytes(2) + bytes(1) + b"\x80" + b"".join(n.to_bytes(2, "big") for n in (count, count, 0, 0)) \
        + _text("PVLAB", 8) + (1000).to_bytes(4, "big")


def _virtual_machines(vm) -> bytes:
    """3.2.2: one level of virtual machines, of which this is the only one."""
    count = len(vm.cpus)
    block = bytes(4) + b"".join(n.to_bytes(2, "big") for n in (count, count, 0, 0))
    block += _text(vm.userid, 8) + (1000).to_bytes(4, "big") + _text("PVLAB CP", 16)
    return bytes(31) + b"\x01" + bytes(32) + block


_SYSIB = {(1, 1, 1): _machine, (1, 2, 1): _processor, (1, 2, 2): _processors, (2, 2, 1): _processor,
          (2, 2, 2): _partition, (3, 2, 2): _virtual_machines}

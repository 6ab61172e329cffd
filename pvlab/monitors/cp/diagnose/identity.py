"""Who and what the virtual machine is, and what time: X'00', X'0C', X'60', X'70'."""
from __future__ import annotations

from datetime import datetime, timedelta

from pvlab.machine.s390x.faults import SPECIFICATION, Interruption
from pvlab.machine.s390x.storage import aligned
from pvlab.monitors.cp import ebcdic
from pvlab.monitors.cp.diagnose.registry import diagnose

_RECORD = 40                       # bytes of the extended identification, of which VM/370 stored the first 32
_SYSTEM, _PRODUCTS = "PVLAB CP", 0x8000000000000000
_1900 = datetime(1900, 1, 1)


def extended_identification(vm) -> bytes:
    """One record of 40 bytes, for the only level of virtual machines that there is."""
    release = bytes((0, 6, 0))                                     # environment, version and level, service
    return (ebcdic.encode(_SYSTEM) + release + b"\xff" + bytes(2) + vm.cpu.address.to_bytes(2, "big")
            + ebcdic.encode(vm.userid.ljust(8)) + _PRODUCTS.to_bytes(8, "big") + bytes(8))


@diagnose(0x00, "Store extended-identification code", since="VM/370")
def store_extended_identification(vm, rx, ry):
    """Rx: the real address of an area on a doubleword; Ry: its length in bytes, more than 0.

    Stored: 8 bytes the system's name in EBCDIC, 3 its version and level, the version code X'FF', 2 bytes zero (maximum
    MCEL length), 2 the CPU's address, 8 the userid in EBCDIC, 8 a bit map of products, 8 the time zone's differential
    (here 0: GMT). On return Ry is less by the bytes stored; cc unchanged. Specification exception: the area not on a
    doubleword, or a length below 1.

    Source: VM/370 System Programmer's Guide p. 214 (32 bytes a level); z/VM CP Programming Services (40); the
    exceptions and Ry's change as in Hercules vm.c extid_call.
    """
    address, size = aligned(vm.address(rx), 8), vm.word(ry)
    if size < 1 or size >> 31:
        raise Interruption(SPECIFICATION)
    data = extended_identification(vm)[:size]
    vm.real.write(address, data)
    vm.set_word(ry, size - len(data))


@diagnose(0x0C, "Pseudo timer", since="VM/370")
def pseudo_timer(vm, rx, ry):
    """Rx: the real address of 32 bytes on a doubleword: 8 EBCDIC the date mm/dd/yy, 8 EBCDIC the time hh:mm:ss, 8 the
    virtual CPU time and 8 the total CPU time (CP's share included) in microseconds.

    cc unchanged. Time is virtual here, and CP takes none of it: both CPU times are the same. Specification exception:
    not on a doubleword.

    Source: VM/370 System Logic (SY20-0886-1) p. 67; Hercules vm.c pseudo_timer.
    """
    address = aligned(vm.address(rx), 8)
    then = _1900 + timedelta(microseconds=vm.tod >> 12)
    used = (vm.busy // 1000).to_bytes(8, "big")
    vm.real.write(address, ebcdic.encode(f"{then:%m/%d/%y%H:%M:%S}") + used + used)


@diagnose(0x60, "Virtual storage size", since="VM/370")
def storage_size(vm, rx, ry):
    """On return Rx is the size of storage in bytes. Ry is not used; cc unchanged.

    Source: VM/SP System Programmer's Guide (SC19-6203-2) p. 278.
    """
    vm.set_word(rx, vm.absolute.size)


@diagnose(0x70, "Time-of-day clock accounting", since="VM/SP")
def accounting(vm, rx, ry):
    """Rx: the real address of 16 bytes on a doubleword, in which CP then keeps, whenever it dispatches the machine: 8
    bytes the CPU time used until then, 8 the TOD clock of the dispatch, both in TOD units. An address of 0 ends it. So
    CPU time is the first plus (STCK less the second): an early steal-time page.

    cc unchanged. Specification exception: not on a doubleword. Addressing exception: outside storage.

    Source: VM/SP System Programmer's Guide p. 282.
    """
    address = aligned(vm.address(rx), 8)
    if address:
        vm.real.check(address, 16, write=True)
    vm.accounting = address or None
    vm.account()

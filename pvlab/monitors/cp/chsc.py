"""CHSC: CHANNEL SUBSYSTEM CALL, by which Linux and QEMU's firmware ask about the channel subsystem."""
from __future__ import annotations

from pvlab.machine.s390x.faults import OPERAND, Interruption
from pvlab.machine.s390x.storage import PAGE, aligned
from pvlab.monitors.cp.simulation import simulates

_NO_SUCH_COMMAND = 0x0004


@simulates(0xB25F, "chsc")
def channel_subsystem_call(vm, instruction):
    """R1: the address of a page, in which a request block (its length in bytes 0-1, a command in 2-3) is followed by the
    response. This channel subsystem has no command: each response says so. cc 0.

    Source: QEMU target/s390x/ioinst.c (ioinst_handle_chsc); Linux drivers/s390/cio/chsc.c.
    """
    address = aligned(vm.address(instruction.rre[0]), PAGE)
    size = vm.logical.load(address, 2)
    if size < 16 or size > PAGE - 8 or size % 8:
        raise Interruption(OPERAND)
    vm.logical.write(address + size, (8).to_bytes(2, "big") + _NO_SUCH_COMMAND.to_bytes(2, "big") + bytes(4))
    vm.cc = 0

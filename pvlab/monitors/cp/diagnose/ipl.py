"""X'308': how the machine is reset and loaded."""
from __future__ import annotations

from pvlab.machine.s390x.faults import SPECIFICATION, Interruption
from pvlab.machine.s390x.psw import Psw
from pvlab.machine.s390x.storage import PAGE, aligned
from pvlab.monitors.base import Ended
from pvlab.monitors.cp.diagnose.registry import diagnose
from pvlab.monitors.cp.simulation import LOADED

_CLEAR_RESET, _NORMAL_RESET, _LOAD_CLEAR, _LOAD_NORMAL, _SET, _STORE = 0, 1, 3, 4, 5, 6
_OK, _NO_PARAMETERS, _INVALID = 0x0001, 0x0102, 0x0402
_LEAST, _MOST = 24, 4096              # bytes of an IPL parameter block


@diagnose(0x308, "Initial program load functions", since="z/VM (LPAR)")
def ipl_functions(vm, rx, ry):
    """Ry: a subcode. 0 reset with clear, 1 reset: all CPUs are reset, this one loads the eight-byte PSW at absolute 0.
    3 and 4 load anew: the run ends. 5 set and 6 store the IPL parameter block: Rx, even, its absolute address, on a
    page; Rx+1 on return X'0001' done, X'0102' there is none to store, X'0402' not valid (length not 24 to 4096).

    cc unchanged. Specification exception: another subcode, Rx odd or the block not on a page (5 and 6). Addressing
    exception: outside storage.

    Source: QEMU target/s390x/diag.c (handle_diag_308); Linux arch/s390/kvm/diag.c, arch/s390/include/asm/diag.h.
    """
    subcode = vm.regs[ry]
    if subcode in (_CLEAR_RESET, _NORMAL_RESET):
        vm.reset(clear=subcode == _CLEAR_RESET)
        vm.load_psw(Psw.of_short(vm.absolute.load(0, 8)))
        return LOADED
    if subcode in (_LOAD_CLEAR, _LOAD_NORMAL):
        raise Ended("shutdown", f"a new IPL was asked for (DIAGNOSE X'308' subcode {subcode} at {vm.machine.pc:#x})")
    if subcode not in (_SET, _STORE) or rx & 1:
        raise Interruption(SPECIFICATION)
    address = aligned(vm.address(rx), PAGE)
    vm.absolute.check(address, PAGE, write=subcode == _STORE)
    if subcode == _SET:
        size = vm.absolute.load(address, 4)
        if _LEAST <= size <= _MOST:
            vm.ipl_parameters = vm.absolute.read(address, size)
        vm.regs[rx + 1] = _OK if _LEAST <= size <= _MOST else _INVALID
    elif vm.ipl_parameters is None:
        vm.regs[rx + 1] = _NO_PARAMETERS
    else:
        vm.absolute.write(address, vm.ipl_parameters)
        vm.regs[rx + 1] = _OK
    return None

"""Who has the real CPU, and for how long: X'44', X'9C', X'288'."""
from __future__ import annotations

from pvlab.machine.s390x.faults import SPECIFICATION, Interruption
from pvlab.monitors.cp.diagnose.registry import diagnose

_INIT, _CHANGE, _CANCEL = 0, 1, 2
_LEAST_SECONDS, _RESTART = 15, 0


@diagnose(0x44, "Voluntary time-slice end", since="VM/XA")
def time_slice_end(vm, rx, ry):
    """No operands. Another virtual CPU gets the real one, if one can run; cc unchanged.

    Source: Linux arch/s390/kvm/diag.c (__diag_time_slice_end); Hercules diagnose.c.
    """
    vm.yield_to(None)


@diagnose(0x9C, "Time-slice end with target CPU", since="z/VM")
def directed_yield(vm, rx, ry):
    """Rx: the address of the virtual CPU that shall run instead. Its own, one that there is not, or one that cannot
    run: nothing happens. cc unchanged.

    Source: Linux Documentation/virt/kvm/s390/s390-diag.rst and arch/s390/kvm/diag.c (__diag_time_slice_end_directed).
    """
    address = vm.word(rx)
    if address < len(vm.cpus):
        vm.yield_to(vm.cpus[address])


@diagnose(0x288, "Time bomb", since="z/VM (LPAR)")
def time_bomb(vm, rx, ry):
    """Rx, even: function 0 set, 1 change, 2 cancel. Rx+1: seconds, 15 or more. Ry: the action, 0 a restart of the CPU.

    When the time has passed, a restart interruption is made pending; cc unchanged. Specification exception: Rx odd,
    another function or action, fewer seconds, or no time bomb to change or cancel.

    Source: QEMU target/s390x/diag.c (handle_diag_288) and hw/watchdog/wdt_diag288.c; Linux
    drivers/watchdog/diag288_wdt.c.
    """
    if rx & 1:
        raise Interruption(SPECIFICATION)
    function, seconds, action = vm.regs[rx], vm.regs[rx + 1], vm.regs[ry]
    if (action != _RESTART or function not in (_INIT, _CHANGE, _CANCEL)
            or function != _CANCEL and not _LEAST_SECONDS <= seconds < 1 << 32
            or function != _INIT and vm.bomb is None):
        raise Interruption(SPECIFICATION)
    vm.bomb = None
    if function == _CANCEL:
        return
    bomb = vm.bomb = object()

    def explode():
        if vm.bomb is bomb:                    # neither changed nor cancelled
            vm.bomb = None
            vm.cpus[0].restart = vm.cpus[0].running = True
    vm.after(seconds * 1_000_000_000, explode)

"""X'500': KVM's own hypercall, as a guest of Linux's and QEMU's uses it for virtio."""
from __future__ import annotations

from pvlab.machine.s390x.faults import SPECIFICATION, Interruption
from pvlab.machine.s390x.psw import MASK64
from pvlab.machine.s390x.storage import PAGE
from pvlab.monitors.cp.diagnose.registry import diagnose

_PRINT, _NOTIFY, _LIMIT = 0, 3, 4
_EINVAL = -22 & MASK64


@diagnose(0x500, "KVM hypercall", since="Linux KVM")
def kvm_hypercall(vm, rx, ry):
    """The operands are in fixed registers. GR1: the subcode. 0 early printk: GR2 the real address of a string that ends
    in a zero byte; 3 virtio-ccw notification: GR2 the subchannel, GR3 the queue, GR4 a cookie; 4 storage limit.

    On return GR2 is 0 (a string that was printed), the storage limit, or -22 (EINVAL): a string outside storage, a
    subchannel that has no virtio device, which here is each of them. cc unchanged. Specification exception: another
    subcode.

    Source: Linux Documentation/virt/kvm/s390/s390-diag.rst; QEMU hw/s390x/s390-hypercall.c.
    """
    subcode = vm.regs[1]
    if subcode == _PRINT:
        vm.regs[2] = _print(vm, vm.regs[2])
    elif subcode == _NOTIFY:
        vm.regs[2] = _EINVAL
    elif subcode == _LIMIT:
        vm.regs[2] = vm.absolute.size
    else:
        raise Interruption(SPECIFICATION)


def _print(vm, address: int) -> int:
    text = b""
    try:
        while len(text) < PAGE and not text.endswith(b"\0"):
            text += vm.real.read(address + len(text), 1)
    except Interruption:
        return _EINVAL
    vm.console.write(text.rstrip(b"\0"))
    return 0

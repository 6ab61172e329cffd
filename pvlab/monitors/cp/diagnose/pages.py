"""Pages, of which a guest knows more than CP: X'10' (it needs them no longer), X'258' (it can do something else while
one is brought in)."""
from __future__ import annotations

from pvlab.machine.s390x.faults import SPECIFICATION, Interruption
from pvlab.machine.s390x.storage import PAGE, aligned
from pvlab.monitors.cp.diagnose.registry import diagnose
from pvlab.monitors.cp.paging import Handshake

_VERSION, _LEAST_LENGTH, _TOKEN, _CANCEL = 2, 5, 0, 1
_ZARCH = 1 << 63
_ALREADY, _NOT_ACTIVE = 8, 4


@diagnose(0x10, "Release pages", since="VM/370")
def release_pages(vm, rx, ry):
    """Rx: the real address of the first page, Ry: of the last. They then read as zeros, and take no storage of CP's.

    cc unchanged. Specification exception: an address not on a page's boundary, the last below the first, or pages 0 and
    1. Addressing exception: outside storage.

    Source: VM/370 System Logic p. 67; Linux arch/s390/kvm/diag.c (diag_release_pages), whose limits these are.
    """
    first, last = aligned(vm.address(rx), PAGE), aligned(vm.address(ry), PAGE)
    if last < first or first < 2 * PAGE:
        raise Interruption(SPECIFICATION)
    vm.real.check(first, last + PAGE - first, write=True)
    for page in range(first, last + PAGE, PAGE):
        vm.release(next(vm.real.absolute(page, 1, False))[0])


@diagnose(0x258, "Page-reference services", since="z/VM (VM/ESA)")
def page_reference_services(vm, rx, ry):
    """Rx: the real address of a block on a doubleword: 2 bytes X'258', 2 the function (0 establish a token, 1 cancel),
    2 the block's length in doublewords (5 or more), 2 the version (2), 8 the real address of an 8-byte token, 8 a
    select mask, 8 a compare mask, 8 of which bit 0 says z/Architecture. Ry: on return 0; establishing: 8 if there is
    one already; cancelling: 4 if there is none.

    When the guest then touches a page that CP has paged out, and its PSW's mask ANDed with the select mask is the
    compare mask, and it can take service signals, it gets external interruption X'2603' with X'0600' at real 132 and
    the token at real 4536; and another with X'0680' when the page is there. cc unchanged. Specification exception: a
    wrong block, a token not on a doubleword, compare bits that are not selected, or anything but zeros when cancelling.
    Addressing exception: block or token outside storage.

    Source: Linux arch/s390/mm/pfault.c and arch/s390/kvm/diag.c (__diag_page_ref_service).
    """
    block = vm.real.read(aligned(vm.regs[rx], 8), 40)
    code, function, length, version = (int.from_bytes(block[i:i + 2], "big") for i in range(0, 8, 2))
    token, select, compare, zarch = (int.from_bytes(block[i:i + 8], "big") for i in range(8, 40, 8))
    if (code, version) != (0x258, _VERSION) or length < _LEAST_LENGTH or function not in (_TOKEN, _CANCEL):
        raise Interruption(SPECIFICATION)
    active = vm.handshake is not None
    if function == _CANCEL:
        if token or select or compare or zarch:
            raise Interruption(SPECIFICATION)
        vm.handshake = None
        vm.regs[ry] = 0 if active else _NOT_ACTIVE
        return
    if active:
        vm.regs[ry] = _ALREADY
        return
    if compare & ~select or token % 8 or zarch != _ZARCH:
        raise Interruption(SPECIFICATION)
    vm.real.check(token, 8)
    vm.handshake = Handshake(token, select, compare)
    vm.regs[ry] = 0

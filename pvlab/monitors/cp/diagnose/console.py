"""X'08': a CP command, as if it had been typed on the virtual console."""
from __future__ import annotations

from pvlab.machine.s390x.faults import SPECIFICATION, Interruption
from pvlab.monitors.cp import commands, ebcdic
from pvlab.monitors.cp.diagnose.registry import diagnose

_REJECT_PASSWORD, _RESPONSE_IN_BUFFER = 0x80, 0x40
_LONGEST, _LARGEST_RESPONSE = 240, 8192


@diagnose(0x08, "Virtual console function", since="VM/370")
def console_function(vm, rx, ry):
    """Rx: the real address of the command, in EBCDIC (several: X'15' between them). Ry: flags in byte 0 of its word
    (X'80' refuse passwords, X'40' the response goes to a buffer), the length in the other three.
    With X'40': Rx+1 the buffer's real address, Ry+1 its length, at most 8192.

    On return Ry is CP's return code. With X'40': cc 0, Ry+1 the response's length; cc 1, the response was cut, Ry+1 the
    bytes that did not fit. Without: the response goes to the console, cc unchanged. A length of 0 does nothing.
    Specification exception: length beyond 240, a buffer beyond 8192 or without register pairs (Rx or Ry is 15, or one
    pair overlaps the other). Addressing exception: outside storage.

    Source: VM/370 System Programmer's Guide (GC20-1807-7) p. 216; Linux arch/s390/kernel/cpcmd.c; Hercules cpcmd_call.
    """
    flags, size = vm.word(ry) >> 24, vm.word(ry) & 0xFFFFFF
    if size > _LONGEST:
        raise Interruption(SPECIFICATION)
    buffered = flags & _RESPONSE_IN_BUFFER
    if buffered and (15 in (rx, ry) or abs(rx - ry) < 2 or vm.word(ry + 1) > _LARGEST_RESPONSE):
        raise Interruption(SPECIFICATION)
    text = ebcdic.decode(vm.real.read(vm.address(rx), size))
    if buffered:
        vm.real.check(vm.address(rx + 1), vm.word(ry + 1), write=True)
    if not size:
        return None
    response, code = commands.execute(vm, text)
    if not buffered:
        if response:
            vm.console.write(response.encode() if response.endswith("\n") else response.encode() + b"\n")
        vm.set_word(ry, code)
        return None
    data, room = ebcdic.encode(response), vm.word(ry + 1)
    vm.real.write(vm.address(rx + 1), data[:room])
    vm.set_word(ry, code)
    vm.set_word(ry + 1, len(data) if len(data) <= room else len(data) - room)
    return int(len(data) > room)

"""SERVC: the service processor (SCLP), which tells the configuration and has a console of lines.

What Linux (drivers/s390/char/sclp.h, arch/s390/boot/sclp_early_core.c) and kvm-unit-tests (lib/s390x/sclp.h) use of
it, with QEMU's answers (hw/s390x/sclp.c, event-facility.c, sclpconsole-lm.c). Each command ends with an external
interruption, the service signal.
"""
from __future__ import annotations

import struct

from pvlab.machine.s390x.faults import ADDRESSING, SPECIFICATION, Interruption
from pvlab.machine.s390x.storage import PAGE, PREFIX_AREA
from pvlab.monitors.cp import ebcdic
from pvlab.monitors.cp.simulation import simulates

_HEADER, _EVENT_HEADER, _CPU_ENTRY = 8, 6, 16
READ_SCP_INFO, READ_SCP_INFO_FORCED, READ_CPU_INFO = 0x00020001, 0x00120001, 0x00010001
WRITE_EVENT_DATA, READ_EVENT_DATA, WRITE_EVENT_MASK = 0x00760005, 0x00770005, 0x00780005
_COMMAND_BITS = 0xFFFF00FF                  # the other eight say where in a configuration, and are ignored

# Response codes.
READ_DONE, DONE, BOUNDARY, INVALID_COMMAND, TOO_SHORT, NOT_ACTIVE = 0x0010, 0x0020, 0x0100, 0x01F0, 0x0300, 0x05F0
INVALID_FUNCTION, NO_EVENT, INVALID_MASK, INCONSISTENT, SYNTAX, MASK_LENGTH = (
    0x40F0, 0x60F0, 0x70F0, 0x72F0, 0x73F0, 0x74F0)

_MESSAGE, _ASCII = 0x02, 0x1A               # event types: a message to the operator, ASCII console data
_MESSAGE_MASK, _ASCII_MASK = 1 << 30, 1 << 6    # type t has the mask bit 32 - t
_TEXT, _ACCEPTED = 4, 0x80                  # a message text object; the flag of an event buffer that was taken
_HAS_CPU_INFO = 1 << 59


class ServiceProcessor:
    """The state that lasts between two service calls: which events the guest wants to send and receive."""

    def __init__(self):
        self.sends = self.receives = 0


@simulates(0xB220, "servc")
def service_call(vm, instruction):
    """R1 the command, R2 the real address of its control block (SCCB). cc 0: accepted."""
    r1, r2 = instruction.rre
    command, address = vm.word(r1), vm.regs[r2]
    try:
        vm.absolute.check(address, _HEADER)
    except Interruption:
        raise Interruption(ADDRESSING) from None
    area = address & ~(PREFIX_AREA - 1)
    if area == 0 or area == vm.env.prefix or address & 7 or address >> 31:
        raise Interruption(SPECIFICATION)
    size = vm.absolute.load(address, 2)
    if size < _HEADER:
        raise Interruption(SPECIFICATION)
    if address // PAGE != (address + size - 1) // PAGE:
        block, answer = bytearray(vm.absolute.read(address, _HEADER)), BOUNDARY
        if command & _COMMAND_BITS not in _COMMANDS:
            answer = INVALID_COMMAND
    else:
        block = bytearray(vm.absolute.read(address, size))
        found = _COMMANDS.get(command & _COMMAND_BITS)
        answer = found(vm, block) if found else INVALID_COMMAND
    block[6:8] = answer.to_bytes(2, "big")
    vm.absolute.write(address, bytes(block))
    vm.service_signals.append(address & ~3)
    vm.cc = 0


def _cpu_entries(vm) -> bytes:
    return b"".join(bytes((cpu.address,)) + bytes(_CPU_ENTRY - 1) for cpu in vm.cpus)


def _read_scp_info(vm, block: bytearray) -> int:
    """Storage in increments of 1 MiB, the CPUs, and what else there is."""
    entries, offset = _cpu_entries(vm), 128
    if len(block) < offset + len(entries):
        return TOO_SHORT
    made = bytearray(len(block))
    made[:_HEADER] = block[:_HEADER]
    struct.pack_into(">HB", made, 8, vm.absolute.size >> 20, 1)
    struct.pack_into(">HHHH", made, 16, len(vm.cpus), offset, 0, offset + len(entries))
    made[24:32] = ebcdic.encode(" " * 8)                    # the load parameter
    struct.pack_into(">Q", made, 48, _HAS_CPU_INFO)
    made[offset:offset + len(entries)] = entries
    block[:] = made
    return READ_DONE


def _read_cpu_info(vm, block: bytearray) -> int:
    entries, offset = _cpu_entries(vm), 24
    if len(block) < offset + len(entries):
        return TOO_SHORT
    struct.pack_into(">HHHH", block, 8, len(vm.cpus), offset, 0, offset + len(entries))
    block[offset:offset + len(entries)] = entries
    return READ_DONE


def _write_event_mask(vm, block: bytearray) -> int:
    """The guest says which events it receives and sends; the answer is which ones there are."""
    if len(block) < 12:
        return INCONSISTENT
    size = int.from_bytes(block[10:12], "big")
    if not 1 <= size <= 512:
        return MASK_LENGTH
    if len(block) < 12 + 4 * size:
        return INCONSISTENT
    masks = [int.from_bytes(block[12 + i * size:12 + i * size + size].ljust(4, b"\0")[:4], "big") for i in range(2)]
    vm.sclp.receives, vm.sclp.sends = masks
    for i, mask in ((2, _MESSAGE_MASK | _ASCII_MASK), (3, 0)):      # what SCLP takes, and what it sends: nothing
        block[12 + i * size:12 + (i + 1) * size] = mask.to_bytes(4, "big").ljust(size, b"\0")[:size]
    return DONE


def _read_event_data(vm, block: bytearray) -> int:
    """There is never one: nobody types."""
    if len(block) != PAGE:
        return TOO_SHORT
    if block[2] not in (0, 1):                              # unconditional and selective read
        return INVALID_FUNCTION
    return NO_EVENT


def _write_event_data(vm, block: bytearray) -> int:
    """Event buffers, one after the other: length, type, flags, and what the type has."""
    if block[2] != 0:
        return INVALID_FUNCTION
    at, answer = _HEADER, NO_EVENT if len(block) == _HEADER else DONE
    while at < len(block):
        if len(block) - at < _EVENT_HEADER:
            return INCONSISTENT
        size, kind = int.from_bytes(block[at:at + 2], "big"), block[at + 2]
        if size < _EVENT_HEADER or at + size > len(block):
            return SYNTAX
        content = bytes(block[at + _EVENT_HEADER:at + size])
        if kind == _MESSAGE:
            answer = _print_message(vm, content)
        elif kind == _ASCII:
            answer = _print_ascii(vm, content)
        else:
            answer = INVALID_FUNCTION
        if answer != DONE:
            return answer
        block[at + 3] |= _ACCEPTED
        at += size
    return answer


def _print_ascii(vm, content: bytes) -> int:
    """The ASCII console. Under z/VM it is there, but not active; here it is for a guest that asks for no other."""
    if vm.sclp.sends & _MESSAGE_MASK or not vm.sclp.sends & _ASCII_MASK:
        return NOT_ACTIVE
    vm.console.write(content.replace(b"\r", b""))
    return DONE


def _print_message(vm, content: bytes) -> int:
    """A message data block: a header of 12 bytes, then objects; each text object is a line, in EBCDIC."""
    if len(content) < 12 or int.from_bytes(content[:2], "big") > len(content):
        return SYNTAX
    at, end, lines = 12, int.from_bytes(content[:2], "big"), []
    while at < end:
        size, kind = struct.unpack_from(">HH", content, at) if at + 4 <= end else (0, 0)
        if size < 4 or at + size > end:
            return SYNTAX
        if kind == _TEXT and size >= 10:
            lines.append(ebcdic.decode(content[at + 10:at + size]))
        at += size
    for line in lines:
        vm.console.write(line.encode() + b"\n")
    return DONE


_COMMANDS = {READ_SCP_INFO: _read_scp_info, READ_SCP_INFO_FORCED: _read_scp_info, READ_CPU_INFO: _read_cpu_info,
             WRITE_EVENT_DATA: _write_event_data, READ_EVENT_DATA: _read_event_data,
                 WRITE_EVENT_MASK: _write_event_mask}

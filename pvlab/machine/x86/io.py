"""IN, OUT, INS and OUTS, executed against any bus: for the bare machine and for monitors that emulate them.

The engine executes these instructions without looking at the privilege level, so the check stands here, too.
"""
from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from pvlab.machine.x86.cpu import DF, DS, EAX, ECX, EDI, EDX, ES, ESI, TF
from pvlab.machine.x86.decode import Instruction
from pvlab.machine.x86.faults import GP, Fault

CHUNK = 256     # elements of a REP INS or OUTS executed in one go: some two milliseconds, or one sector of a disk


class PortAccess(NamedTuple):
    """What an I/O instruction is about to do. `string`: INS or OUTS; `size` in bytes."""

    write: bool
    port: int
    size: int
    string: bool


def port_access(processor, instruction: Instruction) -> PortAccess:
    name = instruction.mnemonic
    if name in ("in", "out"):
        write = name == "out"
        value, port = instruction.operands[::-1] if write else instruction.operands
        number = port.value if port.kind == "immediate" else processor.regs[EDX] & 0xFFFF
        return PortAccess(write, number, value.size, False)
    size = {"b": 1, "w": 2, "d": 4}[name[-1]]
    return PortAccess(name.startswith("outs"), processor.regs[EDX] & 0xFFFF, size, True)


def check_permission(processor, access: PortAccess) -> None:
    """Raise #GP unless CPL <= IOPL or the TSS's I/O bitmap allows every byte (Intel SDM vol. 1, 19.5)."""
    if processor.cpl <= processor.iopl:
        return
    tr = processor.table("tr")
    if tr.flags >> 8 & 13 != 9 or tr.limit < 103:
        raise Fault(GP, 0)
    bitmap = int.from_bytes(processor.read_linear(tr.base + 0x66 & 0xFFFFFFFF, 2), "little")
    at = bitmap + (access.port >> 3)
    if at + 1 > tr.limit:
        raise Fault(GP, 0)
    bits = int.from_bytes(processor.read_linear(tr.base + at & 0xFFFFFFFF, 2), "little")
    if bits >> (access.port & 7) & ((1 << access.size) - 1):
        raise Fault(GP, 0)


def execute(processor, instruction: Instruction, access: PortAccess, ports, note: Callable[[], None]) -> bool:
    """Do it. `note()` is called for each access. True: the instruction has retired; False: it has more to repeat.

    May raise Fault while it copies to or from memory, with the registers as far as it came, as the CPU does.
    """
    regs = processor.regs
    if not access.string:
        note()
        if access.write:
            ports.write(access.port, access.size, regs[EAX] & (1 << access.size * 8) - 1)
        else:
            value = ports.read(access.port, access.size)
            mask = (1 << access.size * 8) - 1
            regs[EAX] = value if access.size == 4 else regs[EAX] & ~mask & 0xFFFFFFFF | value
        return True
    mask = 0xFFFFFFFF if instruction.wide_address else 0xFFFF
    size, user, down = access.size, processor.cpl == 3, processor.eflags & DF
    pointer = ESI if access.write else EDI
    override = instruction.segment if instruction.segment is not None else DS
    base = processor.segment(override if access.write else ES).base
    repeat = instruction.prefix in ("rep", "repne")
    left = min(regs[ECX] & mask, 1 if processor.eflags & TF else CHUNK) if repeat else 1
    while left:
        at = regs[pointer] & mask
        address = base + at & 0xFFFFFFFF
        # As many elements as lie in one page go together: it is there for all of them or for none.
        count = 1 if down else max(min(left, (4096 - (address & 4095)) // size, (mask - at) // size), 1)
        if access.write:
            data = processor.read_linear(address, count * size, user)
            for i in range(0, len(data), size):
                note()
                ports.write(access.port, size, int.from_bytes(data[i:i + size], "little"))
        else:
            processor.check_writable(address, count * size, user)
            data = b""
            for _ in range(count):
                note()
                data += ports.read(access.port, size).to_bytes(size, "little")
            processor.write_linear(address, data, user)
        step = -size if down else count * size
        regs[pointer] = regs[pointer] & ~mask & 0xFFFFFFFF | regs[pointer] + step & mask
        if repeat:
            regs[ECX] = regs[ECX] & ~mask & 0xFFFFFFFF | regs[ECX] - count & mask
        left -= count
    return not repeat or not regs[ECX] & mask

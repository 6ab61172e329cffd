"""Segment registers: descriptors, and the instructions that load them (Intel SDM vol. 3, chapters 3 and 5).

The functions work on any `processor` that offers the architecture's view of itself: the bare machine's, or the virtual
CPU that a monitor keeps for its guest. They either do the whole of what the instruction does, or raise Fault and leave
everything as it was. Hardware task switching and virtual-8086 mode are not modelled: they raise Dead.

The bare machine's far transfers are the engine's own. Where QEMU differs from the manual (it sets no accessed bit in a
far transfer, and checks the limit of the code segment in some), these functions do as QEMU does.
"""
from __future__ import annotations

import struct
from typing import NamedTuple

from pvlab.machine.memory import Dead
from pvlab.machine.x86.cpu import (
    AC, ARITHMETIC, CS, DF, DS, ECX, EDX, ES, ESP, FS, GS, IF, IOPL, NT, RF, SS, TF, VM, Segment)
from pvlab.machine.x86.faults import GP, NP, STACK, TS, Fault

# bits of a descriptor's second word
PRESENT, NOT_SYSTEM, CODE, CONFORMING, READABLE, WRITABLE, EXPAND_DOWN = (
    1 << 15, 1 << 12, 1 << 11, 1 << 10, 1 << 9, 1 << 9, 1 << 10)
ACCESSED, BIG = 1 << 8, 1 << 22
LDT_TYPE, TSS16, TSS32, CALL16, TASK_GATE, CALL32 = 2, 1, 9, 4, 5, 12


class Descriptor(NamedTuple):
    """Eight bytes of a descriptor table, and where they stand."""

    low: int
    high: int
    address: int

    @property
    def type(self) -> int:
        return self.high >> 8 & 15

    @property
    def dpl(self) -> int:
        return self.high >> 13 & 3

    @property
    def is_code(self) -> bool:
        return self.high & (NOT_SYSTEM | CODE) == NOT_SYSTEM | CODE

    @property
    def is_writable_data(self) -> bool:
        return self.high & (NOT_SYSTEM | CODE | WRITABLE) == NOT_SYSTEM | WRITABLE

    def segment(self, selector: int) -> Segment:
        base = self.low >> 16 | (self.high & 0xFF) << 16 | self.high & 0xFF000000
        limit = self.low & 0xFFFF | self.high & 0xF0000
        if self.high & 1 << 23:
            limit = limit << 12 | 0xFFF
        return Segment(selector, base, limit, self.high & 0x00F0FF00)


def descriptor(low_base: int, limit: int, flags: int) -> bytes:
    """Encode a descriptor: base, limit in bytes, and flags in the places of the second word (granularity is chosen)."""
    if limit > 0xFFFFF:
        limit, flags = limit >> 12, flags | 1 << 23
    low = limit & 0xFFFF | (low_base & 0xFFFF) << 16
    return struct.pack("<II", low, low_base >> 16 & 0xFF | low_base & 0xFF000000 | limit & 0xF0000 | flags)


def fetch(processor, selector: int, vector: int = GP) -> Descriptor:
    """The descriptor that `selector` names, or Fault(vector, selector)."""
    table = processor.table("ldt" if selector & 4 else "gdt")
    index = selector & 0xFFF8
    if index + 7 > table.limit:
        raise Fault(vector, selector & 0xFFFC)
    address = table.base + index & 0xFFFFFFFF
    low, high = struct.unpack("<II", processor.read_linear(address, 8))
    return Descriptor(low, high, address)


def _mark_accessed(processor, found: Descriptor) -> Descriptor:
    """Loading a segment sets the descriptor's accessed bit in the table, as QEMU does: if it is not yet set."""
    if found.high & ACCESSED:
        return found
    high = found.high | ACCESSED
    processor.write_linear(found.address + 4, struct.pack("<I", high))
    return Descriptor(found.low, high, found.address)


def check_stack(processor, selector: int, cpl: int, vector: int = GP, absent: int = STACK) -> Descriptor:
    """A stack segment for privilege level `cpl`. `vector` is what a bad one raises (#TS when it comes from a TSS)."""
    if selector & 0xFFFC == 0:
        raise Fault(vector, 0)
    found = fetch(processor, selector, vector)
    if selector & 3 != cpl or found.dpl != cpl or not found.is_writable_data:
        raise Fault(vector, selector & 0xFFFC)
    if not found.high & PRESENT:
        raise Fault(absent, selector & 0xFFFC)
    return found


def load(processor, register: int, selector: int) -> None:
    """MOV, POP or Lxx into ES, SS, DS, FS or GS."""
    selector &= 0xFFFF
    cpl = processor.cpl
    if register == SS:
        found = check_stack(processor, selector, cpl)
        processor.set_segment(SS, _mark_accessed(processor, found).segment(selector))
        return
    if selector & 0xFFFC == 0:
        processor.set_segment(register, Segment(selector, 0, 0, 0))
        return
    found = fetch(processor, selector)
    if not found.high & NOT_SYSTEM or found.high & CODE and not found.high & READABLE:
        raise Fault(GP, selector & 0xFFFC)
    if not (found.is_code and found.high & CONFORMING) and (found.dpl < cpl or found.dpl < selector & 3):
        raise Fault(GP, selector & 0xFFFC)
    if not found.high & PRESENT:
        raise Fault(NP, selector & 0xFFFC)
    processor.set_segment(register, _mark_accessed(processor, found).segment(selector))


def load_system(processor, name: str, selector: int) -> None:
    """LLDT ('ldt') or LTR ('tr')."""
    selector &= 0xFFFF
    if selector & 0xFFFC == 0:
        if name == "tr":
            raise Fault(GP, 0)
        processor.set_table("ldt", Segment(selector, 0, 0, 0))
        return
    if selector & 4:
        raise Fault(GP, selector & 0xFFFC)
    found = fetch(processor, selector)
    wanted = (LDT_TYPE,) if name == "ldt" else (TSS16, TSS32)
    if found.high & NOT_SYSTEM or found.type not in wanted:
        raise Fault(GP, selector & 0xFFFC)
    if not found.high & PRESENT:
        raise Fault(NP, selector & 0xFFFC)
    processor.set_table(name, found.segment(selector))
    if name == "tr":   # the table says busy, the register keeps what was loaded (QEMU does the same)
        processor.write_linear(found.address + 4, struct.pack("<I", found.high | 1 << 9))


def _code(processor, selector: int, cpl: int, rpl: int) -> Descriptor:
    """Checks a direct far jump or call to a code segment."""
    found = fetch(processor, selector)
    if not found.is_code:
        raise Fault(GP, selector & 0xFFFC)
    if found.high & CONFORMING:
        if found.dpl > cpl:
            raise Fault(GP, selector & 0xFFFC)
    elif rpl > cpl or found.dpl != cpl:
        raise Fault(GP, selector & 0xFFFC)
    if not found.high & PRESENT:
        raise Fault(NP, selector & 0xFFFC)
    return found


def inner_stack(processor, cpl: int, absent: int = TS) -> tuple[Segment, int]:
    """The stack for privilege level `cpl` that the current TSS names: (SS, ESP).

    `absent` is what a stack segment that is not present raises: the manual's #SS, or in a call gate QEMU's #TS.
    """
    tr = processor.table("tr")
    wide = tr.flags >> 8 & 8
    offset = (4 + cpl * 8) if wide else (2 + cpl * 4)
    size = 6 if wide else 4
    if offset + (8 if wide else 4) - 1 > tr.limit:
        raise Fault(TS, tr.selector & 0xFFFC)
    data = processor.read_linear(tr.base + offset & 0xFFFFFFFF, size)
    esp, selector = struct.unpack("<IH" if wide else "<HH", data)
    return check_stack(processor, selector, cpl, TS, absent).segment(selector), esp


class Stack:
    """A stack in use: `esp` moves here only; the caller puts it into ESP when nothing can fail any more.

    user: accesses have the rights of ring 3, as those of PUSH and POP there have; those of far transfers have not.
    """

    def __init__(self, processor, segment: Segment, esp: int, wide: bool, user: bool = False):
        self._processor, self._segment, self._wide, self._user = processor, segment, wide, user
        self._mask = 0xFFFFFFFF if segment.flags & BIG else 0xFFFF
        self.esp = esp

    def push(self, *values: int) -> None:
        """Push the values in this order, in one write: all of them or, where that faults, none."""
        size = 4 if self._wide else 2
        top = (1 << size * 8) - 1
        self.esp = self.esp & ~self._mask | self.esp - size * len(values) & self._mask
        address = self._segment.base + (self.esp & self._mask) & 0xFFFFFFFF
        data = b"".join((v & top).to_bytes(size, "little") for v in reversed(values))
        self._processor.write_linear(address, data, self._user)

    def pop(self) -> int:
        size = 4 if self._wide else 2
        address = self._segment.base + (self.esp & self._mask) & 0xFFFFFFFF
        value = int.from_bytes(self._processor.read_linear(address, size, self._user), "little")
        self.esp = self.esp & ~self._mask | self.esp + size & self._mask
        return value


def current_stack(processor, wide: bool, user: bool = False) -> Stack:
    return Stack(processor, processor.segment(SS), processor.regs[ESP] & 0xFFFFFFFF, wide, user)


def far_transfer(processor, selector: int, offset: int, wide: bool, next_eip: int | None) -> None:
    """JMP far (next_eip None) or CALL far (next_eip: the return address), directly or through a call gate."""
    selector &= 0xFFFF
    if selector & 0xFFFC == 0:
        raise Fault(GP, 0)
    cpl, rpl = processor.cpl, selector & 3
    found = fetch(processor, selector)
    if found.high & NOT_SYSTEM:
        found = _code(processor, selector, cpl, rpl)
        _go(processor, found, selector, offset, wide, next_eip, cpl)
        return
    if found.type in (TSS16, TSS32, TASK_GATE):
        if found.dpl < cpl or found.dpl < rpl:
            raise Fault(GP, selector & 0xFFFC)
        raise Dead(f"a task switch (selector {selector:#x}) at {processor.eip:#010x}: the lab's machine has none")
    if found.type not in (CALL16, CALL32):
        raise Fault(GP, selector & 0xFFFC)
    if found.dpl < cpl or found.dpl < rpl:
        raise Fault(GP, selector & 0xFFFC)
    if not found.high & PRESENT:
        raise Fault(NP, selector & 0xFFFC)
    gate = found
    wide = gate.type == CALL32
    target = gate.low >> 16
    offset = gate.low & 0xFFFF | (gate.high & 0xFFFF0000 if wide else 0)
    if target & 0xFFFC == 0:
        raise Fault(GP, 0)
    found = fetch(processor, target)
    if not found.is_code or found.dpl > cpl:
        raise Fault(GP, target & 0xFFFC)
    if next_eip is None:
        if not found.high & CONFORMING and found.dpl != cpl or not found.high & PRESENT:
            raise Fault(GP, target & 0xFFFC)
        _go(processor, found, target, offset, wide, None, cpl)
        return
    if not found.high & PRESENT:
        raise Fault(NP, target & 0xFFFC)
    if found.high & CONFORMING or found.dpl == cpl:
        _go(processor, found, target, offset, wide, next_eip, cpl, limited=False)
        return
    level = found.dpl
    old_ss, old_esp = processor.segment(SS), processor.regs[ESP] & 0xFFFFFFFF
    ss, esp = inner_stack(processor, level)
    source, stack = Stack(processor, old_ss, old_esp, wide), Stack(processor, ss, esp, wide)
    copied = [source.pop() for _ in range(gate.high & 31)]
    stack.push(old_ss.selector, old_esp, *reversed(copied), processor.segment(CS).selector, next_eip)
    processor.set_ring(found.segment(target & 0xFFFC | level), ss, level)
    processor.regs[ESP] = stack.esp
    processor.eip = offset


def _go(processor, found: Descriptor, selector: int, offset: int, wide: bool, next_eip: int | None, cpl: int,
        limited: bool = True) -> None:
    stack = current_stack(processor, wide)
    if next_eip is not None:
        stack.push(processor.segment(CS).selector, next_eip)
    target = found.segment(selector & 0xFFFC | cpl)
    if not wide:
        offset &= 0xFFFF
    if limited and offset > target.limit:
        raise Fault(GP, 0 if next_eip is None else selector & 0xFFFC)
    processor.set_ring(target, None, cpl)
    processor.regs[ESP] = stack.esp
    processor.eip = offset


def sysenter(processor, selector: int, esp: int, eip: int) -> None:
    """SYSENTER, with the contents of its three model-specific registers (Intel SDM vol. 2)."""
    selector &= 0xFFFC
    if not selector:
        raise Fault(GP, 0)
    processor.eflags &= ~(IF | VM | RF)
    processor.set_ring(_flat(selector, 0, CODE | READABLE), _flat(selector + 8, 0, WRITABLE), 0)
    processor.regs[ESP], processor.eip = esp, eip
    processor.interrupt_shadow = False


def sysexit(processor, selector: int) -> None:
    """SYSEXIT: back to ring 3, with ESP from ECX and EIP from EDX."""
    selector &= 0xFFFC
    if not selector or processor.cpl:
        raise Fault(GP, 0)
    processor.set_ring(_flat(selector + 16 | 3, 3, CODE | READABLE), _flat(selector + 24 | 3, 3, WRITABLE), 3)
    processor.regs[ESP], processor.eip = processor.regs[ECX] & 0xFFFFFFFF, processor.regs[EDX] & 0xFFFFFFFF


def _flat(selector: int, ring: int, kind: int) -> Segment:
    """A segment of 4 GiB, which needs no descriptor."""
    flags = 1 << 23 | BIG | PRESENT | NOT_SYSTEM | ACCESSED | kind | ring << 13
    return Segment(selector & 0xFFFF, 0, 0xFFFFFFFF, flags)


def far_return(processor, wide: bool, release: int = 0, interrupt: bool = False) -> None:
    """RET far (`release` bytes of arguments) or, with `interrupt`, IRET."""
    cpl = processor.cpl
    eflags = processor.eflags
    if interrupt and eflags & VM:
        raise Dead(f"IRET in virtual-8086 mode at {processor.eip:#010x}: the lab's machine does not model that mode")
    if interrupt and eflags & NT:
        raise Dead(f"IRET with EFLAGS.NT (a task switch) at {processor.eip:#010x}: the lab's machine has none")
    stack = current_stack(processor, wide)
    eip, selector = stack.pop(), stack.pop() & 0xFFFF
    image = stack.pop() if interrupt else 0
    if interrupt and wide and image & VM and cpl == 0:
        raise Dead(f"IRET to virtual-8086 mode at {processor.eip:#010x}: the lab's machine does not model that mode")
    if selector & 0xFFFC == 0:
        raise Fault(GP, 0)
    found = fetch(processor, selector)
    rpl = selector & 3
    if not found.is_code or rpl < cpl:
        raise Fault(GP, selector & 0xFFFC)
    if found.dpl > rpl if found.high & CONFORMING else found.dpl != rpl:
        raise Fault(GP, selector & 0xFFFC)
    if not found.high & PRESENT:
        raise Fault(NP, selector & 0xFFFC)
    stack.esp = (stack.esp + release) & 0xFFFFFFFF
    ss = None
    if rpl > cpl:
        esp, ss_selector = stack.pop(), stack.pop() & 0xFFFF
        ss = check_stack(processor, ss_selector, rpl, absent=NP).segment(ss_selector)
        stack.esp = (esp + release) & 0xFFFFFFFF
    processor.set_ring(found.segment(selector), ss, rpl)
    processor.regs[ESP] = stack.esp
    processor.eip = eip
    if rpl > cpl:
        for register in (ES, DS, FS, GS):   # segments that the outer ring may not use become null
            held = processor.segment(register)
            if register in (FS, GS) and held.selector & 0xFFFC == 0:
                continue
            if held.flags & (CODE | CONFORMING) != CODE | CONFORMING and held.flags >> 13 & 3 < rpl:
                processor.set_segment(register, Segment(0, 0, 0, 0))
    if interrupt:
        mask = ARITHMETIC | DF | TF | NT | RF | AC | 1 << 21
        mask |= IOPL if cpl == 0 else 0
        mask |= IF if cpl <= eflags >> 12 & 3 else 0
        if not wide:
            mask &= 0xFFFF
        processor.eflags = eflags & ~mask | image & mask

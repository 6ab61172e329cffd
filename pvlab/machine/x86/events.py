"""Delivery of interrupts and exceptions through the guest's own IDT and TSS (Intel SDM vol. 3, chapter 6).

Unicorn never delivers an event to its guest. So the machine does, for the bare CPU and for a monitor's virtual CPU
alike, with the checks, error codes, stack switches and escalations (double fault, triple fault) that the CPU has.
"""
from __future__ import annotations

import struct

from pvlab.machine.memory import Dead
from pvlab.machine.x86.cpu import CS, ESP, IF, NT, RF, SS, TF, VM
from pvlab.machine.x86.faults import DOUBLE, EXCEPTIONS, GP, HAS_ERROR_CODE, NP, PAGE, STACK, Fault
from pvlab.machine.x86.segments import CONFORMING, PRESENT, Stack, current_stack, fetch, inner_stack

_CONTRIBUTORY = frozenset((0, 10, 11, 12, 13))


def deliver(processor, vector: int, code: int = 0, software: bool = False, external: bool = False,
            return_to: int | None = None) -> None:
    """Enter the handler of `vector`, or raise the Fault that this meets.

    software: INT n, whose gate must be open to the current privilege level. external: a device's interrupt, which
    pushes no error code. return_to: the address to push, EIP where it is None.
    """
    idt = processor.table("idt")
    outside = 0 if software else 1          # EXT in error codes: the program did not ask for this event (6.13)
    about = vector * 8 + 2 + outside
    if vector * 8 + 7 > idt.limit:
        raise Fault(GP, about)
    low, high = struct.unpack("<II", processor.read_linear(idt.base + vector * 8 & 0xFFFFFFFF, 8))
    kind = high >> 8 & 31
    if kind == 5:
        raise Dead(f"vector {vector} has a task gate (at {processor.eip:#010x}): the lab's machine has no hardware "
                   "task switching")
    if kind not in (6, 7, 14, 15):
        raise Fault(GP, about)
    cpl = processor.cpl
    if software and high >> 13 & 3 < cpl:
        raise Fault(GP, about)
    if not high & PRESENT:
        raise Fault(NP, about)
    wide = kind & 8
    selector = low >> 16
    offset = low & 0xFFFF | (high & 0xFFFF0000 if wide else 0)
    if selector & 0xFFFC == 0:
        raise Fault(GP, outside)
    target = fetch(processor, selector)
    if not target.is_code or target.dpl > cpl:
        raise Fault(GP, selector & 0xFFFC | outside)
    if not target.high & PRESENT:
        raise Fault(NP, selector & 0xFFFC | outside)
    eflags = processor.eflags
    if eflags & VM:
        raise Dead("an event in virtual-8086 mode: the lab's machine does not model that mode")
    level = cpl if target.high & CONFORMING else target.dpl
    # RF is for debuggers, and QEMU clears it late: here it never shows. The RPL of CS is always the privilege level,
    # although QEMU forgets that in a call through a gate to conforming code.
    cs, eip = processor.segment(CS).selector & 0xFFFC | cpl, processor.eip if return_to is None else return_to
    frame = [eflags & ~RF, cs, eip]
    if vector in HAS_ERROR_CODE and not software and not external:
        frame.append(code)
    ss = None
    if level < cpl:
        ss, esp = inner_stack(processor, level, absent=STACK)
        stack = Stack(processor, ss, esp, wide)
        frame = [processor.segment(SS).selector, processor.regs[ESP], *frame]
    else:
        stack = current_stack(processor, wide)
    stack.push(*frame)
    processor.set_ring(target.segment(selector & 0xFFFC | level), ss, level)
    processor.regs[ESP] = stack.esp
    processor.eip = offset
    gone = TF | NT | RF | VM | (0 if kind & 1 else IF)
    processor.eflags = eflags & ~gone
    processor.interrupt_shadow = False


def raise_event(processor, vector: int, code: int = 0, address: int = 0, software: bool = False,
                external: bool = False, return_to: int | None = None) -> int:
    """Deliver an event; if that faults, deliver what follows from it. Returns the vector that arrived at last.

    `address` goes into CR2 where a page fault is delivered. Raises Dead for a triple fault.
    """
    first, story = vector, [_name(vector, processor.eip)]
    for _ in range(4):
        try:
            if vector == PAGE and not software and not external:
                processor.cr2 = address
            deliver(processor, vector, code, software, external, return_to)
            return vector
        except Fault as fault:
            story.append(f"{_name(fault.vector)} while delivering it")
            if vector == DOUBLE and not software and not external:
                raise Dead("triple fault: " + ", then ".join(story)) from None
            serious = first in _CONTRIBUTORY and not software and not external
            if fault.vector in _CONTRIBUTORY and (serious or first == PAGE and not software and not external) or (
                    fault.vector == PAGE and first == PAGE and not software and not external):
                vector, code = DOUBLE, 0
            else:
                vector, code, address = fault.vector, fault.code, fault.address
            first, software, external, return_to = vector, False, False, None
    raise Dead("triple fault: " + ", then ".join(story))


def _name(vector: int, eip: int | None = None) -> str:
    name = EXCEPTIONS.get(vector, f"interrupt {vector:#x}")
    return name if eip is None else f"{name} at {eip:#010x}"

"""The virtual CPU as the cache sees it: words in a page of the monitor that emitted code reads and writes.

The page and everything else of the monitor's stand in one range of linear addresses, in every address space. Offsets
in that range:

    0           this page: the only one of the monitor's that emitted code, and so the guest, can write
    0x001000    which guest page tables have windows
    0x080000    the hash table that returns and indirect branches are looked up in
    0x100000    windows on guest page tables and their shadows, for the adaptive handlers (see adaptive.py)
    0x200000    the translation cache

What must be written often is no-execute and has a page of its own; everything that is not written by emitted code is
read-only, so a guest that writes there faults as if nothing were there.
"""
from __future__ import annotations

import struct

from pvlab.machine.memory import Ram
from pvlab.machine.x86.cpu import CS, IF, SS
from pvlab.machine.x86.paging import NO_EXECUTE, PRESENT, WRITABLE
from pvlab.monitors.binary_translation.space import SPAN
from pvlab.monitors.vcpu import VirtualCpu

PHYSICAL = 0xF100_0000          # behind the shadow page tables' memory
KNOWN, TABLE, WINDOWS, CACHE = 0x001000, 0x080000, 0x100000, 0x200000
SLOTS = 1 << 16                 # of the hash table, 8 bytes each
CACHE_SIZE = SPAN - CACHE       # the most that a cache can have

# Words of the page. Scratch registers first, what only emitted code writes next, then the virtual CPU's own.
EAX, ECX, EDX, ESI, TARGET, GO = 0x00, 0x04, 0x08, 0x0C, 0x10, 0x14
SAVED = {0: EAX, 1: ECX, 2: EDX, 6: ESI}             # by the register's number
FLAGS, WINDOW, SHADOW, STALE = 0x18, 0x1C, 0x20, 0x24
INTERRUPTS, LEVEL = 0x40, 0x44                       # IF and IOPL, in their places of EFLAGS
PENDING, CR0, CR2, CR3, CR4 = 0x48, 0x4C, 0x50, 0x54, 0x58
CS_WORD, SS_WORD, LDT, TR = 0x5C, 0x60, 0x64, 0x68
GDT_LIMIT, GDT_BASE, IDT_LIMIT, IDT_BASE = 0x6C, 0x70, 0x74, 0x78
_STATE = struct.Struct("<15I")
assert INTERRUPTS + _STATE.size == IDT_BASE + 4


def entries() -> list[int]:
    """A page-table entry for each page of the range. There are no windows yet."""
    found = []
    for offset in range(0, SPAN, 4096):
        rights = PRESENT | (WRITABLE if offset == 0 else 0) | (0 if offset >= CACHE else NO_EXECUTE)
        mapped = offset in (0, KNOWN) or TABLE <= offset < TABLE + 8 * SLOTS or offset >= CACHE
        found.append(PHYSICAL + offset | rights if mapped else 0)
    return found


class VirtualMemory:
    """The monitor's memory in the guest's address space, and the virtual CPU's words in it."""

    def __init__(self, engine):
        self.ram = Ram(SPAN)
        engine.map(self.ram, PHYSICAL)

    def store(self, vcpu: VirtualCpu, pending: bool) -> None:
        """Before the cache is entered: show the virtual CPU to it."""
        gdt, idt = vcpu.table("gdt"), vcpu.table("idt")
        segs = vcpu.cpu.env.segs
        _STATE.pack_into(
            self.ram.bytes, INTERRUPTS, IF * vcpu.interrupts, vcpu.iopl << 12, IF * pending,
            vcpu.cr0, vcpu.cr2, vcpu.cr3, vcpu.cr4, segs[CS].selector & 0xFFFC | vcpu.cpl,
            segs[SS].selector & 0xFFFC | vcpu.cpl, vcpu.table("ldt").selector, vcpu.table("tr").selector,
            gdt.limit & 0xFFFF, gdt.base, idt.limit & 0xFFFF, idt.base)

    def load(self, vcpu: VirtualCpu) -> None:
        """After it: what it may have changed."""
        vcpu.interrupts = bool(self.ram.u32(INTERRUPTS) & IF)
        vcpu.iopl = self.ram.u32(LEVEL) >> 12 & 3
        vcpu.cr2 = self.ram.u32(CR2)

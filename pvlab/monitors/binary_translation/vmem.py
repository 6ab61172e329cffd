"""The virtual CPU as the cache sees it: words in a page of the monitor that emitted code reads and writes.

The page and everything else of the monitor's stand in one range of linear addresses, in every address space. Offsets
in that range:

    0           this page: the only one that emitted code, and so the guest, can write
    0x080000    the hash table that returns and indirect branches are looked up in
    0x100000    windows on guest page tables, for the adaptive handlers
    0x200000    the translation cache

What must be written often is no-execute and has a page of its own; everything that is not written by emitted code is
read-only, so a guest that writes there faults as if nothing were there.
"""
from __future__ import annotations

import struct

from pvlab.machine.memory import Ram
from pvlab.machine.x86.cpu import CS, IF, SS
from pvlab.machine.x86.paging import NO_EXECUTE, PRESENT, WRITABLE
from pvlab.monitors.shadow import SPAN, Hidden
from pvlab.monitors.vcpu import VirtualCpu

PHYSICAL = 0xF100_0000          # behind the shadow page tables' memory
TABLE, WINDOWS, CACHE = 0x080000, 0x100000, 0x200000
SLOTS = 1 << 16                 # of the hash table, 8 bytes each
CACHE_SIZE = SPAN - CACHE       # the most that a cache can have

# Words of the page. Scratch registers first, what only emitted code writes next, then the virtual CPU's own.
EAX, ECX, EDX, TARGET, GO = 0x00, 0x04, 0x08, 0x0C, 0x10
SAVED = {0: EAX, 1: ECX, 2: EDX}                     # by the register's number
INTERRUPTS, LEVEL = 0x40, 0x44                       # IF and IOPL, in their places of EFLAGS
PENDING, CR0, CR2, CR3, CR4 = 0x48, 0x4C, 0x50, 0x54, 0x58
CS_WORD, SS_WORD, LDT, TR = 0x5C, 0x60, 0x64, 0x68
GDT_LIMIT, GDT_BASE, IDT_LIMIT, IDT_BASE = 0x6C, 0x70, 0x74, 0x78
_STATE = struct.Struct("<15I")
assert INTERRUPTS + _STATE.size == IDT_BASE + 4


def hidden(base: int) -> Hidden:
    """What stands at linear address `base`: an entry for each page."""
    entries = []
    for offset in range(0, SPAN, 4096):
        rights = PRESENT | (WRITABLE if offset == 0 else 0)
        rights |= 0 if offset >= CACHE else NO_EXECUTE
        mapped = offset == 0 or TABLE <= offset < TABLE + 8 * SLOTS or offset >= CACHE
        entries.append(PHYSICAL + offset | rights if mapped else 0)
    return Hidden(base, entries)


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

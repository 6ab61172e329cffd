"""Adaptive translation: a store that traps often gets another translation.

A store is innocent until proven guilty: it is copied. One that hits a page table traps, because the page is
write-protected, and is executed alone with the protection off. After a few traps it is translated into a callout, which
does the same without a trap. After a few callouts it gets a handler in the cache, which needs no monitor at all: it
writes through a *window*, a second and writable mapping of the guest's page table, and removes the shadow entry that
came from what was there. The TLB keeps the old entry until the cache is left, as it does on a real CPU until the
guest flushes it: by INVLPG or a new CR3, which are callouts.

A table has a window only where this is all there is to do: it is a PAE page table and nothing else, and nothing of the
translator's was found out by its entries. There are few windows; a store that finds none is a callout once more.
"""
from __future__ import annotations

import struct
from collections import Counter
from collections.abc import Callable

from pvlab.machine.memory import Dead, Ram
from pvlab.machine.x86 import cpu as c
from pvlab.machine.x86.decode import Instruction
from pvlab.machine.x86.faults import Fault
from pvlab.machine.x86.operands import address_of, read
from pvlab.machine.x86.paging import NO_EXECUTE, PRESENT, WRITABLE
from pvlab.monitors.binary_translation import classify as k
from pvlab.monitors.binary_translation import vmem as v
from pvlab.monitors.binary_translation.classify import Guest
from pvlab.monitors.binary_translation.pages import KnownPages
from pvlab.monitors.binary_translation.space import SharedSpace
from pvlab.monitors.binary_translation.statistics import Statistics
from pvlab.monitors.vcpu import VirtualCpu

TRAPS, CALLOUTS = 3, 3        # so many of each before the next translation
WASTED = 8                    # callouts that hit no page table, before the store is copied again, for good
WINDOWS = 64                  # a page table's is number (linear page) mod WINDOWS
_NONE = struct.pack("<4I", 0xFFFFFFFF, 0, 0, 0)


class Adapter:
    """Which stores have another translation, and the windows that those in the cache write through.

    `elsewhere(frame)` says whether others depend on the page table in this guest frame.
    """

    elsewhere: Callable[[int], bool]

    def __init__(self, vcpu: VirtualCpu, shadow: SharedSpace, ram: Ram, statistics: Statistics):
        self._vcpu, self._shadow, self._ram, self._statistics = vcpu, shadow, ram, statistics
        self._times: Counter[tuple[str, int]] = Counter()
        self._kinds: dict[int, tuple[bytes, str]] = {}        # by the store's address: its bytes, its translation
        self._windows: dict[int, tuple[int, int]] = {}        # number -> (linear page, guest frame)
        self.pages = KnownPages(vcpu, shadow, lambda page: self._close(page % WINDOWS), self.revoke, write=True)
        ram.write(v.KNOWN, _NONE * WINDOWS)

    # ------------------------------------------------------------------------------------------- which translation
    def kind_of(self, guest: Guest) -> str:
        """The kind of a guest instruction, in the light of experience."""
        code, kind = self._kinds.get(guest.address, (None, guest.kind))
        return guest.kind if code is None or code != guest.code else kind

    def trapped(self, address: int, code: bytes) -> bool:
        """The store at this address has trapped; whether it is to be translated anew."""
        return k.is_plain_store(code) and self._often(k.WRITE_CALLOUT, TRAPS, address, code)

    def called(self, guest: Guest) -> bool:
        """A store was a callout; whether it is to be translated anew."""
        return guest.kind == k.WRITE_CALLOUT and self._often(k.STORE, CALLOUTS, guest.address, guest.code)

    def wasted(self, guest: Guest) -> bool:
        """A callout hit a page that is not watched; whether the store is to be copied again."""
        return self._often(k.IDENT, WASTED, guest.address, guest.code)

    def _often(self, next_kind: str, limit: int, address: int, code: bytes) -> bool:
        self._times[next_kind, address] += 1
        if self._times[next_kind, address] < limit or self._kinds.get(address) in ((code, next_kind), (code, k.IDENT)):
            return False
        self._times[next_kind, address] = 0
        self._kinds[address] = code, next_kind
        self._statistics.adapted += 1
        return True

    # ------------------------------------------------------------------------------------------- windows
    def open(self, address: int) -> None:
        """Give the page table at this linear address a window, if that can be."""
        vcpu, shadow, page = self._vcpu, self._shadow, address >> 12
        try:
            if not vcpu.cr0 & c.CR0_PG or not vcpu.translate(address, write=True).writable:
                return
            frame = self.pages.frame(address)
        except (Fault, Dead):
            return
        table = shadow.sole_table(frame)
        if table is None or self.elsewhere(frame) or self.pages.depends_on(frame):
            return
        number = page % WINDOWS
        self._close(number)
        self._windows[number], self.pages.frames[page] = (page, frame), frame
        at, rights = v.WINDOWS + number * 8192, PRESENT | WRITABLE | NO_EXECUTE
        shadow.set_page(at >> 12, frame << 12 | rights)
        shadow.set_page((at >> 12) + 1, table | rights)
        to = shadow.base + at - (page << 12) & 0xFFFFFFFF
        self._ram.write(v.KNOWN + number * 16, struct.pack("<4I", page << 12, to, shadow.base + at + 4096, 0))
        vcpu.machine.engine.flush_tlb()

    def _close(self, number: int) -> None:
        page, _ = self._windows.pop(number, (None, None))
        if page is not None:
            self.pages.frames.pop(page, None)
            self._ram.write(v.KNOWN + number * 16, _NONE)
            for part in range(2):
                self._shadow.set_page((v.WINDOWS + number * 8192 >> 12) + part, 0)

    def revoke(self, frame: int) -> None:
        """The page table in this guest frame may not be written unnoticed any more."""
        for number, (_, held) in list(self._windows.items()):
            if held == frame:
                self._close(number)

    def table_lost(self, frame: int) -> None:
        self.revoke(frame)
        self.pages.table_lost(frame)

    def forget(self) -> None:
        for number in list(self._windows):
            self._close(number)
        self.pages.forget()


def store(vcpu: VirtualCpu, instruction: Instruction) -> None:
    """The callout: MOV to memory, or CMPXCHG8B."""
    target = instruction.operands[0]
    address = address_of(vcpu, target.value)
    if instruction.mnemonic == "mov":
        vcpu.write_linear(address, read(vcpu, instruction.operands[1]).to_bytes(target.size, "little"))
        return
    regs = vcpu.regs
    vcpu.check_writable(address, 8, False)
    old = int.from_bytes(vcpu.read_linear(address, 8), "little")
    same = old == (regs[c.EDX] & 0xFFFFFFFF) << 32 | regs[c.EAX] & 0xFFFFFFFF
    if same:
        new = (regs[c.ECX] & 0xFFFFFFFF) << 32 | regs[c.EBX] & 0xFFFFFFFF
        vcpu.write_linear(address, new.to_bytes(8, "little"))
    else:
        regs[c.EAX], regs[c.EDX] = old & 0xFFFFFFFF, old >> 32
    vcpu.eflags = vcpu.eflags & ~c.ZF | c.ZF * same

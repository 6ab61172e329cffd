"""The virtual CPU: what a deprivileged guest believes its processor to be.

The guest's kernel runs in ring 1 of the real CPU. Its general registers, flags and segments are the real ones; what it
may not have (control registers, descriptor tables, IF, IOPL, ring 0) stands here. As a `processor` (see
machine/x86/segments.py) it shows the guest's own view, so the architecture's rules need no second implementation.
"""
from __future__ import annotations

from collections.abc import Callable

from unicorn import x86_const as x86

from pvlab.machine.memory import Dead
from pvlab.machine.x86 import cpu as c
from pvlab.machine.x86 import control
from pvlab.machine.x86.decode import Instruction, decode
from pvlab.machine.x86.faults import Fault
from pvlab.machine.x86.machine import Machine, pages
from pvlab.machine.x86.paging import Mmu, Translation, walk
from pvlab.monitors.shadow import Shadow

_DPL = 3 << 13
_FPU_BITS = c.CR0_MP | c.CR0_EM | c.CR0_TS | c.CR0_NE    # of CR0: the real CPU has them as the guest wants them


class VirtualCpu:
    """Virtual control state over a real machine.

    `shadow` keeps the page tables that the real CPU uses; `clock()` is the guest's time-stamp counter.
    """

    def __init__(self, machine: Machine, shadow: Shadow, clock: Callable[[], int]):
        self.machine, self.cpu, self.shadow, self.clock = machine, machine.cpu, shadow, clock
        self.regs, self._cs = machine.regs, self.cpu.env.segs[c.CS]
        self.cr0, self.cr2, self.cr3, self.cr4 = self.cpu.cr[0], 0, 0, 0
        self.efer = 0
        self.dr = list(control.DEBUG_RESET)
        self.sysenter = {0x174: 0, 0x175: 0, 0x176: 0}     # MSRs: CS, ESP and EIP of SYSENTER
        self.cpl, self.interrupts, self.iopl = 0, False, 0
        self._shadowed_at = -1
        self._tables = {name: self.cpu.table(name) for name in ("gdt", "idt", "ldt", "tr")}
        self._tlb: dict[tuple[int, bool, bool], int] = {}  # (linear page, write, user) -> physical address
        self._frames: dict[tuple[int, int], int] = {}      # code: (address space, linear page) -> physical address
        # The real CPU: ring 1, IF always set, paging always on with read-only pages respected and no-execute bits
        # in force, RDTSC trapping, no descriptor table, no system-call entry.
        self._set_real(x86.UC_X86_REG_CR4, c.CR4_PAE | c.CR4_TSD)
        self.cpu.efer = c.EFER_NXE
        machine.live_mmu = lambda: self.mmu
        self.switch()
        self._set_real(x86.UC_X86_REG_CR0, self.cr0 | c.CR0_WP | c.CR0_PG)
        self.set_ring(self.cpu.segment(c.CS), self.cpu.segment(c.SS), 0)
        self.eflags = 2

    # -- the architecture's view ---------------------------------------------------------------------------
    @property
    def eip(self) -> int:
        return self.cpu.env.eip

    @eip.setter
    def eip(self, value: int) -> None:
        self.cpu.env.eip = value & 0xFFFFFFFF

    @property
    def eflags(self) -> int:
        """The real flags, with the guest's own IF and IOPL in place of the real ones."""
        return self.cpu.eflags & ~(c.IF | c.IOPL) | c.IF * self.interrupts | self.iopl << 12

    @eflags.setter
    def eflags(self, value: int) -> None:
        self.interrupts, self.iopl = bool(value & c.IF), value >> 12 & 3
        self.cpu.eflags = value & ~c.IOPL | c.IF

    @property
    def interrupt_shadow(self) -> bool:
        """True until the instruction after STI has retired."""
        return self._shadowed_at == self.machine.instructions

    @interrupt_shadow.setter
    def interrupt_shadow(self, on: bool) -> None:
        self._shadowed_at = self.machine.instructions if on else -1

    def segment(self, number: int) -> c.Segment:
        """CS and SS with the guest's own privilege level in the selector."""
        held = self.cpu.segment(number)
        if number in (c.CS, c.SS) and held.selector & 0xFFFC:
            return held._replace(selector=held.selector & 0xFFFC | self.cpl)
        return held

    def set_segment(self, number: int, segment: c.Segment) -> None:
        if number == c.SS:
            segment = self._lowered(segment, self._real(self.cpl))
        self.cpu.set_segment(number, segment)

    def set_ring(self, cs: c.Segment, ss: c.Segment | None, cpl: int) -> None:
        """Ring 0 becomes ring 1 of the real CPU; the others are what they are."""
        real = self._real(cpl)
        if ss is None and cpl != self.cpl:
            ss = self.cpu.segment(c.SS)
        self.cpl = cpl
        self.cpu.set_ring(self._lowered(cs, real), ss and self._lowered(ss, real), real)

    @staticmethod
    def _real(cpl: int) -> int:
        return cpl or 1

    @staticmethod
    def _lowered(segment: c.Segment, ring: int) -> c.Segment:
        return segment._replace(selector=segment.selector & 0xFFFC | ring, flags=segment.flags & ~_DPL | ring << 13)

    def table(self, name: str) -> c.Segment:
        return self._tables[name]

    def set_table(self, name: str, segment: c.Segment) -> None:
        self._tables[name] = segment

    # -- memory, through the guest's own page tables -----------------------------------------------------------
    @property
    def mmu(self) -> Mmu:
        return Mmu(self.cr0, self.cr3, self.cr4, bool(self.efer & c.EFER_NXE))

    def translate(self, address: int, **access) -> Translation:
        """See paging.walk. Setting accessed bits changes no shadow entry: those exist only where the bit is set."""
        return walk(self.machine.ram, self.mmu, address, **access)

    def physical(self, address: int, write: bool, user: bool) -> int:
        """Translate by the virtual CPU's own TLB, which the guest has to flush like a real one."""
        key = address >> 12, write, user
        frame = self._tlb.get(key)
        if frame is None:
            frame = self._tlb[key] = self.translate(address, write=write, user=user).physical & ~4095
        return frame | address & 4095

    def read_linear(self, address: int, size: int, user: bool = False) -> bytes:
        ram = self.machine.ram
        if (address & 4095) + size <= 4096:
            return ram.read(self.physical(address, False, user), size)
        return b"".join(ram.read(self.physical(start, False, user), length) for start, length in pages(address, size))

    def write_linear(self, address: int, data: bytes, user: bool = False) -> None:
        """Every page is checked before the first byte is written; shadow tables follow."""
        targets = [(self.physical(start, True, user), length) for start, length in pages(address, len(data))]
        done = 0
        for physical, length in targets:
            self.machine.ram.write(physical, data[done:done + length])
            if self.shadow.traces(physical):
                self.shadow.guest_wrote(physical, length)
                self.mappings_changed()
            done += length
        self.machine.wrote(address, len(data))

    def check_writable(self, address: int, size: int, user: bool) -> None:
        for start, _ in pages(address, size):
            self.physical(start, True, user)

    # -- instructions -------------------------------------------------------------------------------------------
    @property
    def linear_eip(self) -> int:
        return self.machine.linear_eip

    def mappings_changed(self) -> None:
        """The guest changed its translations."""
        self._frames.clear()
        self._tlb.clear()

    def instruction(self) -> Instruction | None:
        """The instruction at EIP, read through the guest's page tables; None where there is none."""
        address = self.machine.linear_eip
        # Code that runs is mapped by tables that are traced: what we know of it holds until one of them is written.
        page, offset = (self.cr3, address >> 12), address & 4095
        frame = self._frames.get(page)
        try:
            if frame is None:
                frame = self._frames[page] = self.translate(address & ~4095, mark=False).physical
            ram = self.machine.ram
            code = ram.bytes[frame + offset:frame + min(offset + 15, 4096)]
            if offset > 4096 - 15:
                code += ram.read(self.translate((address | 4095) + 1 & 0xFFFFFFFF, mark=False).physical, offset - 4081)
        except (Fault, Dead):
            if frame is None:
                return None
        return decode(code, address, bool(self._cs.flags & 1 << 22))

    # -- the real CPU follows -----------------------------------------------------------------------------------
    def set_cr0(self, value: int) -> None:
        changed = self.cr0 ^ value
        self.cr0 = value | c.CR0_ET
        self._tlb.clear()
        if changed & _FPU_BITS:
            self._set_real(x86.UC_X86_REG_CR0, self.cpu.cr[0] & ~_FPU_BITS | value & _FPU_BITS)
        if changed & c.CR0_PG:
            self.shadow.drop_all()      # while paging was off, nobody watched the guest's page tables
            self.mappings_changed()
            self.switch()

    def set_cr3(self, value: int) -> None:
        self.cr3 = value
        self.switch()

    def set_cr4(self, value: int) -> None:
        changed = self.cr4 ^ value
        self.cr4 = value
        own = value & 0x700       # SSE and RDPMC: the guest's affair
        self._set_real(x86.UC_X86_REG_CR4, c.CR4_PAE | c.CR4_TSD | own)
        if changed & (c.CR4_PAE | c.CR4_PSE):
            self.shadow.drop_all()
            self.switch()

    def set_efer(self, value: int) -> None:
        changed = self.efer ^ value & c.EFER_NXE
        self.efer = value & c.EFER_NXE
        if changed:
            self.shadow.drop_all()
            self.switch()

    def switch(self) -> None:
        """Put the shadow of the guest's current address space into the real CR3."""
        self._tlb.clear()
        self.shadow.use(self.mmu)

    def _set_real(self, register: int, value: int) -> None:
        engine = self.machine.engine
        engine.restore()
        engine.set_register(register, value)
        engine.save()

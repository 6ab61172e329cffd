"""The bare x86 machine: RAM, the CPU and exact counts. It runs guest code, and says why it stopped.

It knows no devices and no monitors. As a `processor` (see segments.py) it offers the real CPU's own state, which is
what events on the bare machine are delivered with.
"""
from __future__ import annotations

import unicorn
from unicorn import x86_const as x86

from pvlab.machine.engine import NOWHERE, Engine, Why
from pvlab.machine.memory import Dead, Ram
from pvlab.machine.x86 import cpu as c
from pvlab.machine.x86 import control
from pvlab.machine.x86.decode import STOP_BEFORE, Instruction, decode, describe_block
from pvlab.machine.x86.faults import Fault
from pvlab.machine.x86.paging import Mmu, walk

SLICE = 1_000_000   # blocks between two looks at the world (Ctrl-C, progress): some 10 ms, 200 of REP MOVSB

_FLAT_CODE = c.Segment(0x08, 0, 0xFFFFFFFF, 0x00CF9B00)
_FLAT_DATA = c.Segment(0x10, 0, 0xFFFFFFFF, 0x00CF9300)
# A TR of available type: with any other, a call through a gate to an inner ring aborts the whole process.
_SAFE_TR = c.Segment(0, 0, 0, 0x8900)


class Machine:
    """`ram_size` bytes of RAM (a multiple of 4 KiB) and one CPU, in ring 0 with flat segments and paging off.

    stop_before: mnemonics of instructions that the engine must stop before. `counting=False` leaves the block hook
    out: `instructions` then stays 0, and nothing is stopped before (for measuring what counting costs).
    """

    def __init__(self, ram_size: int = 32 << 20, counting: bool = True, stop_before: frozenset[str] = STOP_BEFORE):
        self.ram = Ram(ram_size)
        self.engine = Engine(unicorn.UC_ARCH_X86, unicorn.UC_MODE_32, x86.UC_CPU_X86_COREDUO, counting, self._describe)
        self.engine.map(self.ram)
        self.cpu = c.Cpu(self.engine)
        self.regs = self.cpu.regs
        self._env, self._cs = self.cpu.env, self.cpu.env.segs[c.CS]
        self.state = self.engine.state
        self._stop_before = stop_before
        self.live_mmu = lambda: self.mmu     # by which tables the running guest's code is found in RAM
        self.describe_cached = None          # a translator's answer for its own code: see Engine
        self._code_pages: set[int] = set()       # of linear addresses
        self._code_frames: set[int] = set()      # and of physical ones
        self.dr = list(control.DEBUG_RESET)
        self._reset()

    def _reset(self) -> None:
        cpu = self.cpu
        for register in (c.DS, c.ES, c.FS, c.GS):
            cpu.set_segment(register, _FLAT_DATA)
        cpu.set_ring(_FLAT_CODE, _FLAT_DATA, 0)
        cpu.set_table("tr", _SAFE_TR)
        cpu.set_table("ldt", c.Segment(0, 0, 0, 0x8200))
        cpu.set_table("gdt", c.Segment(0, 0, 0, 0))
        cpu.set_table("idt", c.Segment(0, 0, 0, 0))
        cpu.eflags = 2

    # ------------------------------------------------------------------------------------------- running
    @property
    def instructions(self) -> int:
        """Guest instructions retired: a REP instruction once, a faulting one when it retires."""
        return self.state.instructions

    @property
    def overhead(self) -> int:
        """Work of the engine that is no instruction: a repetition of a REP weighs 1, a block translated 1,000."""
        return self.state.extra

    def enter(self, until: int) -> Why:
        """Run until something stops the engine, or `until` instructions have retired, or a slice is over."""
        engine, state, cpu = self.engine, self.state, self.cpu
        while True:
            state.stop_instructions = until
            state.stop_blocks = state.blocks + SLICE
            state.stop_extra = state.extra + 10 * SLICE
            why = engine.enter(self._env.eip)
            if why is Why.UNMAPPED:
                engine.uncount(self.linear_eip)
                state.pass_ = self.linear_eip
                why = engine.find_unmapped(self._env.eip)
            if why is Why.RETRANSLATE:
                begin, size = engine.fresh
                engine.forget_code(begin, begin + size)
                continue
            break
        state.pass_ = NOWHERE
        if why is Why.EXCEPTION:
            cpu.acknowledge()
            if state.vector == 1 and not cpu.was_int:      # a single step has retired
                return why
        elif why is Why.DEADLINE or why is Why.WINDOW or why is Why.HALTED:
            return why
        engine.uncount(self.linear_eip)     # for INT n, which has retired: what stands behind it (INTO ends no block)
        return why

    @property
    def pc(self) -> int:
        """EIP, by the name that every machine has for it."""
        return self._env.eip

    @property
    def linear_eip(self) -> int:
        """The linear address of the instruction at EIP."""
        return self._env.eip + self._cs.base & 0xFFFFFFFF

    def retire(self, size: int) -> None:
        """The instruction at EIP, `size` bytes long, has been executed by someone else."""
        self._env.eip = self._env.eip + size & 0xFFFFFFFF
        self.state.instructions += 1
        self.cpu.interrupt_shadow = False

    def step(self) -> Why:
        """Run one instruction, by the CPU's own trap flag. EXCEPTION with vector 1 is the normal end of a step."""
        cpu = self.cpu
        pushf, self.state.stepping = cpu.env.eflags, 1
        cpu.env.eflags |= c.TF
        why = self.enter(self.state.instructions + (1 << 40))
        self.state.stepping = 0
        if not pushf & c.TF:
            cpu.env.eflags &= ~c.TF
        return why

    def _describe(self, address: int, size: int) -> tuple[list[int], int, list[int]]:
        """Called inside a run, which may have gone to other code segments and page tables since the last stop."""
        if address - self.state.cache_begin in range(self.state.cache_size):
            return self.describe_cached(address, size)
        self.engine.save()
        mmu = self.live_mmu()
        self._code_pages.update((address >> 12, address + size - 1 >> 12))
        wide = bool(self._cs.flags & 1 << 22)
        try:
            code = self._read(mmu, address, size, mark=False)
            self._code_frames.update(walk(self.ram, mmu, start, mark=False).physical >> 12
                                     for start, _ in pages(address, size))
        except (Fault, Dead):
            # The guest changed its page tables and flushed no TLB: the engine still knows the code, memory does not.
            return list(range(self.engine.uc.ctl_request_cache(address)[1])), NOWHERE, []
        try:    # QEMU ends a block in the middle of an instruction that will fault: the rest of it tells what it is
            rest = self._read(mmu, address + size & 0xFFFFFFFF, 14, mark=False)
        except (Fault, Dead):
            rest = b""
        return describe_block(code, rest, address, wide, self._stop_before)

    # ------------------------------------------------------------------------- the architecture's view of itself
    @property
    def cpl(self) -> int:
        return self.cpu.cpl

    @property
    def eip(self) -> int:
        return self.cpu.env.eip

    @eip.setter
    def eip(self, value: int) -> None:
        self.cpu.env.eip = value & 0xFFFFFFFF

    @property
    def eflags(self) -> int:
        return self.cpu.eflags

    @eflags.setter
    def eflags(self, value: int) -> None:
        self.cpu.eflags = value

    @property
    def raw_flags(self) -> int:
        """EFLAGS without the arithmetic flags, which cost a call into the engine: IF, TF and IOPL are right."""
        return self._env.eflags

    @property
    def iopl(self) -> int:
        """The I/O privilege level; like IF, it stands in QEMU's flags as it is."""
        return self._env.eflags >> 12 & 3

    @property
    def interrupt_shadow(self) -> bool:
        return self.cpu.interrupt_shadow

    @interrupt_shadow.setter
    def interrupt_shadow(self, on: bool) -> None:
        self.cpu.interrupt_shadow = on

    @property
    def cr2(self) -> int:
        return self.cpu.cr[2]

    @cr2.setter
    def cr2(self, value: int) -> None:
        self.cpu.cr[2] = value

    def segment(self, number: int) -> c.Segment:
        return self.cpu.segment(number)

    def set_segment(self, number: int, segment: c.Segment) -> None:
        self.cpu.set_segment(number, segment)

    def set_ring(self, cs: c.Segment, ss: c.Segment | None, cpl: int) -> None:
        self.cpu.set_ring(cs, ss, cpl)

    def table(self, name: str) -> c.Segment:
        return self.cpu.table(name)

    def set_table(self, name: str, segment: c.Segment) -> None:
        self.cpu.set_table(name, segment)

    @property
    def mmu(self) -> Mmu:
        cr = self.cpu.cr
        return Mmu(cr[0], cr[3], cr[4], bool(self.cpu.efer & c.EFER_NXE))

    # ------------------------------------------------------------------------------------------- memory
    def read_linear(self, address: int, size: int, user: bool = False) -> bytes:
        """Read through the page tables, as the CPU itself does (supervisor) or as user code. May raise Fault."""
        if (address & 4095) + size <= 4096:
            return self.ram.read(walk(self.ram, self.mmu, address, user=user).physical, size)
        return self._read(self.mmu, address, size, user)

    def _read(self, mmu: Mmu, address: int, size: int, user: bool = False, mark: bool = True) -> bytes:
        parts = []
        for start, length in pages(address, size):
            physical = walk(self.ram, mmu, start, user=user, mark=mark).physical
            parts.append(self.ram.read(physical, length))
        return b"".join(parts)

    def write_linear(self, address: int, data: bytes, user: bool = False) -> None:
        """Write through the page tables. Every page is checked before the first byte is written. May raise Fault."""
        mmu, targets = self.mmu, []
        for start, length in pages(address, len(data)):
            targets.append((walk(self.ram, mmu, start, write=True, user=user).physical, length))
        done = 0
        for physical, length in targets:
            self.ram.write(physical, data[done:done + length])
            done += length
        self.wrote(address, len(data))

    def physical(self, address: int, write: bool, user: bool) -> int:
        """Where this access to a linear address leads, which may be no memory. May raise Fault."""
        return walk(self.ram, self.mmu, address, write=write, user=user).physical

    def check_writable(self, address: int, size: int, user: bool) -> None:
        """Raise Fault where a write would."""
        for start, _ in pages(address, size):
            walk(self.ram, self.mmu, start, write=True, user=user)

    def wrote(self, address: int, size: int) -> None:
        """Linear memory was changed from outside: if there is code, the engine must translate it again."""
        if address >> 12 in self._code_pages or address + size - 1 >> 12 in self._code_pages:
            self.engine.restore()
            self.engine.forget_code(address, address + size)

    def device_wrote(self, address: int, size: int) -> None:
        """Physical memory was changed by a device."""
        if not self._code_frames.isdisjoint(range(address >> 12, address + size + 4095 >> 12)):
            self.engine.forget_all_code()
            self._code_frames.clear()

    def instruction(self) -> Instruction | None:
        """The instruction at EIP, or None where its bytes cannot be read or are none."""
        address = self.linear_eip
        code = b""
        try:
            for start, length in pages(address, 15):
                code += self.ram.read(walk(self.ram, self.mmu, start, mark=False).physical, length)
        except (Fault, Dead):
            pass
        return decode(code, address, bool(self._cs.flags & 1 << 22)) if code else None


def pages(address: int, size: int):
    """(start, length) of the parts of [address, address + size) that lie in one 4 KiB page each; wraps at 4 GiB."""
    while size > 0:
        address &= 0xFFFFFFFF
        length = min(size, 4096 - (address & 4095))
        yield address, length
        address, size = address + length, size - length

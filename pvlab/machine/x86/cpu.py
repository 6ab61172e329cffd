"""The x86 CPU as the engine saves it: one structure, read and written in place.

Unicorn's saved context is QEMU 5.0's `CPUX86State` (target/i386/cpu.h), and everything that a monitor reads or writes
is a field of it: the registers, the hidden parts of the segment registers, the privilege level. Public register
writes cannot change the privilege level; this can. `find_layout` checks at start-up, against the public interface,
that the fields stand where we look for them, and finds four more: EFER, and three that have no public name: the error
code of the last exception, whether it was an INT n, and QEMU's memory of an exception not yet delivered.
"""
from __future__ import annotations

import ctypes
import functools
import mmap
from typing import NamedTuple

import unicorn
from unicorn import x86_const as x86

from pvlab.errors import PvlabError

EAX, ECX, EDX, EBX, ESP, EBP, ESI, EDI = range(8)
ES, CS, SS, DS, FS, GS = range(6)
SEGMENT_NAMES = ("es", "cs", "ss", "ds", "fs", "gs")
REGISTER_NAMES = ("eax", "ecx", "edx", "ebx", "esp", "ebp", "esi", "edi")

# EFLAGS (Intel SDM vol. 1, 3.4.3)
CF, PF, AF, ZF, SF, TF, IF, DF, OF = 1, 4, 0x10, 0x40, 0x80, 0x100, 0x200, 0x400, 0x800
IOPL, NT, RF, VM, AC = 0x3000, 0x4000, 0x10000, 0x20000, 0x40000
ARITHMETIC = CF | PF | AF | ZF | SF | OF

# CR0 and CR4 (Intel SDM vol. 3, 2.5)
CR0_PE, CR0_MP, CR0_EM, CR0_TS, CR0_ET, CR0_NE, CR0_WP, CR0_AM, CR0_PG = (
    1, 2, 4, 8, 0x10, 0x20, 0x10000, 0x40000, 0x80000000)
CR4_TSD, CR4_PSE, CR4_PAE = 4, 0x10, 0x20
EFER, EFER_NXE = 0xC0000080, 0x800

# QEMU's hflags: facts about the CPU's mode that select how code is translated (target/i386/cpu.h)
_H_CPL, _H_INHIBIT, _H_CS32, _H_SS32, _H_ADDSEG = 3, 1 << 3, 1 << 4, 1 << 5, 1 << 6


class Segment(NamedTuple):
    """A segment register with its hidden part. `flags` is the descriptor's second word without its base bits."""

    selector: int
    base: int
    limit: int
    flags: int


class _Segment(ctypes.Structure):
    _fields_ = [("selector", ctypes.c_uint32), ("base", ctypes.c_uint64), ("limit", ctypes.c_uint32),
                ("flags", ctypes.c_uint32)]


class _Env(ctypes.Structure):
    """The beginning of CPUX86State."""

    _fields_ = [("regs", ctypes.c_uint64 * 16), ("eip", ctypes.c_uint64), ("eflags", ctypes.c_uint64),
                ("cc_dst", ctypes.c_uint64), ("cc_src", ctypes.c_uint64), ("cc_src2", ctypes.c_uint64),
                ("cc_op", ctypes.c_uint32), ("df", ctypes.c_int32), ("hflags", ctypes.c_uint32),
                ("hflags2", ctypes.c_uint32), ("segs", _Segment * 6), ("ldt", _Segment), ("tr", _Segment),
                ("gdt", _Segment), ("idt", _Segment), ("cr", ctypes.c_uint64 * 5)]


class Layout(NamedTuple):
    """Byte offsets in a saved context."""

    env: int
    old_exception: int
    error_code: int
    is_int: int
    efer: int


class Cpu:
    """The saved CPU of an engine. Valid between two entries; 32-bit values unless stated."""

    def __init__(self, engine):
        layout = find_layout()
        self._engine = engine
        at = engine.context_address
        self.env = _Env.from_address(at + layout.env)
        self.regs = self.env.regs
        self.cr = self.env.cr
        self._old_exception = ctypes.c_int32.from_address(at + layout.old_exception)
        self._error_code = ctypes.c_int32.from_address(at + layout.error_code)
        self._is_int = ctypes.c_int32.from_address(at + layout.is_int)
        self._efer = ctypes.c_uint64.from_address(at + layout.efer)

    # -- plain registers -----------------------------------------------------------------------------------
    @property
    def eip(self) -> int:
        return self.env.eip

    @eip.setter
    def eip(self, value: int) -> None:
        self.env.eip = value & 0xFFFFFFFF

    @property
    def cpl(self) -> int:
        """The current privilege level, 0 to 3."""
        return self.env.hflags & _H_CPL

    @property
    def interrupt_shadow(self) -> bool:
        """True between STI (or a load of SS) and the end of the next instruction."""
        return bool(self.env.hflags & _H_INHIBIT)

    @interrupt_shadow.setter
    def interrupt_shadow(self, on: bool) -> None:
        self.env.hflags = self.env.hflags & ~_H_INHIBIT | (_H_INHIBIT if on else 0)

    @property
    def eflags(self) -> int:
        """EFLAGS. While it runs, QEMU keeps the arithmetic flags and DF elsewhere; when it stops, they stand here."""
        return self.env.eflags | 2

    @eflags.setter
    def eflags(self, value: int) -> None:
        self.env.eflags = value & 0x3F7FD7 | 2

    @property
    def efer(self) -> int:
        """The MSR of that name: EFER_NXE says whether no-execute bits count."""
        return self._efer.value

    @efer.setter
    def efer(self, value: int) -> None:
        self._efer.value = value

    # -- the last exception --------------------------------------------------------------------------------
    @property
    def error_code(self) -> int:
        """The error code of the exception that stopped the engine (0 where the exception has none)."""
        return self._error_code.value & 0xFFFFFFFF

    @property
    def was_int(self) -> bool:
        """The last exception was an INT n, INT3 or INTO: EIP is behind it."""
        return bool(self._is_int.value)

    def acknowledge(self) -> None:
        """Tell QEMU that the exception has been taken care of.

        QEMU remembers an exception until it delivers one itself, which Unicorn never does: without this, the second
        fault of a run arrives as a double fault and the third stops it without a word (unicorn issue 1883).
        """
        self._old_exception.value = -1

    # -- segments ------------------------------------------------------------------------------------------
    def segment(self, number: int) -> Segment:
        s = self.env.segs[number]
        return Segment(s.selector, s.base, s.limit, s.flags)

    def set_segment(self, number: int, segment: Segment) -> None:
        """Load a segment register with its hidden part. For CS, SS and CPL together use `set_ring`."""
        self._store(self.env.segs[number], segment)
        self._update_mode()

    def set_ring(self, cs: Segment, ss: Segment | None, cpl: int) -> None:
        """Load CS, SS (None: as it is) and the privilege level."""
        env = self.env
        self._store(env.segs[CS], cs)
        if ss is not None:
            self._store(env.segs[SS], ss)
        env.hflags = env.hflags & ~_H_CPL | cpl
        self._update_mode()

    def table(self, name: str) -> Segment:
        """'gdt', 'idt', 'ldt' or 'tr'."""
        s = getattr(self.env, name)
        return Segment(s.selector, s.base, s.limit, s.flags)

    def set_table(self, name: str, segment: Segment) -> None:
        self._store(getattr(self.env, name), segment)

    @staticmethod
    def _store(field: _Segment, segment: Segment) -> None:
        field.selector, field.base, field.limit, field.flags = segment

    def _update_mode(self) -> None:
        """The facts in hflags that follow from CS, SS and the bases (QEMU's cpu_x86_load_seg_cache)."""
        env = self.env
        segs = env.segs
        mode = env.hflags & ~(_H_CS32 | _H_SS32 | _H_ADDSEG)
        if segs[CS].flags & 1 << 22:
            mode |= _H_CS32
        if segs[SS].flags & 1 << 22:
            mode |= _H_SS32
        if not mode & _H_CS32 or segs[DS].base | segs[ES].base | segs[SS].base or env.eflags & VM:
            mode |= _H_ADDSEG
        env.hflags = mode


@functools.cache
def find_layout() -> Layout:
    """Find the fields in a context of this build of Unicorn, and check each against the public interface."""
    uc = unicorn.Uc(unicorn.UC_ARCH_X86, unicorn.UC_MODE_32)
    uc.ctl_set_cpu_model(x86.UC_CPU_X86_COREDUO)
    memory = mmap.mmap(-1, 4096)
    uc.mem_map_ptr(0, 4096, unicorn.UC_PROT_ALL, ctypes.addressof(ctypes.c_char.from_buffer(memory)))
    uc.ctl_exits_enabled(True)
    uc.hook_add(unicorn.UC_HOOK_INTR, lambda engine, vector, data: engine.emu_stop())
    names = ("EAX", "ECX", "EDX", "EBX", "ESP", "EBP", "ESI", "EDI")
    for i, name in enumerate(names):
        uc.reg_write(getattr(x86, f"UC_X86_REG_{name}"), 0xA5000100 + i)
    uc.reg_write(x86.UC_X86_REG_GDTR, (0, 0x7650, 0x17, 0))
    uc.reg_write(x86.UC_X86_REG_IDTR, (0, 0x6540, 0x27, 0))

    def snapshot() -> bytes:
        context = uc.context_save()
        return ctypes.string_at(context.context, context.size)

    def run(code: bytes, at: int) -> bytes:
        memory[at:at + len(code)] = code
        uc.emu_start(at, 0)
        return snapshot()

    without = snapshot()
    uc.reg_write(x86.UC_X86_REG_MSR, (EFER, EFER_NXE))
    before = snapshot()
    registers = b"".join((0xA5000100 + i).to_bytes(8, "little") for i in range(8))
    found = before.find(registers)
    # A load of DS with a selector beyond the GDT: #GP, whose error code is the selector.
    fault = run(b"\xb8\x38\x12\x00\x00\x8e\xd8", 0x100)                 # mov $0x1238,%eax; mov %eax,%ds
    after_int = run(b"\xcd\x2f", 0x200)                                  # int $0x2f
    env = _Env.from_buffer_copy(before[found:found + ctypes.sizeof(_Env)]) if found >= 0 else _Env()
    stopped = _Env.from_buffer_copy(fault[found:found + ctypes.sizeof(_Env)]) if found >= 0 else _Env()
    behind = found + ctypes.sizeof(_Env)

    def words(test) -> list[int]:
        return [i for i in range(behind, len(before) - 3, 4) if test(*(
            int.from_bytes(blob[i:i + 4], "little", signed=True) for blob in (before, fault, after_int)))]

    old_exception = words(lambda was, now, then: (was, now) == (-1, 13))
    error_code = words(lambda was, now, then: (was, now, then) == (0, 0x1238, 0))
    is_int = [i for i in words(lambda was, now, then: (was, now, then) == (0, 0, 1)) if i - 4 in error_code]
    efer = [i for i in range(behind, len(before) - 7, 8) if (without[i:i + 8], before[i:i + 8]) == (
        bytes(8), EFER_NXE.to_bytes(8, "little"))]
    sound = (found >= 0 and len(old_exception) == len(error_code) == len(is_int) == len(efer) == 1
             and (env.gdt.base, env.gdt.limit, env.idt.base, env.idt.limit) == (0x7650, 0x17, 0x6540, 0x27)
             and env.cr[0] == uc.reg_read(x86.UC_X86_REG_CR0) and stopped.eip == 0x105
             and stopped.regs[EAX] == 0x1238)
    if not sound:
        raise PvlabError(f"this build of Unicorn ({unicorn.__version__}) keeps the x86 CPU in a form that pvlab does "
                         "not know; install the version that pyproject.toml names")
    return Layout(found, old_exception[0], error_code[0], is_int[0], efer[0])

"""The s390x CPU as the engine saves it: one structure, read and written in place.

Unicorn's saved context is QEMU 5.0's `CPUS390XState` (target/s390x/cpu.h). `find_layout` checks at start-up, against
the public interface and by three small programs, that the fields stand where we look for them; some have no public
name: the prefix register, the interruption codes, and the instruction that an EXECUTE is about to execute.
"""
from __future__ import annotations

import ctypes
import functools
import mmap

import unicorn
from unicorn import s390x_const as s390x

from pvlab.errors import PvlabError

MODEL = s390x.UC_CPU_S390X_MAX
PSW_MASK = s390x.UC_S390X_REG_PSWM


class Env(ctypes.Structure):
    """The beginning of CPUS390XState. While code runs, QEMU keeps the condition code in cc_op and its operands."""

    _fields_ = [("regs", ctypes.c_uint64 * 16), ("vregs", ctypes.c_uint64 * 64), ("aregs", ctypes.c_uint32 * 16),
                ("unused", ctypes.c_uint8 * 52), ("fpc", ctypes.c_uint32), ("cc_op", ctypes.c_uint32),
                ("unused2", ctypes.c_uint8 * 20), ("psw_mask", ctypes.c_uint64), ("psw_address", ctypes.c_uint64),
                ("cc_src", ctypes.c_uint64), ("cc_dst", ctypes.c_uint64), ("cc_vr", ctypes.c_uint64),
                ("ex_value", ctypes.c_uint64), ("exception_address", ctypes.c_uint64), ("prefix", ctypes.c_uint64),
                ("program_code", ctypes.c_uint32), ("program_length", ctypes.c_uint32), ("svc_code", ctypes.c_uint32),
                ("svc_length", ctypes.c_uint32), ("per_address", ctypes.c_uint64), ("per_code", ctypes.c_uint64),
                ("cregs", ctypes.c_uint64 * 16)]


def env_of(engine) -> Env:
    """The CPU in an engine's saved context. Valid between two entries."""
    return Env.from_address(engine.context_address + find_layout())


@functools.cache
def find_layout() -> int:
    """The byte offset of `Env` in a context of this build of Unicorn."""
    uc = unicorn.Uc(unicorn.UC_ARCH_S390X, unicorn.UC_MODE_BIG_ENDIAN)
    uc.ctl_set_cpu_model(MODEL)
    memory = mmap.mmap(-1, 0x10000)
    uc.mem_map_ptr(0, 0x10000, unicorn.UC_PROT_ALL, ctypes.addressof(ctypes.c_char.from_buffer(memory)))
    uc.ctl_exits_enabled(True)
    uc.hook_add(unicorn.UC_HOOK_INTR, lambda engine, number, data: engine.emu_stop())
    problem = 0x0001200180000000            # problem state, condition code 2, 64-bit
    for kind, count in (("R", 16), ("A", 16), ("CR", 16)):
        for i in range(count):
            uc.reg_write(getattr(s390x, f"UC_S390X_REG_{kind}{i}"), _pattern(kind, i))
    context = uc.context_save()
    blob = ctypes.string_at(context.context, context.size)
    registers = b"".join(_pattern("R", i).to_bytes(8, "little") for i in range(16))
    found = blob.find(registers)
    if found >= 0 and context.size - found >= ctypes.sizeof(Env):
        env = Env.from_address(context.context.value + found)
        sound = (list(env.aregs) == [_pattern("A", i) for i in range(16)]
                 and list(env.cregs) == [_pattern("CR", i) for i in range(16)])
        for i in range(16):
            uc.reg_write(getattr(s390x, f"UC_S390X_REG_CR{i}"), 0)

        def run(code: str, at: int) -> None:
            memory[at:at + len(code) // 2] = bytes.fromhex(code)
            uc.reg_write(PSW_MASK, problem)
            uc.emu_start(at, 0)
            uc.context_update(context)

        run("83120008", 0x4000)                                               # diag
        sound &= (env.program_code, env.program_length, env.psw_address, env.cc_op) == (2, 4, 0x4000, 2)
        run("0a2a", 0x5000)                                                   # svc 42
        sound &= (env.svc_code, env.svc_length, env.psw_address, env.psw_mask & 1 << 48) == (42, 2, 0x5000, 1 << 48)
        memory[0x8000:0x8008] = b"prefixed"
        env.prefix = 0x8000
        uc.context_restore(context)
        run("e310000000040a00", 0x6000)                                       # lg %r1,0; svc 0
        sound &= env.regs[1].to_bytes(8, "big") == b"prefixed"
    else:
        sound = False
    if not sound:
        raise PvlabError(f"this build of Unicorn ({unicorn.__version__}) keeps the s390x CPU in a form that pvlab does "
                         "not know; install the version that pyproject.toml names")
    return found


def _pattern(kind: str, number: int) -> int:
    """A value that stands nowhere else."""
    return {"R": 0xA5A5000000000100, "A": 0xB5B50200, "CR": 0xC5C5000000000300}[kind] + number

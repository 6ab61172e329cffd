"""The CPU engine: the one file that calls Unicorn while a guest runs.

An engine is entered, runs guest code, and stops for one reason (`Why`). At a stop the whole CPU is saved into one
block of memory, the *context*; what a monitor reads and writes are fields of it (see x86/cpu.py), and the next entry
restores it. So an exit costs one save and one restore, however many registers it looks at.

Unicorn's binding is passed by on that path: its calls are made directly through ctypes, with arguments made once.
"""
from __future__ import annotations

import ctypes
import enum
import functools
import signal
import sys
import weakref
from bisect import bisect_left
from collections.abc import Callable
from pathlib import Path

import unicorn
from unicorn.unicorn_py3.unicorn import uclib

from pvlab.errors import PvlabError
from pvlab.guests.toolchain import build_shared

BLOCKS = 1 << 16
_NO_BLOCK = BLOCKS
_CODE_BUFFER = 64 << 20       # for translated code; a full one is emptied and filled again
NOWHERE = (1 << 64) - 1
_FLUSH_TLB = unicorn.UC_CTL_TLB_FLUSH | (unicorn.UC_CTL_IO_WRITE << 30)
_FLUSH_CODE = unicorn.UC_CTL_TB_FLUSH | (unicorn.UC_CTL_IO_WRITE << 30)
_REMOVE_CACHE = unicorn.UC_CTL_TB_REMOVE_CACHE | (2 << 26) | (unicorn.UC_CTL_IO_WRITE << 30)


class Why(enum.IntEnum):
    """Why the engine stopped. The numbers up to WINDOW are those of hooks.c."""

    HALTED = 0         # HLT at CPL 0
    EXCEPTION = 1      # a fault, a trap or INT n: the vector is in state.vector
    INVALID = 2        # an invalid opcode, or VMCALL
    DEADLINE = 3       # the instruction count or the slice of blocks is reached
    POINT = 4          # before the instruction at state.point
    RETRANSLATE = 5    # new points were set in the block that was about to run
    WINDOW = 6         # the guest enables interrupts
    UNMAPPED = 7       # an access to a physical address that is not memory: see Engine.find_unmapped
    ENGINE_ERROR = 8   # anything else that Unicorn reports: engine.error
    ABORTED = 9        # the engine died, and cannot be used again
    INTERRUPTED = 10   # an exception, such as Ctrl-C, arrived while native code was asking Python


_WHY = list(Why)
_KNOWN, _NEW_POINTS = 1, 2          # what Python answers to hooks.c


class _Block(ctypes.Structure):
    _fields_ = [("key", ctypes.c_uint64), ("address", ctypes.c_uint64), ("size", ctypes.c_uint32),
                ("instructions", ctypes.c_uint32), ("repeat", ctypes.c_uint64), ("tally", ctypes.c_uint64),
                ("held", ctypes.c_uint64)]


_DESCRIBE = ctypes.CFUNCTYPE(None, ctypes.c_uint32)
_GIVEN_UP = ctypes.CFUNCTYPE(None, ctypes.c_uint64)


class _State(ctypes.Structure):
    """struct state of hooks.c."""

    _fields_ = [(name, ctypes.c_uint64) for name in (
        "instructions", "extra", "blocks", "stop_instructions", "stop_blocks", "stop_extra", "repeat", "point", "pass_", "fault")]
    _fields_ += [(name, ctypes.c_uint32) for name in ("why", "vector", "current", "continued", "window", "used",
                                                     "answer", "gives_up", "pass_again", "stepping")]
    _fields_ += [("newest", ctypes.c_uint64), ("tally", ctypes.c_uint64), ("cache_begin", ctypes.c_uint64),
                 ("cache_size", ctypes.c_uint64), ("describe", _DESCRIBE), ("given_up", _GIVEN_UP),
                 ("table", _Block * BLOCKS)]


@functools.cache
def _hooks() -> ctypes.CDLL:
    """The native hooks, built once and kept in the toolchain's cache."""
    library = ctypes.CDLL(str(build_shared(Path(__file__).with_name("hooks.c"))))
    calls = (uclib.uc_emu_start, uclib.uc_emu_stop, uclib.uc_reg_read, uclib.uc_context_save, uclib.uc_context_restore)
    library.pvlab_init(*(ctypes.cast(call, ctypes.c_void_p) for call in calls), unicorn.x86_const.UC_X86_REG_EFLAGS)
    library.pvlab_enter.argtypes = ctypes.c_void_p, ctypes.c_void_p, ctypes.c_uint64, ctypes.c_void_p
    return library


@functools.cache
def _jumps() -> tuple[ctypes.c_void_p, ...]:
    """What the C library has for leaving a function from a signal handler; nothing on Windows."""
    if sys.platform == "win32":
        return ()
    libc = ctypes.CDLL(None)
    return tuple(ctypes.cast(call, ctypes.c_void_p) for call in (
        libc._setjmp, libc._longjmp, libc.pthread_self, libc.signal))


class Engine:
    """One Unicorn CPU over the lab's RAM, with the native hooks installed.

    `describe(address, size)` is asked about each block of guest code when it is first seen. It answers
    (offsets of its instructions, address of a REP string instruction that ends it or NOWHERE, addresses of
    instructions that the engine must stop before). A translator's own code, in [state.cache_begin, + cache_size), is
    weighed by what it stands for: its offsets are those at which a guest instruction has retired, and the answer
    goes on with (what it adds to state.tally, whether the engine may not stop at its beginning).
    """

    def __init__(self, arch: int, mode: int, model: int, counting: bool = True,
                 describe: Callable[[int, int], tuple[list[int], int, list[int]]] | None = None):
        self.uc = unicorn.Uc(arch, mode)
        self.uc.ctl_set_cpu_model(model)
        self.uc.ctl_set_tcg_buffer_size(_CODE_BUFFER)
        self.uc.ctl_exits_enabled(True)      # emu_start's `until` would be probed in the guest's address space
        self._handle = self.uc._uch
        self.state = _State(stop_instructions=NOWHERE, stop_blocks=NOWHERE, stop_extra=NOWHERE, repeat=NOWHERE, pass_=NOWHERE)
        self.state.gives_up = arch == unicorn.UC_ARCH_X86
        # Held weakly: an engine in a cycle would wait for the garbage collector, with all its memory.
        on_new_block, on_given_up = weakref.WeakMethod(self._on_new_block), weakref.WeakMethod(self._on_given_up)
        self.state.describe = _DESCRIBE(lambda index: on_new_block()(index))
        self.state.given_up = _GIVEN_UP(lambda address: on_given_up()(address))
        self._describe = describe
        self._offsets: dict[int, list[int]] = {}
        self._points: set[int] = set()
        self._raised: BaseException | None = None
        self.fresh = 0, 0                    # address and size of the block described last
        self.error = ""
        self._saved = self.uc.context_save()
        self._context = self._saved.context
        self.context_address = self._context.value
        self.context_size = self._saved.size
        hooks = _hooks()
        if _jumps():
            hooks.pvlab_guard(*_jumps())     # the engine's own faults end a run and not the process
        if counting:
            self._hook(unicorn.UC_HOOK_BLOCK, hooks.pvlab_on_block)
        self._hook(unicorn.UC_HOOK_INTR, hooks.pvlab_on_exception)
        self._hook(unicorn.UC_HOOK_INSN_INVALID, hooks.pvlab_on_invalid)
        self._enter, self._state = hooks.pvlab_enter, ctypes.byref(self.state)

    def _hook(self, kind: int, function, begin: int = 1, end: int = 0) -> ctypes.c_size_t:
        hook = ctypes.c_size_t()
        status = uclib.uc_hook_add(self._handle, ctypes.byref(hook), kind,
                                   ctypes.cast(function, ctypes.c_void_p), ctypes.byref(self.state),
                                   ctypes.c_uint64(begin), ctypes.c_uint64(end))
        if status:
            raise PvlabError(f"the engine refused a hook: {unicorn.UcError(status)}")
        return hook

    def map(self, ram, address: int = 0) -> None:
        """Let the engine see the lab's buffer at this physical address."""
        self.uc.mem_map_ptr(address, ram.size, unicorn.UC_PROT_ALL, ram.host_address)

    # ------------------------------------------------------------------------------------------- entering

    def enter(self, address: int) -> Why:
        """Restore the context, run from `address` until something stops it, save the context."""
        status = self._enter(self._handle, self._context, address, self._state)
        if self.state.why == Why.ABORTED:
            signal.pthread_sigmask(signal.SIG_UNBLOCK, (signal.SIGABRT, signal.SIGSEGV))
        if self.state.why == Why.INTERRUPTED or self._raised is not None:    # it may have come after the answer
            raised, self._raised = self._raised or KeyboardInterrupt(), None
            raise raised
        if status:
            if status in (unicorn.UC_ERR_READ_UNMAPPED, unicorn.UC_ERR_WRITE_UNMAPPED, unicorn.UC_ERR_FETCH_UNMAPPED):
                return Why.UNMAPPED
            self.error = str(unicorn.UcError(status))
            return Why.ENGINE_ERROR
        return _WHY[self.state.why]

    def find_unmapped(self, address: int) -> Why:
        """The instruction at `address` stopped with UNMAPPED, and has been uncounted: run it again, and let `state.fault`
        be the physical address. Only a hook is told of it, and one that stayed would make each store, wherever it goes,
        some sixty nanoseconds slower.
        """
        state = self.state
        state.stop_instructions = state.stop_extra = NOWHERE
        state.stop_blocks = state.blocks + 2
        hook = self._hook(unicorn.UC_HOOK_MEM_UNMAPPED, _hooks().pvlab_on_unmapped)
        try:
            return self.enter(address)
        finally:
            uclib.uc_hook_del(self._handle, hook)

    def save(self) -> None:
        uclib.uc_context_save(self._handle, self._context)

    def restore(self) -> None:
        uclib.uc_context_restore(self._handle, self._context)

    # ------------------------------------------------------------------------------------------- counting

    # The next two are called by hooks.c inside a run. An exception cannot cross C: it is kept, or (Ctrl-C arrives when it
    # likes) lost, but then the answer is missing, and enter() raises what is due.

    def _on_new_block(self, index: int) -> None:
        try:
            block = self.state.table[index]
            offsets, block.repeat, points, *more = self._describe(block.address, block.size)
            block.tally, block.held = more or (0, 0)
            block.instructions = len(offsets)
            self._offsets[index] = offsets
            fresh = [point for point in points if point not in self._points]
            self.fresh = block.address, block.size
            for point in fresh:
                self._points.add(point)
                self._hook(unicorn.UC_HOOK_CODE, _hooks().pvlab_on_point, point, point)
            self.state.answer = _NEW_POINTS if fresh else _KNOWN
        except BaseException as error:  # noqa: BLE001 - a KeyboardInterrupt, too, must reach the caller of enter()
            self._raised = error

    def _on_given_up(self, address: int) -> None:
        try:
            self.uncount(address)
            self.state.answer = _KNOWN
        except BaseException as error:  # noqa: BLE001 - as above
            self._raised = error

    def uncount(self, address: int) -> None:
        """The block entered last stopped before the instruction at `address`: take back what it counted too much."""
        state = self.state
        state.repeat = NOWHERE
        if state.current == _NO_BLOCK:
            return
        block = state.table[state.current]
        offset = address - block.address
        if not 0 <= offset < block.size:    # the block ended, and the instruction after it could not be fetched
            return
        if state.continued:           # the REP was counted by the block before, and has not retired
            state.instructions -= 1
            state.continued = 0
            return
        done = bisect_left(self._offsets[state.current], offset)
        state.instructions -= block.instructions - done

    def uncount_repeat(self) -> None:
        """An interrupt arrives between two repetitions of a REP: it has not retired, and is counted when it goes on."""
        self.state.instructions -= 1
        self.state.repeat = NOWHERE

    # -------------------------------------------------------------------------------------------- keeping true

    def flush_tlb(self) -> None:
        """Page tables changed from outside: forget what the engine has translated by them."""
        uclib.uc_ctl(self._handle, _FLUSH_TLB)

    def forget_code(self, begin: int, end: int) -> None:
        """Code in [begin, end), virtual addresses of the current address space, changed from outside."""
        uclib.uc_ctl(self._handle, _REMOVE_CACHE, ctypes.c_uint64(begin), ctypes.c_uint64(end))

    def forget_all_code(self) -> None:
        """Code changed from outside, and by which addresses it runs is not known."""
        uclib.uc_ctl(self._handle, _FLUSH_CODE)
        ctypes.memset(self.state.table, 0, ctypes.sizeof(self.state.table))
        self.state.used = self.state.newest = 0

    def register(self, number: int) -> int:
        value = ctypes.c_uint64()
        uclib.uc_reg_read(self._handle, number, ctypes.byref(value))
        return value.value

    def set_register(self, number: int, value: int) -> None:
        """Write a register of the engine itself, with the effects that has there (CR0, CR3, CR4)."""
        uclib.uc_reg_write(self._handle, number, ctypes.byref(ctypes.c_uint64(value)))

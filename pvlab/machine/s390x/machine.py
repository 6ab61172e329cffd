"""The bare s390x machine: RAM, the CPU and exact counts. It runs guest code, and says why it stopped.

It knows no devices and no monitors. It is always in z/Architecture mode. What QEMU 5.0's CPU lacks of one: decimal
arithmetic (AP and its like: an operation exception), hexadecimal floating point, PLO, the linkage stack, storage keys at
a program's own accesses, program-event recording, and the check that an EXECUTE's target has an even address.
"""
from __future__ import annotations

import ctypes

import unicorn

from pvlab.machine.engine import NOWHERE, Engine, Why
from pvlab.machine.s390x import psw
from pvlab.machine.s390x.cpu import MODEL, PSW_MASK, Env, env_of, find_layout
from pvlab.machine.s390x.dat import Logical
from pvlab.machine.s390x.decode import EX, EXRL, STOP_BEFORE, Instruction, describe_block, length
from pvlab.machine.s390x.faults import DATA, EXECUTE, SPECIFICATION, TRANSLATION, VECTOR_PROCESSING, Interruption
from pvlab.machine.s390x.storage import PAGE, Frames, Real, Storage

SLICE = 1_000_000   # blocks between two looks at the world (Ctrl-C, progress)
INITIAL_CR0, INITIAL_CR14 = 0xE0, 0xC2000000       # initial CPU reset (Principles of Operation, figure 4-11)
_PROGRAM, _SVC = 3, 2                              # what QEMU calls the two kinds of exception (EXCP_PGM, EXCP_SVC)


class Machine:
    """`ram_size` bytes of RAM (a multiple of 4 KiB) and one CPU after an initial reset.

    `absolute`, `real` and `logical` are the storage views. `counting=False` leaves the block hook out. stop_before:
    opcodes of instructions that the engine must stop before. room: bytes behind RAM for what is attached later.
    """

    def __init__(self, ram_size: int = 32 << 20, counting: bool = True, stop_before: frozenset[int] = STOP_BEFORE,
                 room: int = 0):
        self.ram = Frames(ram_size, room)
        self.engine = Engine(unicorn.UC_ARCH_S390X, unicorn.UC_MODE_BIG_ENDIAN, MODEL, counting, self._describe)
        self.engine.map(self.ram)
        self.env = env_of(self.engine)
        self.regs, self.cregs = self.env.regs, self.env.cregs
        self.state = self.engine.state
        self._code_pages: set[int] = set()
        self.absolute = Storage(self.ram, self.changed)
        self.real = Real(self.ram, self.changed, lambda: self.prefix)
        self.logical = Logical(self.ram, self.changed, self.real, self.cregs, lambda: self.env.psw_mask)
        # Where a monitor translates the real addresses of a guest that has DAT off: its own (ASCE, prefix).
        self.host_space: tuple[int, int] | None = None
        self.missing: int | None = None          # the real address of a page that this space lacked
        self._dead = False                       # the engine died, and must not be called again
        self._hidden: int | None = None          # the guest's prefix, while it runs in the host's space
        self._stale = False
        self._stop_before = stop_before
        self.initial_reset()

    def initial_reset(self) -> None:
        """Control registers, prefix, PSW and floating-point control as an initial CPU reset leaves them."""
        for i in range(16):
            self.cregs[i] = 0
        self.cregs[0], self.cregs[14] = INITIAL_CR0, INITIAL_CR14
        self.env.fpc = 0
        self.set_prefix(0)
        self.set_psw(psw.Psw(0, 0))

    def clear_reset(self) -> None:
        """A clear reset: general, access, floating-point and vector registers, too."""
        for register in (self.regs, self.env.vregs, self.env.aregs):
            for i in range(len(register)):
                register[i] = 0
        self.initial_reset()

    # ------------------------------------------------------------------------------------------- running
    @property
    def instructions(self) -> int:
        """Guest instructions retired: an EXECUTE and its target are one, a faulting one counts when it retires."""
        return self.state.instructions

    def enter(self, until: int) -> Why:
        """Run until something stops the engine, or `until` instructions have retired, or a slice is over."""
        engine, state, env = self.engine, self.state, self.env
        if self._stale:
            self._forget()
        hidden = self.host_space is not None and not env.psw_mask & psw.DAT
        if hidden:
            space, primary = env.psw_mask & psw.SPACE, self.cregs[1]
            self._hidden = env.prefix
            env.psw_mask = env.psw_mask & ~psw.SPACE | psw.DAT
            self.cregs[1], env.prefix = self.host_space
        try:
            while True:
                state.stop_instructions = until
                state.stop_blocks = state.blocks + SLICE
                state.stop_extra = state.extra + 10 * SLICE
                why = engine.enter(env.psw_address)
                if why is not Why.RETRANSLATE:
                    break
                self._forget()
        finally:
            state.pass_, state.pass_again = NOWHERE, 0
            if hidden:
                self.cregs[1], env.prefix, self._hidden = primary, self._hidden, None
        if why is Why.ABORTED:
            self._dead = True
            return why
        # QEMU works the condition code out when it is asked: up to 3, cc_op is the code itself.
        mask = engine.register(PSW_MASK) if env.cc_op > 3 else env.psw_mask & ~psw.CC | env.cc_op << 44
        if hidden:
            mask = mask & ~(psw.DAT | psw.SPACE) | space
        env.psw_mask, env.cc_op = mask, mask >> 44 & 3
        if why is not Why.DEADLINE:
            engine.uncount(env.psw_address)
        self.missing = None
        if hidden and why is Why.EXCEPTION and state.vector == _PROGRAM:
            self._show(env.program_code)
        return why

    def _show(self, code: int) -> None:
        """An exception in the host's space: the engine has noted it in the host's low core."""
        low = self.host_space[1]
        if code in TRANSLATION:
            self.missing = int.from_bytes(self.ram.bytes[low + 0xA8:low + 0xB0], "big") & ~0xFFF
        elif code in (DATA, VECTOR_PROCESSING):
            self.real.write(0x90, self.ram.bytes[low + 0x90:low + 0x94])

    @property
    def prefix(self) -> int:
        """The guest's prefix register."""
        return self.env.prefix if self._hidden is None else self._hidden

    @property
    def pc(self) -> int:
        """The PSW's address, by the name that every machine has for it."""
        return self.env.psw_address

    @property
    def stopped_by_svc(self) -> bool:
        """Of an EXCEPTION: SUPERVISOR CALL; otherwise it is a program interruption."""
        return self.state.vector == _SVC

    def retire(self, size: int) -> None:
        """The instruction at the PSW, `size` bytes long, has been executed by someone else."""
        env = self.env
        env.psw_address = psw.wrap(env.psw_mask, env.psw_address + size)
        env.ex_value = 0
        self.state.instructions += 1

    def pass_point(self, instruction: Instruction) -> None:
        """Let the engine itself execute the instruction that it stopped before."""
        self.state.pass_, self.state.pass_again = self.env.psw_address, bool(instruction.executed_by)

    def instruction(self) -> Instruction:
        """The instruction at the PSW; of an EXECUTE, its target. Raises the Interruption that fetching it meets."""
        at = self.env.psw_address
        if at & 1:
            raise Interruption(SPECIFICATION)
        code = self._fetch(at)
        if code[0] == EX or code[0] == EXRL >> 8 and code[1] & 15 == EXRL & 15:
            target = self._execute_target(code, at)
            if target & 1:
                raise Interruption(SPECIFICATION)
            executed = self._fetch(target)
            r1 = code[1] >> 4
            if r1:
                executed = bytes((executed[0], executed[1] | self.regs[r1] & 0xFF, *executed[2:]))
            if executed[0] == EX or executed[0] == EXRL >> 8 and executed[1] & 15 == EXRL & 15:
                raise Interruption(EXECUTE)
            return Instruction(executed, len(code))
        return Instruction(code)

    def _fetch(self, at: int) -> bytes:
        if at % PAGE <= PAGE - 6:
            code = self.logical.read(at, 6)
            return code[:length(code[0])]
        size = length(self.logical.read(at, 1)[0])
        return self.logical.read(at, size)

    def _execute_target(self, code: bytes, at: int) -> int:
        if len(code) == 6:
            offset = int.from_bytes(code[2:6], "big", signed=True) * 2
            return psw.wrap(self.env.psw_mask, at + offset)
        return self.effective((code[2] >> 4, (code[2] & 15) << 8 | code[3]), code[1] & 15)

    def effective(self, base: tuple[int, int], index: int = 0) -> int:
        """The address of a storage operand, from (base register, displacement) and an index register."""
        register, displacement = base
        address = displacement + (self.regs[register] if register else 0) + (self.regs[index] if index else 0)
        return psw.wrap(self.env.psw_mask, address)

    # ------------------------------------------------------------------------------------------- state
    @property
    def psw(self) -> psw.Psw:
        """The real PSW."""
        return psw.Psw(self.env.psw_mask, self.env.psw_address)

    def set_psw(self, value: psw.Psw) -> None:
        env = self.env
        env.psw_mask, env.psw_address = value
        env.cc_op = value.mask >> 44 & 3
        env.ex_value = 0

    @property
    def cc(self) -> int:
        return self.env.psw_mask >> 44 & 3

    @cc.setter
    def cc(self, value: int) -> None:
        self.env.cc_op = value
        self.env.psw_mask = self.env.psw_mask & ~psw.CC | value << 44

    def set_prefix(self, address: int) -> None:
        if self.env.prefix != address:
            self.env.prefix = address
            self.flush()

    def flush(self) -> None:
        """Translations have changed: by tables, prefix or control registers."""
        if not self._dead:
            self.engine.restore()
            self.engine.flush_tlb()

    def attach(self, address: int, end: int) -> None:
        """Let the guest address [address, end), whole pages in the room behind RAM."""
        self.ram.attached.append((address, end))
        self.map_hidden(address, end)

    def map_hidden(self, address: int, end: int) -> None:
        """Let the engine see [address, end), in the room behind RAM, and the guest not."""
        self.engine.uc.mem_map_ptr(address, end - address, unicorn.UC_PROT_ALL, self.ram.host_address + address)

    def detach(self, address: int, end: int) -> None:
        self.ram.attached.remove((address, end))
        self.engine.uc.mem_unmap(address, end - address)
        self._stale = True

    def save_cpu(self) -> bytes:
        """The whole CPU, to be put back by `load_cpu`: for a second CPU on the same storage."""
        return ctypes.string_at(self.engine.context_address, self.engine.context_size)

    def load_cpu(self, saved: bytes) -> None:
        ctypes.memmove(self.engine.context_address, saved, len(saved))
        self.flush()

    def saved_control_register(self, saved: bytes, number: int) -> int:
        """Of a CPU that `save_cpu` gave."""
        return Env.from_buffer_copy(saved, find_layout()).cregs[number]

    def saved_address(self, saved: bytes) -> int:
        """The PSW's address of such a CPU."""
        return Env.from_buffer_copy(saved, find_layout()).psw_address

    # ------------------------------------------------------------------------------------------- code
    def _describe(self, address: int, size: int) -> tuple[list[int], int, list[int]]:
        """Called inside a run, in which the guest may have changed its own tables since the last stop."""
        self.engine.save()
        env = self.env
        if env.ex_value:
            code = env.ex_value.to_bytes(8, "big")
            return describe_block(code[:length(code[0])], b"", address, True, self._stop_before)
        view, fetch = self.logical if self._hidden is None else self.real, self.ram.fetch
        self.ram.fetch = None                    # what the engine has just translated is there
        try:
            code = b"".join(self._note(at, part) for at, part in view.absolute(address, size, False))
            try:
                rest = view.read(address + size, 6)
            except Interruption:
                rest = b""
        except Interruption:
            # The guest changed its tables and flushed no TLB: the engine still knows the code, storage does not.
            return list(range(self.engine.uc.ctl_request_cache(address)[1])), NOWHERE, []
        finally:
            self.ram.fetch = fetch
        return describe_block(code, rest, address, False, self._stop_before)

    def _note(self, at: int, size: int) -> bytes:
        self._code_pages.update((at // PAGE, (at + max(size, 1) - 1) // PAGE))
        return self.ram.bytes[at:at + size]

    def changed(self, address: int, size: int) -> None:
        """Absolute storage was changed from outside: if there is code, the engine must translate it again."""
        if not self._stale and any(page in self._code_pages for page in range(address // PAGE,
                                                                                (address + size + PAGE - 1) // PAGE)):
            self._stale = True

    def _forget(self) -> None:
        self._stale = False
        self._code_pages.clear()
        self.engine.forget_all_code()

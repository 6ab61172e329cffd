"""The virtual machine: what the guest believes to be its machine. Its virtual PSW, the interruptions that reach it, its
clocks, its console and its devices.

The simulations of instructions and the DIAGNOSE codes are functions of this object. What they use most:

    vm.regs, vm.cregs                  general and control registers of the current CPU
    vm.cc = 3                          the condition code
    vm.real, vm.absolute, vm.logical   storage: read, write, load, store (machine/s390x/storage.py)
    vm.cpu, vm.cpus                    the current virtual CPU and all of them
    vm.now, vm.tod                     virtual nanoseconds, and the TOD clock
    vm.after(ns, function)             call a function when so much virtual time has passed
    vm.console.write(b"text")          output of the virtual machine's console
    vm.channels                        its channel subsystem
"""
from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

from pvlab.machine.s390x import faults, psw
from pvlab.machine.s390x.faults import (CLOCK_COMPARATOR, CP_SERVICE, CPU_TIMER, EMERGENCY_SIGNAL, EXTERNAL_CALL,
                                        INTERRUPT_KEY, SERVICE_SIGNAL, Interruption)
from pvlab.machine.s390x.machine import Machine
from pvlab.machine.s390x.psw import Psw
from pvlab.machine.s390x.storage import PAGE
from pvlab.monitors.base import Ended
from pvlab.monitors.cp import commands
from pvlab.monitors.cp.facts import cpu_id
from pvlab.monitors.cp.keys import StorageKeys
from pvlab.monitors.cp.service import ServiceProcessor
from pvlab.monitors.cp.vcpu import NEVER, OWN, VirtualCpu

if TYPE_CHECKING:
    from pvlab.trace import Trace

# The TOD clock at virtual time 0: 2 August 1972, 00:00 UTC, the day on which VM/370 was announced. Bit 51 of the clock
# is a microsecond; it counts from 1 January 1900, so there are 512/125 units to a nanosecond.
EPOCH = (26_511 * 86_400 * 1_000_000) << 12
_UNITS, _NANOSECONDS = 512, 125
_AFP = 1 << 18                 # CR0: additional floating-point registers
_STATUS = 0x1200               # where a CPU's status is stored: real addresses, from here on


class IoInterruption(NamedTuple):
    """What a subchannel presents: subsystem-identification word, interruption parameter, identification word."""

    sid: int
    parameter: int
    word: int


class NoChannels:
    """A channel subsystem without a device."""

    def pending(self, mask: int) -> bool:
        """Whether an interruption of one of these subclasses waits (8 bits, subclass 0 first)."""
        return False

    def take(self, mask: int) -> IoInterruption:
        """The most urgent of them, which then waits no longer."""
        raise LookupError("no I/O interruption is pending")


class Console:
    """Everything that the virtual machine's console has shown."""

    def __init__(self):
        self.output = bytearray()

    def write(self, data: bytes) -> None:
        self.output += data


class VirtualMachine:
    """machine: the real one. trace: where interruptions are noted. clock: virtual time in nanoseconds."""

    def __init__(self, machine: Machine, trace: Trace, clock: Callable[[], int], cpus: int = 1,
                 userid: str = "PVLAB"):
        self.machine, self.trace, self._clock = machine, trace, clock
        self.regs, self.cregs, self.env = machine.regs, machine.cregs, machine.env
        self.real, self.absolute, self.logical = machine.real, machine.absolute, machine.logical
        self.userid = userid
        self.user_codes = {}               # DIAGNOSE codes of the system's own users: {number: Code}
        self.console = Console()
        self.cpus = [VirtualCpu(address) for address in range(cpus)]
        self.cpu = self.cpus[0]
        self.channels = NoChannels()
        self.keys = StorageKeys(machine.ram.size)
        self.sclp = ServiceProcessor()
        self.settings = dict(commands.SETTINGS)
        self.cpu_id = cpu_id
        self.tod_offset = 0
        self.service_signals: deque[int] = deque()                      # parameters of SCLP's external interruptions
        self.cp_services: deque[tuple[int, int, int]] = deque()         # (CPU address field, parameter, token)
        self.interrupt_key = False
        # What DIAGNOSE codes leave behind them.
        self.segments: dict[str, tuple[int, bytes]] = {}                # named saved segments
        self.loaded_segments: dict[str, bool] = {}                      # those loaded: shared?
        self.pager = None                                               # of a CP that has fewer frames than pages
        self.handshake = None                                           # pseudo page faults: see paging.py
        self.bomb = None                                                # the time bomb that is set
        self.ipl_parameters: bytes | None = None
        self.accounting: int | None = None                              # where CPU time is kept: a real address
        self.yielded: VirtualCpu | None = None                          # the current CPU gave way, to this or any other
        self._events: list[tuple[int, int, Callable[[], None]]] = []
        self._events_made = 0
        self._last_interruption: tuple | None = None

    # ------------------------------------------------------------------------------------------- the virtual PSW
    @property
    def psw(self) -> Psw:
        real = self.machine.psw
        return Psw(real.mask & ~OWN | self.cpu.own, real.address)

    def load_psw(self, new: Psw, size: int = 0) -> None:
        """What LPSWE and every interruption do. An invalid PSW is a specification exception at once; size: the length
        that this reports, 0 where a whole PSW was loaded."""
        if not new.valid:
            self._interrupt(faults.PROGRAM_CHECK, new, size, faults.SPECIFICATION)
            return
        self.cpu.own = new.mask & OWN
        self.machine.set_psw(Psw(new.mask & ~OWN | psw.PROBLEM, new.address))

    @property
    def cc(self) -> int:
        return self.machine.cc

    @cc.setter
    def cc(self, value: int) -> None:
        self.machine.cc = value

    def address(self, register: int) -> int:
        """A register's content as an address, cut to the addressing mode."""
        return psw.wrap(self.env.psw_mask, self.regs[register])

    def word(self, register: int) -> int:
        """The low 32 bits of a register."""
        return self.regs[register] & 0xFFFFFFFF

    def set_word(self, register: int, value: int) -> None:
        """Write the low 32 bits of a register, and leave the rest."""
        self.regs[register] = self.regs[register] & ~0xFFFFFFFF | value & 0xFFFFFFFF

    # ------------------------------------------------------------------------------------------- interruptions
    def program_interruption(self, what: Interruption, size: int) -> None:
        """Interrupt the guest's program for what the instruction at the PSW, `size` bytes long, has met."""
        if what.address is not None and what.code in faults.TRANSLATION | {faults.PROTECTION}:
            space = self.psw.mask >> 46 & 3
            self.real.store(0xA8, 8, what.address & ~0xFFF | space | (4 if what.code == faults.PROTECTION else 0))
        if what.code == faults.DATA:
            self.real.store(0x90, 4, what.dxc)
            if self.cregs[0] & _AFP:
                self.env.fpc = self.env.fpc & ~0xFF00 | what.dxc << 8
        old = self.psw
        if what.code not in faults.NULLIFYING:
            old = Psw(old.mask, psw.wrap(old.mask, old.address + size))
        self._interrupt(faults.PROGRAM_CHECK, old, size, what.code)

    def svc_interruption(self, size: int, number: int) -> None:
        """The PSW stands behind the SUPERVISOR CALL already."""
        self._interrupt(faults.SVC, self.psw, size, number)

    def external_interruption(self, code: int, cpu: int = 0, parameter: int = 0, token: int | None = None) -> None:
        self.real.store(0x80, 4, parameter)
        self.real.store(0x84, 2, cpu)
        if token is not None:
            self.real.store(0x11B8, 8, token)
        self._interrupt(faults.EXTERNAL, self.psw, 0, code)

    def io_interruption(self, what: IoInterruption) -> None:
        self.real.store(0xB8, 4, what.sid)
        self.real.store(0xBC, 4, what.parameter)
        self.real.store(0xC0, 4, what.word)
        self._interrupt(faults.IO, self.psw, 0, what.sid & 0xFFFF)

    def restart_interruption(self) -> None:
        self._interrupt(faults.RESTART, self.psw, 0, 0)

    def _interrupt(self, kind: tuple[int, int], old: Psw, size: int, code: int) -> None:
        """Swap PSWs through low core. Nothing ends a loop of interruptions on a real CPU; a run it ends."""
        name = faults.CLASSES[kind]
        if kind is faults.PROGRAM_CHECK:
            name = f"program:{faults.PROGRAM.get(code, 'other')}"
            self.real.store(0x8C, 4, size << 16 | code)
        elif kind is faults.SVC:
            self.real.store(0x88, 4, size << 16 | code)
        elif kind is faults.EXTERNAL:
            self.real.store(0x86, 2, code)
        self.trace.events.add(name, old.address, "", self.machine.instructions)
        self.real.write(kind[0], old.to_bytes())
        new = Psw.of(self.real.read(kind[1], 16))
        mark = (kind, old, code, new, self.machine.instructions)
        if mark == self._last_interruption or not new.valid and kind is faults.PROGRAM_CHECK:
            raise Ended("crashed", self._loop(kind, new, code))
        self._last_interruption = mark
        self.load_psw(new)

    def _loop(self, kind: tuple[int, int], new: Psw, code: int) -> str:
        name = faults.CLASSES[kind]
        why = f"the {name} new PSW at {kind[1]:#x} ({new})"
        if not new.valid:
            return f"a program-interruption loop: {why} is invalid"
        what = f" ({faults.PROGRAM.get(code, 'program')} exception)" if kind is faults.PROGRAM_CHECK else f" {code:#06x}"
        return f"a loop of {name} interruptions{what}: {why} leads into the next one, and no instruction is executed"

    def pending(self, cpu: VirtualCpu) -> bool:
        """Whether an interruption waits that this CPU is enabled for."""
        return (cpu.restart or self._external(cpu) is not None
                or bool(cpu.own & psw.IO) and self.channels.pending(self._io_mask(cpu)))

    def deliver(self) -> bool:
        """Deliver the most urgent pending interruption that the current CPU is enabled for; True if there was one."""
        cpu = self.cpu
        code = None if cpu.restart else self._external(cpu)
        if cpu.restart:
            cpu.restart = False
            self.restart_interruption()
        elif code is not None:
            self._deliver_external(cpu, code)
        elif cpu.own & psw.IO and self.channels.pending(self._io_mask(cpu)):
            self.io_interruption(self.channels.take(self._io_mask(cpu)))
        else:
            return False
        return True

    def _io_mask(self, cpu: VirtualCpu) -> int:
        """The interruption subclasses that CR6 enables: 8 bits, subclass 0 first."""
        return self.control_register(cpu, 6) >> 24 & 0xFF

    def _external(self, cpu: VirtualCpu) -> int | None:
        """The code of the most urgent external interruption that the CPU can take."""
        if not cpu.own & psw.EXTERNAL:
            return None
        masks = self.control_register(cpu, 0)
        candidates = ((INTERRUPT_KEY, 0x40, self.interrupt_key), (EMERGENCY_SIGNAL, 0x4000, cpu.emergencies),
                      (EXTERNAL_CALL, 0x2000, cpu.caller is not None),
                      (CLOCK_COMPARATOR, 0x800, self.tod > cpu.comparator), (CPU_TIMER, 0x400, self.cpu_timer(cpu) >> 63),
                      (SERVICE_SIGNAL, 0x200, self.service_signals), (CP_SERVICE, 0x200, self.cp_services))
        return next((code for code, mask, there in candidates if masks & mask and there), None)

    def _deliver_external(self, cpu: VirtualCpu, code: int) -> None:
        field = parameter = 0
        token = None
        if code == INTERRUPT_KEY:
            self.interrupt_key = False
        elif code == EMERGENCY_SIGNAL:
            field = min(cpu.emergencies)
            cpu.emergencies.remove(field)
        elif code == EXTERNAL_CALL:
            field, cpu.caller = cpu.caller, None
        elif code == SERVICE_SIGNAL:
            parameter = self.service_signals.popleft()
        elif code == CP_SERVICE:
            field, parameter, token = self.cp_services.popleft()
        self.external_interruption(code, field, parameter, token)

    # ------------------------------------------------------------------------------------------- time
    @property
    def now(self) -> int:
        """Virtual nanoseconds since the machine was started."""
        return self._clock()

    @property
    def tod(self) -> int:
        """The TOD clock: 64 bits, bit 51 is a microsecond."""
        return (EPOCH + self.now * _UNITS // _NANOSECONDS + self.tod_offset) & NEVER

    def set_tod(self, value: int) -> None:
        self.tod_offset += value - self.tod

    def cpu_timer(self, cpu: VirtualCpu) -> int:
        """What is left in the CPU timer: negative (bit 0 is one) when it has run out."""
        return cpu.timer - (self.now - cpu.timer_set) * _UNITS // _NANOSECONDS & NEVER

    def after(self, nanoseconds: int, function: Callable[[], None]) -> None:
        """Call the function at that distance from now; of two at the same time, the one asked for first."""
        self._events_made += 1
        heapq.heappush(self._events, (self.now + max(nanoseconds, 0), self._events_made, function))

    def run_events(self) -> None:
        """Do what is due."""
        while self._events and self._events[0][0] <= self.now:
            heapq.heappop(self._events)[2]()

    def next_event(self) -> int | None:
        """The virtual nanosecond at which something happens by itself: an event, or a clock that may interrupt."""
        times = [self._events[0][0]] if self._events else []
        for cpu in self.cpus:
            if cpu.running and cpu.own & psw.EXTERNAL:
                masks = self.control_register(cpu, 0)
                if masks & 0x800 and self.tod <= cpu.comparator:
                    times.append(self.now + ((cpu.comparator + 1 - self.tod) * _NANOSECONDS + _UNITS - 1) // _UNITS)
                left = self.cpu_timer(cpu)
                if masks & 0x400 and not left >> 63:
                    times.append(self.now + ((left + 1) * _NANOSECONDS + _UNITS - 1) // _UNITS)
        return min(times, default=None)

    def control_register(self, cpu: VirtualCpu, number: int) -> int:
        """Of any CPU, whether it has the real one now or not."""
        if cpu is self.cpu:
            return self.cregs[number]
        return self.machine.saved_control_register(cpu.saved, number)

    # ------------------------------------------------------------------------------------------- CPUs
    def switch_to(self, cpu: VirtualCpu) -> None:
        """Give the real CPU to another virtual one."""
        if cpu is not self.cpu:
            self.cpu.saved = self.machine.save_cpu()
            self.cpu = cpu
            self.machine.load_cpu(cpu.saved)

    def yield_to(self, cpu: VirtualCpu | None) -> None:
        """The current CPU gives way to another: this one, or any that can run."""
        self.yielded = cpu or self.cpu

    def reset(self, clear: bool) -> None:
        """A reset of the whole machine, asked for by the current CPU, which goes on; clear: of registers, too."""
        for cpu in self.cpus:
            if clear or cpu is self.cpu:
                cpu.initial_reset()
                self.on_cpu(cpu, self.machine.clear_reset if clear else self.machine.initial_reset)
            cpu.reset()
            cpu.running = cpu is self.cpu
        self.channels.reset()
        self.service_signals.clear()
        self.cp_services.clear()
        self.sclp = ServiceProcessor()
        self.handshake = self.bomb = self.accounting = None

    def release(self, page: int) -> None:
        """The guest needs this page, an absolute address, no longer: it reads as zeros."""
        if self.pager is not None:
            self.pager.release(page)
        self.machine.ram.bytes[page:page + PAGE] = bytes(PAGE)
        self.machine.changed(page, PAGE)

    @property
    def busy(self) -> int:
        """Virtual nanoseconds in which the guest executed instructions."""
        return self.machine.instructions

    def account(self) -> None:
        """Keep the CPU time where the guest asked for it (DIAGNOSE X'70')."""
        if self.accounting is not None:
            used = self.busy * _UNITS // _NANOSECONDS
            self.real.write(self.accounting, used.to_bytes(8, "big") + self.tod.to_bytes(8, "big"))

    def on_cpu(self, cpu: VirtualCpu, function: Callable[[], None]) -> None:
        """Call a function while this virtual CPU has the real one."""
        current = self.cpu
        self.switch_to(cpu)
        function()
        self.switch_to(current)

    def store_status(self, at: int | None = None) -> None:
        """The current CPU's registers, into 512 bytes of absolute storage at `at`, or in its own low core."""
        env, cpu = self.env, self.cpu
        at = self.env.prefix + _STATUS if at is None else at
        put = self.absolute.write
        put(at, b"".join(env.vregs[2 * i].to_bytes(8, "big") for i in range(16)))
        put(at + 0x80, b"".join(value.to_bytes(8, "big") for value in env.regs))
        put(at + 0x100, self.psw.to_bytes())
        put(at + 0x118, env.prefix.to_bytes(4, "big") + env.fpc.to_bytes(4, "big"))
        put(at + 0x124, cpu.tod_programmable.to_bytes(4, "big") + self.cpu_timer(cpu).to_bytes(8, "big")
            + (cpu.comparator >> 8).to_bytes(8, "big"))
        put(at + 0x140, b"".join(value.to_bytes(4, "big") for value in env.aregs))
        put(at + 0x180, b"".join(value.to_bytes(8, "big") for value in env.cregs))

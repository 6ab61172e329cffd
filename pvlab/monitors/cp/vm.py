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
from typing import TYPE_CHECKING

from pvlab.machine.s390x import faults, psw
from pvlab.machine.s390x.machine import Machine
from pvlab.machine.s390x.psw import Psw
from pvlab.machine.s390x.storage import PAGE
from pvlab.monitors.cp import commands
from pvlab.monitors.cp.facts import cpu_id
from pvlab.monitors.cp.interruptions import Interruptions
from pvlab.monitors.cp.keys import StorageKeys
from pvlab.monitors.cp.service import ServiceProcessor
from pvlab.monitors.cp.vcpu import OWN, VirtualCpu

if TYPE_CHECKING:
    from pvlab.trace import Trace

# The TOD clock at virtual time 0: 2 August 1972, 00:00 UTC, the day on which VM/370 was announced. Bit 51 of the clock
# is a microsecond; it counts from 1 January 1900, so there are 512/125 units to a nanosecond.
EPOCH = (26_511 * 86_400 * 1_000_000) << 12
_UNITS, _NANOSECONDS = 512, 125
_PRINTING = 10                 # what a byte on the console weighs: it stays in the host's memory
# After so many looks at the clock in a row, so many microseconds pass between two of them.
_CLOCK_STEPS = ((5000, 10_000), (1000, 100), (0, 1))
_STATUS = 0x1200               # where a CPU's status is stored: real addresses, from here on


class Console:
    """Everything that the virtual machine's console has shown. `weigh` is told how many bytes come."""

    def __init__(self, weigh: Callable[[int], None]):
        self.output, self._weigh = bytearray(), weigh

    def write(self, data: bytes) -> None:
        self._weigh(len(data))
        self.output += data


class VirtualMachine(Interruptions):
    """machine: the real one. trace: where interruptions are noted. clock: virtual time in nanoseconds; sleep: lets some
    of it pass."""

    def __init__(self, machine: Machine, trace: Trace, clock: Callable[[], int], sleep: Callable[[int], None],
                 cpus: int = 1, userid: str = "PVLAB"):
        self.machine, self.trace, self._clock, self.sleep = machine, trace, clock, sleep
        self.regs, self.cregs, self.env = machine.regs, machine.cregs, machine.env
        self.real, self.absolute, self.logical = machine.real, machine.absolute, machine.logical
        self.userid = userid
        self.user_codes = {}               # DIAGNOSE codes of the system's own users: {number: Code}
        self.console = Console(lambda size: self.weigh(size * _PRINTING))
        self.cpus = [VirtualCpu(address) for address in range(cpus)]
        self.cpu = self.cpus[0]
        self.channels = None               # see devices.py
        self.keys = StorageKeys(machine.ram.size)
        self.sclp = ServiceProcessor()
        self.settings = dict(commands.SETTINGS)
        self.cpu_id = cpu_id
        self.tod_offset = self._tod_read = self.clock_looks = 0
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

    def weigh(self, work: float) -> None:
        """The host does something for the guest that takes it as long as so many hundredths of a stop: see ALLOWANCE in
        base.py, which limits it."""
        self.machine.state.extra += int(work)

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

    # ------------------------------------------------------------------------------------------- time
    @property
    def now(self) -> int:
        """Virtual nanoseconds since the machine was started."""
        return self._clock()

    @property
    def tod(self) -> int:
        """The TOD clock: 64 bits, bit 51 is a microsecond."""
        return (EPOCH + self.now * _UNITS // _NANOSECONDS + self.tod_offset) & psw.MASK64

    def read_tod(self) -> int:
        """What STORE CLOCK stores: never the same microsecond twice. A second look waits for the clock's next step, as on
        the models of System/370. A guest that has looked a thousand times, and done nothing else that CP saw, waits by the
        clock: from then on more time passes between two looks, if nothing is to happen before."""
        self.clock_looks += 1
        step = next(step for looks, step in _CLOCK_STEPS if self.clock_looks > looks)
        wanted = (self._tod_read + step << 12) - self.tod
        if wanted > 0:
            pause, event = wanted * _NANOSECONDS // _UNITS + 1, self.next_event()
            if step > 1 and event is not None:
                pause = min(pause, max(event - self.now, _NANOSECONDS * 8))
            self.sleep(pause)
        self._tod_read = self.tod >> 12
        return self.tod

    def set_tod(self, value: int) -> None:
        self.tod_offset += value - self.tod

    def cpu_timer(self, cpu: VirtualCpu) -> int:
        """What is left in the CPU timer: negative (bit 0 is one) when it has run out."""
        return cpu.timer - (self.now - cpu.timer_set) * _UNITS // _NANOSECONDS & psw.MASK64

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

    def psw_address(self, cpu: VirtualCpu) -> int:
        """The same of the PSW's address."""
        return self.machine.pc if cpu is self.cpu else self.machine.saved_address(cpu.saved)

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
        self.block_io.clear()
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

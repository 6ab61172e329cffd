"""How interruptions reach the guest: parameters into low core, and a swap of PSWs (Principles of Operation, chapter
6)."""
from __future__ import annotations

from pvlab.machine.s390x import faults, psw
from pvlab.machine.s390x.faults import (CLOCK_COMPARATOR, CP_SERVICE, CPU_TIMER, EMERGENCY_SIGNAL, EXTERNAL_CALL,
                                        INTERRUPT_KEY, SERVICE_SIGNAL, Interruption)
from pvlab.machine.s390x.psw import Psw
from pvlab.monitors.base import Ended
from pvlab.monitors.cp.vcpu import VirtualCpu

_AFP = 1 << 18                 # CR0: additional floating-point registers


class Interruptions:
    """The part of the virtual machine (vm.py) that interrupts its guest."""

    _last_interruption: tuple | None = None

    def program_interruption(self, what: Interruption, size: int) -> None:
        """Interrupt the guest's program for what the instruction at the PSW, `size` bytes long, has met."""
        if what.address is not None and what.code in faults.TRANSLATION | {faults.PROTECTION}:
            space = self.psw.mask >> 46 & 3
            self.real.store(0xA8, 8, what.address & ~0xFFF | what.teid | space)
        if what.dxc:
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

    def io_interruption(self, what) -> None:
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
        what = f" {code:#06x}"
        if kind is faults.PROGRAM_CHECK:
            what = f" ({faults.PROGRAM.get(code, 'program')} exception)"
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
                      (CLOCK_COMPARATOR, 0x800, self.tod > cpu.comparator),
                      (CPU_TIMER, 0x400, self.cpu_timer(cpu) >> 63),
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

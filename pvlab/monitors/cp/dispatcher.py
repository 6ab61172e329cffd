"""CP's dispatcher: what happens between two entries into the guest, and which virtual CPU has the real one."""
from __future__ import annotations

from pvlab.machine.engine import Why
from pvlab.monitors.base import Ended, Monitor
from pvlab.monitors.cp.spin import is_spinning

_TIME_SLICE = 50_000           # instructions, while another virtual CPU could run
_PATIENCE = 500_000            # instructions without an exit, after which CP looks what the guest does


class Dispatcher(Monitor):
    """The part of the control program (cp.py) that decides who runs next. `vm` is its virtual machine."""

    def start_dispatching(self) -> None:
        self._slice_end, self._seen = _TIME_SLICE, 0

    def take_interrupt(self) -> int | None:
        """Deliver what the guest can take, and find a virtual CPU that can run; the answer is its slice's end."""
        vm = self.vm
        if self.left_by_timer:
            self.leave("interrupt", "")
        while True:
            vm.run_events()
            if vm.cpu.running and vm.deliver():
                continue
            others = [cpu for cpu in vm.cpus if cpu is not vm.cpu and self._can_run(cpu)] if len(vm.cpus) > 1 else ()
            if not self._can_run(vm.cpu):
                if others:
                    self.dispatch_cpu(others[0])
                else:
                    self.wait()
                continue
            if vm.yielded is not None:
                target, vm.yielded = vm.yielded, None
                if others:
                    self.dispatch_cpu(target if target in others else self._next_cpu(others))
                    continue
            self._before_entry()
            if not others:
                if vm.next_event() is None:
                    return None
                if self._skip_spinning():
                    continue
                return self.machine.instructions + _PATIENCE
            if self.machine.instructions >= self._slice_end:
                self.dispatch_cpu(self._next_cpu(others))
                continue
            return self._slice_end

    def _skip_spinning(self) -> bool:
        """Nothing has happened for a while, but something will: if the guest only waits for it, let virtual time
        pass."""
        spent, self._seen = self.machine.instructions - self._seen, self.machine.instructions
        if spent < _PATIENCE:
            return False
        why = is_spinning(self.machine)
        if why is None:
            self._sleep(max(self.vm.next_event() - self.now, 0))
        elif why is not Why.DEADLINE:
            self.dispatch(why)
        return True

    def _before_entry(self) -> None:
        vm = self.vm
        if vm.accounting is not None:
            vm.account()
        if vm.pager is not None:
            vm.pager.before_entry()

    def _sleep(self, nanoseconds: int) -> None:
        """Virtual time passes, in which the guest executes nothing."""
        self._idle += nanoseconds

    def _can_run(self, cpu) -> bool:
        """It executes instructions, or would take an interruption if it had the real CPU."""
        return cpu.running and (not cpu.waiting or cpu is not self.vm.cpu and self.vm.pending(cpu))

    def _next_cpu(self, others: list):
        """Round robin."""
        return next((cpu for cpu in others if cpu.address > self.vm.cpu.address), others[0])

    def dispatch_cpu(self, cpu) -> None:
        """Give the real CPU to this virtual one, for a time slice."""
        self.vm.switch_to(cpu)
        self._slice_end = self.machine.instructions + _TIME_SLICE

    def wait(self) -> None:
        """No virtual CPU can run: let virtual time pass, or end the run."""
        vm = self.vm
        running = [cpu for cpu in vm.cpus if cpu.running]
        if not running:
            raise Ended("shutdown", "every virtual CPU is stopped")
        event = vm.next_event()
        if event is None:
            vm.switch_to(running[0])
            if all(cpu.disabled for cpu in running):
                raise Ended("halted", f"a disabled wait: PSW {vm.psw}")
            raise Ended("halted", f"an enabled wait, and nothing will interrupt: PSW {vm.psw}")
        self._idle += max(event - self.now, 0)
        self._visits += 1

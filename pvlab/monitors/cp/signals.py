"""SIGP: one CPU tells another (or itself) what to do. Orders and status bits: Principles of Operation, chapter 4."""
from __future__ import annotations

from pvlab.machine.s390x import psw
from pvlab.machine.s390x.faults import Interruption
from pvlab.machine.s390x.storage import PREFIX_AREA
from pvlab.monitors.cp.simulation import LOADED, simulates

SENSE, EXTERNAL_CALL, EMERGENCY, START, STOP, RESTART, STOP_AND_STORE = 1, 2, 3, 4, 5, 6, 9
INITIAL_RESET, RESET, SET_PREFIX, STORE_STATUS, SET_ARCHITECTURE, CONDITIONAL_EMERGENCY, SENSE_RUNNING = (
    0xB, 0xC, 0xD, 0xE, 0x12, 0x13, 0x15)
_ACCEPTED, _STATUS, _BUSY, _NOT_OPERATIONAL = 0, 1, 2, 3
# Status bits, of the low word of R1.
INVALID_ORDER, CHECK_STOP, STOPPED, EXTERNAL_CALL_PENDING, INVALID_PARAMETER, INCORRECT_STATE, NOT_RUNNING = (
    0x02, 0x10, 0x40, 0x80, 0x100, 0x200, 0x400)


@simulates(0xAE, "sigp")
def signal_processor(vm, instruction):
    """R1 takes the status, and its odd partner (R1 itself, if odd) is the parameter; R3 is the CPU address; the
    second-operand address is the order."""
    r1, order = instruction.r1, vm.machine.effective(instruction.base) & 0xFF
    parameter, address = vm.word(r1 | 1), vm.word(instruction.r3) & 0xFFFF
    if order == SET_ARCHITECTURE:
        # As QEMU answers it: the machine has been in z/Architecture mode from its start, and knows no other.
        others_stopped = not any(cpu.running for cpu in vm.cpus if cpu is not vm.cpu)
        return _status(vm, r1, INVALID_PARAMETER if others_stopped else INCORRECT_STATE)
    if address >= len(vm.cpus):
        vm.cc = _NOT_OPERATIONAL
        return None
    function = _ORDERS.get(order)
    if function is None:
        return _status(vm, r1, INVALID_ORDER)
    target = vm.cpus[address]
    if target is vm.cpu and order in (STOP, STOP_AND_STORE, RESTART, INITIAL_RESET, RESET):
        # What ends or restarts the CPU that asks: the instruction is over before.
        vm.cc = _ACCEPTED
        vm.machine.retire(instruction.size)
        vm.machine.state.instructions -= 1                   # LOADED counts it
        function(vm, target, r1, parameter)
        return LOADED
    answer = function(vm, target, r1, parameter)
    if answer is None:
        vm.cc = _ACCEPTED
    elif answer:
        _status(vm, r1, answer)
    return None


def _status(vm, r1: int, status: int) -> None:
    vm.set_word(r1, status)
    vm.cc = _STATUS


def _sense(vm, target, r1, parameter):
    return (0 if target.running else STOPPED) | (EXTERNAL_CALL_PENDING if target.caller is not None else 0) or None


def _external_call(vm, target, r1, parameter):
    if target.caller is not None:
        return EXTERNAL_CALL_PENDING
    target.caller = vm.cpu.address
    return None


def _emergency(vm, target, r1, parameter):
    target.emergencies.add(vm.cpu.address)


def _start(vm, target, r1, parameter):
    target.running = True


def _stop(vm, target, r1, parameter):
    target.running = False


def _restart(vm, target, r1, parameter):
    target.running = target.restart = True


def _stop_and_store(vm, target, r1, parameter):
    target.running = False
    vm.on_cpu(target, vm.store_status)


def _initial_reset(vm, target, r1, parameter):
    target.running = False
    target.initial_reset()
    vm.on_cpu(target, vm.machine.initial_reset)


def _reset(vm, target, r1, parameter):
    target.running = False
    target.reset()


def _set_prefix(vm, target, r1, parameter):
    prefix = parameter & 0x7FFFE000
    if target.running:
        return INCORRECT_STATE
    try:
        vm.absolute.check(prefix, PREFIX_AREA)
    except Interruption:
        return INVALID_PARAMETER
    vm.on_cpu(target, lambda: vm.machine.set_prefix(prefix))
    return None


def _store_status(vm, target, r1, parameter):
    at = parameter & 0x7FFFFE00
    if target.running:
        return INCORRECT_STATE
    try:
        vm.absolute.check(at, 512)
    except Interruption:
        return INVALID_PARAMETER
    vm.on_cpu(target, lambda: vm.store_status(at))
    return None


def _conditional_emergency(vm, target, r1, parameter):
    """Sent where the target is stopped, or is disabled for it, or waits (but not at address 0), or runs in the address
    space that the parameter names."""
    ready = target.running and target.own & (psw.IO | psw.EXTERNAL) == psw.IO | psw.EXTERNAL
    if ready and target.waiting:
        ready = not vm.psw_address(target)
    elif ready:
        spaces = [vm.control_register(target, number) & 0xFFFF for number in (3, 4)]
        ready = parameter & 0xFFFF not in spaces
    return INCORRECT_STATE if ready else _emergency(vm, target, r1, parameter)


def _sense_running(vm, target, r1, parameter):
    return None if target is vm.cpu else NOT_RUNNING


_ORDERS = {SENSE: _sense, EXTERNAL_CALL: _external_call, EMERGENCY: _emergency, START: _start, STOP: _stop,
           RESTART: _restart, STOP_AND_STORE: _stop_and_store, INITIAL_RESET: _initial_reset, RESET: _reset,
           SET_PREFIX: _set_prefix, STORE_STATUS: _store_status, CONDITIONAL_EMERGENCY: _conditional_emergency,
           SENSE_RUNNING: _sense_running}

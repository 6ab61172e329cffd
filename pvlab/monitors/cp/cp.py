"""The control program: VM/370's way, at the scale of a course. The guest runs in the real problem state.

Every privileged instruction is a real program check, and CP simulates what it would have done to the virtual machine.
Interruptions are reflected: delivered through the guest's own new PSWs in its low core. DIAGNOSE, which on a real
machine does what the model's engineers wanted, is the guest's way to ask CP for something: a hypercall.

The virtual machine is a z/Architecture one from its first instruction, as QEMU's and KVM's are. A guest of 1972 was a
System/370, with PSWs and low core of its own forms, which the engine does not execute: what is historical here is the
way, and the DIAGNOSE codes, each of which says since when there has been one.

Read this file, then dispatcher.py (who runs next), vm.py (the virtual machine), interruptions.py, simulation.py and the
files that fill its table, and diagnose/.
"""
from __future__ import annotations

from collections.abc import Sequence

from pvlab.devices.backends.lend import ScratchDisk
from pvlab.errors import PvlabError
from pvlab.machine.engine import Why
from pvlab.machine.memory import Dead
from pvlab.machine.s390x import decode, psw
from pvlab.machine.s390x.decode import Instruction
from pvlab.machine.s390x.faults import ADDRESSING, CP_SERVICE, OPERATION, PRIVILEGED, SPECIFICATION, Interruption
from pvlab.machine.s390x.machine import Machine
from pvlab.machine.s390x.psw import Psw
from pvlab.monitors.cp import (channel_io, chsc, clocks, control, facts, keys, masks, service,  # noqa: F401
                               signals, translation)
from pvlab.monitors.cp.devices import CONSOLE, attach_devices, scratch_disk
from pvlab.monitors.cp.diagnose import user_code
from pvlab.monitors.cp.diagnose.segments import check_segments, room as segments_room
from pvlab.monitors.cp.dispatcher import Dispatcher
from pvlab.monitors.cp.paging import LATENCY, PFAULT_BEGUN, PFAULT_DONE, Pager, room as paging_room
from pvlab.monitors.cp.simulation import INSTRUCTIONS, LOADED, Simulation
from pvlab.monitors.cp.vm import VirtualMachine

_ENTRY_MASK = psw.EXTENDED | psw.BASIC         # as QEMU enters an ELF: supervisor state, 64-bit, everything disabled
# Where QEMU (hw/s390x/ipl.c) puts the command line of an image that is entered as Linux is, and how much room it has.
_LINUX_ENTRIES, _PARAMETERS, _PARAMETERS_SIZE = (0x10000, 0x800), 0x10480, 896
_MOVE_UNIT = 64                                # bytes that MVCL moves in the time of an instruction, or less
MOST_CPUS = 8


class Cp(Dispatcher):
    """Runs an s390x guest.

    cpus: how many virtual CPUs its machine has, if not as many as the guest asks for; all but the first are stopped,
    and wait for SIGP. epsw_hole: let EPSW, which is not privileged, show the real PSW, as it would to any guest that
    runs in the real problem state; without it CP stops before the instruction and shows the virtual one. segments:
    named saved segments, {name: (address, bytes)}, of whole pages, each within the machine's storage or beyond it.
    frames: so many pages of the guest are in storage at once, if not as many as the guest asks for; the others are on
    CP's paging disk. page_in: virtual nanoseconds that bringing one in takes (paging.py). typed: lines that somebody
    types at the console, if not those of the guest.
    """

    name = "cp"
    description = "VM/370's control program: the guest in problem state, privileged instructions simulated, DIAGNOSE"
    arch = "s390x"

    def __init__(self, cpus: int | None = None, epsw_hole: bool = False,
                 segments: dict[str, tuple[int, bytes]] | None = None, frames: int | None = None,
                     page_in: int = LATENCY,
                 typed: Sequence[str] | None = None):
        if cpus is not None and not 1 <= cpus <= MOST_CPUS:
            raise PvlabError(f"{cpus} virtual CPUs: there can be 1 to {MOST_CPUS}")
        if frames is not None and segments:
            raise PvlabError("named segments cannot be paged: give frames or segments")
        self.cpus, self.epsw_hole, self.segments = cpus, epsw_hole, check_segments(segments or {})
        self.frames, self.page_in, self.typed = frames, page_in, typed
        self._user_codes = {}

    def diagnose(self, number: int, name: str = ""):
        """A decorator: `function(vm, rx, ry)` becomes DIAGNOSE code `number`, X'100' to X'1FC', for runs of this CP.

        It answers a condition code or None; see diagnose/registry.py. Raises PvlabError for another number.
        """
        def register(function):
            self._user_codes[number] = user_code(number, function, name)
            return function
        user_code(number, register)          # a wrong number is refused here, and not at the function
        return register

    # ------------------------------------------------------------------------------------------- booting
    def prepare(self, guest) -> None:
        """A virtual machine with the image loaded, entered as QEMU's -kernel enters an ELF file."""
        stop_before = decode.STOP_BEFORE - {decode.EPSW} if self.epsw_hole else decode.STOP_BEFORE
        frames = self.frames if self.frames is not None or self.segments else guest.frames
        room = paging_room(guest.memory) if frames is not None else segments_room(self.segments, guest.memory)
        self.machine = machine = Machine(guest.memory, stop_before=stop_before, room=room)
        self.board = self.vm = vm = VirtualMachine(machine, self.trace, lambda: self.now, self._sleep,
                                                   self.cpus or guest.cpus)
        vm.user_codes = self._user_codes
        vm.segments = self.segments
        if isinstance(self.disk, ScratchDisk):
            self.disk = scratch_disk()
        attach_devices(vm, self.disk)
        for line in guest.typed if self.typed is None else self.typed:
            vm.channels.by_device_number(CONSOLE).device.type(line)
        if frames is not None:
            vm.pager = Pager(machine, frames, self.page_in, self._sleep)
        for address, data, size in guest.image.segments:
            machine.absolute.write(address, data)
        if guest.image.entry in _LINUX_ENTRIES:
            line = guest.cmdline.encode("ascii", "replace")
            if len(line) >= _PARAMETERS_SIZE:
                raise PvlabError(f"the parameters make a command line of {len(line)} bytes: {_PARAMETERS_SIZE - 1} is "
                                 "the limit")
            machine.absolute.write(_PARAMETERS, line + b"\0")
        for cpu in vm.cpus[1:]:
            cpu.running = False
            cpu.saved = machine.save_cpu()
        vm.load_psw(Psw(_ENTRY_MASK, guest.image.entry))
        self.start_dispatching()

    # ------------------------------------------------------------------------------- the stops of the engine
    def dispatch(self, why: Why) -> None:
        self._visits += 2            # a stop takes the host twice as long as one of the x86
        machine = self.machine
        if why is Why.EXCEPTION and machine.stopped_by_svc:
            self._supervisor_call()
        elif why is Why.EXCEPTION and machine.missing is not None:
            self._missing_page(machine.missing)
        elif why is Why.EXCEPTION:
            self._program_check(machine.env.program_code)
        elif why is Why.POINT:
            self._point()
        elif why is Why.UNMAPPED:
            self._reflect(Interruption(ADDRESSING), 2)
        elif why is Why.ENGINE_ERROR:
            raise Dead(f"the engine cannot go on at {machine.pc:#x}: {machine.engine.error}")
        else:
            raise Dead(f"the engine died of the code at {machine.pc:#x}")

    def leave(self, reason: str, instruction: str) -> None:
        machine = self.machine
        if not reason.startswith("stck"):
            self.vm.clock_looks = 0
        self.trace.exits.add(reason, machine.pc, instruction, machine.instructions)

    def _supervisor_call(self) -> None:
        env = self.machine.env
        size, number = env.svc_length, env.svc_code
        self.leave("svc", f"svc {number}")
        self.machine.retire(size)
        self.vm.svc_interruption(size, number)

    def _program_check(self, code: int) -> None:
        size = self.machine.env.program_length
        if code in (OPERATION, PRIVILEGED):
            try:
                instruction = self.machine.instruction()
            except Interruption as fault:
                self._reflect(fault, size)
                return
            found = INSTRUCTIONS.get(instruction.opcode)
            if found is not None:
                self._simulate(instruction, found)
                return
            if code == PRIVILEGED and not self.vm.cpu.problem:
                self._not_simulated(instruction)
                return
        self._reflect(Interruption(code), size)

    def _missing_page(self, real: int) -> None:
        """The guest touched a real address for which CP's own tables have no page."""
        vm, machine = self.vm, self.machine
        if real >= machine.ram.size:
            self._reflect(Interruption(ADDRESSING), machine.env.program_length)
            return
        self.leave("page-in", f"page {real:#x}")
        page = next(machine.real.swapped(real, 1))[0]
        if vm.pager.is_out(page) and vm.handshake is not None and vm.handshake.allows(vm):
            token = vm.real.load(vm.handshake.token, 8)
            vm.after(self.page_in, lambda: self._page_is_there(page, token))
            vm.external_interruption(CP_SERVICE, PFAULT_BEGUN, token=token)
        else:
            vm.pager.fetch(page, 1)              # which takes its time

    def _page_is_there(self, page: int, token: int) -> None:
        self.vm.pager.page_in(page)
        self.vm.cp_services.append((PFAULT_DONE, 0, token))

    def _not_simulated(self, instruction: Instruction) -> None:
        """The virtual machine lacks the facility to which a privileged instruction belongs."""
        self.leave("not-simulated", decode.text(instruction.code))
        self.vm.program_interruption(Interruption(OPERATION), instruction.size)

    def _reflect(self, what: Interruption, size: int) -> None:
        """A program check that is the guest's own."""
        self.leave("program-check", str(what))
        self.vm.program_interruption(what, size)

    def _point(self) -> None:
        machine = self.machine
        if machine.pc & 1:
            self._reflect(Interruption(SPECIFICATION), 0)
            return
        try:
            instruction = machine.instruction()
        except Interruption as fault:
            self._reflect(fault, 2)
            return
        found = INSTRUCTIONS.get(instruction.opcode)
        if found is not None:
            self._simulate(instruction, found)
        else:
            # MVCL or CLCL: the engine does it, and its work is weighed, because one may move 16 MiB. Or code has
            # changed, and nothing is special here any more.
            if instruction.opcode in (decode.MVCL, decode.CLCL):
                even, other = instruction.r1 & 14, instruction.r3 & 14
                length = max(machine.regs[even + 1] & 0xFFFFFF, machine.regs[other + 1] & 0xFFFFFF)
                machine.state.extra += length // _MOVE_UNIT
            machine.pass_point(instruction)

    def _simulate(self, instruction: Instruction, found: Simulation) -> None:
        vm = self.vm
        reason = found.reason(vm, instruction) if found.reason else found.name
        self.leave(reason, decode.text(instruction.code, found.name))
        try:
            if found.privileged and vm.cpu.problem:
                raise Interruption(PRIVILEGED)
            what_next = found.function(vm, instruction)
        except Interruption as fault:
            vm.program_interruption(fault, instruction.size)
            return
        if what_next is LOADED:
            self.machine.state.instructions += 1
        else:
            self.machine.retire(instruction.size)

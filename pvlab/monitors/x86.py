"""What all techniques for the x86 share: booting a guest, and what each kind of stop means to this instruction set.

A technique says in `start` how the guest's machine is prepared and whose state events are delivered into, in
`take_interrupt` when interrupts are, and in the methods named `on_…` what it does otherwise than the bare machine.
"""
from __future__ import annotations

from pvlab.devices.pc import Pc
from pvlab.errors import PvlabError
from pvlab.machine.engine import Why
from pvlab.machine.memory import Dead, Dma
from pvlab.machine.x86 import control, io, mmio
from pvlab.machine.x86.cpu import EAX, EBX, ESP, IF, SS, TF, VM
from pvlab.machine.x86.decode import STOP_BEFORE
from pvlab.machine.x86.events import raise_event
from pvlab.machine.x86.faults import DB, EXCEPTIONS, PAGE, UD, Fault
from pvlab.machine.x86.machine import Machine
from pvlab.machine.x86.paging import walk
from pvlab.machine.x86.segments import BIG
from pvlab.monitors.base import Ended, Monitor

# Multiboot Specification 0.6.96, sections 3.2 and 3.3
_MULTIBOOT_MAGIC, _INFO, _CMDLINE, _STACK = 0x2BADB002, 0x1000, 0x2000, 0xA0000
_MAX_CMDLINE = 0x5FFF


class X86Monitor(Monitor):
    """Runs a guest on the x86 machine."""

    stop_before = STOP_BEFORE

    # ------------------------------------------------------------------------------------------- booting
    def prepare(self, guest) -> None:
        """A PC with the image loaded, and the CPU as a Multiboot loader leaves it."""
        self.machine = machine = self.make_machine(guest.memory)
        self.board = Pc(lambda: self.now, Dma(machine.ram, self.device_wrote, self._weigh), self.disk, self.network)
        if self.peer:
            self.board.add_timed(self.peer)
        image = guest.image
        for address, data, size in image.segments:
            machine.ram.write(address, data)
        line = guest.cmdline.encode("utf-8", "replace")
        if len(line) > _MAX_CMDLINE:
            raise PvlabError(f"the parameters make a command line of {len(line)} bytes: {_MAX_CMDLINE} is the limit")
        machine.ram.write(_CMDLINE, line + b"\0")
        info = [5, 639, (machine.ram.size >> 10) - 1024, 0, _CMDLINE]    # flags: memory sizes and command line
        machine.ram.write(_INFO, b"".join(word.to_bytes(4, "little") for word in info))
        machine.regs[EAX], machine.regs[EBX], machine.regs[ESP] = _MULTIBOOT_MAGIC, _INFO, _STACK
        machine.eip = image.entry

    def _weigh(self, size: int) -> None:
        """A device's access to memory is work of the host as well: that of some microseconds."""
        self.machine.state.extra += 50 + size // 16

    def device_wrote(self, physical: int, size: int) -> None:
        """A device changed guest memory."""
        self.machine.device_wrote(physical, size)

    def make_machine(self, memory: int) -> Machine:
        return Machine(memory, stop_before=self.stop_before)

    def start(self) -> None:
        """Prepare the machine that has just been loaded. `processor` is whose state events are delivered into."""
        self.processor = self.machine

    # ------------------------------------------------------------------------------- the stops of the engine
    def dispatch(self, why: Why) -> None:
        """Handle a stop of the engine."""
        self._visits += 1
        machine, cpu = self.machine, self.machine.cpu
        if cpu.env.eflags & VM:
            raise Dead(f"virtual-8086 mode at {machine.eip:#010x}: the lab's machine does not model that mode")
        if why is Why.EXCEPTION:
            if cpu.was_int:
                self.on_int(machine.state.vector)
            elif machine.state.vector == PAGE and self._too_early(cpu.env.cr[2]):
                self._run_up_to_it()
            else:
                self.on_fault(machine.state.vector, cpu.error_code, cpu.env.cr[2])
        elif why is Why.POINT:
            self.on_point()
        elif why is Why.INVALID:
            self.on_fault(UD, 0, 0)
        elif why is Why.HALTED:
            self.on_halt()
        elif why is Why.UNMAPPED:
            self.device_memory(machine.state.fault)
        elif why is Why.ENGINE_ERROR:
            raise Dead(f"the engine cannot go on at {machine.eip:#010x}: {machine.engine.error}")
        elif why is Why.ABORTED:
            raise Dead(f"the engine died of the code at {machine.eip:#010x}, which no compiler makes")

    def _too_early(self, address: int) -> bool:
        """The engine reads all of a block before it runs any: whether the instruction at EIP does without that page."""
        machine, at = self.machine, self.machine.linear_eip
        if address != (at | 4095) + 1 & 0xFFFFFFFF or machine.raw_flags & TF:
            return False
        instruction = self.processor.instruction()
        return instruction is not None and (at & 4095) + instruction.size <= 4096

    def _run_up_to_it(self) -> None:
        """Run the instruction at EIP alone. If it faults again, it needs the page as data."""
        why, machine = self.step(), self.machine
        if why is Why.EXCEPTION and machine.state.vector == PAGE and not machine.cpu.was_int:
            self.on_fault(PAGE, machine.cpu.error_code, machine.cpu.env.cr[2])
        elif not self.stepped(why):
            self.dispatch(why)

    # -------------------------------------------------------------- what a technique may do otherwise than the bare machine
    def on_fault(self, vector: int, code: int, address: int) -> None:
        """An exception at EIP, with its error code and CR2."""
        if vector == DB:
            self.processor.dr[6] |= control.SINGLE_STEP
        self.leave("exception", self.text())
        self.deliver(EXCEPTIONS.get(vector, "general-protection"), vector, code, address)

    def on_int(self, vector: int) -> None:
        """The guest executed INT n; EIP is behind it. If its gate is closed, the fault is the instruction's own."""
        machine, behind = self.machine, self.machine.eip
        try:          # INT n has two bytes, CD n; INT3 and INTO have one
            last = self.processor.read_linear(machine.linear_eip - 1 & 0xFFFFFFFF, 1)[0]
        except (Fault, Dead):     # the page is gone, and only the engine's translation has not been flushed
            last = vector
        machine.eip = behind - (2 if last == vector else 1)
        machine.state.instructions -= 1
        self.leave("int", self.text())
        name = EXCEPTIONS[vector] if vector in (3, 4) else "int"
        if self.deliver(name, vector, software=True, return_to=behind) == vector:
            machine.state.instructions += 1

    def on_point(self) -> None:
        """EIP stands before what the engine must not execute (or, by now, before other code that has come there)."""
        instruction = self.processor.instruction()
        try:
            if instruction is None:       # no instruction of any x86, though some of these the engine would execute
                raise Fault(UD, 0)
            if instruction.mnemonic.rstrip("bwd") in ("in", "ins", "out", "outs"):
                self._port_io(instruction)
            elif not self.on_special(instruction):
                self.machine.state.pass_ = self.machine.linear_eip
        except Fault as fault:
            self.on_fault(fault.vector, fault.code, fault.address)

    def on_special(self, instruction) -> bool:
        """Execute another instruction that the machine stops before, or say that it is none. May raise Fault."""
        return False

    def _port_io(self, instruction) -> None:
        """IN, OUT, INS and OUTS. Raises Fault where the guest has no right to the port."""
        access = io.port_access(self.processor, instruction)
        io.check_permission(self.processor, access)
        self.leave("io:write" if access.write else "io:read", instruction.text)
        machine, name = self.machine, self.board.ports.name(access.port)
        at, flags = machine.linear_eip, machine.raw_flags
        self._visits -= 1         # each access of a string weighs as much as a stop, and this stop was weighed

        def note() -> None:
            self._visits += 1
            self.trace.accesses.add(name, at, instruction.text, machine.instructions)
        try:
            if io.execute(self.processor, instruction, access, self.board.ports, note):
                machine.retire(instruction.size)
            self.end_of_step(flags)
        except Fault as fault:
            self.deliver(EXCEPTIONS[fault.vector], fault.vector, fault.code, fault.address)

    def device_memory(self, physical: int) -> None:
        """The instruction at EIP has an operand at a physical address that is no RAM: a device's register."""
        machine, processor = self.machine, self.processor
        instruction = processor.instruction()
        if instruction is None or self.board.mmio.find(physical) is None:
            raise Dead(f"physical address {physical:#x} is not memory (used at {machine.eip:#010x}; RAM ends at "
                       f"{machine.ram.size:#x})")
        self.leave("mmio:write" if mmio.writes(instruction) else "mmio:read", instruction.text)
        at, flags = machine.linear_eip, machine.raw_flags
        self._visits -= 1         # as for ports

        def note(write: bool, device) -> None:
            self._visits += 1
            self.trace.accesses.add(device.name, at, instruction.text, machine.instructions)
        try:
            if mmio.execute(processor, instruction, mmio.Memory(processor, machine.ram.size, self.board.mmio, note)):
                machine.retire(instruction.size)
            self.end_of_step(flags)
        except Fault as fault:
            self.deliver(EXCEPTIONS[fault.vector], fault.vector, fault.code, fault.address)

    def on_halt(self) -> None:
        """HLT was executed in ring 0 of the real CPU; EIP is behind it."""
        raise NotImplementedError

    # -- what techniques share -------------------------------------------------------------------------------
    def deliver(self, name: str, vector: int, code: int = 0, address: int = 0, **how) -> int:
        """Deliver an event through the guest's own tables and note what arrived; returns its vector."""
        at, text = self.machine.linear_eip, "" if how.get("external") else self.text()
        arrived = raise_event(self.processor, vector, code, address, **how)
        self.trace.events.add(name if arrived == vector else EXCEPTIONS[arrived], at, text, self.machine.instructions)
        return arrived

    def deliver_interrupt(self) -> None:
        """Deliver the interrupt that the board holds ready. One in the middle of a REP postpones that instruction."""
        state = self.machine.state
        if state.repeat == self.machine.linear_eip:
            self.machine.engine.uncount_repeat()
        self.deliver("interrupt", self.board.acknowledge(), external=True)

    def halt(self) -> None:
        """The guest executed HLT; EIP is behind it."""
        if not self.processor.eflags & IF:
            raise Ended("halted", f"HLT with interrupts disabled before {self.machine.eip:#010x}: nothing can wake "
                                  "this CPU")
        self.wait()

    def end_of_step(self, flags: int) -> None:
        """An instruction has retired that the CPU did not execute alone: where the flags before it had the trap flag, a
        debug exception follows."""
        if flags & TF:
            self.processor.dr[6] |= control.SINGLE_STEP
            self.deliver(EXCEPTIONS[DB], DB)

    def finish_shadow(self) -> None:
        """STI takes effect after the next instruction, so that STI and HLT cannot be torn apart: run that one first."""
        while self.processor.interrupt_shadow:
            flags = self.processor.eflags
            why = self.step()
            if self.stepped(why):
                self.processor.interrupt_shadow = False
                self.end_of_step(flags)
            else:
                self.dispatch(why)

    def step(self) -> Why:
        """Run one instruction. EXCEPTION with vector 1 is the end of a step; our trap flag shows nowhere."""
        machine, own = self.machine, self.processor.eflags & TF
        pushed = None if own else self._flags_to_be_pushed()
        why = machine.step()
        if pushed is not None and self.stepped(why):
            machine.ram.bytes[pushed] &= ~(TF >> 8)
        return why

    def _flags_to_be_pushed(self) -> int | None:
        """If PUSHF comes next: the physical address at which it will write the byte that has the trap flag."""
        processor, instruction = self.processor, self.processor.instruction()
        if instruction is None or not instruction.mnemonic.startswith("pushf"):
            return None
        ss, size = processor.segment(SS), 4 if instruction.wide else 2
        top = processor.regs[ESP] - size & (0xFFFFFFFF if ss.flags & BIG else 0xFFFF)
        try:
            return walk(self.machine.ram, processor.mmu, ss.base + top + 1 & 0xFFFFFFFF, mark=False).physical
        except Fault:
            return None                   # the push will fault, too

    def stepped(self, why: Why) -> bool:
        return why is Why.EXCEPTION and self.machine.state.vector == 1 and not self.machine.cpu.was_int

    def text(self) -> str:
        """The instruction at EIP, as a trace shows it."""
        instruction = self.processor.instruction()
        return instruction.text if instruction else "(not readable)"

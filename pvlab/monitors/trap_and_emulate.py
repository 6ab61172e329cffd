"""Trap and emulate: the guest's kernel loses ring 0, and the monitor simulates what it then cannot do.

The way of CP-40 and CP-67 (1967), on a processor that was not made for it. The kernel runs in ring 1. Each privileged
instruction raises a real #GP; the monitor decodes it and does to a virtual CPU what it would have done to the real
one. Memory is behind shadow page tables. Interrupts, system calls and faults are reflected: delivered into the guest
through the guest's own tables.

The real GDT is empty, so each use of a segment descriptor traps as well and is done with the guest's own GDT: slower
than the shadow GDT of a production monitor, but nothing of the monitor is in the guest's address space.

What does not trap is not seen. POPF, PUSHF, SGDT and the others of lesson 03 run on the real CPU, and show or do the
wrong thing. That is not a bug in this file: it is why this technique is not enough for the x86.
"""
from __future__ import annotations

from pvlab.errors import PvlabError
from pvlab.machine.engine import Why
from pvlab.machine.memory import Dead
from pvlab.machine.x86.cpu import CR0_PG
from pvlab.machine.x86.faults import EXCEPTIONS, GP, PAGE, Fault
from pvlab.machine.x86.paging import CODE_FETCH, CODE_USER, CODE_WRITE, Translation
from pvlab.monitors import emulate
from pvlab.monitors.hosted import Host
from pvlab.monitors.shadow import Shadow
from pvlab.monitors.vcpu import VirtualCpu
from pvlab.monitors.x86 import X86Monitor


class TrapAndEmulate(X86Monitor):
    name = "trap-and-emulate"
    description = "the kernel in ring 1, privileged instructions emulated, shadow page tables"

    def __init__(self, hosted: bool = False, shortcuts: bool = False, combine: int = 1):
        """hosted: the devices are models in the host's user space, and each access that goes there is a world switch as
        well. shortcuts: not for registers that the monitor can serve alone. combine: so many packets may be sent by one
        switch. See hosted.py.
        """
        if not hosted and (shortcuts or combine != 1):
            raise PvlabError("shortcuts and combine are remedies of a hosted monitor: give hosted=True, too")
        if combine < 1:
            raise PvlabError(f"combine={combine}: at least one packet is sent by a switch")
        self._hosted, self._shortcuts, self._combine = hosted, shortcuts, combine
        if hosted:
            self.name += ", hosted"

    def start(self) -> None:
        self.shadow = self.make_shadow()
        self.vcpu = self.processor = self.make_vcpu()
        self.host = None
        if self._hosted:
            self.host = Host(lambda reason: self.leave(reason, self.text()), self._shortcuts, self._combine)
            self.host.take_over(self.board)

    def make_shadow(self) -> Shadow:
        return Shadow(self.machine)

    def make_vcpu(self) -> VirtualCpu:
        return VirtualCpu(self.machine, self.shadow, lambda: self.now)

    def leave(self, reason: str, instruction: str) -> None:
        machine = self.machine
        self.trace.exits.add(reason, machine.linear_eip, instruction, machine.instructions)

    # ------------------------------------------------------------------------------------------- interrupts
    def take_interrupt(self) -> int | None:
        if not self.vcpu.interrupts and not self.left_by_timer:
            return None                     # whatever sets the virtual IF will trap, and bring us here again
        if not self.board.interrupt_pending():
            return None
        if self.left_by_timer:
            self.leave("interrupt", "")
            if not self.vcpu.interrupts:
                return None
        self.finish_shadow()
        if self.vcpu.interrupts:
            self.deliver_interrupt()
        return None

    def deliver_interrupt(self) -> None:
        if self.host:
            self.host.settle()
        super().deliver_interrupt()

    def halt(self) -> None:
        if self.host:
            self.host.settle()
        super().halt()

    def on_halt(self) -> None:
        raise Dead(f"the real CPU halted before {self.machine.eip:#010x}, although the guest has no ring 0")

    # ------------------------------------------------------------------------------------------- instructions
    def on_fault(self, vector: int, code: int, address: int) -> None:
        if vector == PAGE:
            self._page_fault(code, address)
            return
        instruction = self.vcpu.instruction() if vector == GP else None
        found = emulate.find(instruction) if instruction else None
        if found is None:
            super().on_fault(vector, code, address)
        else:
            self.emulate(instruction, *found)

    def on_special(self, instruction) -> bool:
        if instruction.mnemonic != "sysenter":
            return False
        self.emulate(instruction, *emulate.find(instruction))
        return True

    def emulate(self, instruction, reason, handler) -> None:
        self.leave(reason, instruction.text)
        self.perform(instruction, reason, handler)

    def perform(self, instruction, reason, handler) -> None:
        """Do to the virtual CPU what the instruction does, by its handler, and what follows from it."""
        vcpu, machine, flags = self.vcpu, self.machine, self.machine.raw_flags
        try:
            what_next = handler(vcpu, instruction)
        except Fault as fault:
            self.deliver(EXCEPTIONS[fault.vector], fault.vector, fault.code, fault.address)
            return
        if what_next is emulate.TRANSFERRED:
            machine.state.instructions += 1
        else:
            machine.retire(instruction.size)
        if what_next is emulate.SHADOW:
            vcpu.interrupt_shadow = True      # until another instruction retires
        if what_next is emulate.HALT:
            self.halt()
        elif not (what_next is emulate.SHADOW and reason == "segment-load"):   # a new SS also holds the step's end back
            self.end_of_step(flags)

    # ------------------------------------------------------------------------------------------- memory
    def device_wrote(self, physical: int, size: int) -> None:
        super().device_wrote(physical, size)
        for page in range(physical & ~4095, physical + size, 4096):
            if self.shadow.traces(page):
                begin, end = max(physical, page), min(physical + size, page + 4096)
                self.shadow.guest_wrote(begin, end - begin)
                self.vcpu.mappings_changed()

    def _page_fault(self, code: int, address: int) -> None:
        """A true fault is the guest's own; a hidden one is ours; a write to a page table is watched."""
        vcpu, text = self.vcpu, self.text()
        if not vcpu.cr0 & CR0_PG and address >= self.machine.ram.size:
            self.device_memory(address)
            return
        try:
            found = self._translate(code, address)
        except Fault as fault:
            self.leave("page-fault:guest", text)
            self.deliver("page-fault", fault.vector, fault.code, fault.address)
            return
        if found.physical >= self.machine.ram.size:
            self.device_memory(found.physical)
        elif self._protected(code, found):
            self.leave(self.reason_of_write(found), text)
            self.write_through(address, found)
        else:
            self.leave("page-fault:shadow", text)
            self.shadow.fill(address, found)

    def _translate(self, code: int, address: int) -> Translation:
        return self.vcpu.translate(address, write=bool(code & CODE_WRITE), user=bool(code & CODE_USER),
                                   fetch=bool(code & CODE_FETCH))

    def _protected(self, code: int, found: Translation) -> bool:
        """A write that the guest may do and the shadow does not allow: to a page table, or past CR0.WP = 0."""
        return bool(code & CODE_WRITE) and (self.shadow.traces(found.physical) or not found.writable)

    def reason_of_write(self, found: Translation) -> str:
        """Why the write to this protected page is watched."""
        return "page-table-write"

    def write_through(self, address: int, found: Translation) -> None:
        """Let one instruction write to a protected page (or to two), then drop what their old contents stood for."""
        machine, shadow, ram, flags = self.machine, self.shadow, self.machine.ram, self.machine.raw_flags
        opened = {address & ~4095: found}
        while True:
            for linear, translation in opened.items():
                shadow.fill(linear, translation)
            doors = [shadow.open(linear) for linear in opened]
            pages = {translation.physical & ~4095 for translation in opened.values()}
            before = {page: ram.read(page, 4096) for page in pages}
            machine.state.pass_ = machine.linear_eip     # if it was to be stopped before, it was
            why = self.step()
            for door in reversed(doors):
                shadow.close(door)
            for page, old in before.items():
                for offset in changed(old, ram.read(page, 4096)):
                    shadow.guest_wrote(page + offset, 8)
            self.vcpu.mappings_changed()
            if self.stepped(why):
                self.end_of_step(flags)
                return
            if why is not Why.EXCEPTION or machine.cpu.was_int or machine.state.vector != PAGE:
                self.dispatch(why)
                return
            # The instruction needs another page as well.
            code, address = machine.cpu.error_code, machine.cpu.cr[2]
            try:
                found = self._translate(code, address)
            except Fault:
                found = None
            if found is None or found.physical >= ram.size:
                self.dispatch(why)
                return
            if self._protected(code, found):
                opened[address & ~4095] = found
            else:
                shadow.fill(address, found)


def changed(before: bytes, after: bytes) -> list[int]:
    """Offsets of the 8-byte words in which two pages differ. As one large number, a page is compared at once."""
    difference = int.from_bytes(before, "little") ^ int.from_bytes(after, "little")
    offsets = []
    while difference:
        word = ((difference & -difference).bit_length() - 1) // 64
        offsets.append(word * 8)
        difference &= -1 << (word + 1) * 64
    return offsets

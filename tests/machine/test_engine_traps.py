"""What the engine does that no CPU does, and that the lab does not let through.

Unicorn is a translator with a library around it. It was made for running functions, and a guest with a kernel in it
meets its edges: exceptions that turn into others, instructions that forget to ask for privileges, a check that ends the
whole process. Each test here shows one such edge twice: what a plain `unicorn.Uc` does, and that a guest on the lab's
machine does not notice. When a new Unicorn no longer does it, the first half fails, and the guard may go.
"""
import ctypes
import mmap
import struct
import subprocess
import sys
import textwrap

import pytest
import unicorn
from machine.bare import (
    CODE, DATA, GDT, IDT, MIB, SPARE, STACK0, TSS, bare, build, code_of, data_of, flat, frame, gate, handler_of)
from unicorn import x86_const as x86
from unicorn.unicorn_py3.unicorn import uclib

from pvlab.machine.engine import _FLUSH_TLB, Why
from pvlab.machine.x86 import cpu as c
from pvlab.machine.x86.machine import Machine
from pvlab.machine.x86.segments import descriptor
from pvlab.monitors import Native, TrapAndEmulate

BOTH = pytest.mark.parametrize("monitor", [Native, TrapAndEmulate], ids=lambda m: m.name)


class Plain:
    """A Unicorn as its documentation shows it, with 2 MiB of memory that both sides see."""

    def __init__(self, code, paging=False):
        self.memory = mmap.mmap(-1, 2 * MIB)
        self.uc = unicorn.Uc(unicorn.UC_ARCH_X86, unicorn.UC_MODE_32)
        self.uc.ctl_set_cpu_model(x86.UC_CPU_X86_COREDUO)
        self.uc.mem_map_ptr(0, 2 * MIB, unicorn.UC_PROT_ALL, ctypes.addressof(ctypes.c_char.from_buffer(self.memory)))
        self.memory[0x1000:0x1000 + len(code)] = code
        self.set("ESP", 0x8000)
        self.vectors = []
        self.uc.hook_add(unicorn.UC_HOOK_INTR, self._on_exception)
        if paging:       # two levels: the first 2 MiB are mapped as they are, and nothing else is
            self.put(0x10000, 0x11003)
            self.put(0x11000, *(page << 12 | 3 for page in range(512)))
            self.set("CR3", 0x10000)
            self.set("CR0", 0x8000_0011)

    def _on_exception(self, uc, vector, data):
        self.vectors.append(vector)
        uc.emu_stop()

    def put(self, address, *words):
        self.memory[address:address + 4 * len(words)] = struct.pack(f"<{len(words)}I", *words)

    def get(self, name):
        return self.uc.reg_read(getattr(x86, f"UC_X86_REG_{name}"))

    def set(self, name, value):
        self.uc.reg_write(getattr(x86, f"UC_X86_REG_{name}"), value)

    def run(self, until, begin=0x1000):
        self.uc.emu_start(begin, until)

    def run_in_ring_3(self, code, until=0x3000):
        """Put a GDT into memory, enter ring 3 by an IRET, and run `code` there, at 0x2000."""
        self.memory[0x1000:0x1001] = b"\xcf"
        self.memory[0x2000:0x2000 + len(code)] = code
        self.put(0x9000, 0, 0, *(word for flags in (0x9B, 0x93, 0xFB, 0xF3) for word in (0xFFFF, 0xCF0000 | flags << 8)))
        self.uc.reg_write(x86.UC_X86_REG_GDTR, (0, 0x9000, 39, 0))
        self.put(0x7000, 0x2000, 0x1B, 2, 0x6000, 0x23)
        self.set("ESP", 0x7000)
        self.run(until)


def in_own_process(code):
    """Run Python in another process; gives its return code, which is negative where a signal ended it."""
    return subprocess.run([sys.executable, "-c", textwrap.dedent(code)], capture_output=True, timeout=60).returncode


# ---------------------------------------------------------------------------------------------- exceptions
def test_plain_the_second_fault_is_a_double_fault_and_the_third_is_silent():
    plain = Plain(bytes.fromhex("b8 38 12 00 00 8e d8"))        # mov $0x1238,%eax; mov %eax,%ds
    for _ in range(3):
        plain.run(0x1007)
        assert plain.get("EIP") == 0x1005
    assert plain.vectors == [13, 8], "three faults: the second is taken for a double fault, the third is not reported"


FAULTS = [      # one instruction, and the event that it is
    ("mov %eax, %ds", "general-protection"), ("div %ebp", "divide-error"), ("ud2", "invalid-opcode"),
    ("lcall $0x68, $0", "segment-not-present"),
]
HUNDRED = """
        mov     $0x1238, %eax
        xor     %ebp, %ebp
        mov     $100, %esi
again:  """ + "\n".join(f"{text}\nend{i}:" for i, (text, _) in enumerate(FAULTS)) + """
        dec     %esi
        jnz     again
        out     %al, $0xf4
with:   add     $4, %esp        # the error code
without:incl    seen
        mov     next, %ebx      # go on behind the instruction: the four take turns
        mov     ends(,%ebx,4), %ecx
        mov     %ecx, (%esp)
        inc     %ebx
        and     $3, %ebx
        mov     %ebx, next
        iret
        .align 4
seen:   .long   0
next:   .long   0
ends:   .long   """ + ", ".join(f"end{i}" for i in range(len(FAULTS)))


@BOTH
def test_a_hundred_faults_of_each_kind_arrive_as_themselves(monitor):
    result = bare(HUNDRED, monitor, gates={13: "with", 11: "with", 0: "without", 6: "without"},
                  memory={GDT + 0x68: descriptor(0, 0xFFFFFFFF, 0x401B00)})     # code that is not present
    assert result.outcome == "shutdown"
    assert result.words("seen") == 400
    assert result.run.trace.events.counts() == {name: 100 for _, name in FAULTS}


def test_plain_an_invalid_opcode_is_no_exception():
    plain = Plain(bytes.fromhex("0f 0b"))       # ud2
    with pytest.raises(unicorn.UcError, match="INSN_INVALID"):
        plain.run(0x1002)
    assert plain.vectors == []


@BOTH
def test_an_invalid_opcode_goes_to_the_guests_handler(monitor):
    result = bare("nop; ud2", monitor)
    assert (result.status, frame(result, 1)) == (6, CODE + 1)


def test_plain_no_register_has_the_error_code():
    """The code of a fault is nowhere in the public interface: the machine reads it from the saved context."""
    known = {name for name in dir(x86) if name.startswith("UC_X86_REG_")}
    assert not {name for name in known if "ERR" in name}


@pytest.mark.parametrize("selector", [0x1238, 0x4560, 0xFFF8])
def test_the_machine_knows_the_error_code(selector):
    machine = Machine(2 * MIB)
    machine.ram.write(CODE, b"\xb8" + struct.pack("<I", selector) + b"\x8e\xd8")
    machine.eip = CODE
    assert machine.enter(100) is Why.EXCEPTION
    assert (machine.state.vector, machine.cpu.error_code, machine.cpu.was_int) == (13, selector, False)


# ---------------------------------------------------------------------------------------------- what kills the process
CALL_GATE = """
    import struct, unicorn
    from unicorn import x86_const as x86
    uc = unicorn.Uc(unicorn.UC_ARCH_X86, unicorn.UC_MODE_32)
    uc.mem_map(0, 1 << 20)
    words = 0, 0, *(w for flags in (0x9b, 0x93, 0xfb, 0xf3) for w in (0xFFFF, 0xcf0000 | flags << 8)), 0x83000, 0xec00
    uc.mem_write(0x9000, struct.pack("<12I", *words))
    uc.reg_write(x86.UC_X86_REG_GDTR, (0, 0x9000, 47, 0))
    uc.mem_write(0x1000, bytes.fromhex("cf"))                        # iret to ring 3
    uc.mem_write(0x2000, bytes.fromhex("{code}"))                    # lcall $0x28, $0
    uc.mem_write(0x7000, struct.pack("<5I", 0x2000, 0x1b, 2, 0x6000, 0x23))
    uc.reg_write(x86.UC_X86_REG_ESP, 0x7000)
    uc.hook_add(unicorn.UC_HOOK_INTR, lambda uc, vector, data: uc.emu_stop())
    uc.emu_start(0x1000, {until})
"""


def test_plain_a_call_through_a_gate_without_a_task_register_kills_the_process():
    assert in_own_process(CALL_GATE.format(code="90 90 90 90", until="0x2002")) == 0, "this much works"
    died = in_own_process(CALL_GATE.format(code="9a 00000000 2800", until="0x3000"))
    assert died != 0 and died != 1, "not a Python exception: the process is gone"


TO_RING_0 = {GDT + SPARE: gate(handler_of(0x77), kind=12, dpl=3)}
TASK_REGISTERS = [     # what stands in TR when the gate leads from ring 3 to ring 0, and what comes of it
    ("never loaded", c.Segment(0, 0, 0, 0x8900), 10),
    ("too short for a stack", c.Segment(0x48, TSS, 7, 0x8900), 10),
    ("long enough", c.Segment(0x48, TSS, 11, 0x8900), 0x77),
    ("16 bits wide", c.Segment(0x48, DATA, 43, 0x8100), 0x77),
    ("16 bits wide, too short", c.Segment(0x48, DATA, 4, 0x8100), 10),
]


@BOTH
@pytest.mark.parametrize("name, tr, status", TASK_REGISTERS, ids=[row[0] for row in TASK_REGISTERS])
def test_a_call_through_a_gate_is_an_event_whatever_the_task_register(name, tr, status, monitor):
    """The handler of #TS is in ring 3 here: one in ring 0 would need the stack that cannot be had, for a triple fault."""
    result = bare(f"lcall ${SPARE | 3}, $0; spin: jmp spin", monitor, ring=3, budget=1000,
                  prepare=lambda cpu: cpu.set_table("tr", tr), memory=TO_RING_0 | {
                      DATA: struct.pack("<HHH", 0, 0x8000, data_of(0)), IDT + 80: gate(CODE + 7, selector=code_of(3))})
    events = [event.reason for event in result.run.trace.events]
    if status == 10:
        assert (events, result.outcome) == (["invalid-tss"], "budget")
        assert frame(result, 3) == [tr.selector & 0xFFFC, CODE, code_of(3)]
    else:
        assert (events, result.status) == ([], status)


@BOTH
def test_a_busy_task_register_is_one_too(monitor):
    """LTR marks the TSS busy, and loads the gate's ring change all the same: on the engine, a busy TR would be fatal."""
    result = bare(f"mov $0x48, %eax; ltr %ax; push ${data_of(3)}; push ${DATA}; push ${code_of(3)}; push $user;"
                  f"lret; user: lcall ${SPARE | 3}, $0", monitor, memory=TO_RING_0)
    assert result.status == 0x77
    assert result.words(GDT + 0x4C) >> 8 & 15 == 11, "busy in the table"


# ---------------------------------------------------------------------------------------------- privileges
def test_plain_ports_are_open_to_ring_3():
    seen = []
    plain = Plain(b"")
    plain.uc.hook_add(unicorn.UC_HOOK_INSN, lambda uc, port, size, data: seen.append(port) or 7, None, 1, 0,
                      x86.UC_X86_INS_IN)
    plain.run_in_ring_3(bytes.fromhex("e4 e9 90"), until=0x2002)       # in $0xe9,%al
    assert (seen, plain.vectors, plain.get("CS") & 3, plain.get("EAX") & 0xFF) == ([0xE9], [], 3, 7)


def bitmap(*open_ports):
    """A TSS with an I/O permission bitmap behind it, in which these ports are open, and the byte of ones at its end."""
    bits = bytearray(b"\xff" * 33)
    for port in open_ports:
        bits[port >> 3] &= ~(1 << (port & 7))
    return {TSS + 0x66: struct.pack("<H", 104) + bytes(bits)}


def with_bitmap(cpu):
    cpu.set_table("tr", c.Segment(0x48, TSS, 104 + 32, 0x8900))


PORTS = [      # instruction, ring, IOPL, open ports, is it allowed?
    ("in $0xe9, %al", 0, 0, (), True), ("in $0xe9, %al", 1, 0, (), False), ("in $0xe9, %al", 3, 0, (), False),
    ("in $0xe9, %al", 3, 2, (), False), ("in $0xe9, %al", 3, 3, (), True), ("in $0xe9, %al", 1, 1, (), True),
    ("in $0xe9, %al", 3, 0, (0xE9,), True), ("in $0xe9, %al", 3, 0, (0xE8,), False),
    ("in $0xe9, %ax", 3, 0, (0xE9,), False), ("in $0xe9, %ax", 3, 0, (0xE9, 0xEA), True),
    ("in $0xed, %eax", 3, 0, (0xED, 0xEE, 0xEF), False), ("in $0xed, %eax", 3, 0, (0xED, 0xEE, 0xEF, 0xF0), True),
    ("mov $0xe9, %edx; out %al, (%dx)", 3, 0, (0xE9,), True), ("mov $0xe9, %edx; out %al, (%dx)", 3, 0, (), False),
    ("mov $0xe9, %edx; outsb", 3, 0, (0xE9,), True), ("mov $0xe9, %edx; outsb", 3, 0, (), False),
    ("mov $0xe9, %edx; insb", 3, 0, (), False), ("mov $0x1e9, %edx; in (%dx), %al", 3, 0, (0xE9,), False),
]


@BOTH
@pytest.mark.parametrize("code, ring, iopl, ports, allowed", PORTS)
def test_ports_are_open_to_whom_the_privilege_level_or_the_bitmap_lets_in(code, ring, iopl, ports, allowed, monitor):
    """The program that gets through ends with INT 0x77; the other with #GP(0), EIP at the instruction."""
    result = bare(f"mov ${DATA}, %esi; mov %esi, %edi; {code}; int $0x77", monitor, ring=ring, eflags=2 | iopl << 12,
                  memory=bitmap(*ports), prepare=with_bitmap, gates={0x77: gate(handler_of(0x77), dpl=3)})
    if allowed:
        assert result.status == 0x77
    else:
        assert result.status == 13
        code, eip = frame(result, 2)
        assert code == 0 and eip in (CODE + 7, CODE + 12)


def test_plain_every_vector_is_open_to_every_ring():
    plain = Plain(b"")
    plain.run_in_ring_3(bytes.fromhex("cd 80 90"))                     # int $0x80: there is not even an IDT
    assert (plain.vectors, plain.get("EIP"), plain.get("CS") & 3) == ([0x80], 0x2002, 3)


@BOTH
@pytest.mark.parametrize("ring, dpl, open_", [(3, 3, True), (3, 2, False), (3, 0, False), (1, 1, True), (1, 0, False),
                                              (2, 1, False), (0, 0, True), (0, 3, True)])
def test_a_closed_gate_refuses_int(ring, dpl, open_, monitor):
    result = bare("nop; int $0x80", monitor, ring=ring, gates={0x80: gate(handler_of(0x80), dpl=dpl)})
    if open_:
        assert (result.status, frame(result, 1)) == (0x80, CODE + 3)
    else:
        assert (result.status, frame(result, 2)) == (13, [0x80 * 8 + 2, CODE + 1])


def test_plain_the_privilege_level_cannot_be_written():
    with pytest.raises(unicorn.UcError):
        Plain(b"").set("CS", 0x1B)


@pytest.mark.parametrize("ring", [0, 1, 2, 3])
def test_a_machine_can_be_put_into_any_ring(ring):
    machine = Machine(2 * MIB)
    machine.ram.write(CODE, bytes.fromhex("8c c8 fa cd 77"))           # mov %cs,%eax; cli; int $0x77
    machine.set_ring(flat(ring, 0xB00, code_of(ring)), flat(ring, 0x300, data_of(ring)), ring)
    machine.eip = CODE
    assert machine.enter(100) is Why.EXCEPTION
    assert machine.regs[c.EAX] & 0xFFFF == code_of(ring)
    assert machine.state.vector == (0x77 if ring == 0 else 13)         # the CPU itself refuses CLI


# ---------------------------------------------------------------------------------------------- stopping
def test_plain_a_stop_in_a_port_hook_comes_too_late():
    plain = Plain(bytes.fromhex("e4 80 43 43 43"))                     # in $0x80,%al; three times inc %ebx

    def on_in(uc, port, size, data):
        uc.emu_stop()
        return 0
    plain.uc.hook_add(unicorn.UC_HOOK_INSN, on_in, None, 1, 0, x86.UC_X86_INS_IN)
    plain.run(0x1005)
    assert plain.get("EBX") == 3, "the rest of the block has run as well"


@BOTH
def test_nothing_runs_behind_the_switch(monitor):
    result = bare("xor %ebx, %ebx; out %al, $0xf4; inc %ebx; inc %ebx", monitor)
    assert (result.outcome, result.regs[c.EBX], result.count) == ("shutdown", 0, 2)


def test_plain_a_block_ends_between_sti_and_hlt():
    """Who delivers interrupts at block boundaries delivers one here, and the HLT then sleeps for ever."""
    plain, blocks = Plain(bytes.fromhex("90 fb f4 90")), []            # nop; sti; hlt; nop
    plain.uc.hook_add(unicorn.UC_HOOK_BLOCK, lambda uc, address, size, data: blocks.append((address, size)))
    plain.run(0x1004)
    assert blocks == [(0x1000, 2), (0x1002, 1)]


LOST_WAKE_UP = """
        mov     $0x11, %al; out %al, $0x20      # the interrupt controller: vectors from 0x20 on, line 0 open
        mov     $0x20, %al; out %al, $0x21
        mov     $4, %al; out %al, $0x21
        mov     $1, %al; out %al, $0x21
        mov     $0xfe, %al; out %al, $0x21
        mov     $0x30, %al; out %al, $0x43      # the timer: once, after two counts: 1,677 nanoseconds
        mov     $2, %al; out %al, $0x40
        mov     $0, %al; out %al, $0x40
        mov     start, %eax
        jmp     *%eax
slide:  .fill   1640, 1, 0x90            # entered where `start` says, so that the sum of both is any time
        .rept   40
        jmp     .+2                     # interrupts arrive between blocks: here is one after each instruction
        .endr
idle:
        cli                                     # the kernel's idle loop: is there work? if not, sleep until there is
1:      testl   $1, work
        jnz     2f
        sti
        hlt
        cli
        jmp     1b
2:      mov     $0x55, %al
        out     %al, $0xf4
tick:   incl    work
        push    %eax
        mov     $0x20, %al
        out     %al, $0x20
        pop     %eax
        iret
        .align 4
work:   .long   0
start:  .long   0
"""


@BOTH
def test_a_wake_up_is_never_lost_between_sti_and_hlt(monitor):
    """The timer fires before CLI, in the test, before STI, before HLT and while the CPU sleeps, one after the other."""
    symbols, places = build(LOST_WAKE_UP)[1], set()
    for skipped in range(20):
        result = bare(LOST_WAKE_UP, monitor, gates={0x20: "tick"}, eflags=0x202,
                      memory={"start": struct.pack("<I", symbols["slide"] + skipped)})
        assert (result.outcome, result.status, result.words("work")) == ("shutdown", 0x55, 1), skipped
        places.add(result.run.trace.events[0].address - symbols["idle"])
    assert min(places) < 0 and max(places) == 15, "before the loop, and behind HLT: between them interrupts are off"
    assert not places & {13, 14}, "neither before STI nor between STI and HLT"


# ---------------------------------------------------------------------------------------------- time
def test_plain_the_time_stamp_counter_is_the_hosts_clock():
    def now():
        plain = Plain(bytes.fromhex("0f 31 90"))
        plain.run(0x1002)
        return plain.get("EDX") << 32 | plain.get("EAX")
    first, second = now(), now()
    assert first != second, "the same program, from the same state, reads two different times"


@BOTH
def test_the_time_stamp_counter_is_virtual_time(monitor):
    """One instruction takes one nanosecond: ten NOPs, the two MOVs and the first RDTSC lie between the two readings."""
    program = "nop; rdtsc; mov %eax, %ebx; mov %edx, %ecx; .fill 10, 1, 0x90; rdtsc; hlt"
    runs = [bare(program, monitor) for _ in range(2)]
    for result in runs:
        assert (result.regs[c.EBX], result.regs[c.ECX]) == (1, 0)
        assert (result.regs[c.EAX], result.regs[c.EDX]) == (14, 0)
    assert runs[0].count == runs[1].count == 16


# ---------------------------------------------------------------------------------------------- the end of a run
def test_plain_the_address_to_run_until_is_looked_up_in_the_guests_page_tables():
    plain = Plain(b"\x90" * 8, paging=True)
    plain.set("CR2", 0x123)
    plain.uc.hook_add(unicorn.UC_HOOK_CODE, lambda uc, *_: uc.emu_stop(), None, 0x1004, 0x1004)
    try:
        plain.run(0x500000)
    except unicorn.UcError:
        pass                                     # with a handler or without, the guest's CR2 is gone
    assert plain.get("CR2") == 0x4FFFFF


def test_plain_a_run_until_0_ends_at_a_call_of_0():
    plain = Plain(bytes.fromhex("31 c0 ff d0"))                        # xor %eax,%eax; call *%eax
    plain.run(0)
    assert (plain.get("EIP"), plain.vectors) == (0, [])


@BOTH
def test_address_0_is_an_address_like_any_other(monitor):
    result = bare("xor %eax, %eax; call *%eax", monitor, memory={0: bytes.fromhex("43 f4")})    # inc %ebx; hlt
    assert (result.outcome, result.regs[c.EBX], result.count) == ("halted", 0x1001, 4)


def test_a_run_leaves_cr2_alone():
    result = bare("mov $0x123, %eax; mov %eax, %cr2; mov $1000, %ecx; 1: loop 1b; mov %cr2, %ebx; hlt")
    assert (result.regs[c.EBX], result.machine.cr2) == (0x123, 0x123)


def test_plain_memory_that_is_not_there_is_an_error():
    plain = Plain(bytes.fromhex("a1 00 00 00 f0"))
    with pytest.raises(unicorn.UcError, match="READ_UNMAPPED"):
        plain.run(0x1005)


@BOTH
@pytest.mark.parametrize("code, where", [
    ("mov 0xf0000000, %eax", "0xf0000000"), ("mov %eax, 0xf0000000", "0xf0000000"),
    ("mov $0x7f000000, %eax; jmp *%eax", "0x7f000000")])
def test_memory_that_is_not_there_is_an_outcome(code, where, monitor):
    result = bare(code, monitor)
    assert result.outcome == "crashed"
    assert f"physical address {where} is not memory" in result.detail


# ---------------------------------------------------------------------------------------------- counting
def test_plain_a_rep_is_many_blocks():
    plain, blocks = Plain(bytes.fromhex("b9 05 00 00 00 f3 a4 90")), []  # mov $5,%ecx; rep movsb; nop
    plain.uc.hook_add(unicorn.UC_HOOK_BLOCK, lambda uc, address, size, data: blocks.append(address))
    plain.set("ESI", 0x3000)
    plain.set("EDI", 0x4000)
    plain.run(0x1008)
    assert blocks.count(0x1005) == 5, "the first repetition belongs to the block before; then comes one each, and one"


@BOTH
def test_a_rep_is_one_instruction(monitor):
    result = bare(f"mov $5, %ecx; mov ${DATA}, %esi; mov ${DATA + 64}, %edi; rep movsb; hlt", monitor)
    assert (result.count, result.regs[c.ECX], result.regs[c.EDI]) == (5, 0, DATA + 69)


# ---------------------------------------------------------------------------------------------- what the engine remembers
LOOK = bytes.fromhex("a1 00 40 00 00 90")                              # mov 0x4000,%eax


def remapped():
    """A plain engine that has read through a page-table entry, which then changes behind its back."""
    plain = Plain(LOOK, paging=True)
    plain.put(0x4000, 0x41414141)
    plain.put(0x6000, 0x42424242)
    context = plain.uc.context_save()
    plain.run(0x1005)
    assert plain.get("EAX") == 0x41414141
    plain.put(0x11010, 0x6003)
    return plain, context


def test_plain_page_tables_changed_from_outside_stay_unseen_until_a_flush():
    plain, _ = remapped()
    plain.run(0x1005)
    assert plain.get("EAX") == 0x41414141
    uclib.uc_ctl(plain.uc._uch, _FLUSH_TLB)
    plain.run(0x1005)
    assert plain.get("EAX") == 0x42424242


def test_plain_a_restored_context_keeps_the_old_translations():
    plain, context = remapped()
    plain.uc.context_restore(context)
    plain.run(0x1005)
    assert plain.get("EAX") == 0x41414141


def test_the_machine_flushes_when_it_is_told():
    machine = Machine(2 * MIB)
    machine.ram.write(CODE, LOOK[:5] + b"\xf4")
    for address, words in ((0x10000, [0x11003]), (0x11000, [page << 12 | 3 for page in range(512)]),
                           (0x4000, [0x41414141]), (0x6000, [0x42424242])):
        machine.ram.write(address, struct.pack(f"<{len(words)}I", *words))
    machine.engine.set_register(x86.UC_X86_REG_CR3, 0x10000)
    machine.engine.restore()
    machine.cpu.cr[3] = 0x10000
    machine.engine.restore()
    machine.engine.set_register(x86.UC_X86_REG_CR0, 0x8000_0011)
    machine.engine.save()
    seen = []
    for change in (lambda: None, lambda: machine.ram.set_u32(0x11010, 0x6003), machine.engine.flush_tlb):
        change()
        machine.eip = CODE
        assert machine.enter(1 << 40) is Why.HALTED
        seen.append(machine.regs[c.EAX])
    assert seen == [0x41414141, 0x41414141, 0x42424242]


REMAP = f"""
        mov     $0x300000, %edi         # a directory whose first table maps the first 4 MiB as they are
        movl    $0x301003, (%edi)
        mov     $0x301000, %edi
        mov     $3, %eax
        mov     $1024, %ecx
1:      stosl
        add     $0x1000, %eax
        loop    1b
        mov     $0x300000, %eax
        mov     %eax, %cr3
        mov     $0x80000011, %eax
        mov     %eax, %cr0
        movl    $0x41414141, {DATA}
        movl    $0x42424242, {DATA + 0x1000}
        mov     {DATA}, %ebx
        movl    ${DATA + 0x1003}, 0x301000 + ({DATA} >> 10)
        invlpg  {DATA}
        mov     {DATA}, %ecx
        hlt
"""


@BOTH
def test_a_guest_that_flushes_sees_its_new_page_table(monitor):
    result = bare(REMAP, monitor)
    assert (result.outcome, result.regs[c.EBX], result.regs[c.ECX]) == ("halted", 0x41414141, 0x42424242)


def test_code_changed_from_outside_must_be_forgotten():
    """The plain half and ours in one: a write to the buffer goes unseen, one through the machine does not."""
    machine = Machine(2 * MIB)
    machine.ram.write(CODE, bytes.fromhex("e8 fb 0f 00 00 f4"))        # call CODE + 0x1000; hlt
    machine.ram.write(CODE + 0x1000, bytes.fromhex("b8 01 00 00 00 c3"))
    seen = []
    for change in (lambda: None, lambda: machine.ram.write(CODE + 0x1001, b"\x02"),
                   lambda: machine.write_linear(CODE + 0x1001, b"\x03")):
        change()
        machine.eip, machine.regs[c.ESP] = CODE, 0x8000
        assert machine.enter(1 << 40) is Why.HALTED
        seen.append(machine.regs[c.EAX])
    assert seen == [1, 1, 3]
    assert machine.instructions == 3 * 4


@BOTH
def test_code_that_a_device_writes_is_run(monitor):
    """INS writes from outside the engine: the console's answer 0xE9 becomes the operand of an instruction that ran."""
    result = bare("""
        call    f
        mov     %eax, %ebx
        lea     f + 1, %edi
        mov     $0xe9, %edx
        insb
        call    f
        hlt
        .align 4096
f:      mov     $1, %eax
        ret""", monitor)
    assert (result.regs[c.EBX], result.regs[c.EAX], result.count) == (1, 0xE9, 11)


# ---------------------------------------------------------------------------------------------- fast system calls
def test_plain_sysenter_goes_nowhere_in_particular():
    """A CPU with no SYSENTER segment raises #GP; the engine's just runs on."""
    plain = Plain(bytes.fromhex("0f 34 43 43 90"))                     # sysenter; inc %ebx; inc %ebx
    plain.run(0x1004)
    assert plain.vectors == []


@BOTH
def test_sysenter_goes_where_its_registers_say(monitor):
    unprepared = bare("sysenter", monitor, ring=3)
    assert (unprepared.status, frame(unprepared, 2)) == (13, [0, CODE])
    result = bare(f"""
        xor     %edx, %edx
        mov     $0x174, %ecx; mov $8, %eax; wrmsr
        mov     $0x175, %ecx; mov ${STACK0}, %eax; wrmsr
        mov     $0x176, %ecx; mov $entry, %eax; wrmsr
        push    ${data_of(3)}; push ${DATA}; push ${code_of(3)}; push $user
        lret
user:   sysenter
        nop
entry:  mov     %cs, %ebx
        hlt""", monitor)
    assert (result.outcome, result.machine.eip) == ("halted", result.symbols["entry"] + 3)
    assert (result.processor.cpl, result.processor.segment(c.CS).selector, result.regs[c.ESP]) == (0, 8, STACK0)


def test_the_debug_registers_hold_values_and_set_no_breakpoint():
    """On the engine a breakpoint leaves blocks in the middle, or hangs the host: so it never sees one."""
    result = bare("mov $target, %eax; mov %eax, %db0; mov $0x401, %eax; mov %eax, %db7; mov %db0, %ebx;"
                  "target: nop; mov %db7, %ecx; hlt")
    assert (result.outcome, result.regs[c.EBX], result.regs[c.ECX]) == ("halted", result.symbols["target"], 0x401)
    assert len(result.run.trace.events) == 0
    assert result.count == 8

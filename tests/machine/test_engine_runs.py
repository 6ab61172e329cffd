"""What the engine does that no CPU does, continued: stopping, time, the end of a run, and what it remembers.

test_engine_traps is about exceptions and privileges; this file is about the run itself. A translator works block by
block, keeps what it has translated, keeps translations of addresses, and has no clock but the host's. A guest on the
lab's machine must notice none of it. Again each edge is shown twice: what a plain `unicorn.Uc` does, and what a guest
sees.
"""
import struct

import pytest
import unicorn
from machine.bare import CODE, DATA, MIB, STACK0, bare, build, code_of, data_of, frame
from machine.plain import Plain
from unicorn import x86_const as x86
from unicorn.unicorn_py3.unicorn import uclib

from pvlab.machine.engine import _FLUSH_TLB, Why
from pvlab.machine.x86 import cpu as c
from pvlab.machine.x86.machine import Machine
from pvlab.monitors import Native, TrapAndEmulate

BOTH = pytest.mark.parametrize("monitor", [Native, TrapAndEmulate], ids=lambda m: m.name)


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


# ---------------------------------------------------------------------------------------------- the engine's memory
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

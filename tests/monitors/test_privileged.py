"""Every privileged instruction under trap-and-emulate: the exit it causes, and that it does what the bare CPU does."""
import pytest
from machine.bare import CODE, DATA, GDT, LDT_SELECTOR, SPARE, STACK, TSS_SELECTOR, bare, code_of, data_of, frame, gate

from pvlab.machine.x86.cpu import CS, REGISTER_NAMES, SEGMENT_NAMES, SS
from pvlab.machine.x86.segments import descriptor
from pvlab.monitors import Native, TrapAndEmulate
from pvlab.reasons import REASONS, TRAPPED
from pvlab.trace import Log

# One instruction each (`here:`), after what it needs: (reason, set-up, the instruction).
INSTRUCTIONS = [
    ("cli", "", "cli"),
    ("sti", "", "sti"),
    ("mov-cr0", "", "mov %cr0, %eax"),
    ("mov-cr0", "mov $0x0001001b, %eax", "mov %eax, %cr0"),
    ("mov-cr2", "", "mov %cr2, %ebx"),
    ("mov-cr2", "mov $0x12345678, %eax", "mov %eax, %cr2"),
    ("mov-cr3", "", "mov %cr3, %ecx"),
    ("mov-cr3", "mov $0x7000, %edx", "mov %edx, %cr3"),
    ("mov-cr4", "", "mov %cr4, %esi"),
    ("mov-cr4", "mov $0x620, %edi", "mov %edi, %cr4"),
    ("mov-dr", "", "mov %dr7, %eax"),
    ("mov-dr", "mov $0x1234, %ebp", "mov %ebp, %dr3"),
    ("clts", "", "clts"),
    ("lmsw", "mov $0xa, %eax", "lmsw %ax"),
    ("lmsw", "movw $0xd, data", "lmsw data"),
    ("lgdt", "movw $0x3f, data; movl $0x200000, data + 2", "lgdt data"),
    ("lgdt", "movw $0x3f, data; movl $0xff200000, data + 2", ".byte 0x66; lgdt data"),     # 24 bits of base only
    ("lidt", "movw $0x7ff, data; movl $0x201000, data + 2", "lidt data"),
    ("lldt", f"mov ${LDT_SELECTOR}, %eax", "lldt %ax"),
    ("lldt", "xor %eax, %eax", "lldt %ax"),
    ("ltr", f"mov ${TSS_SELECTOR}, %eax", "ltr %ax"),
    ("ltr", f"movw ${TSS_SELECTOR}, data", "ltr data"),
    ("invlpg", "", "invlpg data"),
    ("wbinvd", "", "wbinvd"),
    ("wbinvd", "", "invd"),
    ("rdmsr", "mov $0xc0000080, %ecx", "rdmsr"),
    ("rdmsr", "mov $0x10, %ecx; nop; nop", "rdmsr"),                  # the time-stamp counter is virtual
    ("wrmsr", "mov $0x174, %ecx; mov $0x48, %eax; xor %edx, %edx", "wrmsr"),
    ("wrmsr", "mov $0xc0000080, %ecx; mov $0x800, %eax; xor %edx, %edx", "wrmsr"),
    ("rdtsc", "nop", "rdtsc"),
    ("iret", f"push $0x8d7; push ${code_of(0)}; push $1f", "iret"),
    ("iret", f"push ${data_of(3)}; push $0x8000; push $0x3093; push ${code_of(3)}; push $1f", "iret"),
    ("sysexit", "mov $0x174, %ecx; mov $0x68, %eax; xor %edx, %edx; wrmsr; mov $1f, %edx; mov $0x9000, %ecx",
     "sysexit"),
    ("segment-load", f"mov ${data_of(3)}, %eax", "mov %eax, %ds"),
    ("segment-load", f"movw ${data_of(0)}, data", "mov data, %es"),
    ("segment-load", f"mov ${data_of(0)}, %eax", "mov %eax, %ss"),
    ("segment-load", f"push ${SPARE}", "pop %gs"),                   # not yet accessed: the bit is set in the table
    ("segment-load", f"push ${data_of(0)}", "pop %ss"),
    ("segment-load", f"movl $0x1234, data; movw ${data_of(3)}, data + 4", "les data, %ebx"),
    ("segment-load", f"movl $0x1234, data; movw ${data_of(3)}, data + 2", "lds data, %bx"),
    ("segment-load", f"movl $0x1234, data; movw ${data_of(3)}, data + 4", "lfs data, %esi"),
    ("segment-load", f"movl $0x1234, data; movw ${data_of(3)}, data + 4", "lgs data, %edi"),
    ("segment-load", f"movl $0x9000, data; movw ${data_of(0)}, data + 4", "lss data, %esp"),
    ("far-transfer", "", f"ljmp ${code_of(0)}, $1f"),
    ("far-transfer", f"movl $1f, data; movw ${code_of(0)}, data + 4", "ljmp *data"),
    ("far-transfer", "", f"lcall ${code_of(0)}, $1f"),
    ("far-transfer", f"movl $1f, data; movw ${code_of(0)}, data + 4; mov $data, %esi; mov $3, %edi",
     "lcall *-12(%esi,%edi,4)"),
    ("far-transfer", f"push ${code_of(0)}; push $1f", "lret"),
    ("far-transfer", f"push $1; push $2; push ${code_of(0)}; push $1f", "lret $8"),
    ("far-transfer", f"push ${data_of(3)}; push $0x8000; push ${code_of(3)}; push $1f", "lret"),
    ("io:read", "", "in $0x80, %al"),
    ("io:read", "mov $0x80, %edx; mov $-1, %eax", "in %dx, %ax"),
    ("io:write", "mov $65, %al", "out %al, $0xe9"),
    ("io:write", "mov $0x44434241, %eax; mov $0xe9, %edx", "out %eax, %dx"),
    ("io:read", "mov $0x80, %edx; mov $data, %edi; mov $3, %ecx", "rep insw"),
    ("io:write", "mov $0xe9, %edx; mov $main, %esi; mov $3, %ecx; std", "rep outsb"),
]
IDS = [f"{reason}: {instruction}" for reason, _, instruction in INSTRUCTIONS]
DESCRIPTORS = {GDT + SPARE: descriptor(DATA, 0xFFF, 0x409200)}


def execute(monitor, before, instruction, after="int3", ring=0, eflags=2):
    """Run it, and stop at INT3 (status 3) behind it, or where an exception leads."""
    return bare(f".globl main, data; main: {before}\nhere: {instruction}\n1: {after}\n.align 8; data: .long 0, 0",
                monitor, ring=ring, eflags=eflags, memory=DESCRIPTORS, gates={3: gate(0x204018, dpl=3)})


def state(result):
    """All that an instruction could have changed, in the guest's own view."""
    processor, machine = result.processor, result.machine
    native = processor is machine
    control = machine.cpu.cr if native else [processor.cr0, 0, processor.cr2, processor.cr3, processor.cr4]
    found = dict(zip(REGISTER_NAMES, (value & 0xFFFFFFFF for value in machine.regs)))
    found |= {f"cr{n}": control[n] for n in (0, 2, 3, 4)} | {"eflags": processor.eflags, "dr": list(processor.dr)}
    found["efer"] = machine.cpu.efer if native else processor.efer
    for number, name in enumerate(SEGMENT_NAMES):
        held = processor.segment(number)
        rights = 0xF09F00 if number in (CS, SS) else 0xF0FF00        # the real DPL of CS and SS is the real ring's
        found[name] = held._replace(flags=held.flags & rights)
    return found | {name: processor.table(name)[:3] for name in ("gdt", "idt", "ldt", "tr")}


@pytest.mark.parametrize("reason, before, instruction", INSTRUCTIONS, ids=IDS)
def test_it_exits_once_and_does_what_the_bare_cpu_does(reason, before, instruction):
    native, emulated = (execute(monitor, before, instruction) for monitor in (Native, TrapAndEmulate))
    at = native.symbols["here"]
    exits = [exit for exit in emulated.run.trace.exits if exit.address == at]
    assert [exit.reason for exit in exits] == [reason]
    assert (native.status, emulated.status) == (3, 3), "the instruction was executed"
    assert state(native) == state(emulated)
    assert native.run.output == emulated.run.output
    assert native.count == emulated.count
    assert native.machine.ram.bytes[:] == emulated.machine.ram.bytes[:]


# What ring 3 may not do. SYSEXIT and far transfers are left to the tests of the rings.
FORBIDDEN = [row for row in INSTRUCTIONS if row[0] not in ("iret", "sysexit", "segment-load", "far-transfer", "rdtsc")]


@pytest.mark.parametrize("reason, before, instruction", FORBIDDEN, ids=[f"{row[0]}: {row[2]}" for row in FORBIDDEN])
def test_in_ring_3_it_is_the_guests_general_protection_fault(reason, before, instruction):
    """It exits as well, because the real CPU knows only that it was not in ring 0; then the guest's own rules apply."""
    before = "; ".join(part for part in before.split("; ") if part != "wrmsr")
    native, emulated = (execute(monitor, before, instruction, ring=3) for monitor in (Native, TrapAndEmulate))
    at = native.symbols["here"]
    for result in (native, emulated):
        assert result.status == 13
        code, eip, cs = frame(result, 3)
        assert (code, eip, cs) == (0, at, code_of(3))
    assert state(native) == state(emulated)
    assert native.count == emulated.count
    assert any(exit.address == at for exit in emulated.run.trace.exits)
    assert [event.reason for event in emulated.run.trace.events] == ["general-protection"]


@pytest.mark.parametrize("register", ["ds", "es", "fs", "gs"])
def test_a_null_selector_needs_no_table_and_no_exit(register):
    load = f"mov %eax, %{register}"
    native, emulated = (execute(monitor, "mov $3, %eax", load) for monitor in (Native, TrapAndEmulate))
    assert state(native) == state(emulated)
    assert "segment-load" not in emulated.run.trace.by_reason()


@pytest.mark.parametrize("name", ["cli", "sti", "in $0x80, %al", "out %al, $0x80"])
def test_with_an_iopl_of_3_ring_3_may_touch_interrupts_and_ports(name):
    native, emulated = (execute(monitor, "", name, ring=3, eflags=0x3002) for monitor in (Native, TrapAndEmulate))
    assert (native.status, emulated.status) == (3, 3)
    assert state(native) == state(emulated)


def test_hlt_waits_or_ends():
    for monitor in (Native, TrapAndEmulate):
        asleep = bare("cli; nop; hlt", monitor)
        assert (asleep.outcome, asleep.count) == ("halted", 3)
        assert "interrupts disabled" in asleep.detail
        forgotten = bare("sti; hlt", monitor)
        assert (forgotten.outcome, forgotten.count) == ("halted", 2)
        assert "no device" in forgotten.detail
    assert asleep.run.trace.by_reason() == {"cli": 1, "hlt": 1}


def test_rdpmc_finds_no_counters():
    for monitor in (Native, TrapAndEmulate):
        assert execute(monitor, "", "rdpmc").status == 6
        assert execute(monitor, "mov $0x100, %eax; mov %eax, %cr4", "rdpmc").status == 6
    counted = execute(TrapAndEmulate, "mov $0x100, %eax; mov %eax, %cr4", "rdpmc")
    assert counted.run.trace.by_reason()["rdpmc"] == 1


def test_sysenter_and_sysexit_there_and_back():
    program = f"""
        mov     $0x174, %ecx; xor %edx, %edx; mov ${SPARE}, %eax; wrmsr
        inc     %ecx; mov ${STACK}, %eax; wrmsr
        inc     %ecx; mov $kernel, %eax; wrmsr
        mov     $user, %edx; mov $0x9000, %ecx
        sysexit
user:   mov     %esp, %ebx
        mov     $0x77, %eax
here:   sysenter
        ud2
kernel: mov     %esp, %esi
        int3"""
    gates = {3: gate(0x204018, dpl=3)}
    native, emulated = (bare(program, monitor, gates=gates) for monitor in (Native, TrapAndEmulate))
    for result in (native, emulated):
        assert (result.status, result.regs[3], result.regs[6]) == (3, 0x9000, STACK)
    assert state(native) == state(emulated)
    assert native.count == emulated.count == 4 + 3 + 3 + 2 + 1 + 3 + 1 + 1 + 2
    assert emulated.run.trace.by_reason()["sysenter"] == 1


@pytest.mark.parametrize("ring", [0, 3])
def test_sysenter_that_nobody_has_set_up_is_a_fault(ring):
    for monitor in (Native, TrapAndEmulate):
        result = execute(monitor, "nop", "sysenter", ring=ring)
        assert (result.status, frame(result, 2)) == (13, [0, result.symbols["here"]])


NO_REGISTERS = ["mov %cr1, %eax", "mov %eax, %cr1", "mov %cr5, %eax", "mov %eax, %cr7", "ud2", ".byte 0x0f, 0xff"]


@pytest.mark.parametrize("instruction", NO_REGISTERS)
def test_what_does_not_exist_is_an_invalid_opcode(instruction):
    for monitor in (Native, TrapAndEmulate):
        result = execute(monitor, "nop", instruction)
        assert (result.status, frame(result, 1)) == (6, result.symbols["here"])


def test_reserved_bits_of_cr4_are_refused():
    for monitor in (Native, TrapAndEmulate):
        result = execute(monitor, "mov $0x100000, %eax", "mov %eax, %cr4")
        assert (result.status, frame(result, 2)) == (13, [0, result.symbols["here"]])


# ------------------------------------------------------------------------------------------------- the reasons
def test_a_trace_takes_no_reason_that_the_table_does_not_have():
    log = Log(REASONS)
    for name in REASONS:
        log.add(name, CODE, "nop", 1)
    assert list(log.counts()) == sorted(REASONS)
    with pytest.raises(ValueError, match="'vmexit' is not in the table"):
        log.add("vmexit", CODE, "nop", 1)


def test_the_table_has_no_reason_that_never_occurs():
    """Together with these instructions, the kernel's workloads give every reason that trapping can have."""
    import pvlab
    found = {"rdpmc", "sysenter", *(reason for reason, _, _ in INSTRUCTIONS)}
    for workload in ("page-fault", "divide-error", "timer", "idle"):
        found |= set(TrapAndEmulate().run(pvlab.guest("kernel", workload=workload, n=2)).trace.by_reason())
    assert found | {"mmio:read", "mmio:write", "world-switch"} == set(TRAPPED)    # test_mmio.py and test_io.py have those

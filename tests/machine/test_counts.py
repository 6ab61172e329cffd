"""Exact counts of guest instructions, although nobody counts instructions.

Virtual time, timers, budgets and every figure of the course are instruction counts, so a count that is off by one is
a timer that fires elsewhere and an output that differs. Counting each instruction would cost ten times the run. The
lab counts basic blocks as they are entered, and corrects itself where a block is not what it was: left in the middle
by a fault, left for code that it has just overwritten, entered once more for each repetition of a REP. These programs
are short enough to be counted by hand; the number after each is that count.

A count is of retired instructions: one that faults counts when it is done at last, a REP counts once, HLT and INT n
count.
"""
import struct

import pytest
from machine.bare import CODE, DATA, GDT, MIB, SPARE, bare, build

import pvlab.machine.engine
import pvlab.monitors.base
from pvlab.guests.catalogue import Guest
from pvlab.guests.image import Image
from pvlab.machine.x86 import cpu as c
from pvlab.machine.x86.segments import descriptor
from pvlab.monitors import Native, TrapAndEmulate

BOTH = pytest.mark.parametrize("monitor", [Native, TrapAndEmulate], ids=lambda m: m.name)

PROGRAMS = [   # name, program (HLT with interrupts off ends it), instructions
    ("one instruction", "hlt", 1),
    ("straight code", "nop; nop; nop; hlt", 4),
    ("a block longer than the engine's", ".fill 5000, 1, 0x90; hlt", 5001),
    ("long instructions", "xor %eax, %eax; movl $1, %es:0x210000(,%eax,1); lock; incl 0x210000; hlt", 4),
    ("a jump", "jmp 1f; nop; 1: hlt", 2),
    ("a loop", "mov $10, %ecx; 1: dec %ecx; jnz 1b; hlt", 1 + 2 * 10 + 1),
    ("a loop of one instruction", "mov $1000, %ecx; 1: loop 1b; hlt", 1 + 1000 + 1),
    ("loops in loops", "mov $7, %edx; 2: mov $5, %ecx; 1: loop 1b; dec %edx; jnz 2b; hlt", 1 + 7 * (1 + 5 + 2) + 1),
    ("a call", "call 1f; hlt; 1: nop; ret", 4),
    ("a hundred calls", "mov $100, %ecx; 1: call 2f; loop 1b; hlt; 2: inc %eax; ret", 1 + 100 * 4 + 1),
    ("a jump into the middle of a block", "xor %edx, %edx; jmp 2f; 1: nop; 2: nop; inc %edx; cmp $3, %edx; jne 1b; hlt",
     2 + 4 + 2 * 5 + 1),
    ("overlapping instructions", "jmp 1f + 1; 1: .byte 0xb8; nop; nop; nop; hlt", 1 + 4),

    ("REP, no repetition", "xor %ecx, %ecx; mov $0x210000, %edi; rep stosb; hlt", 4),
    ("REP, one repetition", "mov $1, %ecx; mov $0x210000, %edi; rep stosb; hlt", 4),
    ("REP, five repetitions", "mov $5, %ecx; mov $0x210000, %edi; rep stosb; hlt", 4),
    ("REP, many repetitions", "mov $60000, %ecx; mov $0x210000, %edi; rep stosb; hlt", 4),
    ("REP, backwards", "std; mov $50, %ecx; mov $0x210000, %edi; rep stosl; cld; hlt", 6),
    ("REPE that ends early", "mov $50, %ecx; mov $0x210000, %edi; mov $1, %al; repe scasb; hlt", 5),
    ("REPNE that ends early", "mov $50, %ecx; mov $0x210000, %edi; mov $0, %al; repne scasb; hlt", 5),
    ("REP CMPS", "mov $50, %ecx; mov $0x210000, %edi; mov $0x211000, %esi; repe cmpsb; hlt", 5),
    ("REP LODS", "mov $50, %ecx; mov $0x210000, %esi; rep lodsl; hlt", 4),
    ("REP with a 16-bit counter", "mov $0x10005, %ecx; mov $0x1000, %edi; addr16 rep stosb; hlt", 4),
    ("REP after REP", "mov $5, %ecx; mov $0x210000, %edi; rep stosb; mov $5, %ecx; rep stosb; hlt", 6),
    ("two REPs side by side", "mov $0x210000, %edi; mov %edi, %esi; mov $5, %ecx; rep stosb; rep movsb; hlt", 6),
    ("REP in a loop", "mov $20, %edx; 1: mov $9, %ecx; mov $0x210000, %edi; rep stosb; dec %edx; jnz 1b; hlt",
     1 + 20 * 5 + 1),
    ("a jump to a REP", "mov $3, %edx; 1: mov $0x210000, %edi; mov $4, %ecx; jmp 2f; nop; 2: rep stosb; dec %edx;"
     "jnz 1b; hlt", 1 + 3 * 6 + 1),
    ("a REP that does nothing, in a loop", "mov $5, %edx; mov $0x210000, %edi; xor %ecx, %ecx;"
     "1: rep stosb; dec %edx; jnz 1b; hlt", 3 + 5 * 3 + 1),
    ("REP OUTS", "mov $9, %ecx; mov $0x210000, %esi; mov $0x80, %edx; rep outsb; hlt", 5),
    ("REP INS", "mov $9000, %ecx; mov $0x210000, %edi; mov $0x80, %edx; rep insb; hlt", 5),
    ("REP INS, no repetition", "xor %ecx, %ecx; mov $0x80, %edx; rep insb; hlt", 4),
    ("ports", "mov $10, %ecx; 1: in $0x80, %al; out %al, $0x80; loop 1b; hlt", 1 + 10 * 3 + 1),
]


@BOTH
@pytest.mark.parametrize("name, program, count", PROGRAMS, ids=[row[0] for row in PROGRAMS])
def test_a_program_counts_as_by_hand(name, program, count, monitor):
    result = bare(program, monitor)
    assert (result.outcome, result.count) == ("halted", count)


SKIP = """
skip:   add     $4, %esp            # the error code
plain:  mov     %ebp, (%esp)        # go on where the program says
        iret
"""
FAULTY = [     # blocks left in the middle: name, program, instructions (those of the handler, 3 or 2, included)
    ("first in its block", "mov $1f, %ebp; jmp 2f; 2: ud2; 1: hlt", 2 + 2 + 1),
    ("in the middle of its block", "mov $1f, %ebp; nop; nop; ud2; nop; 1: nop; hlt", 3 + 2 + 2),
    ("last in its block", "mov $1f, %ebp; nop; ud2; jmp 1f; nop; 1: hlt", 2 + 2 + 1),
    ("with an error code", "mov $1f, %ebp; mov $0x1238, %eax; mov %eax, %ds; nop; 1: nop; hlt", 2 + 3 + 2),
    ("a division by zero", "mov $1f, %ebp; xor %ecx, %ecx; nop; div %ecx; nop; 1: hlt", 3 + 2 + 1),
    ("a hundred times", "mov $100, %esi; mov $1f, %ebp; 2: nop; ud2; nop; 1: dec %esi; jnz 2b; hlt",
     2 + 100 * (1 + 2 + 2) + 1),
    ("the same block, faulting or not", "mov $6, %esi; mov $1f, %ebp; 2: mov %esi, %ecx; and $1, %ecx; xor %edx, %edx;"
     "mov $7, %eax; div %ecx; nop; 1: dec %esi; jnz 2b; hlt", 2 + 3 * (4 + 2 + 2) + 3 * (4 + 2 + 2) + 1),
    ("a page of code that is not there", "mov $1f, %ebp; mov $0x1238, %eax; lcall $0x1238, $0; nop; 1: hlt", 2 + 3 + 1),
    ("INT n in the middle", "mov $1f, %ebp; nop; int $0x80; nop; nop; 1: nop; hlt", 3 + 2 + 2),
    ("INT n through a closed gate", "mov $1f, %ebp; int $0x81; nop; 1: hlt", 1 + 3 + 1),
    ("INT3", "mov $1f, %ebp; nop; int3; nop; 1: hlt", 3 + 2 + 1),
    ("INTO that does not trap", "mov $1f, %ebp; xor %eax, %eax; into; nop; 1: hlt", 5),
    ("INTO that traps", "mov $1f, %ebp; mov $0x7fffffff, %eax; inc %eax; into; nop; 1: hlt", 4 + 2 + 1),
    ("an undefined opcode", "mov $1f, %ebp; nop; .byte 0x0f, 0xff; nop; 1: hlt", 2 + 2 + 1),
    ("a LOCK where none may be", "mov $1f, %ebp; nop; .byte 0xf0; nop; nop; 1: hlt", 2 + 2 + 1),
    ("a port that is closed", "mov $1f, %ebp; push $0x23; push $0x23; nop; .byte 0x0f, 0x0b; 1: hlt", 4 + 2 + 1),
]


@BOTH
@pytest.mark.parametrize("name, program, count", FAULTY, ids=[row[0] for row in FAULTY])
def test_a_block_left_in_the_middle_counts_what_it_did(name, program, count, monitor):
    closed = struct.pack("<II", 8 << 16, 0)                # a gate that is none: INT 0x81 raises #GP
    gates = {13: "skip", 11: "skip", 10: "skip", 0: "plain", 3: "plain", 4: "plain", 6: "plain", 0x80: "plain",
             0x81: closed}
    result = bare(program + SKIP, monitor, gates=gates)
    assert (result.outcome, result.count) == ("halted", count)


PAGING = """
        mov     $0x300000, %edi         # a directory whose first table maps the first 4 MiB as they are: 3 instructions
        movl    $0x301007, (%edi)
        mov     $0x301000, %edi
        mov     $7, %eax
        mov     $1024, %ecx
1:      stosl                           # then 3 for each of 1,024 entries
        add     $0x1000, %eax
        loop    1b
        mov     $0x300000, %eax         # and 4
        mov     %eax, %cr3
        mov     $0x80010011, %eax
        mov     %eax, %cr0
"""
PAGING_COUNT = 5 + 3 * 1024 + 4
REP_FAULT = PAGING + """
        movl    $0, 0x301844            # pages 0x211000 and 0x213000 are missing
        movl    $0, 0x30184c
        mov     $0x210f00, %edi
        mov     $0x218000, %esi
        mov     $0x2400, %ecx
        rep     movsb
        nop
        hlt
repair: push    %eax                    # 8 instructions: map the page that is missing
        mov     %cr2, %eax
        and     $0xfffff000, %eax
        push    %ecx
        mov     %eax, %ecx
        or      $7, %eax
        shr     $12, %ecx
        mov     %eax, 0x301000(,%ecx,4)
        pop     %ecx
        pop     %eax
        incl    faults
        add     $4, %esp
        iret
        .align 4
faults: .long   0
"""


@BOTH
def test_a_rep_that_faults_twice_on_its_way_counts_once(monitor):
    result = bare(REP_FAULT, monitor, gates={14: "repair"}, memory={0x218000: bytes(range(256)) * 0x24})
    assert (result.outcome, result.words("faults"), result.regs[c.ECX]) == ("halted", 2, 0)
    assert result.machine.ram.read(0x210F00, 0x2400) == bytes(range(256)) * 0x24
    assert result.count == PAGING_COUNT + 5 + 1 + 2 + 2 * 13


TIMER = """
        mov     $0x11, %al; out %al, $0x20      # 17 instructions: interrupt controller and timer
        mov     $0x20, %al; out %al, $0x21
        mov     $4, %al; out %al, $0x21
        mov     $1, %al; out %al, $0x21
        mov     $0xfe, %al; out %al, $0x21
        mov     $0x34, %al; out %al, $0x43
        mov     ${reload}, %al; out %al, $0x40
        mov     $0, %al; out %al, $0x40
        sti
"""
TICK = """
tick:   push    %eax                            # 6 instructions
        incl    ticks
        mov     $0x20, %al
        out     %al, $0x20
        pop     %eax
        iret
        .align 4
ticks:  .long   0
"""
REP_TIMER = TIMER.format(reload=2) + """
        mov     $4000, %edx
        mov     $0x210000, %ebx
1:      mov     $7, %ecx                        # 6 instructions, 7 bytes
        mov     %ebx, %edi
rep_at: rep     stosb
        mov     %edi, %ebx
        dec     %edx
        jnz     1b
        cli
        hlt
""" + TICK


@BOTH
def test_a_rep_that_the_timer_interrupts_counts_once(monitor):
    result = bare(REP_TIMER, monitor, gates={0x20: "tick"}, eflags=2)
    ticks = result.words("ticks")
    where = [event.address for event in result.run.trace.events]
    assert len(where) == ticks > 10
    assert where.count(result.symbols["rep_at"]) >= 3, "some ticks came between two repetitions"
    assert result.regs[c.EDI] == 0x210000 + 7 * 4000
    assert result.count == 17 + 2 + 4000 * 6 + 2 + 6 * ticks


@BOTH
@pytest.mark.parametrize("reload", [2, 3, 5, 7])
def test_a_loop_that_the_timer_interrupts_counts_the_same_on_each_run(reload, monitor):
    program = TIMER.format(reload=reload) + "mov $30000, %ecx; 1: nop; loop 1b; cli; hlt" + TICK
    first, second = (bare(program, monitor, gates={0x20: "tick"}) for _ in range(2))
    assert first.count == second.count == 17 + 1 + 30000 * 2 + 2 + 6 * first.words("ticks")
    assert list(first.run.trace.events) == list(second.run.trace.events)
    # One tick of the timer is 838 nanoseconds, one instruction is one: so many ticks fit, less than one lost.
    assert abs(first.words("ticks") - first.count * 1_193_182 // 10**9 // reload) <= 1


# ------------------------------------------------------------------------------------- code that changes
CHANGING = [   # name, program, EAX at the end, instructions
    ("the next instruction", "xor %eax, %eax; movb $0x90, 1f; 1: inc %eax; hlt", 0, 4),
    ("a later one in its block", "xor %eax, %eax; nop; movb $0x90, 1f; nop; inc %eax; 1: inc %eax; nop; hlt", 1, 8),
    ("the last one of its block", "mov $1f, %eax; movb $2f - 1f, 1f - 1; nop; jmp 1f; 1: inc %eax;"
     "2: sub $1b, %eax; hlt", 0, 6),
    ("an earlier one", "xor %eax, %eax; 1: inc %eax; movb $0x90, 1b; nop; hlt", 1, 5),
    ("itself", "xor %eax, %eax; nop; 1: movb $0x90, 1b; inc %eax; hlt", 1, 5),
    ("an earlier one, in a loop", "xor %eax, %eax; mov $9, %ecx; 1: inc %eax; movb $0x90, 1b; nop; loop 1b; hlt", 1,
     2 + 9 * 4 + 1),
    ("a later one, in a loop", "xor %eax, %eax; mov $9, %ecx; 1: mov %ecx, %edx; and $1, %edx; mov 3f(%edx), %dl;"
     "mov %dl, 2f; nop; 2: nop; loop 1b; hlt; 3: .byte 0x90, 0x40", 5, 2 + 9 * 7 + 1),
    ("a constant of the loop itself", "mov $50, %ecx; 1: mov $0, %eax; incl 1b + 1; loop 1b; hlt", 49, 1 + 50 * 3 + 1),
    ("two stores in a row", "xor %eax, %eax; movb $0x90, 1f; movb $0x90, 2f; 1: inc %eax; 2: inc %eax;"
     "inc %eax; hlt", 1, 7),
    ("another block", "xor %eax, %eax; call 1f; movb $0x48, 1f; call 1f; call 1f; hlt; 1: inc %eax; ret",
     0xFFFFFFFF, 1 + 3 + 1 + 6 + 1),
    ("another page", "xor %eax, %eax; call 1f; movb $0x48, 1f; call 1f; hlt; .align 4096; 1: inc %eax; ret",
     0, 1 + 3 + 1 + 3 + 1),
    ("a PUSH over its own block", "xor %eax, %eax; mov $1f + 4, %esp; push $0x90909090; 1: inc %eax; inc %eax;"
     "inc %eax; inc %eax; hlt", 0, 3 + 4 + 1),
    ("a REP over the code behind it", "xor %eax, %eax; mov $1f, %edi; mov $0x90, %al; mov $3, %ecx; rep stosb;"
     "1: inc %edi; inc %edi; inc %edi; sub $1b, %edi; mov %edi, %eax; hlt", 3, 11),
    ("a function, back and forth", "xor %eax, %eax; mov $10, %ecx; 2: mov $0x48, %dl; test $1, %cl; jz 3f;"
     "mov $0x40, %dl; 3: mov %dl, 1f; call 1f; loop 2b; hlt; 1: inc %eax; ret", 0, 2 + 5 * 8 + 5 * 9 + 1),
]


@BOTH
@pytest.mark.parametrize("name, program, eax, count", CHANGING, ids=[row[0] for row in CHANGING])
def test_code_that_overwrites_code_counts_as_by_hand(name, program, eax, count, monitor):
    result = bare(program, monitor)
    assert (result.outcome, result.regs[c.EAX], result.count) == ("halted", eax, count)


TWO_SPACES = PAGING + """
        mov     $0x302000, %edi         # 8: a second directory and table
        mov     $0x303007, %eax
        mov     %eax, (%edi)
        mov     $0x301000, %esi
        mov     $0x303000, %edi
        mov     $1024, %ecx
        rep     movsl
        movl    $0x221007, 0x303880     # there, page 0x220000 is page 0x221000
        mov     $100, %edx
1:      mov     $0x302000, %eax         # 7 and the two calls: 3 and 5
        mov     %eax, %cr3
        call    2f
        mov     $0x300000, %eax
        mov     %eax, %cr3
        call    2f
        dec     %edx
        jnz     1b
        hlt
2:      mov     $0x220000, %eax
        jmp     *%eax
"""


@BOTH
def test_the_same_address_in_two_address_spaces_is_other_code(monitor):
    functions = {0x220000: bytes.fromhex("43 c3"), 0x221000: bytes.fromhex("90 43 43 c3")}   # inc %ebx; ret
    result = bare(TWO_SPACES, monitor, memory=functions)
    assert (result.outcome, result.regs[c.EBX] & 0xFFFF) == ("halted", (0x1000 + 300) & 0xFFFF)
    assert result.count == PAGING_COUNT + 9 + 100 * (8 + 2 * 2 + 2 + 4) + 1


def test_a_full_code_buffer_is_emptied_and_nothing_is_counted_twice(monkeypatch):
    """8,000 blocks do not fit into a megabyte of translated code: each of three rounds translates them again."""
    blocks = 8000
    program = f"mov $3, %ecx; 1: .rept {blocks}; jmp .+2; .endr; dec %ecx; jz 2f; jmp 1b; 2: hlt"
    expected = 1 + 3 * (blocks + 3) - 1 + 1
    assert bare(program).count == expected
    monkeypatch.setattr(pvlab.machine.engine, "_CODE_BUFFER", 1 << 20)
    small = bare(program)
    assert (small.outcome, small.count) == ("halted", expected)
    assert small.machine.overhead > 1.5 * blocks * 1000, "blocks were in fact translated more than once"


def test_instructions_are_16_bits_wide_where_the_segment_is():
    """The same bytes are other instructions there: B8 takes two bytes of operand, and 66 makes them four."""
    narrow = {GDT + SPARE: descriptor(0, 0xFFFFFFFF, 0x9B00)}
    result = bare(f"""
        ljmp    ${SPARE}, $0x4000
back:   hlt""", memory=narrow | {0x4000: bytes.fromhex(
        "b8 34 12"                # mov $0x1234,%ax
        "66 bb 78 56 34 12"       # mov $0x12345678,%ebx
        "b9 05 00 49 75 fd"       # mov $5,%cx; 1: dec %cx; jnz 1b
        "bf 00 50 b9 09 00 f3 aa"  # mov $0x5000,%di; mov $9,%cx; rep stosb
        "66 ea 07 00 10 00 08 00")})   # ljmpl $8,$CODE + 7
    assert (result.outcome, result.regs[c.EAX] & 0xFFFF, result.regs[c.EBX]) == ("halted", 0x1234, 0x12345678)
    assert result.count == 1 + 2 + 1 + 5 * 2 + 3 + 1 + 1


# ------------------------------------------------------------------------------------- budgets
@BOTH
@pytest.mark.parametrize("budget", [1, 2, 999, 1000, 12345])
def test_an_endless_loop_spends_its_budget(budget, monitor):
    """The run stops at the first end of a block at or past the budget, and at the same one each time."""
    runs = [bare("1: nop; nop; jmp 1b", monitor, budget=budget) for _ in range(2)]
    for result in runs:
        assert result.outcome == "budget"
        assert result.count == -(-budget // 3) * 3
        assert f"after {result.count:,} instructions" in result.detail


STORMS = [     # guests that do little but keep the host busy
    ("a port", "1: in $0x80, %al; jmp 1b"),
    ("INT n", "1: int $0x80; jmp 1b"),
    ("an exception without an end", "nop; ud2"),
    ("a REP without an end", "mov $0xffffffff, %ecx; mov $0x220000, %edi; rep stosb; hlt"),
    ("a REP without an end, of reads", "mov $0xffffffff, %ecx; mov $0x220000, %esi; rep lodsb; hlt"),
    ("a REP OUTS without an end", "mov $0xffffffff, %ecx; mov $0x220000, %esi; mov $0x80, %edx; rep outsb; hlt"),
    ("a block that rewrites what it will run", "1: incl 2f + 1; nop; 2: mov $0, %eax; jmp 1b"),
    ("a block that rewrites what it has run", "1: mov $0, %eax; incl 1b + 1; jmp 1b"),
    ("a block that rewrites the next", "1: incl 2f + 1; jmp 2f; 2: mov $0, %eax; jmp 1b"),
]


@BOTH
@pytest.mark.parametrize("name, program", STORMS, ids=[row[0] for row in STORMS])
def test_a_guest_that_keeps_the_host_busy_has_a_limit(name, program, monitor, monkeypatch):
    """What the host does beside instructions is weighed: so the limit is the same on every machine and in every run."""
    monkeypatch.setattr(pvlab.monitors.base, "ALLOWANCE", 200_000)
    program += "\nnothing: iret"
    runs = [bare(program, monitor, gates={6: "nothing", 0x80: "nothing"}, budget=100_000) for _ in range(2)]
    for result in runs:
        assert result.outcome == "budget"
        assert result.count < 100_010
        spent = result.machine.overhead + pvlab.monitors.base.VISIT * result.monitor._visits
        # The limit is looked at between slices, so it may be passed by one: some 10 ms, a quarter of a second at most.
        assert spent <= 300_000 + 12_000_000
    assert runs[0].count == runs[1].count
    assert runs[0].detail == runs[1].detail


def test_a_rep_over_the_end_of_memory_crashes_there():
    result = bare(f"mov $0xffffffff, %ecx; mov ${4 * MIB - 1000}, %edi; rep stosb; hlt")
    assert (result.outcome, result.regs[c.EDI], result.count) == ("crashed", 4 * MIB, 2)
    assert "0x400000 is not memory" in result.detail


@BOTH
def test_progress_is_told_within_a_single_instruction(monitor):
    """One REP over sixteen million bytes is more than a slice: somebody is waiting for it, and may want to stop it."""
    code, _ = build("mov $0x300000, %ecx; mov $0x200000, %edi; rep stosb; cli; hlt")
    told = []
    run = monitor().run(Guest("bare", "", {}, Image(CODE, [(CODE, code, len(code))], {}, None, DATA), 8 * MIB),
                        progress=lambda done, budget: told.append(done))
    assert (run.outcome, run.instructions) == ("halted", 5)
    assert len(told) >= 3 and set(told) == {3}

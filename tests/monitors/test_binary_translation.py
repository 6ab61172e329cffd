"""The translator at work on programs of a few lines: what it makes of them, and that they end as on the bare machine."""
import pytest
from machine.bare import CODE, DATA, STACK, bare, build, code_of, data_of

from pvlab.machine.x86 import cpu as c
from pvlab.monitors import BinaryTranslation, Native
from pvlab.monitors.binary_translation import classify as k
from pvlab.monitors.binary_translation.classify import decode
from pvlab.monitors.binary_translation.translate import LONGEST, read_unit


def translated(**options):
    """The monitor with other options, as a class."""
    class Translated(BinaryTranslation):
        def __init__(self):
            super().__init__(**options)
    return Translated


class Stopping(BinaryTranslation):
    """Leaves the cache wherever it can be left between two guest instructions."""

    def enter(self, until):
        return super().enter(min(until, self.machine.instructions + 1))


def both(text, monitor=BinaryTranslation, **how):
    """The program's ends on the bare machine and under translation, which must be alike to the last flag."""
    native, other = bare(text, Native, **how), bare(text, monitor, **how)
    assert (native.outcome, native.status, native.count) == (other.outcome, other.status, other.count)
    assert native.regs[:] == other.regs[:] and native.machine.eip == other.machine.eip
    assert native.processor.eflags & ~c.RF == other.processor.eflags & ~c.RF
    assert native.machine.ram.bytes[:] == other.machine.ram.bytes[:]
    assert [event[:2] for event in native.run.trace.events] == [event[:2] for event in other.run.trace.events]
    return other


def exits(result):
    return dict(result.run.trace.by_reason())


# ---------------------------------------------------------------------------------------------- decoding
KINDS = [
    ("mov %eax, 4(%ebx)", k.IDENT), ("rep movsl", k.IDENT), ("cpuid", k.IDENT), ("push %ds", k.IDENT), ("ud2", k.IDENT),
    ("mov %ds, %eax", k.IDENT), ("lock cmpxchg8b (%esi)", k.IDENT), ("fldpi", k.IDENT), ("push 4(%eax)", k.IDENT),
    ("1: jmp 1b", k.JUMP), ("1: jne 1b", k.BRANCH), (".byte 0x0f, 0x85, 0, 0, 0, 0", k.BRANCH), ("1: loopne 1b", k.LOOP),
    ("1: addr16 jecxz 1b", k.LOOP), ("call main", k.CALL), ("ret", k.RETURN), ("ret $8", k.RETURN), ("rep; ret", k.RETURN),
    ("jmp *%eax", k.JUMP_INDIRECT), ("call *%fs:8(%eax)", k.CALL_INDIRECT), ("ljmp *8(%eax)", k.CALLOUT),
    ("cli", k.CLI), ("sti", k.STI), ("pushf", k.PUSHF), ("popf", k.POPF), ("pushfw", k.CALLOUT), ("popfw", k.CALLOUT),
    ("mov %cr3, %eax", k.READ_CONTROL), ("mov %eax, %cr3", k.CALLOUT), ("mov %eax, %cr2", k.WRITE_CR2),
    ("mov %cs, %eax", k.READ_WORD), ("mov %ss, (%eax)", k.READ_WORD), ("mov %cs, %ax", k.CALLOUT), ("push %cs", k.PUSH_WORD),
    ("sldt %eax", k.READ_WORD), ("str (%eax)", k.READ_WORD), ("smsw %eax", k.READ_WORD), ("sgdt %gs:(%eax)", k.STORE_TABLE),
    ("lgdt (%eax)", k.CALLOUT), ("lar %eax, %ecx", k.CALLOUT), ("verw %ax", k.CALLOUT), ("mov %eax, %es", k.CALLOUT),
    ("hlt", k.CALLOUT), ("in $0x80, %al", k.CALLOUT), ("rep outsb", k.CALLOUT), ("int $0x80", k.CALLOUT), ("int3", k.CALLOUT),
    ("iret", k.CALLOUT), ("lret", k.CALLOUT), ("les (%eax), %ecx", k.CALLOUT), ("rdtsc", k.CALLOUT), ("invlpg (%eax)", k.CALLOUT),
    (".byte 0x66, 0xe9, 0, 0", k.CALLOUT), (".byte 0x0f, 0x04", k.INVALID),
]


def test_each_instruction_is_of_its_kind():
    # one program for all: the assembler is the slowest part
    code, symbols = build("main:\n" + "\n".join(f"at{i}: {text}" for i, (text, _) in enumerate(KINDS)))
    for i, (text, kind) in enumerate(KINDS):
        at = symbols[f"at{i}"]
        found = next(decode(code[at - CODE:at - CODE + 15].ljust(15, b"\x90"), at, 1))
        assert (text, found.kind) == (text, kind)


@pytest.mark.parametrize("text, size, last", [
    ("nop\n" * 30, LONGEST, k.IDENT), ("nop; nop; jmp .; nop", 3, k.JUMP), ("nop; hlt; nop", 2, k.CALLOUT),
    ("nop; sti; nop; hlt", 4, k.CALLOUT), ("nop; sti; cli; hlt", 4, k.CALLOUT), ("nop; .byte 0x0f, 0x04", 1, k.IDENT),
    ("nop\n" * 11 + "sti; nop; nop", 11, k.IDENT), ("nop\n" * 10 + "sti; nop; nop", 12, k.IDENT)])
def test_a_unit_ends_where_it_must(text, size, last):
    code, _ = build(text)
    unit = read_unit(code.ljust(64, b"\x90"), CODE)
    assert (len(unit), unit[-1].kind) == (size, last)


def test_a_unit_stays_in_its_page():
    code = b"\x90" * 64
    assert len(read_unit(code, 0x100FFB)) == 5
    assert len(read_unit(b"\x90\xb8" + bytes(16), 0x100FFE)) == 1, "the next begins here and ends in the next page"
    assert len(read_unit(b"\xb8" + bytes(16), 0x100FFF)) == 1


# ---------------------------------------------------------------------------------------------- running
PROGRAMS = {
    "straight code": "mov $1, %eax; inc %eax; add $5, %eax; hlt",
    "flags live through a call and a return": "xor %eax, %eax; sub $1, %eax; call 1f; pushf; pop %edx; hlt; 1: ret",
    "flags live through in-cache emulation": "mov $0x7fffffff, %eax; inc %eax; stc; cli; push %cs; pop %ecx; mov %cr0, %ebx;"
                                             "pushf; pop %edx; hlt",
    "conditions": "mov $20, %ecx; xor %eax, %eax; 1: add %ecx, %eax; test $3, %al; jnp 2f; inc %edx; 2: jo 3f; inc %esi; 3:"
                  "dec %ecx; jnz 1b; hlt",
    "loops": "mov $9, %ecx; 1: inc %eax; loop 1b; mov $9, %ecx; 2: inc %edx; cmp $4, %edx; loopne 2b; jecxz 3f; inc %esi; 3:"
             "mov $3, %ecx; 4: cmp %eax, %eax; loope 4b; xor %cx, %cx; addr16 jecxz 5f; ud2; 5: hlt",
    "calls of every form": f"mov $there, %eax; call *%eax; movl $there, {DATA}; call *{DATA}; mov ${DATA}, %ecx;"
                           f"call *(%ecx); push ${DATA}; call *%ds:{DATA}; call there; push $there; call *(%esp); hlt;"
                           "there: inc %edx; ret",
    "jumps of every form": f"mov $1f, %ecx; jmp *%ecx; ud2; 1: movl $2f, {DATA}; jmp *{DATA}; ud2; 2: push $3f; ret; ud2; 3:"
                           "push $4f; jmp *(%esp); ud2; 4: hlt",
    "returns that release": "push $1; push $2; call 1f; hlt; 1: inc %eax; ret $8",
    "a return address that is looked at": "call 1f; 1: pop %eax; push %eax; add $9, %eax; hlt",
    "a return address that is changed": "call 1f; ud2; 1: movl $2f, (%esp); ret; ud2; 2: hlt",
    "a hundred returns to two places": "mov $100, %ecx; 1: call 2f; call 2f; loop 1b; hlt; 2: inc %eax; ret",
    "interrupt flag": "sti; pushf; pop %eax; cli; pushf; pop %ecx; push %eax; popf; pushf; pop %edx; cli; hlt",
    "flags by POPF": "push $0x202cd7; popf; pushf; pop %eax; push $2; popf; pushf; pop %ecx; cli; hlt",
    "I/O privilege by POPF": "pushf; orl $0x3000, (%esp); popf; pushf; pop %eax; push $2; popf; pushf; pop %ecx; hlt",
    "16-bit flags": "pushfw; pop %ax; orw $0x2d5, %ax; push %ax; popfw; pushf; pop %edx; cli; hlt",
    "selectors": f"mov %cs, %eax; mov %ss, %ecx; push %cs; push %ss; mov %cs, {DATA}; mov %ss, {DATA}(,%ecx,1); sldt %ebx;"
                 f"str %edx; str {DATA + 4}; smsw %esi; smsw {DATA + 8}; sldt {DATA + 12}; hlt",
    "tables": f"sgdt {DATA}; mov ${DATA}, %ebx; sidt 0x10(%ebx); lea 0x7f(%ebx), %eax; mov $1, %ecx; sgdt 4(%eax,%ecx,8);"
              f"mov %esp, %edx; mov ${DATA} + 0x100, %esp; sidt (%esp); sidt -8(%esp); mov %edx, %esp; data16 sgdt {DATA + 64};"
              "hlt",
    "rights and limits": f"mov ${data_of(0)}, %eax; lar %eax, %ecx; lsl %eax, %edx; verr %ax; setz %bl; verw %ax; setz %bh;"
                         "mov $0xfff8, %eax; lar %eax, %ecx; pushf; pop %edi; mov $8, %eax; verw %ax; pushf; pop %esi; hlt",
    "control registers": "mov %cr0, %eax; mov %cr3, %ecx; mov %cr4, %edx; mov %edx, %cr2; mov %cr2, %ebx; hlt",
    "strings": f"mov $7, %ecx; mov ${DATA}, %edi; mov $CODE, %esi; rep movsb; std; mov $3, %ecx; rep stosl; cld; hlt"
               f"; .set CODE, {CODE}",
    "an exchange of 8 bytes": f"mov $1, %ebx; xor %eax, %eax; xor %edx, %edx; lock cmpxchg8b {DATA}; pushf; pop %esi;"
                              f"cmpxchg8b {DATA}; hlt",
    "a jump into the middle of an instruction": "mov $4, %ecx; jmp 1f + 1; 1: .byte 0xb8; inc %eax; inc %ebx; inc %edx; nop;"
                                                "dec %ecx; jnz 1b; hlt",
    "overlapping units": "mov $3, %edx; 1: inc %eax; 2: inc %ebx; 3: inc %ecx; dec %edx; js 4f; jz 3b; cmp $1, %edx; je 2b;"
                         "jmp 1b; 4: hlt",
    "an interrupt and its return": "int $0x20; inc %eax; int3; hlt; handler: incl 0x210000; iret",
    "a stack segment loaded": f"mov ${data_of(0)}, %eax; mov %ax, %ss; mov ${STACK} - 64, %esp; push %eax; hlt",
    "user code": f"push ${data_of(3)}; push $0x23f000; push $0x202; push ${code_of(3)}; push $1f; iret; 1: inc %eax; pushf; pop"
                 f" %ecx; smsw %edx; sgdt {DATA}; str %ebx; mov %cs, %esi; int $0x21; stop: hlt",
}
GATES = {0x20: "handler", 3: "handler"}


@pytest.mark.parametrize("monitor", [
    BinaryTranslation, translated(chaining=False), translated(in_cache=False), translated(cache_size=4096), Stopping],
    ids=["", "no chaining", "callouts", "a small cache", "stops everywhere"])
def test_programs_end_as_on_the_bare_machine(monitor):
    for name, text in PROGRAMS.items():
        gates = {"gates": GATES} if "handler:" in text else {"gates": {0x21: "stop"}} if "stop:" in text else {}
        try:
            both(text, monitor, **gates)
        except AssertionError as error:
            raise AssertionError(f"{name}: {error}") from error

"""CMPXCHG8B, whose flags the engine makes up where the instruction is not the first of its block.

QEMU keeps flags as the operation and operands that they would follow from. Here it forgets to say that the operation
has changed, and takes the operand of one for the flags of another: what was added is then in EFLAGS, system flags
included. A kernel that uses CMPXCHG8B for page-table entries would find interrupts enabled, or itself in
virtual-8086 mode.
"""
import pytest
import unicorn
from machine.bare import bare, build
from unicorn import x86_const as x86

from pvlab.monitors import Native, TrapAndEmulate

BOTH = pytest.mark.parametrize("monitor", [Native, TrapAndEmulate], ids=lambda monitor: monitor.name)
SYSTEM = 0x23200               # VM, IOPL and IF
PROGRAM = """
        xor     %eax, %eax
        sahf
        jmp     1f
    1:  mov     ${first}, %eax
        add     ${second}, %eax
        mov     $0, %edx
        {prefix} cmpxchg8b value
        {after}
        jmp     2f
        .align  8
value:  .long   {value}, 0
    2:  """


def test_plain_the_flags_are_the_operand_of_an_addition():
    code, symbols = build(PROGRAM.format(first=0x1000, second=0x23202, prefix="", value=7, after="pushf; pop %ebx"))
    uc = unicorn.Uc(unicorn.UC_ARCH_X86, unicorn.UC_MODE_32)
    uc.mem_map(0, 4 << 20)
    uc.mem_write(0x100000, code)
    uc.reg_write(x86.UC_X86_REG_ESP, 0x8000)
    uc.emu_start(0x100000, 0x100000 + len(code))
    assert uc.reg_read(x86.UC_X86_REG_EBX) & SYSTEM & ~0x20000 == 0x3200, "PUSHF shows IOPL 3 and interrupts on"
    assert uc.reg_read(x86.UC_X86_REG_EFLAGS) & 0x20000, "and the CPU now believes to be in virtual-8086 mode"


SUMS = [(0x1000, 0x23202), (0xFFFFFFFF, 1), (0x7FFFFFFF, 0x7FFFFFFF), (0, 0), (0x80000000, 0x80000000), (0x11, 0xF)]


@BOTH
@pytest.mark.parametrize("prefix", ["", "lock"])
@pytest.mark.parametrize("first, second", SUMS)
@pytest.mark.parametrize("equal", [True, False])
def test_only_the_zero_flag_is_changed(equal, first, second, prefix, monitor):
    """The others stay as the addition left them; LAHF and SETO tell, because PUSHF shows the real IF in ring 1."""
    total = first + second & 0xFFFFFFFF
    result = bare(PROGRAM.format(first=first, second=second, prefix=prefix, value=total if equal else total ^ 1,
                                 after="lahf; mov %ah, %bl; seto %cl") + "cli; hlt", monitor)
    assert result.outcome == "halted"
    carry, overflow = first + second > 0xFFFFFFFF, ((first ^ total) & (second ^ total)) >> 31
    adjust = (first & 15) + (second & 15) > 15
    parity = bin(total & 0xFF).count("1") % 2 == 0
    assert result.regs[3] & 0xFF == 2 | carry | parity << 2 | adjust << 4 | equal << 6 | (total >> 31) << 7
    assert result.regs[1] & 0xFF == overflow
    assert result.processor.eflags & SYSTEM == 0
    assert result.count == 3 + 3 + 1 + 3 + 1 + 2


@BOTH
def test_it_is_counted_once_and_no_exit_of_its_own(monitor):
    result = bare("mov $1000, %ecx; 1: add $3, %eax; cmpxchg8b 0x210000; dec %ecx; jnz 1b; cli; hlt", monitor)
    assert (result.outcome, result.count) == ("halted", 1 + 4 * 1000 + 2)
    assert set(result.run.trace.by_reason()) <= {"cli", "hlt"}

"""`probe` asks the bare CPU a single question: what does this instruction do in that ring?

Popek and Goldberg's condition is about single instructions, so the lesson on where x86 breaks needs them one at a
time, with no kernel and no monitor around them. An instruction outside ring 0 has three ways to go: it traps, it runs
as it would in ring 0, or it runs and quietly does something else. Only the last is a hole, and no list of exceptions
shows it: so a probe reports the trap, the interrupt flag and the registers side by side.
"""
import pytest

from pvlab.errors import PvlabError
from pvlab.guests.toolchain import GuestError
from pvlab.machine.x86.probe import probe

GP = "general-protection"

# (instructions, interrupts before, trap in ring 0, 1 and 3, IF afterwards in ring 0, 1 and 3)
ROWS = [
    ("cli", True, (None, GP, GP), (False, True, True)),
    ("sti", False, (None, GP, GP), (True, False, False)),
    ("hlt", True, (None, GP, GP), (True, True, True)),
    # POPF may not change IF outside ring 0, and says nothing: the first hole.
    ("push $2; popf", True, (None, None, None), (False, True, True)),
    ("pushf; orl $0x200, (%esp); popf", False, (None, None, None), (True, False, False)),
    ("in $0xe9, %al", True, (None, GP, GP), (True, True, True)),
    ("out %al, $0x80", True, (None, GP, GP), (True, True, True)),
    ("mov %cr0, %eax", True, (None, GP, GP), (True, True, True)),
    ("lgdt 0x8000", True, (None, GP, GP), (True, True, True)),
    ("sgdt 0x6000", True, (None, None, None), (True, True, True)),
    ("ud2", True, ("invalid-opcode",) * 3, (True, True, True)),
    ("int $0x80", True, ("int 0x80",) * 3, (True, True, True)),
    ("xor %edx, %edx; xor %ecx, %ecx; div %ecx", True, ("divide-error",) * 3, (True, True, True)),
    ("nop", False, (None, None, None), (False, False, False)),
    # The engine is stopped before these, because it would execute them wrongly.
    ("sysenter", True, (GP, GP, GP), (True, True, True)),
    (".byte 0x0f, 0x04", True, ("invalid-opcode",) * 3, (True, True, True)),
]


@pytest.mark.parametrize("code, interrupts, traps, flags", ROWS, ids=[row[0] for row in ROWS])
def test_a_probe_says_what_traps_and_what_becomes_of_the_interrupt_flag(code, interrupts, traps, flags):
    found = probe(code, rings=(0, 1, 3), interrupts=interrupts)
    assert [outcome.ring for outcome in found.outcomes] == [0, 1, 3]
    assert tuple(outcome.trap for outcome in found.outcomes) == traps
    assert tuple(outcome.interrupts for outcome in found.outcomes) == flags


def test_iret_to_the_same_ring_leaves_the_interrupt_flag_alone_outside_ring_0():
    """The hole that Robin and Irvine's list does not have: every return of a deprivileged kernel loses the flag."""
    returns = "mov %cs, %eax; push $2; push %eax; push $1f; iret; 1: nop"
    kernel, lowered = probe(returns, interrupts=True).outcomes
    assert (kernel.trap, kernel.interrupts) == (None, False)
    assert (lowered.trap, lowered.interrupts) == (None, True)


def test_the_code_segment_shows_the_ring_to_everyone():
    """MOV from CS never traps, and its two low bits are the privilege level: a kernel can see that it was lowered."""
    shown = [outcome.registers["eax"] for outcome in probe("mov %cs, %eax", rings=(0, 1, 2, 3)).outcomes]
    assert [selector & 3 for selector in shown] == [0, 1, 2, 3]


def test_registers_before_a_trap_are_those_that_the_instructions_left():
    outcome = probe("mov $0x1234, %ebx; inc %eax; cli; inc %eax", rings=(1,)).outcomes[0]
    assert outcome.trap == GP
    assert (outcome.registers["ebx"], outcome.registers["eax"]) == (0x1234, 1)


def test_a_probe_shows_itself_as_a_table():
    found = probe("cli")
    text = repr(found)
    assert "no, it runs" in text and GP in text and "cli" in text
    assert set(found._repr_mimebundle_()) == {"text/plain", "text/html"}


@pytest.mark.parametrize("rings", [(), (4,), (0, -1), ("0",)], ids=str)
def test_a_ring_that_does_not_exist_is_refused(rings):
    with pytest.raises(PvlabError, match="rings are 0, 1, 2 and 3"):
        probe("nop", rings=rings)


def test_what_does_not_assemble_is_refused_with_the_assemblers_own_words():
    with pytest.raises(GuestError, match="flibber"):
        probe("flibber %eax")


def test_an_experiment_that_does_not_end_is_stopped():
    with pytest.raises(PvlabError, match="did not end"):
        probe("1: jmp 1b")

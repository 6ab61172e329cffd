"""The instructions that CP simulates, and interruptions: each with every outcome."""
import pytest

from monitors.cp.hostile import _privileged
from monitors.cp.rows_instructions import ROWS as INSTRUCTION_ROWS
from monitors.cp.rows_signals import ROWS as SIGNAL_ROWS
from monitors.cp.table import BITS64, PROBLEM, Row, check
from pvlab.monitors.cp.simulation import INSTRUCTIONS
from pvlab.trace import REASONS


@pytest.mark.parametrize("row", [*INSTRUCTION_ROWS, *SIGNAL_ROWS], ids=str)
def test_row(row):
    check(row)


class Zeros:
    """Operands of all zeros, for hostile._privileged."""

    def randbytes(self, n: int) -> bytes:
        return bytes(n)


@pytest.mark.parametrize("opcode", sorted(code for code, found in INSTRUCTIONS.items() if found.privileged), ids=hex)
def test_a_privileged_instruction_is_refused_in_the_problem_state(opcode):
    insn = _privileged(Zeros(), opcode).hex()
    check(Row(None, INSTRUCTIONS[opcode].name, insn=insn, mode=BITS64 | PROBLEM, program=2))


def test_every_instruction_has_a_reason():
    assert {found.name for found in INSTRUCTIONS.values()} - {"diagnose"} <= set(REASONS)

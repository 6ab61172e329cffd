"""Every DIAGNOSE code, every documented outcome; and the proof that a handler that does nothing satisfies no row."""
import pytest

from pvlab.monitors.cp.diagnose import CODES
from monitors.cp.rows_cp import ROWS as CP_ROWS
from monitors.cp.rows_block import ROWS as BLOCK_ROWS
from monitors.cp.rows_io import ROWS as IO_ROWS
from monitors.cp.table import check

ROWS = [*CP_ROWS, *IO_ROWS, *BLOCK_ROWS]


def test_the_table_is_large_enough_and_names_every_code():
    assert len(ROWS) >= 150 and len({str(row) for row in ROWS}) == len(ROWS)
    assert {row.code for row in ROWS} >= set(CODES)


@pytest.mark.parametrize("row", ROWS, ids=str)
def test_row(row):
    check(row)


@pytest.mark.parametrize("code", sorted(CODES), ids=hex)
def test_condition_code_0_and_nothing_done_makes_a_row_fail(code, monkeypatch):
    monkeypatch.setitem(CODES, code, CODES[code]._replace(function=lambda vm, rx, ry: 0))
    with pytest.raises(AssertionError):
        for row in ROWS:
            if row.code == code:
                check(row)


@pytest.mark.parametrize("code", sorted(CODES), ids=hex)
def test_every_code_is_documented(code):
    text = CODES[code].function.__doc__
    assert "Source:" in text and CODES[code].since and CODES[code].name

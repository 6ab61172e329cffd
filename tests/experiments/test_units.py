"""The same work in several ways, and the exits that each takes for one unit of it."""
import pytest

import pvlab
from pvlab.experiments.units import PerUnit, per_unit

WAYS = {"channel": {"by": "channel", "n": 4}, "x18": {"by": "x18", "n": 4}, "x250": {"by": "x250", "n": 8, "batch": 8}}


@pytest.fixture(scope="module")
def disk() -> PerUnit:
    return per_unit("s390-disk-copy", WAYS, unit="block that is moved", per=2, title="Disk I/O under CP")


def test_what_is_done_once_does_not_count(disk):
    assert disk["channel"] == {"lpswe": 2, "ssch": 1, "tsch": 1} and disk["x18"] == {"diagnose:0x18": 1}
    assert disk["x250"] == {"diagnose:0x250": 1 / 8} and disk.total("channel") == 4


def test_table(disk):
    assert repr(disk) == """\
Disk I/O under CP: exits for each block that is moved
way      exits  which
-------  -----  -----------------------
channel  4      lpswe 2, ssch 1, tsch 1
x18      1      diagnose:0x18 1
x250     0.12   diagnose:0x250 0.12"""


def test_figure(disk):
    picture = disk.plot()
    assert picture.png[:4] == b"\x89PNG" and "channel 4; x18 1; x250 0.12" in picture.alt


@pytest.mark.parametrize("ways, said", [({}, "no way to compare"), ({"a": {"by": "x18"}}, "needs a number n")])
def test_bad_input(ways, said):
    with pytest.raises(pvlab.PvlabError, match=said):
        per_unit("s390-disk-copy", ways)

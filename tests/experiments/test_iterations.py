"""Exits of one iteration: two runs tell them, and the table and the picture say the same."""
import pytest

import pvlab
from pvlab.errors import PvlabError
from pvlab.experiments.iterations import grown, per_iteration, spelled


@pytest.fixture(scope="module")
def found():
    return per_iteration(["control-register", "interrupt-flags", "timer"], n=12)


def test_what_one_iteration_takes(found):
    assert found["control-register"] == {"trap-and-emulate": {"mov-cr2": 2}, "binary-translation": {}}
    assert found["timer"]["trap-and-emulate"] == {"interrupt": 1, "io:write": 1, "iret": 1}
    assert found.total("timer", "binary-translation") == 3


def test_what_breaks_has_no_count(found):
    assert found["interrupt-flags"]["trap-and-emulate"] is None and found["interrupt-flags"]["binary-translation"] == {}
    assert [row[1:3] for row in found.table().rows if row[0] == "interrupt-flags"] == [["–", 0]]


def test_the_picture_has_a_mark_for_each_count(found):
    picture = found.plot()
    axes = picture.figure.axes[0]
    places = [tuple(line.get_data()[0]) for line in axes.lines if line.get_marker() != "None"]
    marks = [place for place in places if place]                          # those of the legend are nowhere
    assert sorted(marks) == sorted((count,) for count in (2, 0, 0, 3, 3))
    assert "interrupt-flags breaks and 0" in picture.alt and "timer 3 and 3" in picture.alt
    assert len(picture.png) > 1000 and picture.table.text() == found.table().text()


def test_what_a_longer_run_has_more():
    few, many = (pvlab.TrapAndEmulate().run(pvlab.guest("kernel", workload="console", n=n)) for n in (2, 6))
    assert grown(few, many, 4) == {"io:write": 13, "int": 1, "iret": 1}
    assert spelled(grown(few, many, 4)) == "io:write 13, int 1, iret 1"
    assert grown(many, many, 4) == {} and spelled({}) == "none"


@pytest.mark.parametrize("monitors", [[], ["native", "native"]])
def test_each_technique_is_named_once(monitors):
    with pytest.raises(PvlabError, match="at least one monitor, and none of them twice"):
        per_iteration(["compute"], monitors)

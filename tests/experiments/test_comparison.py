"""Comparisons: the same guest under each monitor, and whether each kept faith."""
import json

import pytest
from handmade import make_run

import pvlab
from pvlab.experiments.comparison import Comparison, compare
from pvlab.errors import PvlabError

NATIVE = make_run("native", events={"int": 3})


class Fake:
    """A monitor that gives a run made before."""

    def __init__(self, run):
        self.made, self.name, self.asked = run, run.monitor, None

    def run(self, guest, budget, progress):
        self.asked = guest, budget, progress
        return self.made


class Guest:
    name = "kernel"


def test_each_monitor_runs_the_guest_with_the_budget():
    monitors, guest, progress = [Fake(NATIVE), Fake(make_run(exits={"cli": 3}))], Guest(), print
    found = compare(guest, monitors, budget=1000, progress=progress)
    assert [monitor.asked for monitor in monitors] == [(guest, 1000, progress)] * 2
    assert found.guest == "kernel" and [run.monitor for run in found.runs] == ["native", "trap-and-emulate"]


@pytest.mark.parametrize("run, kept", [
    (make_run(), True), (make_run(output=b"other"), False), (make_run(outcome="budget"), False)])
def test_faithful_is_outcome_and_digest(run, kept):
    found = Comparison("kernel", (run, NATIVE))
    assert found.faithful == {"trap-and-emulate": kept, "native": True}
    assert ("yes" if kept else "no") in found.table().text().splitlines()[-1].split()


def test_faithful_is_unknown_without_a_native_run():
    found = Comparison("kernel", (make_run("cp"),))
    assert found.faithful == {"cp": None} and "–" in found.table().text()


def test_table_and_json():
    found = Comparison("kernel", (NATIVE, make_run(exits={"sti": 2, "cli": 30, "int": 2})))
    rows = found.table().rows
    assert [row[0] for row in rows] == ["cli", "int", "sti", "all exits", "instructions", "outcome", "faithful"]
    assert rows[0] == ["cli", 0, 30] and rows[3] == ["all exits", 0, 34]
    said = json.loads(json.dumps(found.to_dict("vmx-merom-2006")))
    assert set(said) == {"guest", "runs", "faithful"} and said["runs"][1]["cycles"]["model"] == "vmx-merom-2006"
    assert found.to_dict()["runs"][0]["cycles"] is None
    assert found._repr_mimebundle_()["text/plain"] == repr(found)


def test_a_plot_shows_exits_or_cycles():
    found = Comparison("kernel", (NATIVE, make_run(exits={"cli": 30})))
    assert "exits" in found.plot().alt and "cycles" in found.plot("vmx-merom-2006").alt


def test_bad_choices_of_monitors():
    with pytest.raises(PvlabError, match="at least one"):
        compare(Guest(), [])
    with pytest.raises(PvlabError, match="twice"):
        compare(Guest(), [Fake(NATIVE), Fake(NATIVE)])
    with pytest.raises(PvlabError):
        compare(Guest(), ["no such monitor"])


def test_pvlab_compare_is_this_function():
    assert pvlab.compare(Guest(), [Fake(NATIVE)]).faithful == {"native": True}

"""The nanobenchmarks: counted in the lab, and predicted from one figure that is not what it is held against."""
import pytest

from pvlab.experiments import nanobenchmarks
from pvlab.costs import cost_model


@pytest.fixture(scope="module")
def found():
    return {each.benchmark.name: each for each in nanobenchmarks.predictions(n=60)}


def test_the_papers_seven_are_there(found):
    published = {figure.operation.split(":")[0] for figure in cost_model("p4-672-2006").published}
    assert set(found) == published and len(found) == 7


def test_reflected_faults_follow_from_a_division_by_zero(found):
    added = 3223 - 889
    assert found["divzero"].predicted == 3223 and found["divzero"].error is None, "calibrated: it confirms nothing"
    assert found["pgfault"].predicted == 1093 + added
    assert found["pgfault"].error == pytest.approx((1093 + added) / 3927 - 1)
    assert found["syscall"].predicted == added and "more than native" in found["syscall"].formula


@pytest.mark.parametrize("name, base", [("call/ret", 11), ("ptemod", 1), ("cr8wr", 1)])
def test_what_is_done_in_the_cache_follows_from_counted_instructions(found, name, base):
    each = found[name]
    assert not each.benchmark.exit and each.counted.extra >= 0
    assert each.predicted == base + each.counted.extra
    assert each.error == pytest.approx(each.predicted / each.published.value - 1)


def test_what_was_not_published_is_not_predicted(found):
    assert found["in"].predicted is None and found["in"].error is None


def test_a_call_and_a_return_have_more_instructions_and_no_exit(found):
    counted = found["call/ret"].counted
    assert counted.trapped == counted.translated == {}
    assert 10 < counted.extra < 25


def test_counting_changes_nothing_but_the_statistics():
    import pvlab
    guest = pvlab.guest("kernel", workload="page-table-update", n=30)
    plain, counting = pvlab.BinaryTranslation(), nanobenchmarks.CountingTranslation()
    one, other = plain.run(guest), counting.run(guest)
    assert list(one.trace.exits) == list(other.trace.exits) and one.digest == other.digest
    assert counting.cached > counting.stood_for > 0


def test_the_tables_say_what_is_calibrated(found):
    rows = {row[0]: row for row in nanobenchmarks.table(list(found.values())).rows}
    assert rows["divzero"][4] == "calibrated" and rows["pgfault"][4] == "-13%"
    assert rows["in"][3:5] == ["–", "–"] and rows["syscall"][2] == "about 2,000 more than native"
    exits = {row[0]: row for row in nanobenchmarks.exits_table(list(found.values())).rows}
    assert exits["divide-error"][1:4] == ["exception 1, iret 1", 2 * 889, "exception 1, iret 1"]

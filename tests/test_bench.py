"""What `pvlab bench` measures. How fast this machine is today is the benchmark's to say, and no test's."""
import json

import pytest

from pvlab import bench
from pvlab.cli import main


@pytest.fixture(scope="module")
def result():
    return bench.measure()


def test_every_measure_is_there(result):
    assert set(result) == set(bench.LIMITS)
    assert all(value > 0 for _, value, _ in bench.summary(result))


def test_each_kind_of_exit_is_measured(result):
    assert set(result["round_trip"]["by_reason"]) == {"cli", "mov-cr3", "io:write", "page-fault:shadow"}


def test_it_is_printed_as_json_and_as_a_table(result, monkeypatch, capsys):
    monkeypatch.setattr(bench, "measure", lambda: result)
    assert main(["bench", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == result
    assert main(["bench"]) == 0
    assert "round trip of an exit" in capsys.readouterr().out

"""What `pvlab bench` measures. How fast this machine is today is the benchmark's to say, and no test's."""
import json

import pytest

from pvlab import bench
from pvlab.bench import devices, translation
from pvlab.cli import main


@pytest.fixture(scope="module")
def result():
    """Everything measured once, and what takes long on little."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(translation, "REPEATS", 1)
        patch.setattr(translation, "SPEEDS", {"compute": (10, 20), "call-return": (1000, 20_000)})
        patch.setattr(translation, "SIZES", (100, 300))
        patch.setattr(devices, "REPEATS", 1)
        patch.setattr(devices, "PATHS", {"disk-read": {"ata": (1, 2, (1,)), "virtio": (8, 24, (1, 8))}})
        yield bench.measure()


def test_every_measure_is_there(result):
    assert set(result) == {*bench.LIMITS, "translation", "io"}
    assert set(result["translation"]) == {"speed", "callouts", "unit", "growth"}
    assert set(result["translation"]["speed"]) == set(translation.LEAST)
    short = len(translation.rows(result["translation"])) + len(devices.rows(result["io"]))    # so short, they differ by less than the noise
    assert all(value > 0 for _, value, _ in bench.summary(result)[:-short])


def test_each_path_of_a_sector_is_measured(result):
    exits = {(device, batch): each["exits"] for device, batches in result["io"]["disk-read"].items()
             for batch, each in batches.items()}
    assert exits == {("ata", "1"): 272, ("virtio", "1"): 9, ("virtio", "8"): 9 / 8}
    assert result["io"]["disk-read"]["ata"]["1"]["ratio"] == 1


def test_a_warm_call_and_return_needs_no_monitor(result):
    assert result["translation"]["callouts"] == 0


def test_each_kind_of_exit_is_measured(result):
    assert set(result["round_trip"]["by_reason"]) == {"cli", "mov-cr3", "io:write", "page-fault:shadow"}


def test_it_is_printed_as_json_and_as_a_table(result, monkeypatch, capsys):
    monkeypatch.setattr(bench, "measure", lambda: result)
    assert main(["bench", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == result
    assert main(["bench"]) == 0
    assert "round trip of an exit" in capsys.readouterr().out

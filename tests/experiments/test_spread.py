"""The same work on processes and on a cluster; what dies takes nothing with it; sweeps over a grid."""
import os
import signal
import subprocess
import sys

import pytest

import pvlab
from pvlab.errors import PvlabError
from pvlab.experiments.spread import SpreadError, spread


def work(item):
    if item == "die":
        os.kill(os.getpid(), signal.SIGKILL)
    if item == "raise":
        raise ZeroDivisionError("by zero")
    return [item, 1]


def results(*arguments, **options) -> list:
    return [value for _, value in sorted(spread(*arguments, **options), key=lambda found: found[0])]


def test_processes():
    assert results(work, list(range(20)), jobs=2) == [[item, 1] for item in range(20)]
    assert results(work, [], jobs=2) == []


def test_what_dies_takes_nothing_with_it():
    found = results(work, ["a", "raise", "die", "b"], jobs=2)
    assert [found[0], found[3]] == [["a", 1], ["b", 1]]
    assert [type(value) for value in found[1:3]] == [ZeroDivisionError, SpreadError]


def test_a_script_without_a_guard(tmp_path):
    """The processes do not execute the caller's script again."""
    script = tmp_path / "mine.py"
    script.write_text("print('once')\nfrom pvlab.experiments.spread import spread\nimport operator\n"
                      "print(sorted(spread(operator.neg, [1, 2], jobs=2)))\n")
    done = subprocess.run([sys.executable, str(script)], capture_output=True, text=True)
    assert (done.stdout, done.returncode) == ("once\n[(0, -1), (1, -2)]\n", 0), done.stderr


@pytest.fixture(scope="module")
def cluster():
    """A scheduler and one worker, as an instructor would start them, in processes of this machine."""
    distributed = pytest.importorskip("distributed")
    with distributed.LocalCluster(n_workers=1, threads_per_worker=1, processes=True, dashboard_address=None,
                                  silence_logs=50) as local:
        yield local.scheduler_address


def test_a_cluster(cluster):
    import operator
    assert sorted(spread(operator.neg, [1, 2, 3], scheduler=cluster)) == [(0, -1), (1, -2), (2, -3)]
    [(_, error)] = spread(operator.truediv, [1], scheduler=cluster)
    assert isinstance(error, TypeError)


def test_a_sweep_is_the_same_wherever_it_runs(cluster):
    grid = {"workload": ["syscall", "fork"], "n": [2, 5]}
    here = pvlab.sweep("kernel", grid, ["native", "trap-and-emulate"], costs="vmx-merom-2006", jobs=1)
    there = pvlab.sweep("kernel", grid, ["native", "trap-and-emulate"], costs="vmx-merom-2006", scheduler=cluster)
    assert here == there and len(here.rows) == 8
    assert [row["parameters"] for row in here.rows[::2]] == [
        {"workload": w, "n": n} for w in ("syscall", "fork") for n in (2, 5)]
    one = pvlab.TrapAndEmulate().run(pvlab.guest("kernel", workload="fork", n=5))
    assert here.rows[-1]["exits"] == one.trace.exits.counts()
    assert (here.rows[-1]["instructions"], here.rows[-1]["faithful"]) == (one.instructions, True)
    assert here.table().headers == [*grid, "monitor", "instructions", "exits", "cycles", "outcome", "faithful"]
    assert "text/html" in here._repr_mimebundle_()


def test_no_scheduler():
    with pytest.raises(SpreadError, match="no scheduler answers at tcp://127.0.0.1:9"):
        list(spread(work, [1], scheduler="tcp://127.0.0.1:9"))


@pytest.mark.parametrize("arguments, complaint", [
    (("kernel", {"n": []}), "n has no values"), (("nothing", {}), "no guest 'nothing'"),
    (("kernel", {"n": [0]}), "n"), (("kernel", {}, ["nothing"]), "nothing")])
def test_bad_input(arguments, complaint):
    with pytest.raises(PvlabError, match=complaint):
        pvlab.sweep(*arguments, jobs=1)

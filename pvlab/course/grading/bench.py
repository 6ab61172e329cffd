"""How fast submissions are graded: python -m pvlab.course.grading.bench --nbgrader VENV/bin/nbgrader

A class of submissions of one sheet, all solved, is graded with and without feedback, and, where they are there, by a
local Dask cluster of one and of two workers, and by nbgrader's autograde: the same notebooks, executed by the same
Python with the same packages, in the same run. nbgrader is never a dependency: install it in an environment of its own.
"""
from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter

from pvlab.course.exercises import sheet as find_sheet
from pvlab.course.exercises.handout import answers, write
from pvlab.course.grading import batch
from pvlab.tables import Table


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m pvlab.course.grading.bench", description="Measure the grader.")
    parser.add_argument("--lesson", type=int, default=1, help="whose sheet (1)")
    parser.add_argument("--submissions", type=int, default=200, help="how many (200)")
    parser.add_argument("--jobs", type=int, default=2, help="processes (2)")
    parser.add_argument("--nbgrader", type=Path, metavar="FILE", help="nbgrader's program, to be measured as well")
    parser.add_argument("--fewer", type=int, default=20, metavar="N", help="submissions for nbgrader (20)")
    parser.add_argument("--dask", action="store_true", help="measure a local cluster of one and of two workers as well")
    options = parser.parse_args()
    result = measure(options.lesson, options.submissions, options.jobs, options.nbgrader, options.fewer, options.dask)
    print(Table(["grader", "submissions", "seconds", "each second", "times nbgrader"], [
        [row["grader"], row["submissions"], row["seconds"], row["rate"], row["ratio"]] for row in result]).text())
    return 0


def measure(lesson: int, submissions: int, jobs: int, nbgrader: Path | None, fewer: int, dask: bool) -> list[dict]:
    """Rows {"grader", "submissions", "seconds", "rate": submissions in a second, "ratio": to nbgrader's or None}."""
    found = []
    with TemporaryDirectory() as folder:
        place = Path(folder)
        if nbgrader is not None:
            found.append(("nbgrader autograde", fewer, _nbgrader(place / "nbgrader", lesson, fewer, nbgrader)))
        _hand_in(place / "class", lesson, submissions)
        for feedback in (True, False):
            name = f"pvlab grade{'' if feedback else ' --no-feedback'}, {jobs} processes"
            found.append((name, submissions, _pvlab(place, feedback, submissions, lesson, jobs=jobs)))
        for workers in (1, 2) if dask else ():
            found.append((f"pvlab grade --no-feedback, a cluster of {workers}", submissions,
                          _cluster(place, submissions, lesson, workers)))
    rates = {name: count / seconds for name, count, seconds in found}
    base = rates.get("nbgrader autograde")
    return [{"grader": name, "submissions": count, "seconds": seconds, "rate": rates[name],
             "ratio": rates[name] / base if base else None} for name, count, seconds in found]


def _hand_in(folder: Path, lesson: int, count: int) -> None:
    text = write(answers(lesson))
    for number in range(count):
        (folder / f"s{number:03}").mkdir(parents=True)
        (folder / f"s{number:03}" / f"{find_sheet(lesson).stem}.ipynb").write_text(text)


def _pvlab(place: Path, feedback: bool, count: int, lesson: int, **how) -> float:
    """Seconds of the whole batch, the start of processes and their imports included."""
    journal = place / f"journal-{feedback}-{len(os.listdir(place))}"
    began = perf_counter()
    graded = batch.grade(place / "class", journal, batch.Options(feedback=feedback, **how))
    seconds = perf_counter() - began
    assert [one.record["points"] for one in graded] == [find_sheet(lesson).points] * count
    return seconds


def _cluster(place: Path, count: int, lesson: int, workers: int) -> float:
    """A cluster that is there already, with what it imports at its first task imported."""
    from distributed import LocalCluster
    with LocalCluster(n_workers=workers, threads_per_worker=1, dashboard_address=None, silence_logs=50) as cluster:
        _pvlab_warm(place, cluster.scheduler_address, 2 * workers, lesson)
        return _pvlab(place, False, count, lesson, scheduler=cluster.scheduler_address)


def _pvlab_warm(place: Path, scheduler: str, count: int, lesson: int) -> None:
    with TemporaryDirectory(dir=place) as folder:
        _hand_in(Path(folder) / "class", lesson, count)
        _pvlab(Path(folder), False, count, lesson, scheduler=scheduler)


def _nbgrader(folder: Path, lesson: int, count: int, program: Path) -> float:
    """Seconds of `nbgrader autograde` for this many submissions, its own start included."""
    name = find_sheet(lesson).stem
    source = folder / "source" / "sheet"
    source.mkdir(parents=True)
    (source / f"{name}.ipynb").write_text(write(answers(lesson)))
    kernel = folder / "jupyter" / "kernels" / "python3"      # the kernel is pvlab's own Python
    kernel.mkdir(parents=True)
    (kernel / "kernel.json").write_text(json.dumps({
        "argv": [sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}"], "display_name": "Python 3",
        "language": "python"}))
    environment = {**os.environ, "JUPYTER_PATH": str(folder / "jupyter"), "PVLAB_STATIC": "1",
                   "PATH": f"{program.parent}{os.pathsep}{os.environ['PATH']}",       # for alembic, which it starts
                   "PYTHONPATH": str(Path(__file__).resolve().parents[3])}
    (folder / "nbgrader_config.py").write_text("c.KernelSpecManager.ensure_native_kernel = False\n"
                                               "c.ExecutePreprocessor.timeout = 120\n")

    def run(*words: str) -> None:
        done = subprocess.run([str(program), *words], cwd=folder, env=environment, capture_output=True, text=True)
        if done.returncode:
            raise SystemExit(f"nbgrader {words[0]} failed:\n{done.stderr[-3000:]}")
    run("generate_assignment", "sheet", "--create", "--force")
    for number in range(count):
        (folder / "submitted" / f"s{number:03}" / "sheet").mkdir(parents=True)
        (folder / "submitted" / f"s{number:03}" / "sheet" / f"{name}.ipynb").write_text(write(answers(lesson)))
    began = perf_counter()
    run("autograde", "sheet", "--create")
    return perf_counter() - began


if __name__ == "__main__":
    sys.exit(main())

"""`pvlab grade`."""
from __future__ import annotations

import sys
from collections import Counter
from datetime import datetime
from pathlib import Path
from typing import Annotated, Optional

import typer

from pvlab.errors import PvlabError
from pvlab.terminal import say, say_json


Folder = Annotated[Path, typer.Argument(
    metavar="SUBMISSIONS", help="A folder: one for each student in it, or their names in the files'.")]
Out = Annotated[Path, typer.Option(
    "--out", metavar="FILE", help="The marks, as CSV. Gradebooks, feedback pages and a JSON record come beside it.")]
Key = Annotated[Optional[Path], typer.Option(metavar="FILE", help="The secret that hidden inputs come from.")]
Roster = Annotated[Optional[Path], typer.Option(metavar="FILE", help="The class, as `pvlab release` had it.")]
SameHandout = Annotated[bool, typer.Option(
    "--same-handout", help="With --roster: all students had the same handout, not each their own.")]
Due = Annotated[Optional[datetime], typer.Option(
    metavar="WHEN", help="What was handed in later is marked as late; its points are the same.")]
Jobs = Annotated[Optional[int], typer.Option(metavar="N", min=1, help="Processes; one for each CPU unless given.")]
Scheduler = Annotated[Optional[str], typer.Option(
    metavar="ADDRESS", help="Grade on this dask.distributed cluster: tcp://host:8786.")]
NoFeedback = Annotated[bool, typer.Option(
    "--no-feedback", help="Do not run the public checks: points only, much faster.")]
NoSandbox = Annotated[bool, typer.Option(
    "--no-sandbox", help="Run students' code without isolation. Only where you trust all of it.")]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object and nothing else.")]


class InputError(PvlabError):
    """An option that cannot be used."""


def grade(submissions: Folder, out: Out, key: Key = None, roster: Roster = None, same_handout: SameHandout = False,
          due: Due = None, jobs: Jobs = None, scheduler: Scheduler = None, no_feedback: NoFeedback = False,
          no_sandbox: NoSandbox = False, json: Json = False) -> None:
    """Grade a folder of submissions: points by hidden checks, which a submission cannot reach, and feedback."""
    from pvlab.course.grading import batch, reports
    from pvlab.course.keys import read_key
    if out.is_dir():
        raise InputError(f"{out} is a folder: --out names a file, such as {out / 'grades.csv'}")
    if scheduler is not None and jobs is not None:
        raise InputError("--jobs and --scheduler cannot be given together")
    if same_handout and roster is None:
        raise InputError("--same-handout means something only with --roster")
    options = batch.Options(
        key=read_key(key) if key is not None else b"", roster=read_class(roster) if roster is not None else {},
        variants=key is not None and not same_handout, feedback=not no_feedback,
        level="none" if no_sandbox else "namespaces", jobs=jobs, scheduler=scheduler, due=due and due.timestamp())
    out.absolute().parent.mkdir(parents=True, exist_ok=True)
    with Bar() as bar:
        graded = batch.grade(submissions, reports.paths(out)["journal"], options, bar)
    report = reports.write(out, graded, options, submissions)
    if json:
        say_json(report)
    else:
        say(told(graded, report, reports.paths(out), key is not None))


def read_class(file: Path) -> dict[str, dict[str, str]]:
    """A roster with all its columns: {student: {column: text}}."""
    import csv
    from pvlab.course.keys import read_roster
    students = read_roster(file)
    rows = csv.DictReader(file.read_text("utf-8-sig").splitlines())
    return dict(zip(students, ({name: text or "" for name, text in row.items() if name} for row in rows)))


def told(graded, report: dict, paths: dict[str, Path], secret: bool) -> str:
    """The batch in a few lines: how many of each kind, what is worth a look, where the reports are."""
    counts = Counter(one.status for one in graded)
    lines = [f"{len(graded)} submissions: " + ", ".join(f"{count} {status}" for status, count in counts.most_common())]
    for one in graded:
        lines += [f"  {one.student}: {note}" for note in one.notes]
    if report["isolation"] == ["none"]:
        lines.append("no sandbox: students' code ran without isolation, so the marks are worth what you trust it")
    elif report["isolation"]:
        lines.append(f"isolation: {', '.join(report['isolation'])}")
    if not secret:
        lines.append("no --key: the hidden inputs are those that anybody can derive from this repository")
    lines += [f"marks: {paths['marks']}; gradebooks: {paths['canvas']}, {paths['moodle']}",
              f"feedback: {paths['feedback']}; record: {paths['json']}; journal: {paths['journal']}"]
    return "\n".join(lines)


class Bar:
    """How far the batch is, on a terminal."""

    def __enter__(self):
        self.bar = None
        return self if sys.stderr.isatty() else None

    def __call__(self, done: int, total: int) -> None:
        if self.bar is None:
            from rich.console import Console
            from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
            self.bar = Progress(TextColumn("grading"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn(),
                                console=Console(stderr=True), transient=True)
            self.task = self.bar.add_task("grading", total=total)
            self.bar.start()
        self.bar.update(self.task, completed=done, total=total)

    def __exit__(self, *_):
        if self.bar is not None:
            self.bar.stop()

"""A class's submissions, graded: found, read, spread over processes or a cluster, journalled, reported.

Every record is written to the journal, and through to the disk, as soon as it is there. A grader that was killed takes
up what it finds in it; what changed since (a solution, the key, an exercise) has another key there and is graded anew.
"""
from __future__ import annotations

import functools
import hashlib
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pvlab
from pvlab.course.exercises import sheets
from pvlab.course.exercises.handout import VERSION
from pvlab.course.grading import merging, submissions
from pvlab.course.grading.marking import mark
from pvlab.course.grading.sandbox import LEVELS, Limits
from pvlab.course.grading.session import SandboxError, Zygote, ZygoteDied
from pvlab.course.grading.submissions import Submission
from pvlab.errors import PvlabError
from pvlab.experiments.spread import spread


class GradingError(PvlabError):
    """Nothing can be graded: no such folder, no submissions, no place for the marks."""


class Options(NamedTuple):
    """How to grade; see `pvlab grade --help`.

    key         the secret that hidden inputs come from
    roster      {student: {column: text}}
    variants    whether each student of the roster had a handout of their own
    level       the isolation to ask for; "none" to do without
    due         seconds since 1970, or None
    """

    key: bytes = b""
    roster: dict[str, dict[str, str]] = {}
    variants: bool = True
    feedback: bool = True
    level: str = LEVELS[0]
    jobs: int | None = None
    scheduler: str | None = None
    limits: Limits = Limits()
    due: float | None = None


class Graded(NamedTuple):
    """What came of one student's submission for one lesson. `record` is marking.mark's, or None if there is none."""

    submission: Submission
    status: str
    notes: list[str]
    record: dict | None

    @property
    def student(self) -> str:
        return self.submission.found.student


def grade(folder: Path, journal: Path, options: Options,
          progress: Callable[[int, int], None] | None = None) -> list[Graded]:
    """Grade every submission below a folder, and take up what the journal has already.

    progress is called with (done, all). Raises GradingError and SandboxError; a bad submission raises nothing.
    """
    found = collect(folder, options)
    tasks, of_task = [], []
    for position, (submission, _) in enumerate(found):
        if submission.problem is None and submission.status != "untouched":
            tasks.append(task_for(submission, options))
            of_task.append(position)
    records = dict(_marked(tasks, Journal(journal), options, progress))
    graded = []
    for position, (submission, notes) in enumerate(found):
        record = records.get(of_task.index(position)) if position in of_task else None
        graded.append(_outcome(submission, notes, record, options))
    return sorted(graded, key=lambda one: (one.student.casefold(), one.submission.lesson or 0))


def collect(folder: Path, options: Options) -> list[tuple[Submission, list[str]]]:
    """The submissions that count, read, each with notes about what else that student handed in."""
    if not folder.is_dir():
        raise GradingError(f"{folder} is not a folder")
    lessons = [sheet.lesson for sheet in sheets()]

    def cells(lesson: int, student: str):
        return merging.code_cells(lesson, options.key, variant(student, options))
    files = submissions.find(folder, options.roster, options.due)
    if not files:
        raise GradingError(f"{folder} has no notebook (.ipynb) in it")
    last, earlier = submissions.newest([submissions.read(file, cells, lessons, VERSION) for file in files])
    handed_in = {one.found.student for one in last}
    last += [Submission(submissions.Found(student, None), "nothing was handed in", "missing")
             for student in options.roster if student not in handed_in]
    notes: dict[int, list[str]] = {}
    same: dict[tuple, str] = {}
    for one in last:
        own = notes.setdefault(id(one), [])
        own += [f"{_name(other, folder)} was handed in before it, and does not count" for other in earlier
                if (other.found.student, other.lesson) == (one.found.student, one.lesson)]
        if options.roster and one.found.student not in options.roster:
            own.append("not on the roster")
        if one.problem is None and one.made_for != variant(one.found.student, options):
            own.append(f"the handout was made for {one.made_for!r:.50}" if one.made_for else
                       "this is the public handout, not the student's own")
        if one.problem is None and one.status != "untouched":
            other = same.setdefault((one.lesson, *sorted(one.cells.items())), one.found.student)
            if other != one.found.student:
                own.append(f"every solution is the same as that of {other}")
    return [(one, notes[id(one)]) for one in last]


def variant(student: str, options: Options) -> str:
    """Whose handout the student had: their own, or "" for the public one."""
    return student if options.variants and student in options.roster else ""


def _name(one: Submission, folder: Path) -> str:
    return str(one.found.file.relative_to(folder)) if one.found.file else "an empty folder"


def task_for(submission: Submission, options: Options) -> dict:
    """What marking.mark wants to know."""
    return {"student": submission.found.student, "lesson": submission.lesson, "cells": submission.cells,
            "variant": variant(submission.found.student, options), "key": options.key.hex(),
            "feedback": options.feedback, "level": options.level, "limits": list(options.limits)}


def _marked(tasks: list[dict], journal: Journal, options: Options, progress):
    """(position, record or exception) of each task, from the journal or fresh."""
    keys = [task_key(task) for task in tasks]
    known = journal.read()
    done = 0
    for position, key in enumerate(keys):
        if key in known:
            done += 1
            yield position, known[key]
    if progress is not None:
        progress(done, len(tasks))
    waiting = [position for position, key in enumerate(keys) if key not in known]
    if not waiting:
        return
    _refuse_without_sandbox(options)
    for which, record in spread(mark, [tasks[position] for position in waiting], options.jobs, options.scheduler):
        if isinstance(record, SandboxError) and not isinstance(record, ZygoteDied):
            raise record
        if not isinstance(record, Exception):
            journal.write(keys[waiting[which]], record)
        done += 1
        if progress is not None:
            progress(done, len(tasks))
        yield waiting[which], record


def _refuse_without_sandbox(options: Options) -> None:
    """Try the sandbox before the work begins; a cluster's workers each try their own."""
    if options.scheduler is None and options.level != "none":
        trial = Zygote(options.level)
        trial.close()
        if trial.level == "none":
            raise SandboxError(f"students' code cannot be isolated on this machine ({trial.why}). Grade on a Linux "
                               "that allows namespaces or Landlock, or with --no-sandbox if you trust all of it")


def _outcome(submission: Submission, notes: list[str], record, options: Options) -> Graded:
    status, notes = submission.status, [*notes, *submission.notes]
    if submission.problem is not None:
        notes.insert(0, submission.problem)
    elif isinstance(record, Exception):
        status, record = "not graded", None
        notes.insert(0, f"the grader failed: {type(record).__name__}")
    if submission.found.late and status != "missing":
        status = "late" if status == "graded" else f"{status}, late"
    if isinstance(record, dict):
        notes += record["notes"]
    return Graded(submission, status, notes, record if isinstance(record, dict) else None)


def task_key(task: dict) -> str:
    """What a record depends on, hashed: the task, and the exercises and the grader as they are now."""
    said = json.dumps([task, pvlab.__version__, _sources()], sort_keys=True)
    return hashlib.sha256(said.encode("utf-8", "surrogatepass")).hexdigest()


@functools.cache
def _sources() -> str:
    """A hash of the exercises and of what marks them."""
    course = Path(__file__).parents[1]
    total = hashlib.sha256()
    for file in sorted([*course.glob("exercises/**/*.py"), *course.glob("grading/*.py")]):
        content = file.read_bytes()
        total.update(f"{file.relative_to(course).as_posix()} {len(content)}\n".encode() + content)
    return total.hexdigest()


class Journal:
    """Records in a file, one line of JSON each, in the order in which they came."""

    def __init__(self, file: Path):
        self.file = file

    def read(self) -> dict[str, dict]:
        """{key: record}. A line that was cut short, as by a kill, is passed over."""
        known: dict[str, dict] = {}
        try:
            content = self.file.read_bytes()
        except FileNotFoundError:
            return known
        except OSError as error:
            raise GradingError(f"{self.file}: {error.strerror}") from None
        for line in content.split(b"\n"):
            try:
                entry = json.loads(line)
                known[entry["key"]] = entry["record"]
            except (ValueError, TypeError, KeyError):
                continue
        return known

    def write(self, key: str, record: dict) -> None:
        """Append one record, and wait until the disk has it. Raises GradingError."""
        line = json.dumps({"key": key, "record": record}).encode() + b"\n"
        try:
            with open(os.open(self.file, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600), "r+b", buffering=0) as file:
                size = file.seek(0, os.SEEK_END)
                if size and os.pread(file.fileno(), 1, size - 1) != b"\n":
                    line = b"\n" + line     # after a line that was cut short
                file.write(line)
                os.fsync(file.fileno())
        except OSError as error:
            raise GradingError(f"{self.file}: {error.strerror}") from None

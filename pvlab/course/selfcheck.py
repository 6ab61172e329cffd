"""`pvlab check`: the public checks of a handout, under nbval, for a learner who works alone.

Only the answers are taken from the notebook. They are put into the handout as it was made, whose check cells are then
expected to show success, so an edited, deleted or skipped check changes nothing.
"""
from __future__ import annotations

import io
import json
import os
import re
import sys
from collections.abc import Mapping
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

from pvlab.course import progress
from pvlab.course.exercises import sheet as find_sheet, sheets
from pvlab.course.exercises.handout import VERSION, build, write
from pvlab.course.exercises.model import Exercise, Sheet
from pvlab.errors import PvlabError

LARGEST = 20 << 20      # bytes of a notebook: a handout has some 40,000
CELL_TIMEOUT = 60       # seconds


class NotAHandout(PvlabError):
    """A file that cannot be checked: missing, no notebook, or not one of the course's handouts."""


class Result(NamedTuple):
    """What came of one exercise: the feedback of its check cell, and how many of its hints are open."""

    exercise: Exercise
    passed: bool
    feedback: str
    opened: int

    def to_dict(self) -> dict:
        return {"id": self.exercise.id, "title": self.exercise.title, "passed": self.passed, "feedback": self.feedback,
                "hints": {"opened": self.opened, "of": len(self.exercise.hints)}}

    def text(self) -> str:
        if self.passed:
            return self.feedback
        rungs = len(self.exercise.hints)
        said = [line for line in self.feedback.splitlines() if not line.startswith("  next hint:")]
        if self.opened < rungs:
            said.append(f"  next hint ({self.opened + 1} of {rungs}): pvlab hint {self.exercise.id}")
        else:
            said.append(f"  all {rungs} hints are open: pvlab hint {self.exercise.id} shows them")
        return "\n".join(said)


class Report(NamedTuple):
    """The results of one handout, in its order."""

    notebook: str
    lesson: int
    results: list[Result]

    @property
    def passed(self) -> bool:
        return all(result.passed for result in self.results)

    def to_dict(self) -> dict:
        return {"notebook": self.notebook, "lesson": self.lesson, "passed": self.passed,
                "exercises": [result.to_dict() for result in self.results]}

    def text(self) -> str:
        done = sum(result.passed for result in self.results)
        return "\n".join([result.text() for result in self.results]
                         + [f"{done} of {len(self.results)} exercises pass their public checks"])


def check_notebook(file: Path) -> Report:
    """Make the public checks of a handout. Raises NotAHandout."""
    book = read(file)
    of = sheet_of(book, file)
    merged = merge(book, of, file)
    found = run_nbval(merged)
    known, results = progress.read()["exercises"], []
    for exercise in of.exercises:
        passed, shown = found.get(f"{exercise.id}-check", (False, ""))
        own_passed, own_shown = found.get(exercise.id, (True, ""))
        if not passed and not own_passed:
            # a cell's file has a number for a name
            reason = re.sub(r" \(\d+\.py, (line \d+)\)", r" (\1)", own_shown.strip())
            shown = f"{exercise.id}: the cell of your answer fails\n    {reason}"
        if passed:
            progress.passed(exercise.id)
        results.append(Result(exercise, passed, shown or f"{exercise.id}: the check showed nothing",
                              min(known.get(exercise.id, {"hints": 0})["hints"], len(exercise.hints))))
    return Report(str(file), of.lesson, results)


def read(file: Path) -> dict:
    """A notebook of format 4 as plain JSON. Raises NotAHandout."""
    try:
        if file.stat().st_size > LARGEST:
            raise NotAHandout(f"{file} is too large for a handout: more than {LARGEST >> 20} MiB")
        book = json.loads(file.read_text("utf-8"))
    except OSError as error:
        raise NotAHandout(f"{file}: {error.strerror}") from None
    except (ValueError, RecursionError):
        raise NotAHandout(f"{file} is not a notebook: it is not JSON") from None
    if not isinstance(book, dict) or book.get("nbformat") != 4 or not isinstance(book.get("cells"), list):
        raise NotAHandout(f"{file} is not a notebook of format 4")
    return book


def sheet_of(book: dict, file: Path) -> Sheet:
    """The sheet that the notebook is a handout of. Raises NotAHandout."""
    about = _about(book)
    if "exercises" not in about:
        known = ", ".join(f"{of.stem}.ipynb" for of in sheets())
        raise NotAHandout(f"{file} is not a handout of the course: there are {known}")
    if about.get("version") != VERSION or type(about["exercises"]) is not int:
        raise NotAHandout(f"{file} was made by another version of the course: get the handout anew, and copy your "
                          f"answers")
    return find_sheet(about["exercises"])


def merge(book: dict, of: Sheet, file: Path) -> dict:
    """The handout as it was made, with the notebook's answers; its checks are expected to pass. Raises NotAHandout."""
    given, variants = _about(book).get("variants"), {}
    for exercise in of.exercises:
        own, usual = (given or {}).get(exercise.id) if isinstance(given, dict) else None, exercise.parameters()
        if not isinstance(own, dict) or own.keys() != usual.keys() or any(type(own[k]) is not type(usual[k])
                                                                          for k in usual):
            raise NotAHandout(f"{file}: the parameters of {exercise.id} are damaged: get the handout anew, and copy "
                              f"your answers")
        variants[exercise.id] = own
    try:
        merged = build(of, variants, expected=True)
    except Exception as error:      # the parameters have the right form and other values than any variant has
        raise NotAHandout(f"{file}: its parameters are damaged ({type(error).__name__}): get it anew") from None
    answers = solutions(book)
    for cell in merged["cells"]:
        name = cell["id"]
        if cell["metadata"]["nbgrader"]["solution"]:
            cell["source"] = answers.get(name, cell["source"])
            cell["metadata"]["tags"] = ["nbval-ignore-output"]
    return merged


def solutions(book: dict) -> dict[str, str]:
    """The sources of the cells that are marked as solutions, by grade_id; of two with one name, the first."""
    found: dict[str, str] = {}
    for cell in book["cells"]:
        try:
            own, source = cell["metadata"]["nbgrader"], cell["source"]
            text = source if isinstance(source, str) else "".join(source)
            if own["solution"] is True and cell["cell_type"] == "code":
                found.setdefault(own["grade_id"], text)
        except (KeyError, TypeError):       # a cell without this metadata, or none at all
            continue
    return found


def _about(book: dict) -> dict:
    metadata = book.get("metadata")
    about = metadata.get("pvlab") if isinstance(metadata, dict) else None
    return about if isinstance(about, dict) else {}


def run_nbval(book: Mapping) -> dict[str, tuple[bool, str]]:
    """{grade_id: (passed, what the cell showed)} of a notebook's code cells, executed in a new kernel by nbval."""
    # A grammar that jsonschema builds in 2 s and that checks nothing here.
    sys.modules.setdefault("rfc3987_syntax", None)
    import pytest
    listener = _Listener()
    said = io.StringIO()
    with TemporaryDirectory() as folder, redirect_stdout(said), redirect_stderr(said):
        file = Path(folder, "handout.ipynb")
        file.write_text(write(book), "utf-8")
        status = pytest.main(["-q", "-p", "no:cacheprovider", "-c", os.devnull, f"--rootdir={folder}", "--nbval",
                              "--nbval-current-env", f"--nbval-cell-timeout={CELL_TIMEOUT}", str(file)],
                             plugins=[listener])
    if status not in (pytest.ExitCode.OK, pytest.ExitCode.TESTS_FAILED):
        raise NotAHandout(f"the checks could not be run: {said.getvalue().strip()[-1000:]}")
    return listener.found


class _Listener:
    """A pytest plugin that notes what came of each cell."""

    def __init__(self):
        self.found: dict[str, tuple[bool, str]] = {}

    def pytest_runtest_makereport(self, item, call):
        if call.when == "call":
            shown = [f"{one.ename}: {one.evalue}" if one.output_type == "error"
                     else one.get("text") or one.get("data", {}).get("text/plain", "") for one in item.test_outputs
                     or ()]
            if not shown and call.excinfo is not None:
                shown = [str(call.excinfo.value)]
            self.found[item.cell.metadata["nbgrader"]["grade_id"]] = (call.excinfo is None, "\n".join(shown))

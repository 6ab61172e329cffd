"""From a sheet to notebooks: a student's handout, and an instructor's answer key.

Both are plain JSON of format 4.5, with nbgrader's cell metadata, made without nbformat and without a kernel. The output
stored under a public check is what the check shows of the untouched handout, so that nbval passes on it.
"""
from __future__ import annotations

import functools
import json
from collections.abc import Mapping

from pvlab.course.checking import check
from pvlab.course.exercises import sheet as find_sheet
from pvlab.course.exercises.model import Exercise, Sheet
from pvlab.course.feedback import Feedback

VERSION = 1         # of the form of a handout: what an older one lacks, a grader cannot merge
KERNEL = {"display_name": "Python 3 (ipykernel)", "language": "python", "name": "python3"}
LANGUAGE = {"codemirror_mode": {"name": "ipython", "version": 3}, "file_extension": ".py", "mimetype": "text/x-python",
            "name": "python", "nbconvert_exporter": "python", "pygments_lexer": "ipython3"}

SETUP = "import pvlab"

HOW = """Write each answer into the cell that asks for it, and leave the other cells as they are. The cell below your
answer checks it. These checks are feedback: those that give points use other numbers. `pvlab.hint("{first}")` opens the
next hint for an exercise. `pvlab check` on the command line checks the whole sheet."""


def handout(lesson: int, key: bytes = b"", student: str = "") -> dict:
    """The authoritative notebook of that lesson's sheet: statements, starters and public checks, and nothing else.

    key, student    choose the parameters of each exercise; without them, those of the public handout
    """
    of = find_sheet(lesson)
    return build(of, {exercise.id: exercise.parameters(key, student) for exercise in of.exercises}, student)


def answers(lesson: int, key: bytes = b"", student: str = "") -> dict:
    """The same with the model solutions, between nbgrader's markers."""
    of = find_sheet(lesson)
    return build(of, {exercise.id: exercise.parameters(key, student) for exercise in of.exercises}, student,
                 solved=True)


def build(of: Sheet, variants: Mapping[str, Mapping], student: str = "", solved: bool = False,
          expected: bool = False) -> dict:
    """The notebook of a sheet for these variants, {exercise id: parameters}.

    solved: with the model solutions; expected: the outputs under the checks are those of success
    """
    how = HOW.format(first=of.exercises[0].id)
    cells = [_markdown(f"ex{of.lesson:02}-introduction",
                       f"# Exercises {of.lesson:02}. {of.title}\n\n{of.introduction.strip()}\n\n{how}"),
             _code(f"ex{of.lesson:02}-given", SETUP)]
    for number, exercise in enumerate(of.exercises, 1):
        cells += _cells(number, exercise, variants[exercise.id], solved, expected or solved)
    for count, cell in enumerate((cell for cell in cells if cell["cell_type"] == "code"), 1):
        cell["execution_count"] = count
    metadata = {"kernelspec": KERNEL, "language_info": LANGUAGE, "pvlab": {
        "exercises": of.lesson, "student": student, "variants": {name: dict(of) for name, of in variants.items()},
        "version": VERSION}}
    return {"cells": cells, "metadata": metadata, "nbformat": 4, "nbformat_minor": 5}


def write(book: Mapping) -> str:
    """A notebook's text, as nbformat writes it."""
    return json.dumps(book, indent=1, sort_keys=True, ensure_ascii=False) + "\n"


def evaluate(exercise: Exercise, variant: Mapping, solution: str) -> Feedback:
    """The public checks of one exercise on this solution cell, made in this process: for authored code only."""
    said: list[Feedback] = []
    usual, check.report = check.report, staticmethod(said.append)
    try:
        space: dict = {"__name__": "__main__"}
        for source in (SETUP, exercise.fill(exercise.given, variant), solution,
                       exercise.fill(exercise.public, variant)):
            exec(compile(source, f"<{exercise.id}>", "exec"), space)
    finally:
        check.report = staticmethod(usual)
    return said[-1]


@functools.lru_cache(maxsize=1000)
def _untouched(exercise: Exercise, variant: str) -> Feedback:
    parameters = json.loads(variant)
    return evaluate(exercise, parameters, exercise.fill(exercise.starter, parameters))


def _cells(number: int, exercise: Exercise, variant: Mapping, solved: bool, passed: bool) -> list[dict]:
    points = f"{exercise.points} point" + "s" * (exercise.points != 1)
    heading = f"## {number}. {exercise.title}\n\n*{exercise.id}: {points}, about {exercise.minutes} minutes*\n\n"
    answer = exercise.fill(exercise.solution if solved else exercise.starter, variant)
    feedback = Feedback(exercise.id) if passed else _untouched(exercise, json.dumps(variant))
    cells = [_markdown(f"{exercise.id}-statement", heading + exercise.fill(exercise.statement, variant).strip())]
    if exercise.given:
        cells.append(_code(f"{exercise.id}-given", exercise.fill(exercise.given, variant).strip()))
    cells.append(_code(exercise.id, answer.strip("\n"), solution=True))
    cells.append(_code(f"{exercise.id}-check", exercise.fill(exercise.public, variant).strip(), points=exercise.points))
    cells[-1]["outputs"] = [output(feedback)]
    return cells


def output(feedback: Feedback) -> dict:
    """A feedback as a cell's stored output."""
    return {"data": {kind: _lines(text) for kind, text in sorted(feedback.bundle().items())}, "metadata": {},
            "output_type": "display_data"}


def _markdown(name: str, source: str) -> dict:
    return {"cell_type": "markdown", "id": name, "metadata": {"nbgrader": _nbgrader(name)}, "source": _lines(source)}


def _code(name: str, source: str, solution: bool = False, points: int | None = None) -> dict:
    metadata: dict = {"nbgrader": _nbgrader(name, solution, points)}
    if not solution:
        metadata |= {"deletable": False, "editable": False}
    return {"cell_type": "code", "execution_count": None, "id": name, "metadata": metadata, "outputs": [],
            "source": _lines(source)}


def _nbgrader(name: str, solution: bool = False, points: int | None = None) -> dict:
    """nbgrader's cell metadata, schema 3: a cell is a solution, or a test with points, or read-only."""
    own = {"grade": points is not None, "grade_id": name, "locked": not solution, "schema_version": 3,
           "solution": solution, "task": False}
    return own if points is None else own | {"points": points}


def _lines(text: str) -> list[str]:
    return text.splitlines(keepends=True)

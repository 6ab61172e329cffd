"""The authoritative notebook of a student, and a submission's solution cells in it."""
from __future__ import annotations

import functools
from collections.abc import Mapping

from pvlab.course.exercises import sheet as find_sheet
from pvlab.course.exercises.handout import build


@functools.lru_cache(maxsize=512)
def parameters(lesson: int, key: bytes, student: str) -> dict[str, dict]:
    """{exercise id: the student's variant}; without a student those of the public handout."""
    return {exercise.id: exercise.parameters(key if student else b"", student)
            for exercise in find_sheet(lesson).exercises}


def merged(lesson: int, key: bytes, student: str, solutions: Mapping[str, str]) -> dict:
    """The handout with these solutions in it. The outputs that it stores are those of checks that pass."""
    book = build(find_sheet(lesson), parameters(lesson, key, student), student, expected=True)
    for cell in book["cells"]:
        if cell["metadata"]["nbgrader"]["solution"]:
            cell["source"] = solutions.get(cell["metadata"]["nbgrader"]["grade_id"], cell["source"])
            cell["metadata"]["tags"] = ["nbval-ignore-output"]
    return book


@functools.lru_cache(maxsize=512)
def code_cells(lesson: int, key: bytes, student: str) -> dict[str, tuple[str, bool]]:
    """{grade_id: (source, whether it is a solution cell)} of the code cells of that student's handout, in order."""
    cells = [(cell["metadata"]["nbgrader"], "".join(cell["source"]))
             for cell in merged(lesson, key, student, {})["cells"] if cell["cell_type"] == "code"]
    return {own["grade_id"]: (source, own["solution"]) for own, source in cells}


def program(lesson: int, key: bytes, student: str, solutions: Mapping[str, str]) -> list[tuple[str, str, str]]:
    """What a student's process executes for hidden checks, in order: (exercise or "" for all, grade_id, source)."""
    names = [exercise.id for exercise in find_sheet(lesson).exercises]
    found = []
    for cell, (source, is_solution) in code_cells(lesson, key, student).items():
        own = cell.removesuffix("-given")
        if is_solution and cell in solutions:
            found.append((cell, cell, solutions[cell]))
        elif not is_solution and cell.endswith("-given"):
            found.append((own if own in names else "", cell, source))
    return found

"""The exercises, each authored once: statement, starter, solution, public and hidden checks, hints, points.

`lesson_NN/` holds the sheet of one lesson: its `__init__.py` names the exercises, one file each. `handout.py` makes a
student's notebook of a sheet, and an instructor's answer key. Nothing here is imported by `import pvlab`.
"""
from __future__ import annotations

from importlib import import_module
from pathlib import Path

from pvlab.course.exercises.model import Exercise, ExerciseError, Sheet

__all__ = ["Exercise", "ExerciseError", "Sheet", "exercise", "sheet", "sheets"]


def sheets() -> list[Sheet]:
    """The sheets that there are, in the order of their lessons."""
    return [sheet(int(folder.name[7:])) for folder in sorted(Path(__file__).parent.glob("lesson_[0-9][0-9]"))]


def sheet(lesson: int) -> Sheet:
    """The sheet of the lesson of that number. Raises ExerciseError."""
    if not (Path(__file__).parent / f"lesson_{lesson:02}").is_dir():
        known = ", ".join(str(found.lesson) for found in sheets())
        raise ExerciseError(f"lesson {lesson} has no exercises: there are some for the lessons {known}")
    return import_module(f"{__name__}.lesson_{lesson:02}").SHEET


def exercise(name: str) -> Exercise:
    """The exercise of that id ("ex02-cli"). Raises ExerciseError, which names those that there are."""
    known = {found.id: found for each in sheets() for found in each.exercises}
    if name not in known:
        raise ExerciseError(f"there is no exercise '{name}': there are {', '.join(known)}")
    return known[name]

"""Which lessons there are. Their files are read as plain JSON: importing nbformat would cost two seconds."""
from __future__ import annotations

import json
import re
from pathlib import Path
from typing import NamedTuple

from pvlab.errors import PvlabError

PATTERN = "[0-9][0-9]_*.ipynb"


class LessonError(PvlabError):
    """There is no such lesson, or there are no lessons here."""


class Lesson(NamedTuple):
    """One notebook of the course: its number, its title, the minutes it takes, and its file."""

    number: int
    title: str
    minutes: int | None
    file: Path

    def to_dict(self) -> dict:
        """What `pvlab lessons --json` prints; the file is named from the checkout."""
        return {"number": self.number, "title": self.title, "minutes": self.minutes,
                "file": self.file.relative_to(checkout()).as_posix()}


def checkout() -> Path:
    """The folder that holds notebooks/ and pvlab/. Raises LessonError where only the package is installed."""
    root = Path(__file__).resolve().parents[2]
    if not any((root / "notebooks").glob(PATTERN)):
        raise LessonError("the lessons are not here: "
                          "they come with a checkout of pvlab, not with the installed package")
    return root


def lessons() -> list[Lesson]:
    """All lessons, in order."""
    return [_read(file) for file in sorted((checkout() / "notebooks").glob(PATTERN))]


def lesson(name: str) -> Lesson:
    """The lesson of that number ("2", "02"), file name or stem ("02_trap_and_emulate"), or path. Else LessonError."""
    known = lessons()
    stem = Path(name).stem
    for found in known:
        if stem == found.file.stem or (stem.isdecimal() and int(stem) == found.number):
            return found
    numbers = ", ".join(f"{found.number:02}" for found in known)
    raise LessonError(f"there is no lesson '{name}'; there are {numbers}")


def _read(file: Path) -> Lesson:
    """Title: the first heading of the first cell, after its number. Minutes: the notebook's own metadata."""
    try:
        book = json.loads(file.read_text("utf-8"))
        first = "".join(book["cells"][0]["source"])
        minutes = book["metadata"].get("pvlab", {}).get("minutes")
    except (ValueError, KeyError, IndexError, TypeError) as error:
        raise LessonError(f"{file.name} is not a notebook: {error}") from None
    heading = re.search(r"^# +(?:\d+\W+)?(.+?) *$", first, re.MULTILINE)
    return Lesson(int(file.name[:2]), heading[1] if heading else file.stem[3:].replace("_", " "), minutes, file)

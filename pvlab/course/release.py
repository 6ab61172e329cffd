"""One source, many notebooks: the handouts of a class, and the answer key apart from them.

    OUT/handouts/[STUDENT/]ex02_trap_and_emulate.ipynb      to give away
    OUT/instructor/[STUDENT/]ex02_trap_and_emulate.ipynb    to keep: the same with model solutions
"""
from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from pvlab.course.exercises import sheet, sheets
from pvlab.course.exercises.handout import answers, handout, write
from pvlab.course.keys import ClassError, make_key, read_key, read_roster


class Released(NamedTuple):
    """What was written: folders, lessons, students, and the key's file if it was made."""

    out: Path
    lessons: list[int]
    students: list[str]
    new_key: Path | None

    def to_dict(self) -> dict:
        return {"out": str(self.out), "lessons": self.lessons, "students": self.students,
                "new_key": None if self.new_key is None else str(self.new_key)}

    def text(self) -> str:
        notebooks = len(self.lessons) * max(len(self.students), 1)
        for_whom = f" for {len(self.students)} students" if self.students else ""
        said = [f"{notebooks} handout{'s' * (notebooks != 1)}{for_whom} in {self.out / 'handouts'}: give these away",
                f"their answers in {self.out / 'instructor'}: keep these"]
        if self.new_key is not None:
            said.append(f"a new key in {self.new_key}: keep it secret, and keep it: grading needs it")
        return "\n".join(said)


def release(out: Path, roster: Path | None = None, key: Path | None = None, lesson: int | None = None) -> Released:
    """Write the handouts and the answers. Raises PvlabError."""
    chosen = [sheet(lesson)] if lesson is not None else sheets()
    students = read_roster(roster) if roster is not None else []
    if students and key is None:
        raise ClassError("with a roster there must be a key: each student's parameters come from it (--key FILE, "
                         "which is made if it is not there)")
    new = key is not None and not key.exists()
    secret = b"" if key is None else make_key(key) if new else read_key(key)
    for student in students or [""]:
        for of in chosen:
            for folder, make in (("handouts", handout), ("instructor", answers)):
                _put(out / folder / student / f"{of.stem}.ipynb", write(make(of.lesson, secret, student)))
    return Released(out, [of.lesson for of in chosen], students, key if new else None)


def _put(file: Path, text: str) -> None:
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, "utf-8", newline="\n")
    except OSError as error:
        raise ClassError(f"{file}: {error.strerror}") from None

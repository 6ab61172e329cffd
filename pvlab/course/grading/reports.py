"""What the grader writes: marks as CSV, columns for gradebooks, a feedback page for each student, everything as JSON.

    grades.csv                  one row for each student, one column for each exercise
    grades.canvas.csv           for Canvas: Grades > Import
    grades.moodle.csv           for Moodle: Grades > Import > CSV file, mapped from "Username" or "Email address"
    grades.json                 everything
    grades.feedback/NAME.html   what a student may see; it shows no hidden check
    grades.journal.jsonl        what a grader that is started again takes up

Each is written whole and then put in its place, so a reader never finds half of one.
"""
from __future__ import annotations

import csv
import html
import io
import json
import os
import re
from collections.abc import Mapping
from pathlib import Path

from pvlab.course.exercises import sheet as find_sheet
from pvlab.course.grading.batch import Graded, GradingError, Options


def paths(out: Path) -> dict[str, Path]:
    """Where each report goes, beside the file of marks."""
    stem = out.with_suffix("") if out.suffix else out
    return {"marks": out} | {name: Path(f"{stem}.{ending}") for name, ending in (
        ("canvas", "canvas.csv"), ("moodle", "moodle.csv"), ("json", "json"), ("feedback", "feedback"),
        ("journal", "journal.jsonl"))}


def write(out: Path, graded: list[Graded], options: Options, folder: Path) -> dict:
    """Write all reports; returns what the JSON one says."""
    place = paths(out)
    students = by_student(graded)
    exercises = columns(graded)
    report = summary(graded, folder)
    _put(place["marks"], _marks(students, exercises, options))
    _put(place["canvas"], _canvas(students, graded, options))
    _put(place["moodle"], _moodle(students, graded, options))
    _put(place["json"], json.dumps(report, indent=1) + "\n")
    for student, own in students.items():
        _put(place["feedback"] / f"{file_name(student)}.html", page(student, own))
    return report


def by_student(graded: list[Graded]) -> dict[str, list[Graded]]:
    found: dict[str, list[Graded]] = {}
    for one in graded:
        found.setdefault(one.student, []).append(one)
    return found


def columns(graded: list[Graded]) -> list[str]:
    """The exercises of all lessons that somebody handed something in for."""
    return [exercise.id for lesson in lessons(graded) for exercise in find_sheet(lesson).exercises]


def lessons(graded: list[Graded]) -> list[int]:
    return sorted({one.submission.lesson for one in graded if one.submission.lesson is not None})


def points(own: list[Graded], lesson: int | None = None) -> int:
    return sum(one.record["points"] for one in own if one.record and lesson in (None, one.submission.lesson))


def status(own: list[Graded]) -> str:
    return "; ".join(dict.fromkeys(one.status for one in own))


def notes(own: list[Graded]) -> list[str]:
    several = len(own) > 1
    return [f"lesson {one.submission.lesson}: {note}" if several and one.submission.lesson else note
            for one in own for note in one.notes]


def summary(graded: list[Graded], folder: Path) -> dict:
    """Everything, as plain data."""
    levels = sorted({one.record["isolation"] for one in graded if one.record})
    return {"isolation": levels, "submissions": [
        {"student": one.student, "lesson": one.submission.lesson,
         "file": one.submission.found.file and one.submission.found.file.relative_to(folder).as_posix(),
         "status": one.status, "notes": one.notes, "points": one.record["points"] if one.record else 0,
         "of": find_sheet(one.submission.lesson).points if one.submission.lesson is not None else None,
         "exercises": one.record["exercises"] if one.record else [],
         "public": one.record["public"] if one.record else None} for one in graded]}


def _marks(students: Mapping[str, list[Graded]], exercises: list[str], options: Options) -> str:
    rows = [["student", *exercises, "total", "status", "notes"]]
    for student, own in students.items():
        marks = {done["id"]: done["points"] for one in own if one.record for done in one.record["exercises"]}
        rows.append([student, *(marks.get(name, 0) for name in exercises), points(own), status(own),
                     "; ".join(notes(own))])
    return _csv(rows)


def _canvas(students: Mapping[str, list[Graded]], graded: list[Graded], options: Options) -> str:
    """Canvas knows a student by one of its own four columns; a roster with these columns is carried over."""
    own_columns = ("Student", "ID", "SIS User ID", "SIS Login ID", "Section")
    numbers = lessons(graded)
    rows = [[*own_columns, *(_title(lesson) for lesson in numbers)],
            ["    Points Possible", "", "", "", "", *(find_sheet(lesson).points for lesson in numbers)]]
    for student, own in students.items():
        about = {"Student": student, "SIS Login ID": student} | _filled(options.roster.get(student, {}))
        rows.append([*(about.get(name, "") for name in own_columns), *(points(own, lesson) for lesson in numbers)])
    return _csv(rows)


def _moodle(students: Mapping[str, list[Graded]], graded: list[Graded], options: Options) -> str:
    own_columns = ("Username", "ID number", "Email address")
    numbers = lessons(graded)
    rows = [[*own_columns, *(_title(lesson) for lesson in numbers)]]
    for student, own in students.items():
        about = {"Username": student} | _filled(options.roster.get(student, {}))
        rows.append([*(about.get(name, "") for name in own_columns), *(points(own, lesson) for lesson in numbers)])
    return _csv(rows)


def _filled(row: Mapping[str, str]) -> dict[str, str]:
    return {column: value for column, value in row.items() if column and value}


def _title(lesson: int) -> str:
    return f"pvlab {lesson:02} {find_sheet(lesson).title}"


def _csv(rows: list[list]) -> str:
    """A cell that a spreadsheet would take for a formula gets an apostrophe, as its own makers advise."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    for row in rows:
        writer.writerow([f"'{cell}" if isinstance(cell, str) and cell[:1] in tuple("=+-@\t\r") and cell else cell
                         for cell in row])
    return text.getvalue()


def file_name(student: str) -> str:
    """A name that is safe as a file's, and another one for another student."""
    plain = re.sub(r"[^\w@.+-]", lambda odd: f"%{ord(odd[0]):x}", student).strip(".") or "%"
    return plain[:100]


STYLE = """body{font:16px/1.5 system-ui,sans-serif;max-width:46rem;margin:2rem auto;padding:0 1rem;color:#1b1b1b}
h2{margin:2rem 0 .3rem}table{border-collapse:collapse}td{padding:.2rem .8rem .2rem 0;vertical-align:top}
.no{color:#a11}.yes{color:#161}pre{background:#f4f4f4;padding:.6rem;overflow-x:auto;white-space:pre-wrap}"""


def page(student: str, own: list[Graded]) -> str:
    """What a student may see: points, what each check looked at, what to think about, and the public checks."""
    say = html.escape
    parts = [f"<h1>{say(student)}</h1>"]
    for one in own:
        lesson = one.submission.lesson
        if one.record is None:
            what = f" for lesson {lesson}" if lesson is not None else ""
            why = one.notes[0] if one.notes else ""
            parts.append(f"<p>What you handed in{what}: <b>{say(one.status)}</b>. {say(why)}</p>")
            continue
        parts.append(f"<h2>{say(_title(lesson))}: {one.record['points']} of {one.record['of']} points</h2>"
                     + (f"<p>{say(one.status)}</p>" if one.status != "graded" else ""))
        public = {check["id"]: check for check in one.record["public"] or ()}
        for exercise in one.record["exercises"]:
            parts.append(f"<h3>{say(exercise['title'])} ({say(exercise['id'])}): "
                         f"{exercise['points']} of {exercise['of']}</h3>")
            if exercise["said"]:
                parts.append(f"<p class=no>Your cell: {say(exercise['said'])}</p>")
            if exercise["checks"]:
                parts.append(f"<table>{''.join(map(_row, exercise['checks']))}</table>")
            check = public.get(exercise["id"])
            if check and not check["passed"] and check["text"]:
                parts.append(f"<p>The public check shows:</p><pre>{say(check['text'])}</pre>")
    return f"<!doctype html><html lang=en><meta charset=utf-8><title>{say(student)}</title><style>{STYLE}</style>" \
           + "\n".join(parts) + "</html>\n"


def _row(check: Mapping) -> str:
    mark = "<td class=yes>✓" if check["passed"] else "<td class=no>✗"
    return (f"<tr>{mark}<td>{check['points']} of {check['of']}<td>{html.escape(check['name'])}"
            f"<td>{html.escape(check['feedback'])}")


def _put(file: Path, text: str) -> None:
    """Whole, and then in its place; what cannot be encoded is shown escaped. Raises GradingError."""
    draft = file.with_name(f".{file.name}.new")
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        draft.write_bytes(text.encode("utf-8", "backslashreplace"))
        os.replace(draft, file)
    except OSError as error:
        raise GradingError(f"{file}: {error.strerror}") from None

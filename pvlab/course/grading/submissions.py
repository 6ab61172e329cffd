"""Submitted files: found as a course system exports them, read as plain JSON, judged one by one.

Nothing in a submitted file is believed but the text of its solution cells, found by grade_id. What else differs from
the handout is named in a note, and ignored.
"""
from __future__ import annotations

import json
import os
import re
import stat
from collections.abc import Iterator, Mapping
from datetime import datetime, timezone
from itertools import islice
from pathlib import Path
from typing import NamedTuple

LARGEST = 16 << 20          # bytes of a notebook
LARGEST_CELL = 256 << 10    # characters of a solution
MOST = 100                  # notebooks of one student that are read
SKIPPING = {"nbval-skip", "nbval-ignore-output", "skip", "raises-exception"}

# Canvas: name_[LATE_]user_file_own-2.ipynb; Moodle: a folder "Full Name_1234_assignsubmission_file_".
_CANVAS = re.compile(r"^(?P<student>[^_]+)_(?P<late>LATE_)?\d+_\d+_(?P<own>.+?)(?:-(?P<again>\d+))?\.ipynb$", re.I)
_MOODLE = re.compile(r"^(?P<student>.+?)_\d+_assignsubmission_(?:file|onlinetext)_?$")


class Found(NamedTuple):
    """A file of a student, not read yet. `file` is None for a student who handed in no notebook."""

    student: str
    file: Path | None
    late: bool = False
    again: int = 0              # a course system's own count of resubmissions
    handed_in: float = 0        # seconds since 1970


class Submission(NamedTuple):
    """A submission as it is judged: `problem` says why it cannot be graded, `notes` what is odd about it."""

    found: Found
    problem: str | None = None
    status: str = "graded"
    lesson: int | None = None
    cells: dict[str, str] = {}
    made_for: str = ""
    notes: list[str] = []


def find(folder: Path, known: Mapping[str, object], due: float | None = None) -> list[Found]:
    """Every notebook below a folder, with its student, in the order of their names.

    A student is the folder below `folder` that holds the file, or stands in the file's name; `known` has the students
    of a roster, if there is one. due: seconds since 1970; what was handed in later is late.
    """
    found: list[Found] = []
    for entry in sorted(os.scandir(folder), key=lambda entry: entry.name):
        if entry.name.startswith((".", "__")):
            continue
        if entry.is_dir(follow_symlinks=False):
            student = _known(moodle["student"] if (moodle := _MOODLE.match(entry.name)) else entry.name, known)
            files = list(islice(_notebooks(Path(entry.path)), MOST))
            found += [_dated(Found(student, file), file, due) for file in files] or [Found(student, None)]
        elif entry.name.lower().endswith(".ipynb") or entry.is_symlink():
            found.append(_dated(_flat(Path(entry.path), known), Path(entry.path), due))
    return found


def _notebooks(folder: Path) -> Iterator[Path]:
    for place, folders, files in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith((".", "__")))
        yield from (Path(place, name) for name in sorted(files)
                    if name.lower().endswith(".ipynb") and not name.startswith("."))


def _flat(file: Path, known: Mapping) -> Found:
    if canvas := _CANVAS.match(file.name):
        return Found(_known(canvas["student"], known), file, bool(canvas["late"]), int(canvas["again"] or 0))
    stem = file.stem
    for student in sorted(known, key=len, reverse=True):
        if re.search(rf"(?:^|[\W_]){re.escape(student)}(?:$|[\W_])", stem, re.I):
            return Found(student, file)
    # alice_ex02_trap_and_emulate.ipynb, ex02_trap_and_emulate-alice.ipynb
    bare = re.sub(r"[\W_]*ex\d\d(?:_[a-z]+)*[\W_]*", "", stem)
    return Found(bare or stem, file)


def _known(name: str, known: Mapping) -> str:
    """The roster's own spelling of a name."""
    return next((one for one in known if one.casefold() == name.casefold()), name)


def _dated(found: Found, file: Path, due: float | None) -> Found:
    """With its time: what nbgrader noted beside it in timestamp.txt, or the file's own."""
    try:
        at = file.lstat().st_mtime
    except OSError:
        at = 0
    try:
        said = (file.parent / "timestamp.txt").read_text("utf-8")[:100].strip().removesuffix("UTC").strip()
        moment = datetime.fromisoformat(said)
        at = (moment if moment.tzinfo else moment.replace(tzinfo=timezone.utc)).timestamp()
    except (OSError, ValueError):
        pass
    return found._replace(late=found.late or due is not None and at > due, handed_in=at)


class _Cell(NamedTuple):
    source: str
    tags: tuple[str, ...]


class _Refused(Exception):
    def __init__(self, status: str, why: str):
        super().__init__(why)
        self.status = status


def read(found: Found, sheet, lessons: list[int], version: int) -> Submission:
    """Read and judge one file.

    sheet       sheet(lesson, student) → {grade_id: (source, whether it is a solution cell)} of that student's handout
    version     of the handouts that this grader makes
    """
    if found.file is None:
        return Submission(found, "no notebook was handed in", "missing")
    try:
        book = _book(found.file)
        cells, notes = _cells(book)
        own = book.get("metadata")
        own = own.get("pvlab") if type(own) is dict else None
        own = own if type(own) is dict else {}
        lesson = _lesson(own.get("exercises"), cells, sheet, lessons, found.student)
    except _Refused as refused:
        return Submission(found, str(refused), refused.status)
    if own.get("version", version) != version:
        notes.append(f"made from version {str(own['version'])[:20]} of the handout, where this grader has {version}")
    solutions: dict[str, str] = {}
    touched = False
    for name, (source, is_solution) in sheet(lesson, found.student).items():
        mine = cells.get(name, [])
        if len(mine) > 1:
            notes.append(f"the cell {name} is there {len(mine)} times: the first one counts")
        if not mine:
            notes.append(f"the solution cell {name} is missing" if is_solution
                         else f"the cell {name} was deleted: the handout's own is used")
            continue
        if skips := SKIPPING.intersection(mine[0].tags):
            notes.append(f"the cell {name} has the tag {', '.join(sorted(skips))}, which is ignored")
        if not is_solution:
            if mine[0].source.strip() != source.strip():
                notes.append(f"the cell {name} was changed: the handout's own is used")
        elif len(mine[0].source) > LARGEST_CELL:
            notes.append(f"the solution cell {name} is too large ({len(mine[0].source):,} characters): it is not used")
        else:
            solutions[name] = mine[0].source
            touched |= mine[0].source.strip() != source.strip()
    made_for = own.get("student") if type(own.get("student")) is str else ""
    return Submission(found, None, "graded" if touched else "untouched", lesson, solutions, made_for, notes)


def _book(file: Path) -> dict:
    """The notebook's JSON. Raises _Refused, which says what the file is instead."""
    try:
        about = file.lstat()
        if not stat.S_ISREG(about.st_mode):
            raise _Refused("unreadable", "it is a link or a device, not a file")
        if about.st_size > LARGEST:
            raise _Refused("too large",
                           f"it has {about.st_size / (1 << 20):,.0f} MiB, at most {LARGEST >> 20} are read")
        content = file.read_bytes()
    except OSError as error:
        raise _Refused("unreadable", f"it cannot be read: {error.strerror}") from None
    if not content.strip():
        raise _Refused("empty", "it is an empty file")
    try:
        book = json.loads(content.decode("utf-8-sig"))
    except UnicodeDecodeError:
        raise _Refused("unreadable", "it is not text in UTF-8, so not a notebook") from None
    except RecursionError:
        raise _Refused("unreadable", "its JSON is nested too deeply") from None
    except ValueError as error:
        raise _Refused("unreadable", f"it is not JSON: {str(error)[:100]}") from None
    if type(book) is not dict or type(book.get("nbformat")) is not int:
        raise _Refused("unreadable", "it is JSON, but not a notebook")
    if book["nbformat"] != 4:
        raise _Refused("wrong version", f"it is a notebook of format {str(book['nbformat'])[:20]}, where 4 is read: "
                                        "open it in JupyterLab and save it")
    if type(book.get("cells")) is not list:
        raise _Refused("unreadable", "it is a notebook without a list of cells")
    if not book["cells"]:
        raise _Refused("empty", "it is a notebook without cells")
    return book


def _cells(book: dict) -> tuple[dict[str, list[_Cell]], list[str]]:
    """The code cells by grade_id, in their order, and what is odd about them."""
    found: dict[str, list[_Cell]] = {}
    odd = 0
    for cell in book["cells"]:
        try:
            source = cell["source"]
            if type(source) is list:
                source = "".join(source)
            metadata = cell["metadata"]
            name = metadata.get("nbgrader", {}).get("grade_id") or cell.get("id")
            tags = metadata.get("tags", [])
            code = cell["cell_type"] == "code"
            source.encode()         # a dict has no such thing, and half a character no bytes
            if type(name) is str and code:
                found.setdefault(name, []).append(_Cell(source, tuple(tag for tag in tags if type(tag) is str)))
        except (KeyError, TypeError, AttributeError, ValueError):
            odd += 1
    return found, [f"{odd} cells are not of a notebook's form, and were not read"] if odd else []


def _lesson(said, cells: Mapping, sheet, lessons: list[int], student: str) -> int:
    """The lesson that a notebook says it is of, or else the one whose cells it has."""
    if type(said) is int and said in lessons:
        return said
    counts = {lesson: len(cells.keys() & sheet(lesson, student).keys()) for lesson in lessons}
    best = max(counts, key=counts.__getitem__, default=None)
    if best is None or not counts[best]:
        raise _Refused("not a handout", "it has no cell of a handout of this course")
    return best


def newest(submissions: list[Submission]) -> tuple[list[Submission], list[Submission]]:
    """Of several submissions of one student for one lesson the last, and those before it.

    The last is what a course system counts as such, then what was handed in latest, then what can be graded.
    """
    groups: dict[tuple, list[Submission]] = {}
    for one in submissions:
        groups.setdefault((one.found.student, one.lesson), []).append(one)
    last, earlier = [], []
    for group in groups.values():
        group.sort(key=lambda one: (one.problem is None, one.found.again, one.found.handed_in, str(one.found.file)))
        last.append(group[-1])
        earlier += group[:-1]
    return last, earlier

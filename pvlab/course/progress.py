"""What this learner has done: exercises passed, hints opened, lessons begun and done. One small JSON file.

It stands in $PVLAB_PROGRESS, or in the user's data folder. A change is made under a lock and put in place by one
rename, so neither a kernel that is killed nor two that write at once can damage it.
"""
from __future__ import annotations

import json
import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pvlab.errors import PvlabError

LARGEST = 1 << 20       # bytes; a whole course takes some thousand


class ProgressError(PvlabError):
    """The progress file cannot be read or written, or is none."""


def file() -> Path:
    """Where the progress is kept; the file need not exist yet."""
    if own := os.environ.get("PVLAB_PROGRESS"):
        return Path(own).expanduser().absolute()
    if xdg := os.environ.get("XDG_DATA_HOME"):
        return Path(xdg).absolute() / "pvlab" / "progress.json"
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Application Support" / "pvlab" / "progress.json"
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local") / "pvlab" / "progress.json"
    return Path.home() / ".local" / "share" / "pvlab" / "progress.json"


def read() -> dict:
    """{"exercises": {id: {"passed": bool, "hints": opened}}, "lessons": {"02": "begun" or "done"}}.

    Raises ProgressError.
    """
    place = file()
    try:
        if place.stat().st_size > LARGEST:
            raise ProgressError(f"{place} is too large to be a progress file: move it away, and a new one is begun")
        known = json.loads(place.read_text("utf-8"))
    except FileNotFoundError:
        known = {}
    except OSError as error:
        raise ProgressError(f"{place}: {error.strerror}") from None
    except (ValueError, RecursionError):
        known = None
    if not isinstance(known, dict) or not all(isinstance(known.get(part, {}), dict)
                                              for part in ("exercises", "lessons")):
        raise ProgressError(f"{place} is not a progress file: move it away, and a new one is begun")
    exercises = {name: {"passed": of.get("passed") is True, "hints": of["hints"] if type(of.get("hints")) is int else 0}
                 for name, of in known.get("exercises", {}).items() if isinstance(of, dict)}
    lessons = {number: state for number, state in known.get("lessons", {}).items() if state in ("begun", "done")}
    return {"exercises": exercises, "lessons": lessons}


def passed(exercise: str) -> None:
    """The public checks of this exercise have passed. Once is enough."""
    with _changing() as known:
        _exercise(known, exercise)["passed"] = True


def open_hint(exercise: str, rungs: int) -> int:
    """Open one more of so many hints; returns how many are open now."""
    with _changing() as known:
        of = _exercise(known, exercise)
        of["hints"] = min(max(of["hints"], 0) + 1, rungs)
        return of["hints"]


def lesson(number: int, state: str) -> None:
    """A lesson is "begun" or "done". What is done stays done."""
    with _changing() as known:
        if known["lessons"].get(f"{number:02}") != "done":
            known["lessons"][f"{number:02}"] = state


def _exercise(known: dict, name: str) -> dict:
    return known["exercises"].setdefault(name, {"passed": False, "hints": 0})


@contextmanager
def _changing() -> Iterator[dict]:
    """The progress, to be changed; then it is written, if it did change. Raises ProgressError."""
    place = file()
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        with open(place.with_name(place.name + ".lock"), "a") as lock:
            _lock(lock)                       # given back when the file is closed, by whatever end of this process
            known = read()
            before = json.dumps(known)
            yield known
            if json.dumps(known) != before:
                _replace(place, json.dumps(known, indent=1, sort_keys=True) + "\n")
    except OSError as error:
        raise ProgressError(f"the progress cannot be kept in {place}: {error.strerror or error} "
                            "(PVLAB_PROGRESS names another file)") from None


def _lock(file) -> None:
    try:
        import fcntl
    except ImportError:
        import msvcrt
        file.seek(0)
        msvcrt.locking(file.fileno(), msvcrt.LK_LOCK, 1)
    else:
        fcntl.flock(file, fcntl.LOCK_EX)


def _replace(place: Path, text: str) -> None:
    descriptor, name = tempfile.mkstemp(prefix=f".{place.name}.", dir=place.parent)
    try:
        with open(descriptor, "w", encoding="utf-8") as new:
            new.write(text)
            new.flush()
            os.fsync(new.fileno())
        os.replace(name, place)
    except BaseException:
        os.unlink(name)
        raise

"""What an instructor keeps: the secret key, and the roster of a class."""
from __future__ import annotations

import csv
import os
import re
import secrets
from pathlib import Path

from pvlab.errors import PvlabError

SHORTEST, LARGEST = 16, 1 << 20     # bytes


class ClassError(PvlabError):
    """A key or a roster that cannot be used."""


def read_key(file: Path) -> bytes:
    """The secret in this file, without white space at its ends. Raises ClassError."""
    key = _read(file, "a key").strip()
    if len(key) < SHORTEST:
        raise ClassError(f"{file}: a key of {len(key)} bytes can be guessed: it must have {SHORTEST} at least")
    return key


def make_key(file: Path) -> bytes:
    """A new secret, kept in a new file that only its owner can read. Raises ClassError."""
    key = secrets.token_hex(32).encode()
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        with open(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as new:
            new.write(key + b"\n")
    except OSError as error:
        raise ClassError(f"{file}: {error.strerror}") from None
    return key


def read_roster(file: Path) -> list[str]:
    """The students of a CSV file, from its column `student`, in order. Raises ClassError.

    A name becomes a folder's, so it has letters, digits and ._@+- only, and begins with none of the last five.
    """
    try:
        text = _read(file, "a roster").decode("utf-8-sig")
        rows = list(csv.DictReader(text.splitlines()))
    except (UnicodeDecodeError, csv.Error) as error:
        raise ClassError(f"{file} is not a CSV file in UTF-8: {error}") from None
    if not rows or "student" not in rows[0]:
        raise ClassError(f"{file} is not a roster: its first line must name the columns, 'student' among them, and "
                         f"others "
                         "must follow")
    students = []
    for number, row in enumerate(rows, 2):
        name = (row["student"] or "").strip()
        if not re.fullmatch(r"[A-Za-z0-9][\w.@+-]{0,99}", name, re.ASCII):
            raise ClassError(f"{file}, line {number}: '{name}' cannot be a student's name: use letters, digits and "
                             f"._@+-")
        if name.lower() in map(str.lower, students):
            raise ClassError(f"{file}, line {number}: '{name}' is there twice")
        students.append(name)
    return students


def _read(file: Path, what: str) -> bytes:
    try:
        if file.stat().st_size > LARGEST:
            raise ClassError(f"{file} is too large for {what}")
        return file.read_bytes()
    except OSError as error:
        raise ClassError(f"{file}: {error.strerror}") from None

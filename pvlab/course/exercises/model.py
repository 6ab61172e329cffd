"""What an exercise is, and what a hidden check may ask.

A hidden check is Python that runs in the grader. The student's code runs elsewhere, in a limited process, and is
reached only through a `Student`: functions on plain JSON data. Machines and guests live in the grader.
"""
from __future__ import annotations

import hashlib
import hmac
import random
import re
import textwrap
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from pvlab.course.checking import CheckFailed, require, same
from pvlab.errors import PvlabError

__all__ = ["BEGIN", "END", "Check", "CheckFailed", "Exercise", "ExerciseError", "Sheet", "Student", "StudentError",
           "graded",
           "require", "same", "seeded"]

BEGIN, END = "### BEGIN SOLUTION", "### END SOLUTION"       # as nbgrader has them


class ExerciseError(PvlabError):
    """There is no such exercise, or its source is not in order."""


class StudentError(CheckFailed):
    """The student's code gave no answer: no such name, an exception, no time left, or a value that is not JSON."""


class Student(Protocol):
    """The student's namespace in its own process. Every value that comes back is of JSON's built-in types, exactly."""

    def call(self, function: str, /, *arguments):
        """The JSON value that the student's function returns for these JSON arguments. Raises StudentError."""

    def value(self, name: str, /):
        """The JSON value of a variable. Raises StudentError."""

    def build(self, source: str, /) -> bytes:
        """C source, built in the student's process as `pvlab.guest("file.c")` builds it: the bytes of an ELF file.

        What a compiler can be made to read and do is the student's affair, so no compiler runs in the grader. The
        bytes may be anything. Raises StudentError with the compiler's message. See guests.py for both ends of this.
        """


class Check(NamedTuple):
    """One hidden check, done: what it looked at, what it is worth, whether it passed, and what the student reads."""

    name: str
    points: int
    passed: bool
    feedback: str = ""


def graded(name: str, points: int, test: Callable[[], object]) -> Check:
    """Do one hidden check: it passes if `test` returns, and fails with the message if it raises CheckFailed."""
    try:
        test()
    except CheckFailed as failed:
        return Check(name, points, False, str(failed))
    return Check(name, points, True)


@dataclass(frozen=True)
class Exercise:
    """One exercise, authored once. `{{name}}` in the texts stands for a word that depends on the student's variant.

    id          "ex02-cli": also the grade_id of its solution cell; its other cells are "ex02-cli-statement", "-given"
                and "-check"
    title       a few words
    points      the sum of the points of the hidden checks
    minutes     how long it takes a learner who has read the lesson
    statement   Markdown: what to do, and the expected result
    given       code of a locked cell before the solution, or ""
    solution    the whole solution cell, with the model answer between lines that hold BEGIN and END
    stub        what stands between them in the handout
    public      the code of the public check cell: feedback only, see course/checking.py
    hidden      hidden(student, rng, variant) -> [Check, …]: runs in the grader, gives the points; rng is seeded by
                the instructor's key, the exercise and the student
    hints       at least three, from a nudge to nearly the answer
    variant     variant(rng) -> {parameter: value}: one student's numbers; JSON data, which the handout's metadata show
    words       words(variant) -> {name: text} for the texts; the parameters themselves unless given
    """

    id: str
    title: str
    points: int
    minutes: int
    statement: str
    solution: str
    public: str
    hidden: Callable[[Student, random.Random, Mapping], list[Check]]
    hints: tuple[str, ...]
    stub: str = "raise NotImplementedError"
    given: str = ""
    variant: Callable[[random.Random], dict] = lambda rng: {}
    words: Callable[[Mapping], Mapping] = lambda variant: variant

    @property
    def starter(self) -> str:
        """The solution cell as a student gets it: each region between the markers is the stub, once."""
        def cut(region: re.Match) -> str:
            return textwrap.indent(self.stub, region[1]) + "\n"
        text, regions = re.subn(rf"^([ \t]*)[^\n]*{BEGIN}[^\n]*\n.*?^[^\n]*{END}[^\n]*\n?", cut, self.solution + "\n",
                                flags=re.MULTILINE | re.DOTALL)
        if regions != 1:
            raise ExerciseError(f"the solution of {self.id} has {regions} regions between '{BEGIN}' and '{END}', not 1")
        return text.rstrip("\n")

    def fill(self, text: str, variant: Mapping) -> str:
        """One of the texts, for a variant."""
        words = self.words(variant)
        return re.sub(r"\{\{([a-z_]\w*)\}\}", lambda found: str(words[found[1]]), text)

    def parameters(self, key: bytes = b"", student: str = "") -> dict:
        """This student's variant. Without a key and a student: the public one."""
        return self.variant(seeded(key, self.id, student, "variant"))

    def rng(self, key: bytes, student: str) -> random.Random:
        """The source of this student's hidden inputs."""
        return seeded(key, self.id, student, "hidden")


@dataclass(frozen=True)
class Sheet:
    """The exercises of one lesson. `stem` names its handout: notebooks/exercises/{stem}.ipynb."""

    lesson: int
    stem: str
    title: str
    introduction: str
    exercises: tuple[Exercise, ...]

    @property
    def points(self) -> int:
        return sum(exercise.points for exercise in self.exercises)


def seeded(key: bytes, *words: str) -> random.Random:
    """A generator that only the holder of the key can foresee: seeded by HMAC-SHA-256 of the words."""
    message = "\0".join(words).encode()
    return random.Random(int.from_bytes(hmac.new(key, message, hashlib.sha256).digest(), "big"))

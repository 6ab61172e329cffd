"""A sheet of three quick exercises, for tests of the grader: no guest runs, so a marking is the sandbox's own work."""
import json
import os

import pytest
from pvlab.course.exercises.model import Exercise, Sheet, graded, require, same
from pvlab.course.grading import batch, marking, merging, reports
from pvlab.course.grading.sandbox import Limits
from pvlab.course.grading.session import Zygote

LESSON = 77
LIMITS = Limits(cpu=1, memory=512 << 20, file=1 << 20, processes=12, wall=4)


def _double(student, rng, variant):
    def one(number):
        answer = student.call("double", number)
        require(same(answer, number * variant["factor"]), "it must be exactly that many times the number, as an int")
    numbers = [rng.randrange(2, 1000) for _ in range(3)]
    return [graded("a number", 2, lambda: one(numbers[0])),
            graded("others", 2, lambda: [one(number) for number in (*numbers[1:], 0, 10**20)])]


def _flags(student, rng, variant):
    word = rng.randrange(1 << 8)
    return [graded("all flags", 3, lambda: require(
        same(student.call("flags", word), {"CF": bool(word & 1), "ZF": bool(word & 64)}), "CF is bit 0, ZF is bit 6"))]


def _answer(student, rng, variant):
    return [graded("the answer", 1, lambda: require(same(student.value("answer"), "forty-two"), "read the book"))]


HINTS = ("think", "think again", "it is in the book")
SHEET = Sheet(LESSON, "ex77_toy", "Toys", "Three toys.", (
    Exercise(id="ex77-double", title="Double", points=4, minutes=1, statement="`double(n)` is {{factor}} times n.",
             given="FACTOR = {{factor}}", variant=lambda rng: {"factor": rng.randrange(2, 90)}, hidden=_double,
             hints=HINTS,
             solution="def double(n):\n    ### BEGIN SOLUTION\n    return n * FACTOR\n    ### END SOLUTION\n",
             public="with pvlab.check('ex77-double') as check:\n    check('5', double(5), 5 * {{factor}})\n"),
    Exercise(id="ex77-flags", title="Flags", points=3, minutes=1, statement="`flags(word)`", hidden=_flags, hints=HINTS,
             solution="def flags(word):\n    ### BEGIN SOLUTION\n"
                      "    return {'CF': bool(word & 1), 'ZF': bool(word & 64)}\n    ### END SOLUTION\n",
             public="with pvlab.check('ex77-flags') as check:\n    check('1', flags(1), {'CF': True, 'ZF': False})\n"),
    Exercise(id="ex77-answer", title="Answer", points=1, minutes=1, statement="`answer`", hidden=_answer, hints=HINTS,
             stub="answer = None", solution="### BEGIN SOLUTION\nanswer = 'forty-two'\n### END SOLUTION\n",
             public="with pvlab.check('ex77-answer') as check:\n    check('answer', answer, 'forty-two')\n"),
))


def need_isolation() -> None:
    """Where an ordinary user's system forbids all of it, the tests of it are left out; as root, as in CI, they fail."""
    if not hasattr(os, "fork"):
        pytest.skip("no grading on this system")
    trial = Zygote()
    trial.close()
    if trial.level != "namespaces" and os.getuid():
        pytest.skip(f"no full isolation on this machine: {trial.why}")


def install(monkeypatch) -> None:
    """Make the toys the only sheet of the course, and mark in this process."""
    for module in (marking, merging, reports):
        monkeypatch.setattr(module, "find_sheet", lambda lesson: SHEET)
    monkeypatch.setattr(batch, "sheets", lambda: [SHEET])
    monkeypatch.setattr(batch, "spread", _here)
    monkeypatch.setattr(batch, "_refuse_without_sandbox", lambda options: None)
    merging.parameters.cache_clear()
    merging.code_cells.cache_clear()


def _here(function, items, jobs=None, scheduler=None):
    for position, item in enumerate(items):
        try:
            yield position, function(item)
        except Exception as error:
            yield position, error


def solved(**cells: str) -> dict:
    """The public handout with all answers right but for the given ones: solved(double="…")."""
    right = {exercise.id: exercise.fill(exercise.solution, exercise.parameters()) for exercise in SHEET.exercises}
    book = untouched()
    for name, source in (right | {f"ex77-{name}": source for name, source in cells.items()}).items():
        cell(book, name)["source"] = source
    return book


def untouched(key: bytes = b"", student: str = "") -> dict:
    """A handout as it is given out, the public one or a student's own."""
    book = merging.merged(LESSON, key, student, {})
    for one in book["cells"]:
        one["metadata"].pop("tags", None)
    return book


def cell(book: dict, name: str) -> dict:
    return next(one for one in book["cells"] if one["id"] == name)


def hand_in(folder, student: str, book) -> None:
    """Put a notebook, or text, or bytes, where a course system would."""
    place = folder / student
    place.mkdir(parents=True, exist_ok=True)
    text = book if isinstance(book, (bytes, str)) else json.dumps(book)
    (place / "ex77_toy.ipynb").write_bytes(text if isinstance(text, bytes) else text.encode())

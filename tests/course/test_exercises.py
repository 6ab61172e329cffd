"""Every exercise: its model solution earns all points, the untouched handout none, a wrong solution what it should."""
import json
import re

import pytest
from course.wrong import WRONG
from students import LocalStudent

from pvlab.course.exercises import sheets
from pvlab.course.exercises.handout import evaluate

EXERCISES = [exercise for sheet in sheets() for exercise in sheet.exercises]
CASES = [pytest.param(exercise, *case, id=f"{exercise.id}: {what}")
         for exercise in EXERCISES for what, case in WRONG[exercise.id].items()]
KEY = b"the key of these tests"


def marked(exercise, solution, student="anna"):
    """The hidden checks on a solution cell's text, before its words are filled in."""
    variant = exercise.parameters(KEY, student)
    answering = LocalStudent(exercise, variant, exercise.fill(solution, variant))
    return exercise.hidden(answering, exercise.rng(KEY, student), variant)


@pytest.fixture(params=EXERCISES, ids=lambda exercise: exercise.id)
def exercise(request):
    return request.param


@pytest.mark.parametrize("exercise, student", [
    pytest.param(exercise, student, id=f"{exercise.id}-{student}") for exercise in EXERCISES
    for student in ("anna", "ben") if student == "anna" or exercise.parameters(KEY, "ben")])
def test_the_model_solution_earns_full_marks(exercise, student):
    checks = marked(exercise, exercise.solution, student)
    assert [check.feedback for check in checks if not check.passed] == []
    assert sum(check.points for check in checks) == exercise.points
    variant = exercise.parameters(KEY, student)
    assert evaluate(exercise, variant, exercise.fill(exercise.solution, variant)).text() == (
        f"{exercise.id}: the public checks pass")


def test_the_untouched_handout_earns_nothing(exercise):
    checks = marked(exercise, exercise.starter)
    assert [check.name for check in checks if check.passed] == []
    variant = exercise.parameters(KEY, "anna")
    assert not evaluate(exercise, variant, exercise.fill(exercise.starter, variant)).passed


@pytest.mark.parametrize("exercise, changes, fails, feedback", CASES)
def test_a_wrong_solution_loses_what_it_should(exercise, changes, fails, feedback):
    solution = exercise.fill(exercise.solution, exercise.parameters(KEY, "anna"))
    for old, new in changes:
        assert old in solution, f"the model solution has no {old!r}"
        solution = solution.replace(old, new)
    checks = marked(exercise, solution)
    lost = {check.name: check.feedback for check in checks if not check.passed}
    assert lost.keys() == fails
    assert all(lost.values()) and any(feedback in said for said in lost.values())


def test_there_are_wrong_solutions_enough():
    assert all(len(WRONG[exercise.id]) >= 3 for exercise in EXERCISES)
    assert WRONG.keys() == {exercise.id for exercise in EXERCISES}


def test_it_is_well_formed(exercise):
    assert re.fullmatch(r"ex\d\d-[a-z]+", exercise.id) and len(exercise.hints) >= 3 and exercise.minutes >= 10
    assert "**Expected result:**" in exercise.statement
    assert json.loads(json.dumps(exercise.parameters(KEY, "anna"))) == exercise.parameters(KEY, "anna")


def test_hidden_inputs_come_from_the_key(exercise):
    assert exercise.rng(KEY, "anna").random() == exercise.rng(KEY, "anna").random()
    assert len({exercise.rng(key, student).random() for key in (b"", KEY) for student in ("anna", "ben")}) == 4


def test_a_sheet_has_four_to_six_exercises_and_begins_with_a_short_one():
    for sheet in sheets():
        assert 4 <= len(sheet.exercises) <= 6
        assert [exercise.id[:4] for exercise in sheet.exercises] == [f"ex{sheet.lesson:02}"] * len(sheet.exercises)
        assert min(exercise.minutes for exercise in sheet.exercises) == 10

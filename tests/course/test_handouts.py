"""Handouts: what a student gets, what an instructor keeps, and that the first holds nothing of the second."""
import inspect
import json
import re
from pathlib import Path

import nbformat
import pytest

from pvlab.cli import main
from pvlab.course.exercises import sheets
from pvlab.course.exercises.handout import answers, handout, write
from pvlab.course.exercises.model import BEGIN, END
from pvlab.course.lint import problems

ROOT = Path(__file__).resolve().parents[2]
PUBLIC = ROOT / "notebooks" / "exercises"
KEY = b"the key of these tests"


@pytest.fixture(params=sheets(), ids=lambda sheet: sheet.stem)
def sheet(request):
    return request.param


@pytest.fixture
def pvlab(capsys):
    def command(*words):
        status = main(list(map(str, words)))
        said = capsys.readouterr()
        return status, said.out, said.err
    return command


def code_of(book: dict) -> str:
    return "\n".join("".join(cell["source"]) for cell in book["cells"])


def lines(text: str) -> set[str]:
    """The lines of a text that say something: long enough to be no coincidence."""
    return {line.strip() for line in text.splitlines() if len(line.strip()) > 12}


def model_answer(exercise, variant) -> set[str]:
    """What stands between the markers and not in the starter."""
    text = exercise.fill(exercise.solution, variant)
    inside = re.search(rf"{BEGIN}[^\n]*\n(.*?)\n[^\n]*{END}", text, re.DOTALL)[1]
    return lines(inside) - lines(exercise.fill(exercise.starter, variant))


def hidden_code(exercise) -> set[str]:
    """The lines of the hidden checks, and of the functions beside them."""
    module = inspect.getmodule(exercise.hidden)
    own = [function for _, function in inspect.getmembers(module, inspect.isfunction)
           if function.__module__ == module.__name__]
    return lines("\n".join(map(inspect.getsource, own)))


def test_the_committed_handouts_are_what_release_makes(pvlab, tmp_path):
    assert pvlab("release", "--out", tmp_path)[0] == 0
    made = {file.name: file.read_text("utf-8") for file in (tmp_path / "handouts").iterdir()}
    stored = {file.name: file.read_text("utf-8") for file in PUBLIC.glob("*.ipynb")}
    assert made.keys() == stored.keys()
    assert [name for name in made if made[name] != stored[name]] == [], "run: make exercises"


def test_a_handout_holds_no_solution_and_no_hidden_check(sheet):
    for student in ("", "anna"):
        book = handout(sheet.lesson, KEY, student)
        stored = write(book)
        given = lines(code_of(book)) | lines("\n".join(json.dumps(book["metadata"]).split(",")))
        meant = lines("\n".join(text for one in sheet.exercises for text in (one.given, one.public, one.stub)))
        for exercise in sheet.exercises:
            variant = exercise.parameters(KEY, student)
            answer = model_answer(exercise, variant)
            assert answer, "a model answer that is also in the starter is none"
            assert not answer & given
            assert hidden_code(exercise) & given <= meant
            assert all(hint not in stored for hint in exercise.hints)
        assert BEGIN not in stored and END not in stored
        assert KEY.decode() not in stored and KEY.hex() not in stored


def test_it_keeps_the_rules_of_a_notebook(sheet):
    for book in (handout(sheet.lesson), answers(sheet.lesson)):
        nbformat.validate(nbformat.from_dict(book))
        assert list(problems(book)) == []
        assert write(book) == nbformat.writes(nbformat.from_dict(book), version=4) + "\n"


def test_links_lead_somewhere(sheet):
    broken = [target for cell in handout(sheet.lesson)["cells"] if cell["cell_type"] == "markdown"
              for target in re.findall(r"\]\(([^)#\s]+)[^)]*\)", "".join(cell["source"]))
              if not (PUBLIC / target).exists()]
    assert broken == []


def test_its_cells_are_nbgraders(sheet):
    """As nbgrader's own validator wants them: schema 3, unique ids, points with a grade, solutions unlocked."""
    book = handout(sheet.lesson)
    cells = {cell["metadata"]["nbgrader"]["grade_id"]: cell for cell in book["cells"]}
    assert len(cells) == len(book["cells"])
    for name, cell in cells.items():
        own = cell["metadata"]["nbgrader"]
        assert name == cell["id"] and own["schema_version"] == 3 and own["task"] is False
        assert ("points" in own) == own["grade"] and own["locked"] != own["solution"]
    for exercise in sheet.exercises:
        assert cells[exercise.id]["metadata"]["nbgrader"]["solution"]
        assert cells[f"{exercise.id}-check"]["metadata"]["nbgrader"]["points"] == exercise.points


def test_cells_are_short_enough_to_read(sheet):
    for cell in handout(sheet.lesson)["cells"]:
        assert len(cell["source"]) <= 45 and max(map(len, cell["source"])) <= 140, cell["id"]
        assert cell["cell_type"] == "markdown" or max(map(len, cell["source"])) <= 101, cell["id"]


def test_each_student_of_a_roster_gets_other_parameters(pvlab, tmp_path):
    roster, key = tmp_path / "roster.csv", tmp_path / "key"
    roster.write_text("student,name\nanna,Anna\nben.b,Ben\n")
    status, out, _ = pvlab("release", "--out", tmp_path / "out", "--roster", roster, "--key", key, "--lesson", 2)
    assert status == 0 and "a new key" in out and len(key.read_bytes()) >= 32 and key.stat().st_mode & 0o77 == 0
    books = {file.relative_to(tmp_path / "out").as_posix(): json.loads(file.read_text("utf-8"))
             for file in (tmp_path / "out").rglob("*.ipynb")}
    assert books.keys() == {f"{part}/{student}/ex02_trap_and_emulate.ipynb" for part in ("handouts", "instructor")
                            for student in ("anna", "ben.b")}
    anna, ben = (books[f"handouts/{student}/ex02_trap_and_emulate.ipynb"]["metadata"]["pvlab"]
                 for student in ("anna", "ben.b"))
    assert (anna["student"], ben["student"]) == ("anna", "ben.b")
    assert anna["variants"] != ben["variants"]
    assert books["instructor/anna/ex02_trap_and_emulate.ipynb"]["metadata"]["pvlab"] == anna
    status, out, _ = pvlab("release", "--out", tmp_path / "again", "--roster", roster, "--key", key, "--lesson", 2,
                           "--json")
    assert json.loads(out) == {"out": str(tmp_path / "again"), "lessons": [2], "students": ["anna", "ben.b"],
                               "new_key": None}
    for name, book in books.items():
        assert json.loads((tmp_path / "again" / name).read_text("utf-8")) == book


@pytest.mark.parametrize("roster, complaint", [
    ("", "is not a roster"), ("name\nanna\n", "is not a roster"),
                                               ("student\nanna\nANNA\n", "line 3: 'ANNA' is there twice"),
    ("student\n../anna\n", "line 2: '../anna' cannot be a student's name"), ("student\n\"\"\n", "line 2: '' cannot be"),
    ("student\nanna\n", "with a roster there must be a key"), (b"student\n\xff\n", "is not a CSV file in UTF-8")])
def test_bad_rosters(pvlab, tmp_path, roster, complaint):
    file = tmp_path / "roster.csv"
    file.write_bytes(roster if isinstance(roster, bytes) else roster.encode())
    status, out, err = pvlab("release", "--out", tmp_path / "out", "--roster", file)
    assert (status, out) == (2, "") and complaint in err and err.count("\n") == 1


def test_bad_keys_lessons_and_folders(pvlab, tmp_path):
    short = tmp_path / "short"
    short.write_text("secret\n")
    for words, complaint in ((("--key", short), "a key of 6 bytes can be guessed"),
                             (("--key", tmp_path), "Is a directory"),
                             (("--lesson", 99), "lesson 99 has no exercises"), (("--lesson", "two"), "--lesson")):
        status, out, err = pvlab("release", "--out", tmp_path / "out", *words)
        assert (status, out) == (2, "") and complaint in err and err.count("\n") == 1
    status, _, err = pvlab("release", "--out", short)
    assert status == 2 and err.count("\n") == 1


def test_each_sheet_has_a_page_for_instructors_that_fits_it(sheet):
    file = ROOT / "docs" / "instructors" / f"{sheet.lesson:02}.md"
    page = file.read_text("utf-8")
    rows = {found[0]: (int(found[1]), int(found[2]))
            for found in re.findall(r"^\| (ex\S+) \| (\d+) \| (\d+) \|", page, re.MULTILINE)}
    assert rows == {one.id: (one.points, one.minutes) for one in sheet.exercises}
    assert f"{sheet.points} points" in page
    index = (file.parent / "README.md").read_text("utf-8")
    assert f"| {sheet.lesson:02} {sheet.title} | {sheet.points} |" in index and f"({file.name})" in index
    assert [target for target in re.findall(r"\]\(([^)#]+)", page) if not (file.parent / target).exists()] == []

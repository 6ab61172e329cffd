"""Folders as course systems export them, and what becomes of late, repeated, missing and foreign submissions."""
import os

import pytest
import toysheet
from pvlab.course.grading import batch, marking, submissions
from pvlab.course.grading.submissions import find
from toysheet import LIMITS, SHEET, hand_in, solved


@pytest.fixture(scope="module", autouse=True)
def toys():
    toysheet.need_isolation()
    with pytest.MonkeyPatch.context() as patch:
        toysheet.install(patch)
        yield
        marking.close_zygotes()


def collect(folder, **changes):
    """{student: (submission, notes)} without marking anything."""
    options = batch.Options(limits=LIMITS)._replace(**changes)
    return {one.found.student: (one, [*notes, *one.notes]) for one, notes in batch.collect(folder, options)}


def put(folder, name, book=None):
    place = folder / name
    place.parent.mkdir(parents=True, exist_ok=True)
    hand_in(place.parent, ".", book or solved())
    (place.parent / "ex77_toy.ipynb").rename(place)
    return place


@pytest.mark.parametrize("name, student", [
    ("alice/ex77_toy.ipynb", "alice"),
    ("alice/lesson 77/my answers.IPYNB", "alice"),                          # nbgrader: student, assignment, file
    ("Alice Liddell_12345_assignsubmission_file_/ex77_toy.ipynb", "Alice Liddell"),     # Moodle
    ("Alice Liddell_12345_assignsubmission_file/ex77_toy.ipynb", "Alice Liddell"),
    ("liddellalice_4711_81516_ex77_toy-2.ipynb", "liddellalice"),           # Canvas
    ("liddellalice_LATE_4711_81516_ex77_toy.ipynb", "liddellalice"),
    ("alice.ipynb", "alice"), ("alice_ex77_toy.ipynb", "alice"), ("ex77_toy-alice.ipynb", "alice"),
])
def test_whose(tmp_path, name, student):
    put(tmp_path, name)
    [found] = find(tmp_path, {})
    assert found.student == student and found.file == tmp_path / name
    assert found.late == ("LATE" in name) and found.again == (2 if "-2" in name else 0)


def test_a_roster_knows_its_students_in_any_file_name(tmp_path):
    put(tmp_path, "hw-1 Ann.B (final).ipynb")
    put(tmp_path, "ann.ipynb")
    assert {found.student for found in find(tmp_path, {"ann.b": {}, "ann": {}})} == {"ann.b", "ann"}


def test_what_is_passed_over(tmp_path):
    put(tmp_path, "alice/.ipynb_checkpoints/ex77_toy-checkpoint.ipynb")
    put(tmp_path, "alice/__MACOSX/._ex77_toy.ipynb")
    put(tmp_path, "alice/ex77_toy.ipynb")
    (tmp_path / "readme.txt").write_text("not a notebook")
    assert [found.file.name for found in find(tmp_path, {})] == ["ex77_toy.ipynb"]


def test_late(tmp_path):
    for name in ("early", "late", "noted"):
        os.utime(put(tmp_path, f"{name}/ex77_toy.ipynb"), (1000 if name == "early" else 3000,) * 2)
    (tmp_path / "noted" / "timestamp.txt").write_text("1970-01-01 00:30:00 UTC\n")      # as nbgrader notes it
    late = {student: one.found.late for student, (one, _) in collect(tmp_path, due=2000).items()}
    assert late == {"early": False, "late": True, "noted": False}
    graded = {one.student: one.status for one in batch.grade(tmp_path, tmp_path.parent / "journal",
                                                             batch.Options(due=2000, feedback=False, limits=LIMITS))}
    assert graded == {"early": "graded", "late": "late", "noted": "graded"}


def test_the_last_counts(tmp_path):
    """Canvas numbers what is handed in again; elsewhere the file's time says it; what cannot be read does not count."""
    right, wrong = solved(), solved(answer="answer = 'no'")
    for again, book in enumerate((wrong, wrong, right)):
        put(tmp_path, f"ann_1_2_ex77_toy{f'-{again}' if again else ''}.ipynb", book)
    for name, at in (("first", 2000), ("second", 1000)):
        os.utime(put(tmp_path, f"bob/{name}/ex77_toy.ipynb", right if name == "first" else wrong), (at, at))
    found = collect(tmp_path)
    assert ["forty-two" in found[student][0].cells["ex77-answer"] for student in ("ann", "bob")] == [True, True]
    assert [note.split(" was ")[0] for note in found["bob"][1] if "before it" in note] == ["bob/second/ex77_toy.ipynb"]
    assert len(found["ann"][1]) == 2


def test_an_unreadable_file_alone_is_reported(tmp_path):
    (tmp_path / "ann").mkdir()
    (tmp_path / "ann" / "a.ipynb").write_text("{")
    [(one, notes)] = collect(tmp_path).values()
    assert one.status == "unreadable" and "not JSON" in one.problem


def test_an_unreadable_file_beside_a_good_one_is_reported_too(tmp_path):
    hand_in(tmp_path, "ann", solved())
    (tmp_path / "ann" / "b.ipynb").write_text("{")
    graded = batch.grade(tmp_path, tmp_path.parent / "journal", batch.Options(feedback=False, limits=LIMITS))
    assert [(one.student, one.status) for one in graded] == [("ann", "unreadable"), ("ann", "graded")]


def test_roster(tmp_path):
    """Everybody on it has a row; the parameters are the student's own, whatever the notebook says of itself."""
    own, key = "ann", b"a key of sixteen"
    mine = toysheet.untouched(key, own)
    hand_in(tmp_path, "ann", mine)
    hand_in(tmp_path, "bob", mine)
    hand_in(tmp_path, "eve", solved())
    hand_in(tmp_path, "zoe", solved())
    found = collect(tmp_path, roster={name: {} for name in ("ann", "bob", "cid", "eve")}, key=key)
    assert found["cid"][0].status == "missing"
    assert found["ann"][1] == [] and found["zoe"][1][0] == "not on the roster"
    assert any("made for 'ann'" in note for note in found["bob"][1])
    assert any("public handout" in note for note in found["eve"][1])
    assert batch.task_for(found["bob"][0], batch.Options(roster={"bob": {}}))["variant"] == "bob"


def test_copies_are_named(tmp_path):
    for name, book in (("ann", solved()), ("bob", solved()), ("cid", solved(answer="answer = 'forty-two'  # mine"))):
        hand_in(tmp_path, name, book)
    notes = {student: notes for student, (_, notes) in collect(tmp_path).items()}
    assert notes == {"ann": [], "bob": ["every solution is the same as that of ann"], "cid": []}


def test_untouched(tmp_path):
    hand_in(tmp_path, "ann", toysheet.untouched())
    [(one, _)] = collect(tmp_path).values()
    assert one.status == "untouched"
    [graded] = batch.grade(tmp_path, tmp_path.parent / "journal", batch.Options(feedback=False))
    assert graded.record is None and graded.status == "untouched"


def test_bad_input(tmp_path):
    with pytest.raises(batch.GradingError, match="is not a folder"):
        collect(tmp_path / "nowhere")
    with pytest.raises(batch.GradingError, match="no notebook"):
        collect(tmp_path)


def test_looks_are_shown_to_the_instructor():
    cells = {"a": "import os, math\nfrom socket import *\ndef f(): return eval('1')", "b": "def f(: ", "c": "1"}
    found = marking.looks(cells)
    assert found == ["a: uses os, socket, eval"]


def test_every_exercise_is_in_the_handout():
    cells = toysheet.merging.code_cells(77, b"", "")
    assert [name for name, (_, solution) in cells.items() if solution] == [exercise.id for exercise in SHEET.exercises]
    assert not any("BEGIN SOLUTION" in source for source, _ in cells.values())
    assert submissions.LARGEST < 200 << 20

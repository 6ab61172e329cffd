"""`pvlab check`, as a learner meets it; its kernel and nbval are real."""
import json
from pathlib import Path

import pytest

from pvlab.cli import main
from pvlab.course import progress
from pvlab.course.exercises import sheet
from pvlab.course.exercises.handout import answers, handout, write

STEM = "ex03_where_x86_breaks"


@pytest.fixture(autouse=True)
def own_progress(tmp_path, monkeypatch):
    monkeypatch.setenv("PVLAB_PROGRESS", str(tmp_path / "progress.json"))


@pytest.fixture
def pvlab(capsys):
    def command(*words):
        status = main(list(map(str, words)))
        said = capsys.readouterr()
        return status, said.out, said.err
    return command


def stored(folder: Path, book: dict) -> Path:
    file = folder / f"{STEM}.ipynb"
    file.write_text(write(book), "utf-8")
    return file


def solution_cells(book: dict) -> dict:
    return {cell["id"]: cell for cell in book["cells"] if cell["metadata"]["nbgrader"]["solution"]}


def test_model_answers_pass_and_are_remembered(pvlab, tmp_path):
    status, out, err = pvlab("check", stored(tmp_path, answers(3)))
    assert (status, err) == (0, "")
    assert out.splitlines() == [*(f"{one.id}: the public checks pass" for one in sheet(3).exercises),
                                "5 of 5 exercises pass their public checks"]
    passed = {name for name, of in progress.read()["exercises"].items() if of["passed"]}
    assert passed == {one.id for one in sheet(3).exercises}


def test_feedback_names_exercise_expectation_result_and_hint(pvlab, tmp_path):
    """One answer is right, one wrong, one raises, one does not compile, one is gone; and the checks were edited."""
    book = handout(3)
    own, model = solution_cells(book), solution_cells(answers(3))
    own["ex03-flags"]["source"] = "".join(model["ex03-flags"]["source"]).replace("            enabled = 0",
                                                                                 "            pass")
    own["ex03-scan"]["source"] = "def scan(listing):\n    return listing[99]"
    own["ex03-classify"]["source"] = "def classify(ring0, ring1)\n    return 'privileged'"
    own["ex03-section"]["source"] = model["ex03-section"]["source"]
    book["cells"] = [cell for cell in book["cells"] if cell["id"] != "ex03-probe"]
    for cell in book["cells"]:
        if cell["id"].endswith("-check"):
            cell["source"], cell["metadata"]["tags"] = "print('the public checks pass')", ["nbval-skip"]
    progress.open_hint("ex03-flags", 3)
    status, out, err = pvlab("check", stored(tmp_path, book))
    assert (status, err) == (1, "")
    assert out == """\
ex03-probe: not solved yet
  next hint (1 of 3): pvlab hint ex03-probe
ex03-classify: the cell of your answer fails
    SyntaxError: expected ':' (line 1)
  next hint (1 of 3): pvlab hint ex03-classify
ex03-flags: 1 of 3 public checks failed
  under the monitor
    expected: [[1], 0]
    came:     [[1], 1]
  next hint (2 of 3): pvlab hint ex03-flags
ex03-scan: 1 of 1 public checks failed
  your code raised an exception
    raised: IndexError: list index out of range
    at:     line 2 of scan: return listing[99]
  next hint (1 of 3): pvlab hint ex03-scan
ex03-section: the public checks pass
1 of 5 exercises pass their public checks
"""


def test_json(pvlab, tmp_path):
    status, out, err = pvlab("check", stored(tmp_path, handout(3)), "--json")
    report = json.loads(out)
    assert (status, err, report["lesson"], report["passed"]) == (1, "", 3, False)
    assert [one["id"] for one in report["exercises"]] == [one.id for one in sheet(3).exercises]
    assert report["exercises"][0] == {
        "id": "ex03-probe", "title": "Traps, differs, or the same?", "passed": False, "hints": {"opened": 0, "of": 3},
        "feedback": 'ex03-probe: not solved yet\n  next hint: pvlab.hint("ex03-probe")'}


@pytest.mark.parametrize("content, complaint", [
    (b"", "is not a notebook: it is not JSON"), (b"\xff\x00", "it is not JSON"), (b"[" * 100_000, "it is not JSON"),
    (b"[]", "is not a notebook of format 4"), (b'{"nbformat": 3, "cells": []}', "is not a notebook of format 4"),
    (b'{"nbformat": 4, "cells": []}', "is not a handout of the course"),
    (b'{"nbformat": 4, "cells": [], "metadata": {"pvlab": {"exercises": 3}}}', "made by another version"),
    (b'{"nbformat": 4, "cells": [], "metadata": {"pvlab": {"exercises": 77, "version": 1}}}',
     "lesson 77 has no exercises"),
    (b'{"nbformat": 4, "cells": [], "metadata": {"pvlab": {"exercises": 3, "version": 1}}}',
     "parameters of ex03-probe are damaged"),
    (b'{"nbformat": 4, "cells": [], "metadata": {"pvlab": {"exercises": 3, "version": 1, "variants": {'
     b'"ex03-probe": {"codes": [99]}, "ex03-classify": {}, "ex03-flags": {}, "ex03-scan": {}, "ex03-section": {}}}}}',
     "its parameters are damaged")])
def test_what_is_no_handout(pvlab, tmp_path, content, complaint):
    file = tmp_path / "x.ipynb"
    file.write_bytes(content)
    status, out, err = pvlab("check", file)
    assert (status, out) == (2, "") and complaint in err and err.count("\n") == 1


def test_what_is_not_there(pvlab, tmp_path):
    assert pvlab("check", tmp_path / "x.ipynb") == (2, "",
                                                    f"pvlab: {tmp_path / 'x.ipynb'}: No such file or directory\n")
    assert pvlab("check", tmp_path) == (2, "", f"pvlab: {tmp_path}: Is a directory\n")

"""Which lessons there are, read from notebooks in a folder of the test's own."""
import json

import pytest

from pvlab.course import lessons


@pytest.fixture
def course(tmp_path, monkeypatch):
    """A checkout with two lessons."""
    folder = tmp_path / "notebooks"
    folder.mkdir()
    for name, heading, metadata in (("00_start_here", "# 00. Start here", {"pvlab": {"minutes": 40}}),
                                    ("02_trap", "Before.\n# 2 · Trap and emulate\n## Not this", {})):
        book = {"cells": [{"cell_type": "markdown", "source": heading.splitlines(True)}], "metadata": metadata}
        (folder / f"{name}.ipynb").write_text(json.dumps(book))
    monkeypatch.setattr(lessons, "checkout", lambda: tmp_path)
    return folder


def test_titles_minutes_and_files(course):
    assert [lesson.to_dict() for lesson in lessons.lessons()] == [
        {"number": 0, "title": "Start here", "minutes": 40, "file": "notebooks/00_start_here.ipynb"},
        {"number": 2, "title": "Trap and emulate", "minutes": None, "file": "notebooks/02_trap.ipynb"}]


@pytest.mark.parametrize("name", ["2", "02", "02_trap", "02_trap.ipynb", "notebooks/02_trap.ipynb"])
def test_a_lesson_answers_to_its_number_and_its_names(course, name):
    assert lessons.lesson(name).number == 2


@pytest.mark.parametrize("name", ["1", "trap", "", "-2", "02_tra", "²"])
def test_an_unknown_lesson_is_refused(course, name):
    with pytest.raises(lessons.LessonError, match=f"there is no lesson '{name}'; there are 00, 02"):
        lessons.lesson(name)


@pytest.mark.parametrize("content", ["", "[]", "{}", "\x00", '{"cells": 1}', '{"cells": [], "metadata": {}}'])
def test_a_file_that_is_no_notebook_is_named(course, content):
    (course / "01_broken.ipynb").write_text(content)
    with pytest.raises(lessons.LessonError, match="01_broken.ipynb is not a notebook"):
        lessons.lessons()

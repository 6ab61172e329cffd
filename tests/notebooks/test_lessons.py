"""The lessons' files: what must hold beyond the outputs, which nbval compares when it executes them."""
import json
import re
from pathlib import Path

import pytest

from pvlab.course.lessons import lessons
from pvlab.course.lint import problems

ROOT = Path(__file__).resolve().parents[2]
FILES = sorted((ROOT / "notebooks").glob("*.ipynb"))


@pytest.fixture(params=FILES, ids=lambda file: file.stem)
def book(request):
    return json.loads(request.param.read_text("utf-8"))


def text(cell) -> str:
    return "".join(cell["source"])


def test_the_course_has_its_lessons_in_order():
    found = lessons()
    numbers = [lesson.number for lesson in found]
    assert numbers == sorted(set(numbers)) and len(numbers) == len(FILES)
    assert all(lesson.minutes and lesson.title for lesson in found)


def test_it_keeps_the_rules(book):
    assert list(problems(book)) == []


def test_every_code_cell_that_shows_something_has_its_output_stored(book):
    executed = [cell["execution_count"] for cell in book["cells"] if cell["cell_type"] == "code"]
    assert executed == list(range(1, len(executed) + 1))


def test_its_links_lead_somewhere(book):
    """Links inside the checkout; links to the web are for reading, and are not followed here."""
    broken = [target for cell in book["cells"] if cell["cell_type"] == "markdown"
              for target in re.findall(r"\]\(([^)#\s]+)[^)]*\)", text(cell))
              if not re.match(r"\w+:", target) and not (ROOT / "notebooks" / target).exists()]
    assert broken == []

"""Progress and hints: kept through kernels that are killed and that write at once."""
import json
import os
import random
import signal
import subprocess
import sys
from pathlib import Path

import pytest

import pvlab
from pvlab.cli import main
from pvlab.course import progress
from pvlab.course.exercises import exercise, sheets

WRITER = """
import sys
from pvlab.course import progress
print("ready", flush=True)
for i in range(int(sys.argv[2])):
    progress.passed(f"ex-{sys.argv[1]}-{i}")
"""


@pytest.fixture(autouse=True)
def place(tmp_path, monkeypatch) -> Path:
    monkeypatch.setenv("PVLAB_PROGRESS", str(tmp_path / "learner" / "progress.json"))
    return tmp_path / "learner" / "progress.json"


@pytest.fixture
def command(capsys):
    def run(*words):
        status = main(list(words))
        said = capsys.readouterr()
        return status, said.out, said.err
    return run


def writer(name: str, count: int) -> subprocess.Popen:
    return subprocess.Popen([sys.executable, "-c", WRITER, name, str(count)], stdout=subprocess.PIPE, text=True)


def test_writers_at_once_lose_nothing():
    for process in [writer(name, 40) for name in "abc"]:
        assert process.wait() == 0
    assert progress.read()["exercises"].keys() == {f"ex-{name}-{i}" for name in "abc" for i in range(40)}


def test_a_killed_writer_leaves_a_whole_file_and_no_lock(place):
    chance = random.Random(1)
    for number in range(5):
        process = writer(f"k{number}", 100_000)
        process.stdout.readline()
        while not place.exists() or len(progress.read()["exercises"]) < 10 * number + chance.randrange(1, 10):
            pass
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
        known = progress.read()["exercises"]
        assert all(of == {"passed": True, "hints": 0} for of in known.values())
    progress.passed("ex-last")
    assert progress.read()["exercises"]["ex-last"]["passed"]


@pytest.mark.parametrize("content", ["", "{", "[]", '{"exercises": []}', "[" * 100_000])
def test_a_damaged_file_is_named_and_not_overwritten(place, command, content):
    place.parent.mkdir()
    place.write_text(content)
    for words in (["progress"], ["hint", "ex01-count"]):
        status, out, err = command(*words)
        assert (status, out) == (2, "")
        assert err == f"pvlab: {place} is not a progress file: move it away, and a new one is begun\n"
    assert place.read_text() == content


def test_the_place_follows_the_desktop(monkeypatch, tmp_path):
    monkeypatch.delenv("PVLAB_PROGRESS")
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    assert progress.file() == tmp_path / "pvlab" / "progress.json"


def test_hints_open_one_rung_at_a_time(command):
    hints = exercise("ex01-count").hints
    for opened in (1, 2, 3, 3):
        shown = pvlab.hint("ex01-count")
        assert shown.opened == opened
        text = " ".join(shown.text().split())
        assert [" ".join(hint.split()) in text for hint in hints] == [i < opened for i in range(len(hints))]
        assert [hint in shown._repr_markdown_() for hint in hints] == [i < opened for i in range(len(hints))]
    status, out, _ = command("hint", "ex01-count", "--json")
    assert status == 0 and json.loads(out) == {"exercise": "ex01-count", "opened": 3, "of": 3, "hints": list(hints)}
    status, out, err = command("hint", "ex99-none")
    assert (status, out) == (2, "")
    assert err.startswith("pvlab: there is no exercise 'ex99-none': there are ex01-count, ")


def test_progress_shows_lessons_and_exercises(command):
    progress.passed("ex01-count")
    pvlab.hint("ex01-faithful")
    for one in sheets()[2].exercises:
        progress.passed(one.id)
    assert command("progress", "--done", "0")[0] == 0
    status, out, _ = command("progress", "--json")
    lessons = {lesson["number"]: lesson for lesson in json.loads(out)["lessons"]}
    assert status == 0
    assert [lessons[number]["state"] for number in range(4)] == ["done", "begun", "", "done"]
    assert lessons[1]["exercises"][0] == {"id": "ex01-count", "title": "Count before the machine does", "points": 4,
                                          "passed": True, "hints": 0, "of": 3}
    _, out, _ = command("progress")
    assert "01  What a virtual machine is" in out and "1 of 4 exercises" in out and "1 of 3 hints" in out


def test_what_is_done_stays_done():
    progress.lesson(1, "done")
    progress.lesson(1, "begun")
    assert progress.read()["lessons"] == {"01": "done"}

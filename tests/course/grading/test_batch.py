"""Batches: the journal, kills and resuming, the reports, the command."""
import csv
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import toysheet
from pvlab import cli
from pvlab.course.exercises import sheet
from pvlab.course.exercises.handout import answers, handout, write
from pvlab.course.grading import batch, marking, reports
from pvlab.course.grading.batch import Journal, Options, grade
from toysheet import LIMITS, hand_in, solved

FAST = Options(feedback=False, limits=LIMITS)


@pytest.fixture
def toys(monkeypatch):
    toysheet.install(monkeypatch)
    yield
    toysheet.merging.parameters.cache_clear()
    toysheet.merging.code_cells.cache_clear()


@pytest.fixture(scope="module", autouse=True)
def end_of_zygotes():
    toysheet.need_isolation()
    yield
    marking.close_zygotes()


@pytest.fixture
def handed_in(tmp_path, toys):
    """Six submissions, each with other marks."""
    folder = tmp_path / "handed in"
    for number in range(6):
        hand_in(folder, f"s{number}", solved(
            double=f"def double(n): return n * FACTOR if n % 6 != {number} else {number}",
            answer="answer = 'forty-two'" if number % 2 else "answer = 42"))
    return folder


def marks(graded) -> dict:
    return {one.student: [exercise["points"] for exercise in one.record["exercises"]] for one in graded}


def test_grading_again_gives_the_same(handed_in, tmp_path):
    one, two = grade(handed_in, tmp_path / "one", FAST), grade(handed_in, tmp_path / "two", FAST)
    assert [graded.record for graded in one] == [graded.record for graded in two]
    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()
    assert len({tuple(own) for own in marks(one).values()}) > 1


def test_what_is_in_the_journal_is_not_marked_again(handed_in, tmp_path, monkeypatch):
    first = grade(handed_in, tmp_path / "journal", FAST)
    monkeypatch.setattr(batch, "mark", lambda task: pytest.fail("marked again"))
    assert grade(handed_in, tmp_path / "journal", FAST) == first


@pytest.mark.parametrize("change", ["solution", "key", "feedback", "exercise"])
def test_what_changed_is_marked_again(handed_in, tmp_path, monkeypatch, change):
    grade(handed_in, tmp_path / "journal", FAST)
    marked, options = [], FAST
    monkeypatch.setattr(batch, "mark", lambda task: (
        marked.append(task["student"]) or marking.mark(task | {"feedback": False})))
    if change == "solution":
        hand_in(handed_in, "s3", solved(answer="answer = 'another'"))
    elif change == "exercise":
        monkeypatch.setattr(batch, "_sources", lambda: "other sources")
    else:
        options = FAST._replace(**{"key": b"another key of 16"} if change == "key" else {"feedback": True})
    grade(handed_in, tmp_path / "journal", options)
    assert marked == (["s3"] if change == "solution" else [f"s{number}" for number in range(6)])


class Killed(BaseException):
    pass


def test_killed_anywhere_and_started_again(handed_in, tmp_path, monkeypatch):
    """The journal cut at every kind of place where a kill can leave it: no mark is lost, none is changed."""
    whole = grade(handed_in, tmp_path / "whole", FAST)
    lines = (tmp_path / "whole").read_bytes().splitlines(keepends=True)
    marked = []
    monkeypatch.setattr(batch, "mark", lambda task: marked.append(task["student"]) or marking.mark(task))
    for kept in range(len(lines) + 1):
        for rest in ((0,) if kept == len(lines) else (0, 1, len(lines[kept]) // 2, len(lines[kept]) - 1)):
            journal = tmp_path / "journal"
            journal.write_bytes(b"".join(lines[:kept]) + (lines[kept][:rest] if rest else b""))
            marked.clear()
            assert grade(handed_in, journal, FAST) == whole, (kept, rest)
            only_its_end_is_missing = rest > 1 and rest == len(lines[kept]) - 1
            assert len(marked) == len(lines) - kept - only_its_end_is_missing
            assert len(Journal(journal).read()) == len(lines)
    assert kept == 6


def test_reports(handed_in, tmp_path):
    hand_in(handed_in, "zoe", "{")
    options = FAST._replace(roster={"s0": {"Student": "Zero, S", "ID": "17", "Email address": "s0@x.org"}, "gone": {}})
    graded = grade(handed_in, tmp_path / "journal", options)
    out = tmp_path / "out" / "grades.csv"
    report = reports.write(out, graded, options, handed_in)
    rows = list(csv.DictReader(out.read_text().splitlines()))
    assert list(rows[0]) == ["student", "ex77-double", "ex77-flags", "ex77-answer", "total", "status", "notes"]
    assert [row["student"] for row in rows] == ["gone", "s0", "s1", "s2", "s3", "s4", "s5", "zoe"]
    by_student = {row["student"]: row for row in rows}
    assert by_student["zoe"]["status"] == "unreadable" and by_student["gone"]["status"] == "missing"
    for student, own in marks(one for one in graded if one.record).items():
        assert [int(by_student[student][name]) for name in list(rows[0])[1:4]] == own
        assert int(by_student[student]["total"]) == sum(own)
    canvas = list(csv.reader(reports.paths(out)["canvas"].read_text().splitlines()))
    assert canvas[0][:5] == ["Student", "ID", "SIS User ID", "SIS Login ID", "Section"]
    assert canvas[1][0] == "    Points Possible" and canvas[1][5] == "8"
    assert canvas[3][:2] == ["Zero, S", "17"]
    moodle = list(csv.DictReader(reports.paths(out)["moodle"].read_text().splitlines()))
    assert moodle[1]["Email address"] == "s0@x.org" and moodle[1]["Username"] == "s0"
    assert json.loads(reports.paths(out)["json"].read_text()) == json.loads(json.dumps(report))


def test_a_feedback_page_shows_no_hidden_check(handed_in, tmp_path):
    graded = grade(handed_in, tmp_path / "journal", FAST)
    out = tmp_path / "grades.csv"
    reports.write(out, graded, FAST, handed_in)
    page = (tmp_path / "grades.feedback" / "s0.html").read_text()
    assert "Double" in page and "2 of 2" in page and "exactly that many times" in page
    for secret in ("rng", "randrange", "hidden", "student.call", "forty-two", "10**20"):
        assert secret not in page


@pytest.mark.parametrize("student, name", [
    ("ann", "ann"), ("a/b", "a%2fb"), ("..", "%"), ("Zoë Ångström", "Zoë%20Ångström")])
def test_a_page_has_a_safe_name(student, name):
    assert reports.file_name(student) == name


def test_without_isolation_it_refuses(monkeypatch, handed_in, tmp_path):
    real = batch.Zygote
    monkeypatch.undo()
    monkeypatch.setattr(batch, "Zygote", lambda level: real("none"))
    folder = tmp_path / "real"
    folder.mkdir()
    (folder / "ann.ipynb").write_text(write(answers(1)))
    with pytest.raises(batch.SandboxError, match="--no-sandbox"):
        grade(folder, tmp_path / "journal", Options())


def test_no_sandbox_is_said(handed_in, tmp_path):
    from pvlab.course.grading.command import told
    graded = grade(handed_in, tmp_path / "journal", FAST._replace(level="none"))
    report = reports.summary(graded, handed_in)
    assert report["isolation"] == ["none"]
    assert "without isolation" in told(graded, report, reports.paths(tmp_path / "grades.csv"), True)
    assert marks(graded) == marks(grade(handed_in, tmp_path / "other", FAST))


def test_the_command(tmp_path, capsys):
    """The course's own first sheet, in processes: a solved and an untouched handout, feedback and all."""
    for student, book in (("ann", answers(1)), ("bob", handout(1))):
        (tmp_path / "in" / student).mkdir(parents=True)
        (tmp_path / "in" / student / "ex01.ipynb").write_text(write(book))
    out = tmp_path / "out" / "grades.csv"
    assert cli.main(["grade", str(tmp_path / "in"), "--out", str(out), "--jobs", "1", "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    ann, bob = report["submissions"]
    assert ann["points"] == sheet(1).points and bob["points"] == 0
    assert [check["passed"] for check in ann["public"]] == [True] * len(sheet(1).exercises)
    assert report["isolation"] == ["namespaces"]
    assert cli.main(["grade", str(tmp_path / "in"), "--out", str(out), "--jobs", "1"]) == 0
    said = capsys.readouterr().out
    assert "2 submissions: 1 graded, 1 untouched" in said and "no --key" in said


@pytest.mark.parametrize("arguments, complaint", [
    (["nowhere", "--out", "g.csv"], "nowhere is not a folder"),
    ([".", "--out", "."], "is a folder: --out names a file"),
    ([".", "--out", "g.csv", "--jobs", "0"], "--jobs"),
    ([".", "--out", "g.csv", "--jobs", "1", "--scheduler", "tcp://x"], "cannot be given together"),
    ([".", "--out", "g.csv", "--key", "nowhere"], "nowhere: No such file"),
    ([".", "--out", "g.csv", "--roster", "nowhere"], "nowhere: No such file"),
    ([".", "--out", "g.csv", "--same-handout"], "--roster"),
    ([".", "--out", "g.csv", "--due", "tomorrow"], "--due"),
])
def test_bad_input(tmp_path, monkeypatch, capsys, arguments, complaint):
    monkeypatch.chdir(tmp_path)
    assert cli.main(["grade", *arguments]) == 2
    said = capsys.readouterr()
    assert complaint in said.err and said.err.count("\n") == 1 and not said.out


KILLED = 10     # kills


def test_sigkill(tmp_path):
    """The whole command, killed when its journal has 0, 1, 2, … records, and started again: as if it had not been."""
    folder = tmp_path / "in"
    folder.mkdir()
    solution = {exercise.id: exercise.fill(exercise.solution, exercise.parameters()) for exercise in sheet(1).exercises}
    for number in range(KILLED + 1):
        book = answers(1)
        for cell in book["cells"]:
            if cell["id"] == "ex01-breakeven" and number % 2:
                cell["source"] = solution["ex01-breakeven"].replace("100 * exits", f"{90 + number} * exits")
            elif cell["id"] in ("ex01-count", "ex01-detect", "ex01-faithful"):
                cell["source"] = f"# {number}"
        (folder / f"s{number:02}.ipynb").write_text(write(book))
    command = [sys.executable, "-m", "pvlab", "grade", str(folder), "--no-feedback", "--jobs", "1", "--out"]
    journal = tmp_path / "killed" / "grades.journal.jsonl"
    killed = 0
    for records in range(KILLED):
        process = subprocess.Popen([*command, str(tmp_path / "killed" / "grades.csv")], start_new_session=True,
                                   stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        while process.poll() is None and _lines(journal) <= records:
            time.sleep(0.005)
        if process.poll() is None:
            process.kill()
            killed += 1
        process.wait()
    assert killed >= KILLED - 1
    for name in ("killed", "whole"):
        subprocess.run([*command, str(tmp_path / name / "grades.csv")], check=True, stdout=subprocess.DEVNULL)
    for report in ("grades.csv", "grades.json", "grades.canvas.csv", "grades.moodle.csv"):
        assert (tmp_path / "killed" / report).read_bytes() == (tmp_path / "whole" / report).read_bytes()
    rows = csv.DictReader((tmp_path / "whole" / "grades.csv").read_text().splitlines())
    points = [row["ex01-breakeven"] for row in rows]
    assert len(points) == KILLED + 1 and len(set(points)) > 1
    _no_process_is_left(str(folder))


def _lines(file: Path) -> int:
    return file.read_bytes().count(b"\n") if file.exists() else 0


def _no_process_is_left(word: str) -> None:
    """What a killed grader had started ends by itself."""
    for _ in range(500):
        left = [pid for pid in os.listdir("/proc") if pid.isdigit() and word.encode() in _command(pid)]
        if not left:
            return
        time.sleep(0.01)
    for pid in left:
        os.kill(int(pid), signal.SIGKILL)
    pytest.fail(f"{len(left)} processes are left")


def _command(pid: str) -> bytes:
    try:
        return Path("/proc", pid, "cmdline").read_bytes()
    except OSError:
        return b""

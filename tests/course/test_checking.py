"""The public checks in a notebook: values, exceptions, feedback."""
import pytest

import pvlab
from pvlab.course import progress
from pvlab.course.checking import CheckFailed
from pvlab.course.feedback import Feedback


@pytest.fixture(autouse=True)
def own_progress(tmp_path, monkeypatch):
    monkeypatch.setenv("PVLAB_PROGRESS", str(tmp_path / "progress.json"))


def said(capsys, *checks, raises=None):
    with pvlab.check("ex-some") as check:
        for name, came, expected in checks:
            check(name, came, expected)
        if raises:
            raise raises
    return capsys.readouterr().out


class AlwaysEqual:
    def __eq__(self, other):
        return True


@pytest.mark.parametrize("came, expected",
                         [(1, 1), ("a", "a"), ([1, {"a": None}], [1, {"a": None}]), ((1, 2), [1, 2]), (0.5, 0.5)])
def test_equal_data_passes(capsys, came, expected):
    assert said(capsys, ("it", came, expected)) == "ex-some: the public checks pass\n"


@pytest.mark.parametrize("came, expected, shown", [
    (True, 1, "came:     True (of type bool)"), (1.0, 1, "came:     1.0 (of type float)"), (2, 1, "came:     2"),
    ([1, 2], [1], "came:     [1, 2]"), ({"a": 1}, {"a": True}, "came:     {'a': 1}"),
                                                   (AlwaysEqual(), 1, "which is not plain data"),
    ({1, 2}, [1, 2], "which is not plain data"), ("x" * 1000, "y", "… (1,002 characters)")])
def test_other_data_fails_and_is_shown(capsys, came, expected, shown):
    text = said(capsys, ("right", 1, 1), ("it", came, expected))
    assert text.startswith("ex-some: 1 of 2 public checks failed\n  it\n    expected: ") and shown in text
    assert text.endswith('  next hint: pvlab.hint("ex-some")\n')


def test_none_and_not_implemented_mean_not_solved_yet(capsys):
    unsolved = 'ex-some: not solved yet\n  next hint: pvlab.hint("ex-some")\n'
    assert said(capsys, ("it", None, 1)) == unsolved
    assert said(capsys, raises=NotImplementedError()) == unsolved
    assert said(capsys, ("it", None, None)) == "ex-some: the public checks pass\n"


def test_an_exception_is_feedback_with_its_place(capsys):
    def answer():
        return 1 // 0
    with pvlab.check("ex-some") as check:
        check("it", answer(), 1)
    text = capsys.readouterr().out
    assert "raised: ZeroDivisionError: integer division or modulo by zero" in text
    assert "of answer: return 1 // 0" in text
    assert "but: the guest makes no progress" in said(capsys, raises=CheckFailed("the guest makes no progress"))


def test_an_interrupt_is_not_swallowed():
    with pytest.raises(KeyboardInterrupt), pvlab.check("ex-some"):
        raise KeyboardInterrupt


def test_a_success_is_remembered_and_a_failure_is_not(capsys):
    said(capsys, ("it", 2, 1))
    assert progress.read()["exercises"] == {}
    said(capsys, ("it", 1, 1))
    assert progress.read()["exercises"] == {"ex-some": {"passed": True, "hints": 0}}


def test_a_progress_file_that_cannot_be_written_does_not_fail_a_check(capsys, tmp_path, monkeypatch):
    monkeypatch.setenv("PVLAB_PROGRESS", str(tmp_path / "file" / "progress.json"))
    (tmp_path / "file").write_text("in the way")
    assert said(capsys, ("it", 1, 1)) == "ex-some: the public checks pass\n"


def test_html_is_escaped_and_says_the_same():
    with pvlab.check("ex-some") as check:
        check.report = lambda feedback: found.append(feedback)
        found: list[Feedback] = []
        check("<b>", "<script>", "x")
    html = found[0].html()
    assert "<script>" not in html and "&lt;script&gt;" in html and "&lt;b&gt;" in html
    assert "1 of 1 public checks failed" in html


def test_numbers_in_hexadecimal(capsys):
    with pvlab.check("ex-some") as check:
        check("it", {"a": [255, True]}, {"a": [256, True]}, base=16)
    assert "expected: {'a': [0x100, True]}\n    came:     {'a': [0xff, True]}" in capsys.readouterr().out

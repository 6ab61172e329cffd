"""The public checks of an exercise, as its notebook makes them:

    with pvlab.check("ex02-cli") as check:
        check("CLI clears IF", emulate("cli", state), expected)

They are feedback and give no points. Values count as the grader will see them: as JSON data, of exactly equal types.
"""
from __future__ import annotations

import json
import traceback

from pvlab.course.feedback import Feedback, Finding, shown

_OWN = __file__


class CheckFailed(Exception):
    """A check did not pass. The message is the feedback: what was wrong, in a way that helps, without hidden inputs."""


def require(condition: object, feedback: str) -> None:
    """Go on if the condition holds; else fail with this feedback."""
    if not condition:
        raise CheckFailed(feedback)


def as_data(answer):
    """A function's answer as JSON data, whatever process it comes from."""
    try:
        return json.loads(json.dumps(answer))
    except (TypeError, ValueError, RecursionError):
        raise CheckFailed("the function must return plain data: numbers, texts, booleans, None, lists, dicts") from None


class check:
    """The public checks of one exercise: at the end of the `with` block they are shown, and a success is remembered.

    Calling it makes one check. An exception of the learner's code ends the block, and is shown as a failed check.
    """

    def __init__(self, exercise: str):
        self.exercise, self._findings, self._checks, self._unsolved = exercise, [], 0, False

    def __enter__(self) -> check:
        return self

    def __call__(self, name: str, came, expected, base: int = 10) -> None:
        """`came` must be the same JSON data as `expected`. None stands for an answer that was not given yet.

        base: 16 to show whole numbers in hexadecimal.
        """
        self._checks += 1
        if came is None and expected is not None:
            self._unsolved = True
        try:
            came = json.loads(json.dumps(came))
        except (TypeError, ValueError, RecursionError):
            self._findings.append(Finding(name, (("expected", shown(expected)), ("came", shown(came)), (
                "", "which is not plain data: numbers, texts, booleans, None, lists, and dicts with texts as keys"))))
            return
        if not same(came, expected):
            self._findings.append(Finding(name, (("expected", _typed(expected, came, base)),
                                                 ("came", _typed(came, expected, base)))))

    def that(self, name: str, holds: bool, otherwise: str) -> None:
        """A check of another kind: `otherwise` says what was wrong where it does not hold."""
        self._checks += 1
        if not holds:
            self._findings.append(Finding(name, (("but", otherwise),)))

    def __exit__(self, kind, error, trace) -> bool:
        if kind is not None and not issubclass(kind, Exception):
            return False                            # an interrupt is the learner's wish
        unsolved = self._unsolved or kind is not None and issubclass(kind, NotImplementedError)
        if kind is not None and not unsolved:
            self._checks += 1
            self._findings.append(Finding("it goes no further", (("but", str(error)),)) if issubclass(kind, CheckFailed)
                                  else Finding("your code raised an exception", _raised(error, trace)))
        self.report(Feedback(self.exercise, [] if unsolved else self._findings, self._checks, unsolved))
        return True

    @staticmethod
    def report(feedback: Feedback) -> None:
        """Remember a success, and show the feedback."""
        if feedback.passed:
            _remember(feedback.exercise)
        show(feedback)


def show(feedback: Feedback) -> None:
    """Display in a notebook, print elsewhere."""
    try:
        from IPython import get_ipython
        from IPython.display import display
    except ImportError:
        print(feedback.text())
        return
    if get_ipython() is None:
        print(feedback.text())
    else:
        display(feedback)


def same(one, other) -> bool:
    """Equal, and of the same built-in types all the way down: 1 is neither True nor 1.0."""
    if type(one) is not type(other):
        return False
    if type(one) is list:
        return len(one) == len(other) and all(map(same, one, other))
    if type(one) is dict:
        return one.keys() == other.keys() and all(same(value, other[key]) for key, value in one.items())
    return type(one) in (str, int, float, bool, type(None)) and one == other


def _typed(value, other, base: int) -> str:
    """With the type, where the two would look alike or could be taken for each other."""
    alike = type(value) is not type(other) and (repr(value) == repr(other) or value == other)
    return shown(value, base) + (f" (of type {type(value).__name__})" if alike else "")


def _raised(error: Exception, trace) -> tuple[tuple[str, str], ...]:
    """The exception, and the learner's line that raised it."""
    message = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
    if isinstance(error, NameError):
        message += " (has the cell above been run?)"
    frames = [frame for frame in traceback.extract_tb(trace)[1:] if frame.filename != _OWN]
    where = (("at", f"line {frames[-1].lineno} of {frames[-1].name}: {frames[-1].line}".rstrip(": ")),
             ) if frames else ()
    return ("raised", shown_text(message)), *where


def shown_text(text: str) -> str:
    """One line of an exception's message."""
    line = " ".join(text.split())
    return line if len(line) <= 300 else line[:300] + " …"


def _remember(exercise: str) -> None:
    """Note the success. Where the progress file cannot be written, `pvlab progress` says so; a check does not fail."""
    from pvlab.course import progress
    from pvlab.errors import PvlabError
    try:
        progress.passed(exercise)
    except (PvlabError, OSError):
        pass

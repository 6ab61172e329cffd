"""A student in this process, for tests of exercises: the grader's own students run elsewhere and are not trusted."""
import json

from pvlab.course.exercises.guests import build
from pvlab.course.exercises.handout import SETUP
from pvlab.course.exercises.model import StudentError
from pvlab.guests.toolchain import GuestError


class LocalStudent:
    """Answers with the functions of a solution cell; every value passes through JSON, as over a pipe."""

    def __init__(self, exercise, variant, solution: str):
        self.space = {"__name__": "__main__"}
        for source in (SETUP, exercise.fill(exercise.given, variant), solution):
            try:
                exec(compile(source, "<student>", "exec"), self.space)
            except Exception as error:
                self.space["failed"] = error

    def call(self, function, /, *arguments):
        try:
            return json.loads(json.dumps(self.value_of(function)(*json.loads(json.dumps(arguments)))))
        except Exception as error:
            raise StudentError(str(error) if isinstance(error, StudentError) else type(error).__name__) from None

    def value(self, name, /):
        return json.loads(json.dumps(self.value_of(name)))

    def value_of(self, name):
        if name not in self.space:
            raise StudentError(f"there is no {name}")
        return self.space[name]

    def build(self, source, /) -> bytes:
        try:
            return build(source)
        except GuestError as error:
            raise StudentError(str(error)) from None

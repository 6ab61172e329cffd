"""The course's own commands: what learners and instructors ask of the exercises."""
from __future__ import annotations

from pathlib import Path
from typing import Annotated, Optional

import typer

from pvlab.terminal import complain, say, say_json

Json = Annotated[bool, typer.Option("--json", help="Print one JSON object and nothing else.")]
ExerciseName = Annotated[str, typer.Argument(metavar="EXERCISE", help="Its name, such as ex02-decode.")]


def check(notebook: Annotated[Path, typer.Argument(metavar="NOTEBOOK", help="A handout with your answers.")],
          json: Json = False) -> int:
    """Make the public checks of a handout, under nbval, and say what was expected and what came."""
    from pvlab.course.selfcheck import check_notebook
    report = check_notebook(notebook)
    if json:
        say_json(report.to_dict())
    else:
        say(report.text())
    return 0 if report.passed else 1


def hint(exercise: ExerciseName, json: Json = False) -> None:
    """Open the next hint for an exercise."""
    from pvlab.course.hints import hint
    opened = hint(exercise)
    if json:
        say_json({"exercise": exercise, "opened": opened.opened, "of": len(opened.hints),
                  "hints": list(opened.hints[:opened.opened])})
    else:
        say(opened.text())


def progress(json: Json = False,
             done: Annotated[Optional[str], typer.Option(metavar="LESSON", help="Note that a lesson is done.")] = None,
             ) -> None:
    """Show what this learner has done: lessons and exercises."""
    from pvlab.course import progress, standing
    if done is not None:
        from pvlab.course.lessons import lesson
        progress.lesson(lesson(done).number, "done")
    if json:
        say_json(standing.standing())
    else:
        say(standing.table(standing.standing()).text())


def release(out: Annotated[Path, typer.Option("--out", metavar="DIR", help="Where to write: it is made if need be.")],
            roster: Annotated[Optional[Path], typer.Option(metavar="FILE", help="A CSV file with a column 'student': "
                                                           "each student gets other parameters.")] = None,
            key: Annotated[Optional[Path], typer.Option(metavar="FILE", help="The secret that hidden inputs and "
                                                        "parameters come from; it is made if need be.")] = None,
            lesson: Annotated[Optional[int], typer.Option(metavar="N", help="Only this lesson's.")] = None,
            json: Json = False) -> None:
    """Make the handouts for a class, without solutions and hidden checks, and apart from them the answer key."""
    from pvlab.course.release import release
    made = release(out, roster, key, lesson)
    if json:
        say_json(made.to_dict())
    else:
        say(made.text())


def begun(lesson) -> None:
    """Note that a lesson was opened. Where that cannot be kept, the lesson is opened all the same."""
    from pvlab.course import progress
    try:
        progress.lesson(lesson.number, "begun")
    except progress.ProgressError as error:
        complain(str(error))


COMMANDS = (check, hint, progress, release)

"""Where a learner stands: the progress file beside the lessons and exercises that there are."""
from __future__ import annotations

from pvlab.course import progress
from pvlab.course.exercises import sheets
from pvlab.course.lessons import LessonError, lessons
from pvlab.tables import Table


def standing() -> dict:
    """{"file", "lessons": [{"number", "title", "state", "exercises": [{"id", "title", "points", "passed", "hints",
    "of"}]}]}; a lesson is "", "begun" or "done", and done by itself when its exercises all pass. Raises PvlabError."""
    known = progress.read()
    of = {sheet.lesson: sheet for sheet in sheets()}
    try:
        titles = {lesson.number: lesson.title for lesson in lessons()}
    except LessonError:                     # only the package is installed
        titles = {}
    titles |= {number: sheet.title for number, sheet in of.items() if number not in titles}
    rows = []
    for number, title in sorted(titles.items()):
        exercises = [{"id": one.id, "title": one.title, "points": one.points, "of": len(one.hints),
                      **known["exercises"].get(one.id, {"passed": False, "hints": 0})}
                     for one in (of[number].exercises if number in of else ())]
        state = known["lessons"].get(f"{number:02}", "")
        if exercises and all(one["passed"] for one in exercises):
            state = "done"
        elif not state and any(one["passed"] or one["hints"] for one in exercises):
            state = "begun"
        rows.append({"number": number, "title": title, "state": state, "exercises": exercises})
    return {"file": str(progress.file()), "lessons": rows}


def table(of: dict) -> Table:
    """The same as a table: a line for each lesson, and below it one for each of its exercises."""
    rows = []
    for lesson in of["lessons"]:
        passed = sum(one["passed"] for one in lesson["exercises"])
        count = f"{passed} of {len(lesson['exercises'])} exercises" if lesson["exercises"] else ""
        rows.append([f"{lesson['number']:02}", lesson["title"], lesson["state"] or "–", count])
        for one in lesson["exercises"]:
            rows.append(["", f"  {one['title']} ({one['id']})", "passed" if one["passed"] else "–",
                         f"{one['hints']} of {one['of']} hints" if one["hints"] else ""])
    return Table(["", "lesson", "state", ""], rows)

"""One submission, marked: plain data in, a record of plain data out, on this machine or another."""
from __future__ import annotations

import ast
import threading
from collections.abc import Mapping

from pvlab.course.exercises import sheet as find_sheet
from pvlab.course.exercises.model import Check, Exercise
from pvlab.course.grading import merging
from pvlab.course.grading.sandbox import Limits
from pvlab.course.grading.session import Ended, PublicChecks, SandboxError, StudentProcess, Zygote, ZygoteDied

PUBLIC = Limits(cpu=60, memory=4 << 30, processes=48, wall=120)    # of the public checks of a whole notebook
CELL_SECONDS = 30

# Modules that a solution may well need. Others, and names that reach below Python's surface, are shown to the
# instructor, who may want to look; they cost no points.
USUAL = set("""__future__ abc array bisect collections contextlib copy dataclasses enum functools heapq itertools json
               math matplotlib numpy operator pathlib pvlab random re statistics string struct tempfile textwrap
               typing""".split())
UNUSUAL = set("""__builtins__ __class__ __dict__ __eq__ __globals__ __import__ __loader__ __spec__ __subclasses__
                 breakpoint compile eval exec get_ipython globals input open vars""".split())

_own = threading.local()


def zygote(level: str, preload: str = "") -> Zygote:
    """This thread's zygote for functions (preload "") or for "feedback", started at first use."""
    mine = _zygotes().get(preload)
    if mine is None or mine.asked_for != level or mine.process.poll() is not None:
        if mine is not None:
            _zygotes().pop(preload).close()
        mine = _zygotes()[preload] = Zygote(level, preload)
    return mine


def _zygotes() -> dict[str, Zygote]:
    if not hasattr(_own, "zygotes"):
        _own.zygotes = {}
    return _own.zygotes


def close_zygotes() -> None:
    """End this thread's zygotes."""
    while _zygotes():
        _zygotes().popitem()[1].close()


def mark(task: Mapping) -> dict:
    """The record of one submission.

    task: {"student", "lesson", "variant": the student whose handout it is, or "" for the public one, "cells":
    {grade_id: source}, "key": hex digits, "feedback": whether to run the public checks, "level": of isolation,
    "limits": […]}
    Raises SandboxError where isolation is less than asked for.
    """
    try:
        return _mark(task)
    except ZygoteDied:
        return _mark(task)      # with a new one


def _mark(task: Mapping) -> dict:
    nursery = zygote(task["level"])
    if nursery.level == "none" and task["level"] != "none":
        raise SandboxError(f"students' code cannot be isolated here ({nursery.why}); --no-sandbox grades without")
    marker = Marker(nursery, task)
    begun = marker.begin_public() if task["feedback"] else None
    try:
        exercises = [marker.exercise(exercise) for exercise in marker.sheet.exercises]
        public = marker.public(begun)
    finally:
        marker.close()
        if begun is not None:
            begun.close()
    return {"student": task["student"], "lesson": task["lesson"], "points": sum(one["points"] for one in exercises),
            "of": marker.sheet.points, "exercises": exercises, "public": public, "isolation": nursery.level,
            "notes": marker.notes + looks(task["cells"])}


class Marker:
    """Marks the exercises of one submission in order, in one student's process as long as that lives.

    When it ends, the exercise is tried again with its own cells alone, because what an earlier exercise did must not
    cost a later one; if it ends again, the following exercises are done without the cells of this one.
    """

    def __init__(self, nursery: Zygote, task: Mapping):
        self.nursery, self.task, self.notes = nursery, task, []
        self.sheet = find_sheet(task["lesson"])
        self.key, self.limits = bytes.fromhex(task["key"]), Limits(*task["limits"])
        self.cells = merging.program(task["lesson"], self.key, task["variant"], task["cells"])
        self.parameters = merging.parameters(task["lesson"], self.key, task["variant"])
        self.process: StudentProcess | None = None
        self.said: dict[str, str | None] = {}       # what came of each cell that the process has executed

    def exercise(self, exercise: Exercise) -> dict:
        """The record of one exercise: its checks and their points."""
        if exercise.id not in self.task["cells"]:
            checks, said = [], "there is no solution cell"
        else:
            order = [one.id for one in self.sheet.exercises]
            before = {"", *order[:order.index(exercise.id) + 1]}
            cells = [cell for cell in self.cells if cell[0] in before]
            own = [cell for cell in cells if cell[0] in ("", exercise.id)]
            checks = self._attempt(exercise, cells)
            alone = self.process.ended is not None and cells != own
            if alone:
                self.close()
                checks = self._attempt(exercise, own)
            said = self.process.ended or self.said.get(exercise.id)
            if self.process.ended is not None:
                self.notes.append(f"{exercise.id}: {said}")
                self.cells = [cell for cell in self.cells if cell[0] != exercise.id]
            if alone or self.process.ended is not None:
                self.close()
        points = sum(check.points for check in checks if check.passed)
        return {"id": exercise.id, "title": exercise.title, "points": max(0, min(points, exercise.points)),
                "of": exercise.points, "said": said, "checks": [
                    {"name": check.name, "points": check.points if check.passed else 0, "of": check.points,
                     "passed": check.passed, "feedback": check.feedback} for check in checks]}

    def _attempt(self, exercise: Exercise, cells: list[tuple[str, str, str]]) -> list[Check]:
        """The hidden checks of one exercise, in the process that there is or a new one with these cells."""
        if self.process is None:
            self.process, self.said = StudentProcess(self.nursery, self.limits), {}
        self.process.left = self.limits.wall
        fresh = [(name, source) for _, name, source in cells if name not in self.said]
        try:
            self.said |= zip((name for name, _ in fresh), self.process.execute(fresh))
            rng = exercise.rng(self.key, self.task["student"])
            return list(exercise.hidden(self.process, rng, self.parameters[exercise.id]))
        except Ended:
            return []
        except Exception as error:      # in a hidden check: the course's fault, or an answer that it was not ready for
            self.notes.append(f"{exercise.id}: the hidden check itself failed, with {type(error).__name__}: {error}")
            return []

    def begin_public(self) -> PublicChecks | None:
        """Start the public checks under nbval, which mostly wait: the hidden ones are made meanwhile."""
        nursery = zygote(self.task["level"], "feedback")
        if nursery.level == "landlock":
            self.notes.append("public checks: not run, because under Landlock alone there are no sockets for a kernel")
            return None
        book = merging.merged(self.task["lesson"], self.key, self.task["variant"], self.task["cells"])
        try:
            return PublicChecks(nursery, book, CELL_SECONDS, PUBLIC)
        except Ended as ended:
            self.notes.append(f"public checks: {ended}")
            return None

    def public(self, begun: PublicChecks | None) -> list[dict] | None:
        """What came of them: [{"id": exercise, "passed", "text"}, …], or None if they came to no end."""
        try:
            found = begun.result() if begun is not None else None
        except Ended as ended:
            self.notes.append(f"public checks: {ended}")
            return None
        names = {f"{exercise.id}-check": exercise.id for exercise in self.sheet.exercises}
        return found and [{"id": names[one["cell"]], "passed": one["passed"], "text": one["text"]}
                          for one in found if one["cell"] in names]

    def close(self) -> None:
        if self.process is not None:
            self.process.close()
        self.process = None


def looks(cells: Mapping[str, str]) -> list[str]:
    """What in the solutions an instructor may want to look at."""
    found = []
    for name, source in cells.items():
        try:
            nodes = list(ast.walk(ast.parse(source)))
        except (SyntaxError, ValueError, RecursionError, MemoryError):
            continue
        modules = {alias.name.split(".")[0] for node in nodes if isinstance(node, ast.Import) for alias in node.names}
        modules |= {(node.module or "").split(".")[0] for node in nodes if isinstance(node, ast.ImportFrom)}
        used = {node.id for node in nodes if isinstance(node, ast.Name)}
        used |= {node.attr for node in nodes if isinstance(node, ast.Attribute)}
        used |= {node.name for node in nodes if isinstance(node, (ast.FunctionDef, ast.ClassDef))}
        if odd := sorted(modules - USUAL - {""}) + sorted(used & UNUSUAL):
            found.append(f"{name}: uses {', '.join(odd)[:200]}")
    return found

"""In the grader: a zygote, the students' processes that it forks, and what is said to them.

Whatever comes from a student's process is data: at most LARGEST bytes of JSON, read into exact built-in types,
answering the one question that is open. Anything else ends the process.
"""
from __future__ import annotations

import base64
import json
import os
import select
import socket
import subprocess
import sys
from time import monotonic

from pvlab.course.exercises.model import StudentError
from pvlab.course.grading.sandbox import HOME, PACKAGE, Limits
from pvlab.course.grading.worker import LARGEST
from pvlab.errors import PvlabError
from pvlab.guests.toolchain import cache_dir

DEPTH = 100             # of nested lists and dicts in an answer
PATIENCE = 120          # seconds for the zygote to import everything


class SandboxError(PvlabError):
    """No student's process can be started here, or not isolated as asked."""


class ZygoteDied(SandboxError):
    """Nothing that a student's process can do, but memory may end, and machines are switched off."""


class Ended(StudentError):
    """The student's process is gone, by its own doing or because it broke a limit or the protocol."""


class Zygote:
    """A zygote process. `level` is the isolation that this machine gives, `why` what it does not allow."""

    def __init__(self, level: str = "namespaces", preload: str = ""):
        if not hasattr(os, "fork"):
            raise SandboxError("grading starts students' processes as Unix does: on Windows, use WSL")
        kind = socket.SOCK_SEQPACKET if sys.platform == "linux" else socket.SOCK_STREAM
        ours, theirs = socket.socketpair(socket.AF_UNIX, kind)
        environment = {"PATH": "/usr/local/bin:/usr/bin:/bin", "HOME": HOME, "USER": "student",
                       "LOGNAME": "student", "LANG": "C.UTF-8", "PYTHONPATH": str(PACKAGE.parent), "PVLAB_STATIC": "1",
                       "PYTHONDONTWRITEBYTECODE": "1", "PVLAB_SHARED_CACHE": str(cache_dir()),
                       "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}
        command = ["-P", "-s", "-c", "import os, sys; os.dup2(int(sys.argv.pop(1)), 3); from runpy import run_module; "
                   "run_module('pvlab.course.grading.zygote', run_name='__main__', alter_sys=True)"]
        self.process = subprocess.Popen([sys.executable, *command, str(theirs.fileno()), level, preload],
                                        env=environment, cwd="/", stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                                        stderr=subprocess.PIPE, pass_fds=[theirs.fileno()])
        theirs.close()
        self.master = ours
        self.master.settimeout(PATIENCE)
        hello = self._hear()
        self.level, self.user, self.why, self.asked_for = hello["level"], hello["user"], hello["why"], level
        self._workshop: Zygote | None = None

    @property
    def workshop(self) -> Zygote:
        """A second zygote, made when it is first needed: one has one process at a time."""
        if self._workshop is None:
            self._workshop = Zygote(self.level)
        return self._workshop

    def _ask(self, order: dict, *descriptors: int) -> dict:
        try:
            socket.send_fds(self.master, [json.dumps(order).encode()], descriptors)
        except OSError:
            pass            # _hear says why
        return self._hear()

    def _hear(self) -> dict:
        try:
            message, said = self.master.recv(1 << 16), ""
        except OSError as error:
            message, said = b"", str(error)
        if not message:
            self.process.kill()
            said = self.process.stderr.read().decode(errors="replace").strip()[-2000:] or said
            raise ZygoteDied(f"the process that starts students' processes died: {said or 'it said nothing'}")
        return json.loads(message)

    def start(self, kind: str, limits: Limits) -> tuple[int, socket.socket]:
        """Start a student's process; its number, and our end of the conversation."""
        ours, theirs = socket.socketpair()
        with theirs:
            return self._ask({"start": kind, "limits": limits}, theirs.fileno())["process"], ours

    def end(self, process: int, grace: float = 0) -> int:
        """End a student's process and all that it started; its exit status (128 + a signal), -1 if killed by us."""
        return self._ask({"end": process, "grace": grace})["status"]

    def close(self) -> None:
        if self._workshop is not None:
            self._workshop.close()
        self.master.close()
        try:
            self.process.wait(5)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.process.stderr.close()


class Conversation:
    """A student's process and what is said to it. Whatever it does wrong ends it, and `ended` says why."""

    def __init__(self, nursery: Zygote, kind: str, limits: Limits):
        self.nursery, self.limits, self.left = nursery, limits, limits.wall
        self.process, self.socket = nursery.start(kind, limits)
        self.socket.setblocking(False)
        self.ended: str | None = None

    def ask(self, order: dict):
        """Its answer, within what is left of the time. Raises Ended."""
        if self.ended is not None:
            raise Ended(self.ended)
        until = monotonic() + self.left
        try:
            if select.select([self.socket], [], [], 0)[0]:
                self._hear(until, unasked=True)
            self.say(order, until)
            return self._hear(until)
        finally:
            self.left = until - monotonic()

    def say(self, order: dict, until: float) -> None:
        """Send an order. Raises Ended."""
        self._say(json.dumps(order).encode() + b"\n", until)

    def _say(self, message: bytes, until: float) -> None:
        while message:
            if not select.select([], [self.socket], [], max(0, until - monotonic()))[1]:
                raise self.end(f"it gave no answer within {self.limits.wall:g} seconds")
            try:
                message = message[self.socket.send(message):]
            except OSError:
                raise self.end(None) from None

    def _hear(self, until: float, unasked: bool = False):
        found = bytearray()
        while b"\n" not in found:
            if not select.select([self.socket], [], [], max(0, until - monotonic()))[0]:
                raise self.end(f"it gave no answer within {self.limits.wall:g} seconds")
            try:
                piece = self.socket.recv(1 << 16)
            except OSError:
                piece = b""
            if not piece:
                raise self.end(None)
            if unasked:
                raise self.end("it sent a message that nobody asked for")
            found += piece
            if len(found) > LARGEST:
                raise self.end(f"it sent more than {LARGEST >> 20} MiB as one answer")
        line, _, rest = bytes(found).partition(b"\n")
        if rest:
            raise self.end("it sent a message that nobody asked for")
        try:
            answer = json.loads(line, parse_constant=_no_constant)
        except (ValueError, RecursionError):
            raise self.end("it sent what is not JSON") from None
        if _too_deep(answer):
            raise self.end(f"it sent lists within lists, more than {DEPTH} deep")
        return answer

    def end(self, why: str | None) -> Ended:
        """End the process; the reason is `why`, or what its exit status says."""
        status = self.nursery.end(self.process, 0 if why else 1)
        self.socket.close()
        self.ended = why or self._reason(status)
        return Ended(self.ended)

    def _reason(self, status: int) -> str:
        if status in (128 + 24, 128 + 9):
            return f"it used more than {self.limits.cpu} seconds of CPU time, or was killed for its use of memory"
        if status > 128:
            return f"it was ended by the signal {status - 128}"
        if status == -1:
            return "it closed its connection to the grader"
        return f"it ended its own process, with exit status {status}"

    def close(self) -> None:
        if self.ended is None:
            self.end("the grader is done")


class StudentProcess(Conversation):
    """The functions of one student, each call answered by a limited process: see exercises.model.Student."""

    def __init__(self, nursery: Zygote, limits: Limits):
        super().__init__(nursery, "functions", limits)
        self.asked = 0

    def call(self, function: str, /, *arguments):
        return self._do("call", name=function, arguments=arguments)

    def value(self, name: str, /):
        return self._do("value", name=name)

    def build(self, source: str, /) -> bytes:
        """In a process of its own, which has executed nothing of the student's: what is built is what was written."""
        builder = StudentProcess(self.nursery.workshop, self.limits)
        try:
            answer = builder._do("build", source=source)
        finally:
            builder.close()
        try:
            return base64.b64decode(answer, validate=True)
        except (TypeError, ValueError):
            raise self.end("it forged an answer") from None

    def execute(self, cells: list[tuple[str, str]]) -> list[str | None]:
        """Execute these (name, source); for each None, or what went wrong. Raises Ended."""
        found = self._do("execute", cells=cells)
        if type(found) is not list or len(found) != len(cells) or not {type(one) for one in found} <= {str, type(None)}:
            raise self.end("it forged an answer")
        return found

    def _do(self, what: str, **order):
        self.asked += 1
        answer = self.ask({"id": self.asked, "do": what, **order})
        if type(answer) is not dict or type(answer.get("id")) is not int or answer["id"] != self.asked \
                or not answer.keys() & {"failed", "value"}:
            raise self.end("it sent a message that answers no question")
        if "failed" in answer:
            raise StudentError(str(answer["failed"])[:2000])
        return answer["value"]


class PublicChecks(Conversation):
    """The public checks of a merged notebook, begun at once; meanwhile the grader can do something else."""

    def __init__(self, nursery: Zygote, book: dict, cell_seconds: float, limits: Limits):
        super().__init__(nursery, "feedback", limits)
        self.until = monotonic() + limits.wall
        self.say({"book": book, "timeout": cell_seconds}, self.until)

    def result(self) -> list[dict]:
        """[{"cell", "passed", "text"}, …]. Raises Ended."""
        found = self._hear(max(self.until, monotonic() + 1))
        self.close()
        if type(found) is not list:
            return []
        return [one for one in found if type(one) is dict and type(one.get("cell")) is str
                and type(one.get("passed")) is bool and type(one.get("text")) is str]


def _too_deep(answer) -> bool:
    waiting = [(answer, 0)]
    while waiting:
        one, depth = waiting.pop()
        if depth > DEPTH:
            return True
        inner = one.values() if type(one) is dict else one if type(one) is list else ()
        waiting += [(each, depth + 1) for each in inner if type(each) in (list, dict)]
    return False


def _no_constant(name: str):
    raise ValueError(f"{name} is not JSON")

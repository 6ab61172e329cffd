"""In the grader: a zygote, the students' processes that it forks, and what is said to them.

Whatever comes from a student's process is data: at most LARGEST bytes of JSON, read into exact built-in types, answering
the one question that is open. Anything else ends the process.
"""
from __future__ import annotations

import json
import os
import select
import socket
import subprocess
import sys
from time import monotonic

from pvlab.course.exercises.model import StudentError
from pvlab.course.grading.sandbox import PACKAGE, Limits
from pvlab.course.grading.worker import LARGEST
from pvlab.errors import PvlabError
from pvlab.guests.toolchain import cache_dir

DEPTH = 100             # of nested lists and dicts in an answer
PATIENCE = 120          # seconds for the zygote to import everything


class SandboxError(PvlabError):
    """No student's process can be started here, or not isolated as asked."""


class Ended(StudentError):
    """The student's process is gone, by its own doing or because it broke a limit or the protocol."""


class Zygote:
    """A zygote process. `level` is the isolation that this machine gives, `why` what it does not allow."""

    def __init__(self, level: str = "namespaces", preload: str = ""):
        if not hasattr(os, "fork"):
            raise SandboxError("grading starts students' processes as Unix does: on Windows, use WSL")
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET if sys.platform == "linux"
                                         else socket.SOCK_DGRAM)
        environment = {"PATH": "/usr/local/bin:/usr/bin:/bin", "HOME": "/home/student", "USER": "student",
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
        self.level, self.user, self.why = hello["level"], hello["user"], hello["why"]

    def _hear(self) -> dict:
        try:
            message = self.master.recv(1 << 16)
        except OSError as error:
            message = b""
            said = str(error)
        else:
            said = ""
        if not message:
            self.process.kill()
            said = self.process.stderr.read().decode(errors="replace").strip()[-2000:] or said
            raise SandboxError(f"the process that starts students' processes died: {said or 'it said nothing'}")
        return json.loads(message)

    def start(self, kind: str, limits: Limits) -> tuple[int, socket.socket]:
        """Start a student's process; its number, and our end of the conversation."""
        ours, theirs = socket.socketpair()
        with theirs:
            socket.send_fds(self.master, [json.dumps({"start": kind, "limits": limits}).encode()], [theirs.fileno()])
            return self._hear()["process"], ours

    def end(self, process: int, grace: float = 0) -> int:
        """End a student's process and all that it started; its exit status (128 + a signal), -1 if killed by us."""
        self.master.send(json.dumps({"end": process, "grace": grace}).encode())
        return self._hear()["status"]

    def close(self) -> None:
        self.master.close()
        try:
            self.process.wait(5)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.process.stderr.close()


class StudentProcess:
    """The functions of one student, each call answered by a limited process: see exercises.model.Student."""

    def __init__(self, zygote: Zygote, limits: Limits):
        self.zygote, self.limits, self.asked, self.left = zygote, limits, 0, limits.wall
        self.process, self.conversation = zygote.start("functions", limits)
        self.conversation.setblocking(False)
        self.ended: str | None = None

    def call(self, function: str, /, *arguments):
        return self._asked({"do": "call", "name": function, "arguments": arguments})

    def value(self, name: str, /):
        return self._asked({"do": "value", "name": name})

    def execute(self, cells: list[tuple[str, str]]) -> list[str | None]:
        """Execute these (name, source); for each None, or what went wrong. Raises Ended."""
        found = self._asked({"do": "execute", "cells": cells})
        if type(found) is not list or [type(one) for one in found if one is not None and type(one) is not str] \
                or len(found) != len(cells):
            raise self._end("it forged an answer")
        return found

    def _asked(self, order: dict):
        if self.ended is not None:
            raise Ended(self.ended)
        self.asked += 1
        until = monotonic() + self.left
        try:
            if select.select([self.conversation], [], [], 0)[0]:
                self._hear(until, unasked=True)
            self._say(json.dumps({"id": self.asked, **order}).encode() + b"\n", until)
            answer = self._hear(until)
        finally:
            self.left = until - monotonic()
        if type(answer) is not dict or type(answer.get("id")) is not int or answer["id"] != self.asked:
            raise self._end("it sent a message that answers no question")
        if "failed" in answer:
            raise StudentError(str(answer["failed"])[:500])
        if "value" not in answer:
            raise self._end("it sent a message that answers no question")
        return answer["value"]

    def _say(self, message: bytes, until: float) -> None:
        while message:
            if not select.select([], [self.conversation], [], max(0, until - monotonic()))[1]:
                raise self._end(f"it gave no answer within {self.limits.wall:g} seconds")
            try:
                message = message[self.conversation.send(message):]
            except OSError:
                raise self._end(None) from None

    def _hear(self, until: float, unasked: bool = False):
        found = bytearray()
        while b"\n" not in found:
            if not select.select([self.conversation], [], [], max(0, until - monotonic()))[0]:
                raise self._end(f"it gave no answer within {self.limits.wall:g} seconds")
            try:
                piece = self.conversation.recv(1 << 16)
            except OSError:
                piece = b""
            if not piece:
                raise self._end(None)
            if unasked:
                raise self._end("it sent a message that nobody asked for")
            found += piece
            if len(found) > LARGEST:
                raise self._end(f"it sent more than {LARGEST >> 20} MiB as one answer")
        line, _, rest = bytes(found).partition(b"\n")
        if rest:
            raise self._end("it sent a message that nobody asked for")
        return self._read(line)

    def _read(self, line: bytes):
        try:
            answer = json.loads(line, parse_constant=_no_constant)
        except (ValueError, RecursionError):
            raise self._end("it sent what is not JSON") from None
        deep = [(answer, 0)]
        while deep:
            one, depth = deep.pop()
            if depth > DEPTH:
                raise self._end(f"it sent lists within lists, more than {DEPTH} deep")
            inner = one.values() if type(one) is dict else one if type(one) is list else ()
            deep += [(each, depth + 1) for each in inner if type(each) in (list, dict)]
        return answer

    def _end(self, why: str | None) -> Ended:
        """End the process; the reason is `why`, or what its exit status says."""
        status = self.zygote.end(self.process, 0 if why else 1)
        self.conversation.close()
        self.ended = why or self._reason(status)
        return Ended(self.ended)

    def _reason(self, status: int) -> str:
        if status in (128 + 24, 128 + 9):
            return f"it used more than {self.limits.cpu} seconds of CPU time, or more memory than there is"
        if status > 128:
            return f"it was ended by the signal {status - 128}"
        if status == -1:
            return "it closed the connection to the grader"
        return f"it ended its own process with exit status {status}"

    def close(self) -> None:
        if self.ended is None:
            self._end("the grader is done")


def _no_constant(name: str):
    raise ValueError(f"{name} is not JSON")

"""In the student's process: execute the solution cells, and answer calls, in JSON, one line each way.

    {"id": n, "do": "execute", "cells": [source, …]}        → {"id": n, "value": [null or what went wrong, …]}
    {"id": n, "do": "call", "name": "f", "arguments": […]}  → {"id": n, "value": …} or {"id": n, "failed": "…"}
    {"id": n, "do": "value", "name": "x"}                   → the same
    {"id": n, "do": "build", "source": "C"}                 → the same; the value is an ELF file in base 64

The student's code can do here whatever it likes: replace json, write to the descriptor. The grader reads nothing from
here but data, and gives no point for a message. `failed` says the kind and the place of an exception but not its
text, which could carry a hidden input out.
"""
from __future__ import annotations

import base64
import io
import json
import linecache
import socket
import sys
from pathlib import Path

LARGEST = 4 << 20       # bytes of one answer


class Unanswerable(Exception):
    """The value is nothing that JSON's own types can say."""


def main(descriptor: int) -> int:
    """Converse until the grader has closed its end; the exit status."""
    module = type(sys)("__main__")
    sys.modules["__main__"] = module
    sys.stdin = io.StringIO()
    with socket.socket(fileno=descriptor) as conversation:
        lines = conversation.makefile("rb")
        while line := lines.readline():
            order = json.loads(line)
            answer = {"id": order["id"]}
            try:
                answer["value"] = ACTIONS[order["do"]](module.__dict__, order)
            except Unanswerable as error:
                answer["failed"] = str(error)
            except BaseException as error:
                answer["failed"] = described(error)
            conversation.sendall(text(answer))
    return 0


def text(answer: dict) -> bytes:
    try:
        said = json.dumps(answer, allow_nan=False).encode() + b"\n"
    except (ValueError, RecursionError) as error:
        return text({"id": answer["id"], "failed": f"the value cannot be written as JSON: {error}"})
    return said if len(said) <= LARGEST else text({"id": answer["id"], "failed": "the value is too large"})


def execute(namespace: dict, order: dict) -> list[str | None]:
    """Execute each cell as plain Python; for each None, or what went wrong."""
    return [_execute(namespace, name, source) for name, source in order["cells"]]


def _execute(namespace: dict, name: str, source: str) -> str | None:
    file = f"<{name}>"
    linecache.cache[file] = (len(source), None, source.splitlines(True), file)
    try:
        code = compile(source, file, "exec", dont_inherit=True)
    except SyntaxError as error:
        magic = source.splitlines()[error.lineno - 1:error.lineno] if error.lineno else []
        if magic and magic[0].lstrip()[:1] in ("%", "!", "?"):
            return f"line {error.lineno}: cells are graded as plain Python, without IPython's % and ! commands"
        return f"SyntaxError in line {error.lineno}: {error.msg}"
    except (ValueError, MemoryError, RecursionError) as error:
        return f"{type(error).__name__}: the cell cannot be compiled"
    try:
        exec(code, namespace)
    except BaseException as error:
        return described(error)
    return None


def call(namespace: dict, order: dict):
    function = namespace.get(order["name"])
    if function is None:
        raise Unanswerable(f"there is no function {order['name']}")
    if not callable(function):
        raise Unanswerable(f"{order['name']} is no function but of the type {type(function).__name__}")
    return plain(function(*order["arguments"]), f"{order['name']}()")


def value(namespace: dict, order: dict):
    if order["name"] not in namespace:
        raise Unanswerable(f"there is no {order['name']}")
    return plain(namespace[order["name"]], order["name"])


def build(namespace: dict, order: dict) -> str:
    """A guest of C source with the small guests' runtime: here, because a compiler reads what the source names."""
    from pvlab.guests.catalogue import _RUNTIME
    from pvlab.guests.toolchain import HERE, GuestError, build_guest
    file = Path("guest.c").absolute()
    try:
        file.write_text(order["source"], "utf-8", errors="replace")
        return base64.b64encode(build_guest([file, *(HERE / name for name in _RUNTIME)],
                                            HERE / "runtime/guest.ld").read_bytes()).decode()
    except (GuestError, OSError) as error:
        raise Unanswerable(str(error)) from None


def plain(found, where: str):
    """The value, if it is of exact built-in types all the way down. A tuple passes as a list."""
    kind = type(found)
    if kind in (int, str, bool, float, type(None)):
        return found
    if kind in (list, tuple):
        return [plain(one, f"{where}[…]") for one in found]
    if kind is dict:
        for key in found:
            if type(key) is not str:
                raise Unanswerable(f"a key of {where} is of the type {type(key).__name__}, where str is asked for")
        return {key: plain(one, f"{where}[{key!r}]"[:80]) for key, one in found.items()}
    raise Unanswerable(f"{where} is of the type {kind.__name__}, where one of Python's own is asked for: "
                       "int, str, bool, float, list, dict or None")


def described(error: BaseException) -> str:
    """ "ZeroDivisionError in line 3", the innermost line of a cell."""
    place, step = "", error.__traceback__
    while step is not None:
        if step.tb_frame.f_code.co_filename.startswith("<") and step.tb_frame.f_code.co_filename != "<string>":
            place = f" in line {step.tb_lineno} of {step.tb_frame.f_code.co_filename[1:-1]}"
        step = step.tb_next
    name = type(error).__name__
    return f"{name if type(name) is str else 'an exception'}{place}"[:200]


ACTIONS = {"execute": execute, "call": call, "value": value, "build": build}

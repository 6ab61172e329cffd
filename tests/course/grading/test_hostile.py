"""Submissions that are made to cheat or to hurt: none earns a point it did not work for, none harms what it should not
reach, each is named, and the one after it is graded as if it had not been there."""
import json
import os
import re
from pathlib import Path

import pytest
import toysheet
from pvlab.course.exercises.handout import write
from pvlab.course.grading import batch, marking, reports
from pvlab.course.grading.sandbox import LEVELS
from pvlab.course.grading.submissions import LARGEST
from toysheet import LIMITS, cell, hand_in, solved

WRONG = "def double(n):\n    return -1\n"


@pytest.fixture(scope="module")
def toys():
    toysheet.need_isolation()
    with pytest.MonkeyPatch.context() as patch:
        toysheet.install(patch)
        yield
        marking.close_zygotes()


def grade(folder, **changes):
    options = batch.Options(feedback=False, limits=LIMITS)._replace(**changes)
    return batch.grade(folder, folder.parent / "journal.jsonl", options)


def points(graded) -> dict:
    return {one["id"][5:]: one["points"] for one in graded.record["exercises"]} if graded.record else {}


# Each is the solution cell of ex77-double, and what the report must say about it (None: only that it earned nothing).
# It would earn its 4 points if it were believed.
CELLS = {
    "always equal": ("""
        class Yes:
            def __eq__(self, other): return True
            def __ne__(self, other): return False
            __hash__ = None
        def double(n): return Yes()""", "of the type Yes"),
    "int subclass": ("""
        class Any(int):
            def __eq__(self, other): return True
        def double(n): return Any(0)""", "of the type Any"),
    "str subclass": ("""
        class Any(str):
            def __eq__(self, other): return True
        def double(n): return Any('0')""", "of the type Any"),
    "dict subclass": ("class D(dict): pass\ndef double(n): return D()", "of the type D"),
    "list subclass": ("class L(list): pass\ndef double(n): return [L()]", "of the type L"),
    "metaclass that lies about its name": ("""
        class M(type):
            __name__ = 'int'
        class I(metaclass=M): pass
        def double(n): return I()""", "where one of Python's own"),
    "bool for int": ("def double(n): return n * FACTOR if n else False", "exactly that many"),
    "float for int": ("def double(n): return float(n * FACTOR)", "exactly that many"),
    "numpy int": ("import numpy\ndef double(n): return numpy.int64(n % 1000 * FACTOR)", "of the type int64"),
    "NaN": ("def double(n): return float('nan')", "cannot be written as JSON"),
    "infinity forged as JSON": ("""
        import json
        json.dumps = lambda *a, **k: '{"id": 2, "value": Infinity}'
        def double(n): return 0""", "not JSON|answers no question"),
    "pickle in the answer": ("""
        import pickle, os
        class Evil:
            def __reduce__(self): return os.system, ('touch /tmp/owned',)
        def double(n): return pickle.dumps(Evil())""", "of the type bytes"),
    "json replaced": ("""
        import json
        json.dumps = lambda *a, **k: '{"id": 2, "value": true}'
        json.loads = lambda *a, **k: {"id": 2, "do": "value", "name": "answer"}
        def double(n): return 0""", "answers no question|exactly that many"),
    "builtins replaced": ("""
        import builtins
        builtins.type = lambda *a: int
        builtins.isinstance = lambda *a: True
        builtins.len = lambda *a: 0
        builtins.abs = max
        def double(n): return 3""", "builtins|exactly that many"),
    "pvlab replaced": ("""
        import pvlab, sys
        pvlab.check = None
        for name in list(sys.modules):
            if name.startswith('pvlab'): sys.modules[name] = None
        def double(n): return 3""", "exactly that many"),
    "pytest and nbval replaced": ("""
        import sys
        sys.modules['pytest'] = sys.modules['nbval'] = sys
        def double(n): return 3""", "exactly that many"),
    "the worker's own functions replaced": ("""
        import sys
        from pvlab.course.grading import worker
        worker.plain = lambda found, where: found
        worker.text = lambda answer: b'{"id": 2, "value": []}\\n'
        def double(n): return object()""", "answers no question|exactly that many"),
    "input transformer": ("""
        get_ipython().input_transformers_post.append(lambda lines: ['passed = True'])
        def double(n): return 3""", "get_ipython"),
    "cell magic": ("%%capture\ndef double(n): return 3", "without IPython"),
    "shell escape": ("!touch /tmp/owned\ndef double(n): return 3", "without IPython"),
    "os._exit": ("import os\nos._exit(0)", "ended its own process, with exit status 0"),
    "os._exit when asked": ("import os\ndef double(n): os._exit(0)", "ended its own process"),
    "sys.exit": ("import sys\nsys.exit(0)", "SystemExit"),
    "sys.exit when asked": ("import sys\ndef double(n): sys.exit(0)", "SystemExit"),
    "KeyboardInterrupt": ("def double(n): raise KeyboardInterrupt", "KeyboardInterrupt"),
    "abort": ("import os\nos.abort()", "signal 6"),
    "segmentation fault": ("import ctypes\ndef double(n): ctypes.string_at(0)", "signal 11"),
    "stack overflow": ("def double(n): return double(n)", "RecursionError"),
    "endless loop": ("while True: pass", "CPU time|no answer within"),
    "endless loop when asked": ("def double(n):\n    while True: pass", "CPU time|no answer within"),
    "endless loop that ignores the limit": ("""
        import signal
        signal.signal(signal.SIGXCPU, lambda *a: None)
        while True: pass""", "CPU time|no answer within"),
    "endless sleep": ("import time\ndef double(n): time.sleep(10**6)", "no answer within 4 seconds"),
    "a stop": ("import os, signal\nos.kill(os.getpid(), signal.SIGSTOP)", "no answer within 4 seconds"),
    "fork bomb": ("""
        import os
        while True:
            try: os.fork()
            except OSError: pass""", "CPU time|no answer within"),
    "thread bomb": ("""
        import threading, time
        def run(): time.sleep(1000)
        while True: threading.Thread(target=run).start()""", "RuntimeError|MemoryError|CPU time"),
    "memory flood": ("hoard = []\nwhile True: hoard.append(bytearray(1 << 26))", "MemoryError|CPU time"),
    "memory flood when asked": ("def double(n): return [0] * 10**10", "MemoryError"),
    "output flood": ("import sys\nwhile True: print('x' * 10**6); sys.stderr.write('y' * 10**6)",
                     "CPU time|no answer within"),
    "file flood": ("""
        for i in range(1000):
            with open(f'file{i}', 'wb') as file: file.write(bytes(1 << 20))""", "OSError"),
    "one huge file": ("open('huge', 'wb').write(bytes(1 << 24))", "OSError"),
    "answer flood": ("def double(n): return ['x' * 1000] * 10**4", "too large"),
    "answer flood on the pipe": ("""
        import os
        def double(n):
            while True: os.write(FD, b'x' * 65536)""", "more than 4 MiB"),
    "answers nested without end": ("""
        def double(n):
            deep = []
            for _ in range(500): deep = [deep]
            return deep""", "deep|RecursionError"),
    "an endless list": ("""
        def double(n):
            endless = []
            endless.append(endless)
            return endless""", "RecursionError"),
    "forged result": ("""
        import os
        os.write(FD, b'{"id": 1, "value": [null, null, null]}\\n{"id": 2, "value": 10}\\n')
        def double(n): return 3""", "nobody asked for"),
    "forged results, all in advance": ("""
        import os
        for i in range(50): os.write(FD, b'{"id": %d, "points": 4, "passed": true, "value": true}\\n' % i)""",
                                       "nobody asked|answers no question"),
    "forged grade": ("""
        import os
        os.write(FD, b'{"points": 4, "of": 4, "passed": true}\\n')""", "nobody asked|answers no question"),
    "garbage on the pipe": ("import os\ndef double(n): os.write(FD, bytes(range(256)) + b'\\n')",
                            "not JSON|nobody asked"),
    "half a message, then silence": ("import os, time\nos.write(FD, b'{\"id\"')\ntime.sleep(10**6)",
                                     "no answer within"),
    "closed pipe": ("import os\nos.close(FD)", "ended its own process|closed its connection"),
    "huge number": ("import os\ndef double(n): os.write(FD, b'{\"id\": 2, \"value\": ' + b'9' * 10**6 + b'}\\n')",
                    "not JSON|nobody asked"),
    "a thread that answers": ("""
        import os, threading, time
        def run():
            while True: os.write(FD, b'{"id": 2, "value": 10}\\n'); time.sleep(0.001)
        threading.Thread(target=run, daemon=True).start()
        def double(n): time.sleep(0.2); return 3""", "nobody asked|answers no question|exactly that many"),
    "a daemon that stays": ("""
        import os, time
        if os.fork() == 0:
            os.setsid()
            if os.fork() == 0:
                while True: os.write(FD, b'{"id": 2, "value": 10}\\n'); time.sleep(0.01)
            os._exit(0)
        time.sleep(0.1)
        def double(n): return 3""", "nobody asked|answers no question"),
    "the stack": ("""
        import sys
        def double(n):
            frame = sys._getframe()
            while frame:
                for value in frame.f_locals.values():
                    if hasattr(value, 'hidden'): return n * 2
                frame = frame.f_back""", "exactly that many"),
    "all objects": ("""
        import gc
        def double(n):
            found = [o for o in gc.get_objects() if type(o).__name__ in ('Exercise', 'Sheet', 'Check')]
            return n * FACTOR if found else -1""", "exactly that many"),
    "hidden checks on the disk": ("""
        import importlib, os, pvlab
        def double(n):
            place = os.path.join(os.path.dirname(pvlab.__file__), 'course', 'exercises')
            return n * FACTOR if os.path.exists(place) else -1""", "exactly that many"),
    "hidden checks by import": ("from pvlab.course.exercises import sheets\ndef double(n): return n * FACTOR",
                                "ModuleNotFoundError|exactly that many"),
    "another user": ("import os\nos.setuid(0)\ndef double(n): return n * FACTOR", "PermissionError"),
    "a namespace of its own": ("""
        import ctypes
        if ctypes.CDLL(None).unshare(0x10000000): raise PermissionError
        def double(n): return n * FACTOR""", "PermissionError"),
    "compiler bomb": ("double = " + "(" * 5000 + ")" * 5000, "SyntaxError|cannot be compiled"),
    "null bytes": ("def double(n): return n\0", "SyntaxError|cannot be compiled"),
    "a surrogate": ("double = '\\ud800'", "is no function"),
    "a callable that is an endless chain": ("""
        class Chain:
            def __getattr__(self, name): return self
            def __call__(self, *a): return self
        double = Chain()""", "of the type Chain"),
    "exception with a message of its own": ("""
        class Loud(Exception):
            def __str__(self): import os; os._exit(0)
        def double(n): raise Loud""", "Loud in line"),
    "an exception that carries the input out": ("def double(n): raise ValueError(f'the input is {n}')",
                                                "^((?!input is).)*$"),
}


def source(text: str) -> str:
    """The cell, with the descriptor of the pipe found as a student would find it."""
    import textwrap
    find = ("import os, stat\nFD = next(fd for fd in range(3, 64) if os.path.exists(f'/proc/self/fd/{fd}') "
            "and stat.S_ISSOCK(os.fstat(fd).st_mode))\n") if "FD" in text else ""
    return find + textwrap.dedent(text).strip() + "\n"


def test_code(toys, tmp_path, tell):
    """One batch of all of them, each with the other two exercises solved, and an honest submission after each."""
    folder = tmp_path / "handed in"
    for number, (name, (text, _)) in enumerate(CELLS.items()):
        hand_in(folder, f"{number:03} {name}", solved(double=source(text)))
        honest = f"def double(n): return n * FACTOR + 0 * {number}"
        hand_in(folder, f"{number:03} {name}, honest", solved(double=honest))
    canary = tmp_path / "canary"
    canary.write_text("alive")
    before = set(os.listdir("/tmp"))
    graded = {one.student: one for one in grade(folder)}
    assert canary.read_text() == "alive" and not Path("/tmp/owned").exists()
    assert not {name for name in set(os.listdir("/tmp")) - before if name.startswith(("huge", "file"))}
    wrong = []
    for number, (name, (_, expected)) in enumerate(CELLS.items()):
        bad, good = graded[f"{number:03} {name}"], graded[f"{number:03} {name}, honest"]
        said = "\n".join([*bad.notes, bad.record["exercises"][0]["said"] or "",
                          *(check["feedback"] for check in bad.record["exercises"][0]["checks"])])
        earned = points(bad)["double"]
        if earned and not (earned == 2 and name == "bool for int"):
            wrong.append(f"{name}: earned {earned} points: {said}")
        if not re.search(expected, said, re.DOTALL):
            wrong.append(f"{name}: the report says {said!r}")
        if points(good) != {"double": 4, "flags": 3, "answer": 1}:
            wrong.append(f"{name}: the honest submission after it has {points(good)}: {good.notes}")
        if points(bad)["flags"] + points(bad)["answer"] != 4:
            wrong.append(f"{name}: its honest exercises have {points(bad)}: {bad.notes}")
    assert not wrong, "\n".join(wrong)
    tell(f"grading: {len(CELLS)} hostile solutions earned nothing and harmed nothing")


def structural() -> dict:
    """Files that are not what was handed out, each with what the report must say of it."""
    def changed(name, **changes):
        book = solved(double=WRONG)
        cell(book, name).update(changes)
        return book

    def without(name, **cells):
        book = solved(**({"double": WRONG} | cells))
        book["cells"] = [one for one in book["cells"] if one["id"] != name]
        return book

    def doubled(name, source):
        book = solved(double=WRONG)
        again = json.loads(json.dumps(cell(book, name))) | {"source": source, "id": "another"}
        book["cells"].append(again)
        return book

    def tagged(name):
        book = solved(double=WRONG)
        cell(book, name)["metadata"]["tags"] = ["nbval-skip", "raises-exception"]
        return book

    def unnumbered():
        book = solved(double=WRONG)
        for one in book["cells"]:
            if one["cell_type"] == "code":
                one.update(execution_count=None, outputs=[])
        return book
    right = "def double(n): return n * FACTOR"
    return {
        "check cell edited": (changed("ex77-double-check", source="passed = True"), "ex77-double-check was changed"),
        "given cell edited": (changed("ex77-double-given", source="FACTOR = 0\ndef double(n): return n"),
                              "ex77-double-given was changed"),
        "check cell deleted": (without("ex77-double-check"), "ex77-double-check was deleted"),
        "all check cells deleted": ({**solved(), "cells": [
            one for one in solved(double=WRONG)["cells"] if not one["id"].endswith("-check")]},
            "ex77-answer-check was deleted"),
        "check cell twice": (doubled("ex77-double-check", "passed = True"), "ex77-double-check is there 2 times"),
        "solution cell twice": (doubled("ex77-double", right), "ex77-double is there 2 times"),
        "solution cell deleted": (without("ex77-double"), "solution cell ex77-double is missing"),
        "solution cell as text": (changed("ex77-double", cell_type="markdown"), "solution cell ex77-double is missing"),
        "check cell skipped by a tag": (tagged("ex77-double-check"), "has the tag nbval-skip"),
        "execution counts nulled": (unnumbered(), "exactly that many times"),
        "a cell of binary": (changed("ex77-double", source={"data": "AAAA"}), "not of a notebook's form"),
        "a cell of numbers": (changed("ex77-double", source=[1, 2]), "not of a notebook's form"),
        "a cell of half a character": (changed("ex77-double", source="x = '\ud800'"), "not of a notebook's form"),
        "a cell without metadata": (changed("ex77-double", metadata=None), "not of a notebook's form"),
        "an enormous cell": (changed("ex77-double", source="#" * 10**6), "is too large"),
        "points in the metadata": (changed("ex77-double-check", metadata={"nbgrader": {
            "grade": True, "grade_id": "ex77-double-check", "points": 10**6, "solution": True, "locked": False}}),
            "exactly that many times"),
        "another's lesson": ({**solved(double=WRONG), "metadata": {"pvlab": {"exercises": [], "version": {}}}},
                             "exactly that many times"),
        "an old version": ({**solved(double=WRONG), "metadata": {"pvlab": {"exercises": 77, "version": 0}}},
                           "made from version 0"),
        "invalid JSON": ("{", "is not JSON"),
        "cut short": (write(solved())[:3000], "is not JSON"),
        "deep JSON": ("[" * 10**6, "nested too deeply"),
        "an endless number": ('{"nbformat": ' + "9" * 5000 + "}", "is not JSON"),
        "a list": ("[]", "but not a notebook"),
        "not a number": ('{"nbformat": NaN}', "but not a notebook"),
        "format 3": ('{"nbformat": 3, "worksheets": []}', "format 3"),
        "format 5": (write({**solved(), "nbformat": 5}), "format 5"),
        "no cells": ('{"nbformat": 4, "cells": []}', "without cells"),
        "cells that are none": ('{"nbformat": 4, "cells": [1, null, {}, "x"]}', "no cell of a handout"),
        "another notebook": ('{"nbformat": 4, "cells": [{"cell_type": "code", "source": "", "metadata": {}}]}',
                             "no cell of a handout"),
        "empty": (b"", "empty file"),
        "binary": (bytes(range(256)) * 100, "not text in UTF-8"),
        "<script>alert(1)": (solved(double=WRONG), "exactly that many times"),
        "=cmd|' ' !A0": (solved(double=WRONG), "exactly that many times"),
    }


def test_files(toys, tmp_path, tell):
    """What the solutions are worth does not depend on the rest of the file, and no file stops the batch."""
    folder = tmp_path / "handed in"
    corpus = structural()
    for name, (book, _) in corpus.items():
        hand_in(folder, name, book)
    names = {"200 MB": "at most 16 are read", "a link": "a link or a device", "a pipe": "a link or a device",
             "a folder": "no notebook", "secret": "cannot be read"}
    for name in names:
        (folder / name).mkdir()
    with open(folder / "200 MB" / "a.ipynb", "wb") as file:
        file.truncate(200 << 20)
    (folder / "a link" / "a.ipynb").symlink_to("/etc/passwd")
    os.mkfifo(folder / "a pipe" / "a.ipynb")
    (folder / "a folder" / "a.ipynb").mkdir()
    (folder / "secret" / "a.ipynb").write_text("{}")
    (folder / "secret" / "a.ipynb").chmod(0)
    if os.getuid() == 0:
        del names["secret"]             # root can read it
    hand_in(folder, "zz honest", solved())
    graded = grade(folder)
    reports.write(tmp_path / "grades.csv", graded, batch.Options(), folder)
    by_student = {one.student: one for one in graded}
    for name, expected in ({name: said for name, (_, said) in corpus.items()} | names).items():
        one = by_student[name]
        said = "\n".join([*one.notes, *(check["feedback"] for check in one.record["exercises"][0]["checks"])]
                         if one.record else one.notes)
        assert expected in said, name
        assert points(one).get("double", 0) == 0, name
    assert points(by_student["zz honest"]) == {"double": 4, "flags": 3, "answer": 1}
    rows = (tmp_path / "grades.csv").read_text()
    assert len(rows.splitlines()) == len(graded) + 1
    assert "\n'=cmd" in rows                       # no formula for a spreadsheet
    pages = "".join(file.read_text() for file in (tmp_path / "grades.feedback").iterdir())
    assert "<script>" not in pages
    tell(f"grading: {len(corpus) + len(names)} damaged or forged files, each named in the report")


# Under nbval the student's code runs in a kernel: what of a run comes out is feedback, not points.
KERNELS = {
    "os._exit": "import os\nos._exit(0)",
    "kills its parent": "import os\nos.kill(os.getppid(), 9)",
    "output flood": "while True: print('x' * 10**6)",
    "fork bomb": "import os\nwhile True: os.fork()",
}


def test_kernels(toys, tmp_path, monkeypatch):
    monkeypatch.setattr(marking, "PUBLIC", marking.PUBLIC._replace(cpu=3, wall=6))
    monkeypatch.setattr(marking, "CELL_SECONDS", 1)
    folder = tmp_path / "handed in"
    for name, text in KERNELS.items():
        hand_in(folder, name, solved(double=text))
    hand_in(folder, "zz honest", solved())
    graded = {one.student: one for one in grade(folder, feedback=True)}
    for name in KERNELS:
        assert points(graded[name]) == {"double": 0, "flags": 3, "answer": 1}, name
        public = graded[name].record["public"]
        assert public is None or not public[0]["passed"], name
    assert [check["passed"] for check in graded["zz honest"].record["public"]] == [True] * 3

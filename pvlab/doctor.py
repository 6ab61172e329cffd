"""Is this machine ready for the course? Each check says what it found, or what to do."""
from __future__ import annotations

import os
import platform
import sys
import tempfile
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

from pvlab.errors import PvlabError


def examine() -> Iterator[dict]:
    """Carry out every check; each gives {"name", "ok", "said", "remedy"}, and `remedy` is "" where all is well."""
    for name, check, remedy in CHECKS:
        try:
            yield {"name": name, "ok": True, "said": check(), "remedy": ""}
        except Exception as error:  # a broken installation may raise anything, and the next check still has its say
            said = str(error) if isinstance(error, PvlabError) else f"{type(error).__name__}: {error}"
            yield {"name": name, "ok": False, "said": said, "remedy": remedy}


def python() -> str:
    if sys.version_info < (3, 11):
        raise PvlabError(f"{platform.python_version()} is too old")
    return f"{platform.python_version()} on {platform.system()} {platform.machine()}, {sys.executable}"


def packages() -> str:
    """Every requirement of the installed pvlab, against what is installed."""
    from packaging.requirements import Requirement
    wanted = [Requirement(line) for line in metadata.requires("pvlab") or () if "extra ==" not in line]
    found, wrong = [], []
    for want in wanted:
        try:
            version = metadata.version(want.name)
        except metadata.PackageNotFoundError:
            wrong.append(f"{want.name} is missing")
            continue
        found.append(f"{want.name} {version}")
        if not want.specifier.contains(version, prereleases=True):
            wrong.append(f"{want.name} is {version}, not {want.specifier}")
    if wrong:
        raise PvlabError("; ".join(wrong))
    return ", ".join(found)


def cache() -> str:
    from pvlab.guests.toolchain import cache_dir
    folder = cache_dir()
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryFile(dir=folder):
        return f"{folder} can be written"


GUEST = """#include <pvlab.h>
int main(void) { pv_puts("ready\\n"); return 0; }
"""


def toolchain() -> str:
    """A guest built from C in an empty cache, so that the compiler really runs."""
    from pvlab import guest
    before = os.environ.get("PVLAB_CACHE")
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder) / "ready.c"
        source.write_text(GUEST)
        os.environ["PVLAB_CACHE"] = folder
        try:
            image = guest(str(source)).image
        finally:
            os.environ.pop("PVLAB_CACHE")
            if before is not None:
                os.environ["PVLAB_CACHE"] = before
    size = sum(len(content) for _, content, _ in image.segments)
    return f"zig {metadata.version('ziglang')} built a guest of {size:,} bytes"


def engine() -> str:
    """The guest `hello` on the bare machine and under trap-and-emulate."""
    from pvlab import compare, guest
    result = compare(guest("hello"))
    for run in result.runs:
        if run.outcome not in ("halted", "shutdown") or not run.output:
            raise PvlabError(f"hello under {run.monitor} ended in {run.outcome}: {run.detail}")
    if not all(result.faithful.values()):
        raise PvlabError(f"hello is not the same everywhere: {result.faithful}")
    first = result.runs[0]
    return f"hello said {' '.join(first.text.split())!r} in {first.instructions:,} instructions"


def system_z() -> str:
    """An s390x guest under the control program."""
    from pvlab import Cp, guest
    run = Cp().run(guest("s390-hello", by="diagnose"))
    if run.outcome not in ("halted", "shutdown") or not run.output:
        raise PvlabError(f"s390-hello under cp ended in {run.outcome}: {run.detail}")
    return f"s390-hello said {' '.join(run.text.split())!r} in {run.instructions:,} instructions"


def notebooks() -> str:
    from pvlab.course.lessons import lessons
    return f"{len(lessons())} lessons, JupyterLab {metadata.version('jupyterlab')}"


def grading() -> str:
    """The isolation of students' code; a machine without any can still teach, and so is in order."""
    if not hasattr(os, "fork"):
        return "not on this system: grade submissions on Linux, or in WSL"
    from pvlab.course.grading.session import Zygote
    zygote = Zygote()
    zygote.close()
    if zygote.level == "none":
        return f"students' code cannot be isolated here, so submissions must be graded elsewhere ({zygote.why})"
    return f"students' code is isolated by {zygote.level}" + (f" ({zygote.why})" if zygote.why else "")


INSTALL = "Install again: `make clean env`, or `python -m pip install -e .` in the checkout."

# A check's name, the check, and what to do when it fails.
CHECKS = (
    ("Python", python, "Install Python 3.11 or newer, and give it to make: make env PYTHON=python3.12"),
    ("packages", packages, INSTALL),
    ("cache", cache, "Name a folder that can be written: PVLAB_CACHE=/some/folder pvlab doctor"),
    ("toolchain", toolchain, "The C compiler comes with the package ziglang. " + INSTALL),
    ("guest", engine, "The CPU comes with the package unicorn. " + INSTALL),
    ("s390x guest", system_z, "The CPU comes with the package unicorn. " + INSTALL),
    ("grading", grading, INSTALL),
    ("lessons", notebooks, "Get a checkout of pvlab, and run `make lab` in it."),
)

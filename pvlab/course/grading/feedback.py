"""In the student's process: a merged notebook under nbval, for feedback. What comes of it gives no points.

Most of the time of a run of nbval goes into imports, of pytest and of the kernel. The zygote has made them, so here the
kernel is one fork and pytest another: `preload` is what the zygote imports, `run` what a student's process does.
"""
from __future__ import annotations

import json
import os
import re
import signal
import socket
import sys
from importlib import import_module
from pathlib import Path

# What a kernel, pytest and the course import, many of them when they are first used.
MODULES = """
    IPython.core.completer IPython.core.completerlib IPython.core.debugger IPython.core.oinspect
    IPython.extensions.storemagic IPython.utils.wildcard ipykernel.debugger ipykernel.ipkernel
    ipykernel.kernelapp matplotlib_inline.backend_inline jupyter_client.asynchronous jupyter_client.blocking
    jupyter_client.provisioning.local_provisioner matplotlib.pyplot nbval.plugin numpy pytest
    _pytest.helpconfig _pytest.setuponly _pytest.setupplan _pytest.skipping _pytest.tracemalloc _pytest.unittest
    _pytest.warnings readline
""".split()

# Plugins of pytest that have nothing to do here, or that collect all garbage at every end.
SPARED = [word for name in ("cacheprovider", "unraisableexception", "threadexception", "doctest", "junitxml",
                            "pastebin", "faulthandler") for word in ("-p", f"no:{name}")]

LARGEST_TEXT = 4000     # characters shown of one cell
LARGEST_ORDER = 32 << 20


def preload() -> None:
    """Import what a run needs, and use it once where the first use is the slow one."""
    # The grammar of IRIs that jsonschema's format checker would build with this costs 2 s and checks nothing here.
    sys.modules["rfc3987_syntax"] = None
    os.environ["MPLBACKEND"] = "module://matplotlib_inline.backend_inline"
    os.environ["MPLCONFIGDIR"] = "/tmp/matplotlib"
    sys.modules["debugpy"] = None       # a debugger, which a kernel would start
    for name in MODULES:
        import_module(name)
    import nbformat
    import pvlab
    for name in pvlab.__all__:
        if name != "hint":
            getattr(pvlab, name)
    nbformat.reads(json.dumps({"cells": [], "metadata": {}, "nbformat": 4, "nbformat_minor": 5}), as_version=4)


def main(descriptor: int) -> int:
    """Answer one order {"book": …, "timeout": seconds} by [{"cell", "passed", "text"}, …]."""
    with socket.socket(fileno=descriptor) as conversation:
        order = json.loads(conversation.makefile("rb").readline(LARGEST_ORDER))
        found = run(order["book"], order["timeout"], conversation)
        conversation.sendall(json.dumps(found).encode() + b"\n")
    return 0


def run(book: dict, timeout: float, conversation: socket.socket | None = None) -> list[dict]:
    """The code cells of a notebook under nbval, in the working directory, which is written to.

    Each is {"cell": its grade_id or id, "passed": bool, "text": what it showed, or the exception}.
    """
    if sys.platform == "linux":
        from pvlab.course.grading import linux
        linux.not_dumpable()        # the kernel, where the student's code is, cannot look into this process
    kernel = ForkedKernel(conversation)
    import nbval.kernel
    import nbval.plugin
    import pytest
    from jupyter_client.connect import ConnectionFileMixin
    from jupyter_client.provisioning import local_provisioner
    local_provisioner.launch_kernel = kernel.launch
    nbval.plugin.IPyNbFile.teardown = lambda file: None     # the kernel ends with the sandbox: no waiting for it
    nbval.kernel.pformat = type                             # spares a picture of each message, for a log that is off
    ConnectionFileMixin.transport.default_value = "ipc"     # Unix sockets in our own home: no network is needed
    file = Path("handout.ipynb").absolute()
    file.write_text(json.dumps(book))
    os.environ["PYTEST_DISABLE_PLUGIN_AUTOLOAD"] = "1"
    listener = Listener()
    try:
        pytest.main(["-q", *SPARED, "-p", "nbval.plugin", "-c", os.devnull, f"--rootdir={file.parent}",
                     "--nbval", "--nbval-current-env", f"--nbval-cell-timeout={timeout}",
                     "--nbval-kernel-startup-timeout=30", str(file)], plugins=[listener])
    finally:
        kernel.kill()
    return listener.found


class Listener:
    """A pytest plugin that notes what came of each cell."""

    def __init__(self):
        self.found: list[dict] = []

    def pytest_runtest_makereport(self, item, call):
        if call.when == "setup" and call.excinfo is not None or call.when == "call":
            metadata = item.cell.metadata.get("nbgrader", {})
            self.found.append({"cell": metadata.get("grade_id", item.cell.get("id", "")),
                               "passed": call.excinfo is None,
                               "text": text(item, call.excinfo)[:LARGEST_TEXT]})


def text(item, failure) -> str:
    """What a cell showed, as plain text; if nothing, the failure that nbval reports."""
    parts = []
    for output in item.test_outputs or ():
        if output.output_type == "stream":
            parts.append(output.text)
        elif output.output_type == "error":
            parts.append(f"{output.ename}: {output.evalue}")
        else:
            parts.append(output.data.get("text/plain", ""))
    if not parts and failure is not None:
        parts.append(str(failure.value))
    return re.sub(r"\x1b\[[0-9;]*m", "", "\n".join(part.strip("\n") for part in parts))


class ForkedKernel:
    """A kernel that is a fork of this process, made before pytest opens anything; to jupyter_client it is a Popen."""

    stdin = stdout = stderr = None

    def __init__(self, secret: socket.socket | None):
        reading, self._writing = os.pipe()
        self.returncode: int | None = None
        self.args: list[str] = []
        self.pid = os.fork()
        if self.pid == 0:
            status = 1
            try:
                os.close(self._writing)
                if secret is not None:
                    secret.close()
                status = self._become(reading)
            finally:
                os._exit(status)
        os.close(reading)
        os.setpgid(self.pid, self.pid)      # jupyter_client signals a kernel's group, which must not be ours

    @staticmethod
    def _become(reading: int) -> int:
        with os.fdopen(reading) as orders:
            order = orders.read()
        if not order:
            return 0
        command, directory = json.loads(order)
        os.chdir(directory)
        sys.argv = command[2:]
        from ipykernel.kernelapp import IPKernelApp
        IPKernelApp.launch_instance(argv=command[command.index("-f"):])
        return 0

    def launch(self, command: list[str], cwd: str | None = None, **_) -> ForkedKernel:
        self.args = command
        with os.fdopen(self._writing, "w") as orders:
            json.dump([command, cwd or os.getcwd()], orders)
        return self

    def poll(self) -> int | None:
        if self.returncode is None:
            try:
                ended, status = os.waitpid(self.pid, os.WNOHANG)
            except ChildProcessError:
                ended, status = self.pid, 0
            if ended:
                self.returncode = os.waitstatus_to_exitcode(status)
        return self.returncode

    def wait(self, timeout: float | None = None) -> int | None:
        if self.returncode is None:
            self.returncode = os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])
        return self.returncode

    def send_signal(self, number: int) -> None:
        if self.poll() is None:
            os.kill(self.pid, number)

    def terminate(self) -> None:
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)

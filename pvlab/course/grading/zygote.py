"""A process with everything imported and nothing secret, which forks the students' processes: `python -m …zygote`.

A fresh Python that imports nbval, a kernel and the course takes seconds, a fork of one that did takes milliseconds. The
zygote never sees a key, a hidden check or another submission: it gets an environment made for it, has the sandbox's
root directory itself, and does nothing but fork. Its master is the grader, over a Unix socket on descriptor 3, one
JSON object to a message:

    {"start": kind, "limits": […]} and one descriptor, the student's end of the conversation    → {"process": pid}
    {"end": pid, "grace": seconds}     kill it and all that it started, unless it ends by itself → {"status": n}

It begins with {"level", "user", "why"}; `why` says what of the sandbox this machine does not allow.
"""
from __future__ import annotations

import gc
import json
import os
import shutil
import signal
import socket
import sys
import tempfile
import time

from pvlab.course.grading import sandbox

MASTER = 3
homes: dict[int, str] = {}      # the temporary home of each process that has no root directory of its own


def main() -> int:
    level, preload = sys.argv[1:3]
    master = socket.socket(fileno=MASTER)
    os.set_inheritable(MASTER, False)
    user, why = None, ""
    if sys.platform == "linux":
        from pvlab.course.grading import linux
        linux.die_with_parent()
        level, why = choose(level)
        user = sandbox.USERS + os.getpid() if os.getuid() == 0 and level != "none" else None
        if level == "namespaces":
            become_root_of_nothing()
            linux.die_with_parent()
        linux.adopt_orphans()
    elif level != "none":
        level, why = "none", "only Linux has a sandbox that pvlab knows"
    if preload == "feedback":
        from pvlab.course.grading import feedback
        feedback.preload()
    import pvlab
    pvlab.hint = lambda *_: None        # a solution cell may still ask for one; there are none in the sandbox
    gc.collect()
    gc.freeze()         # a collection in a fork would touch, and so copy, every page
    master.send(json.dumps({"level": level, "user": user, "why": why}).encode())
    serve(master, level, user)
    return 0


def choose(wanted: str) -> tuple[str, str]:
    """The first level from `wanted` on that works here, each tried in a process of its own, and what did not work."""
    failures = []
    for level in sandbox.LEVELS[sandbox.LEVELS.index(wanted):]:
        reading, writing = os.pipe()
        pid = os.fork()
        if pid == 0:
            try:
                _try(level)
                os._exit(0)
            except BaseException as error:
                os.write(writing, str(error).encode()[:500])
                os._exit(1)
        os.close(writing)
        with os.fdopen(reading, "rb") as said:
            message = said.read().decode(errors="replace")
        if os.waitpid(pid, 0)[1] == 0:
            break
        failures.append(f"{level}: {message or 'the trial died'}")
    return level, "; ".join(failures)


def _try(level: str) -> None:
    if level == "namespaces":
        become_root_of_nothing()
    user = sandbox.USERS + os.getpid() if os.getuid() == 0 and level != "none" else None
    reading, writing = os.pipe()
    status = end(fork_process(level, sandbox.Limits(), user, _readable, keep=writing), 5)
    os.close(writing)
    with os.fdopen(reading, "rb") as said:
        message = said.read()
    if status:
        raise OSError(json.loads(message)["broken"] if message else f"a trial ended with status {status}")


def _readable() -> int:
    """Python can be read, which another user than the one who installed it may not be able to."""
    with open(os.__file__):
        return 0


def become_root_of_nothing() -> None:
    """Give the zygote itself the sandbox's root directory; a grader that is not root needs a user namespace for it."""
    if os.getuid():
        sandbox.new_user_namespace()
    sandbox.build_root()


def serve(master: socket.socket, level: str, user: int | None) -> None:
    """Answer the master until it is gone."""
    from pvlab.course.grading import feedback, worker
    jobs = {"functions": worker.main, "feedback": feedback.main}
    while True:
        message, descriptors, _, _ = socket.recv_fds(master, 1 << 16, 1)
        if not message:
            return
        order = json.loads(message)
        if "start" in order:
            conversation = descriptors[0]
            process = fork_process(level, sandbox.Limits(*order["limits"]), user,
                                   lambda: jobs[order["start"]](conversation), keep=conversation)
            os.close(conversation)
            master.send(json.dumps({"process": process}).encode())
        else:
            master.send(json.dumps({"status": end(order["end"], order["grace"])}).encode())


def fork_process(level: str, limits: sandbox.Limits, user: int | None, job, keep: int | None = None) -> int:
    """Fork a process that is held to the limits and does the job; it returns the id of the one that waits for it.

    keep: the descriptor that the job talks over; all others are closed.
    """
    home = ""
    if level != "namespaces":
        home = tempfile.mkdtemp(prefix="pvlab-student-")
        if user is not None:
            os.chown(home, user, -1)
    pid = os.fork()
    if pid:
        homes[pid] = home
        return pid
    status = 70
    try:
        _alone(keep)
        if level == "namespaces":
            status = _first_of_a_table(lambda: mind(level, limits, user, job, keep, home), keep)
        else:
            status = mind(level, limits, user, job, keep, home)
    except OSError as error:
        _broken(keep, error)
    finally:
        os._exit(status)


def _alone(keep: int | None) -> None:
    """Leave the session and the descriptors of the zygote."""
    os.setsid()
    if sys.platform == "linux":
        from pvlab.course.grading import linux
        linux.die_with_parent()
    nothing = os.open(os.devnull, os.O_RDWR)
    for descriptor in (0, 1, 2):
        os.dup2(nothing, descriptor)
    first = 3 if keep is None else keep
    os.closerange(3, first)
    os.closerange(first + (keep is not None), 4096)


def _first_of_a_table(job, keep: int | None) -> int:
    """Do the job as process 1 of a process table of its own: whatever it leaves behind ends with it."""
    from pvlab.course.grading import linux
    linux.unshare(linux.CLONE_NEWPID)
    pid = os.fork()
    if pid == 0:
        status = 70
        try:
            status = job()
        except OSError as error:
            _broken(keep, error)
        finally:
            os._exit(status)
    if keep is not None:
        os.close(keep)
    return _code(os.waitpid(pid, 0)[1])


def mind(level: str, limits: sandbox.Limits, user: int | None, job, keep: int | None, home: str) -> int:
    """Enter the sandbox, fork the process that does the job, wait for it; returns its exit status (128 + a signal)."""
    if home:
        os.chdir(home)
        os.environ["HOME"] = home
    if level == "namespaces":
        sandbox.enter(level, limits, user)
    elif sys.platform == "linux":
        from pvlab.course.grading import linux
        linux.adopt_orphans()
    worker = os.fork()
    if worker == 0:
        status = 1
        try:
            if level != "namespaces":       # its minder stays outside, where it can see and end all that is left over
                sandbox.enter(level, limits, user)
            status = job()
        except OSError as error:
            _broken(keep, error)
        finally:
            os._exit(status)
    if keep is not None:
        os.close(keep)
    while True:
        pid, status = os.waitpid(-1, 0)
        if pid == worker:
            break
    if level != "namespaces":
        end_descendants()
    return _code(status)


def _broken(keep: int | None, error: OSError) -> None:
    """Tell the grader, which takes it for a broken protocol, as it should."""
    if keep is not None:
        try:
            os.write(keep, (json.dumps({"broken": str(error)}) + "\n").encode())
        except OSError:
            pass


def _code(status: int) -> int:
    return os.WEXITSTATUS(status) if os.WIFEXITED(status) else 128 + os.WTERMSIG(status)


def end_descendants() -> None:
    """Kill every process that is left below this one. Orphans become our children, so there is an end to it."""
    for turn in range(1000):
        try:
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass
        except ChildProcessError:
            return
        for child in descendants(os.getpid()) if turn > 5 else ():      # most end with their parent, before that
            try:
                os.kill(child, signal.SIGKILL)
            except OSError:
                pass
        time.sleep(0.001)


def descendants(parent: int) -> list[int]:
    """All descendants, from the process table: a process may have left its group, but not its ancestors."""
    parents = {}
    for name in os.listdir("/proc") if sys.platform == "linux" else ():
        if name.isdigit():
            try:
                with open(f"/proc/{name}/stat") as file:
                    parents[int(name)] = int(file.read().rpartition(")")[2].split()[1])
            except OSError:
                pass
    found = [parent]
    for one in found:
        found += [child for child, of in parents.items() if of == one]
    return found[1:]


def end(process: int, grace: float) -> int:
    """The status of a minder, which is its worker's, once it has ended; -1 if it had to be killed."""
    until, status = time.monotonic() + grace, None
    while status is None and time.monotonic() < until:
        if (ended := os.waitpid(process, os.WNOHANG))[0]:
            status = os.waitstatus_to_exitcode(ended[1])
        else:
            time.sleep(0.002)
    if status is None:
        os.kill(process, signal.SIGKILL)
        os.waitpid(process, 0)
        status = -1
    end_descendants()
    if home := homes.pop(process, ""):
        shutil.rmtree(home, ignore_errors=True)
    return status


if __name__ == "__main__":
    sys.exit(main())

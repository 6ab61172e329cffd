"""What a student's process may do, and how it is held to that. In this order, the first that works here:

1. namespaces  Its own root directory (the libraries and the course, read-only, and an empty home in memory), its own
               process table, network (none), and IPC; no capabilities, no way to gain any; another user if the grader
               is root. What the programs bwrap and unshare do, but for a forked process, which need not start anew.
2. landlock    Where namespaces are forbidden (in most containers): the same files by Landlock, with no sockets at
               all, and another user if the grader is root. There are no sockets for a kernel either: no nbval feedback.
3. none        Limits of resources only. The grader refuses to work so unless it is told --no-sandbox.

At each of them CPU time, memory, file size and the number of processes are limited, and what is left over is killed.
"""
from __future__ import annotations

import os
import resource
import sys
from pathlib import Path
from typing import NamedTuple

from pvlab.course.grading import linux

LEVELS = ("namespaces", "landlock", "none")
PACKAGE = Path(__file__).resolve().parents[2]
HIDDEN = PACKAGE / "course" / "exercises"       # hidden checks and solutions: on no disk that a student's process has
HOME, CACHE = "/home/student", "/cache"
HOME_SIZE = "size=64m,nr_inodes=10k"
USERS = 1 << 30                                 # user ids from here on are free; each zygote takes one

# Beside Python and the course: the C library and its programs, fonts, time zones.
SYSTEM = ("/usr", "/bin", "/lib", "/lib32", "/lib64", "/etc/ld.so.cache", "/etc/ld.so.conf", "/etc/ld.so.conf.d",
          "/etc/fonts", "/etc/localtime", "/etc/alternatives")
DEVICES = ("null", "zero", "full", "random", "urandom")


class Limits(NamedTuple):
    """What one student's process may use; `wall` is what the grader waits, in seconds, before it ends it."""

    cpu: int = 10               # seconds of one process
    memory: int = 1 << 30       # bytes of address space of one process
    file: int = 16 << 20        # bytes of one file
    processes: int = 8          # processes and threads
    wall: float = 30


def readable() -> list[str]:
    """The files and directories that a student's process may read: Python, its packages, pvlab without HIDDEN."""
    roots = [Path(root).resolve() for root in _roots()]
    distinct = [root for root in dict.fromkeys(roots) if not any(other in root.parents for other in roots)]
    found = []
    for root in distinct:
        found += _without_hidden(root)
    return found


def _roots() -> list[str]:
    return [root for root in (sys.prefix, sys.base_prefix, sys.exec_prefix, str(PACKAGE), *SYSTEM)
            if os.path.exists(root)]


def _without_hidden(path: Path) -> list[str]:
    if path == HIDDEN:
        return []
    if path not in HIDDEN.parents:
        return [str(path)]
    return [one for child in sorted(path.iterdir()) for one in _without_hidden(child)]


def _below(place: str) -> list[str]:
    """What is readable and lies below this directory: a mount on it hides that."""
    return [path for path in readable() if Path(place) in Path(path).parents]


def build_root() -> None:
    """A new root directory on memory, in a new mount namespace, and nothing of the old one but what is readable().

    It is made on a directory that everybody has, and under which neither Python nor the course lies.
    """
    base = next(place for place in ("/tmp", "/mnt", "/dev/shm") if os.path.isdir(place) and not _below(place))
    linux.unshare(linux.CLONE_NEWNS | linux.CLONE_NEWIPC | linux.CLONE_NEWNET | linux.CLONE_NEWUTS)
    linux.mount("none", "/", None, linux.MS_REC | linux.MS_PRIVATE)
    linux.mount("tmpfs", base, "tmpfs", linux.MS_NOSUID | linux.MS_NODEV, "mode=755,size=1m")
    for path in readable():
        _bind(path, base + path)
    for link in _roots():
        if os.path.realpath(link) != link and not os.path.lexists(base + link):
            os.makedirs(os.path.dirname(base + link), exist_ok=True)
            os.symlink(os.path.realpath(link), base + link)
    shared = os.environ.get("PVLAB_SHARED_CACHE", "")
    if os.path.isdir(shared):
        _bind(shared, base + CACHE)
        os.environ["PVLAB_SHARED_CACHE"] = CACHE
    os.mkdir(base + "/dev")
    for device in DEVICES:
        _bind(f"/dev/{device}", f"{base}/dev/{device}", read_only=False)
    os.symlink("/proc/self/fd", base + "/dev/fd")
    for name in ("tmp", "etc", "dev/shm", HOME[1:]):
        os.makedirs(f"{base}/{name}", exist_ok=True)
    # The process table of the grader, for the zygote alone; a student's process covers it by its own.
    _bind("/proc", base + "/proc", read_only=False)
    Path(base, "etc/passwd").write_text(f"student:x:{os.getuid() or USERS + os.getpid()}:65534::{HOME}:/bin/sh\n")
    linux.change_root(base)
    linux.make_read_only("/", below=False)      # or one student's process could leave something for the next
    _fresh_memory()


def _fresh_memory() -> None:
    for place in (HOME, "/tmp", "/dev/shm"):
        hidden = [(path, os.open(path, os.O_PATH)) for path in _below(place)]     # a course that was cloned into /tmp
        linux.mount("tmpfs", place, "tmpfs", linux.MS_NOSUID | linux.MS_NODEV, f"mode=1777,{HOME_SIZE}")
        for path, held in hidden:
            _bind(f"/proc/self/fd/{held}", path)
            os.close(held)


def _bind(source: str, target: str, read_only: bool = True) -> None:
    if os.path.isdir(source):
        os.makedirs(target, exist_ok=True)
    else:
        os.makedirs(os.path.dirname(target), exist_ok=True)
        open(target, "w").close()
    linux.mount(source, target, None, linux.MS_BIND | linux.MS_REC)
    if read_only:
        linux.make_read_only(target)


def new_user_namespace() -> None:
    """All capabilities over namespaces of one's own, for a grader that is not root (Linux may forbid it)."""
    user, group = os.getuid(), os.getgid()
    linux.unshare(linux.CLONE_NEWUSER)
    Path("/proc/self/setgroups").write_text("deny")
    Path("/proc/self/uid_map").write_text(f"{user} {user} 1")
    Path("/proc/self/gid_map").write_text(f"{group} {group} 1")


def enter(level: str, limits: Limits, user: int | None) -> None:
    """Limit this freshly forked process for good. At "namespaces" it is process 1 of its own table by now.

    user: the user id to take (root only), or None. The working directory is then an empty home.
    """
    linux_here = sys.platform == "linux"
    if linux_here:
        linux.die_with_parent()
    if level == "namespaces":
        linux.unshare(linux.CLONE_NEWNS | linux.CLONE_NEWIPC | linux.CLONE_NEWNET | linux.CLONE_NEWUTS)
        _fresh_memory()
        try:
            linux.mount("proc", "/proc", "proc", linux.MS_NOSUID | linux.MS_NODEV | linux.MS_NOEXEC)
        except PermissionError:     # a container that hides parts of its own /proc: a student's process then has none
            linux.mount("tmpfs", "/proc", "tmpfs", 0, "mode=555,size=4k")
        os.chdir(HOME)
    _limit(limits)
    if user is not None:
        os.setgroups([])
        os.setresgid(65534, 65534, 65534)
        os.setresuid(user, user, user)
    if level == "landlock":
        linux.no_new_privileges()
        shared = os.environ.get("PVLAB_SHARED_CACHE", "")
        linux.landlock([*readable(), "/dev/urandom", *([shared] if os.path.isdir(shared) else [])],
                       [os.getcwd(), "/dev/null"])
        linux.filter_calls(sockets=False, signals=linux.landlock_version() >= 6)
    elif level == "namespaces":
        linux.drop_capabilities()
        linux.no_new_privileges()
        linux.filter_calls()
    if linux_here:
        linux.die_with_parent()     # again: a change of user switches it off


def _limit(limits: Limits) -> None:
    for kind, value in (("CPU", limits.cpu), ("AS", limits.memory), ("FSIZE", limits.file), ("NPROC", limits.processes),
                        ("CORE", 0), ("NOFILE", 256), ("MEMLOCK", 64 << 10), ("MSGQUEUE", 0)):
        number = getattr(resource, f"RLIMIT_{kind}", None)
        if number is None:
            continue
        ceiling = resource.getrlimit(number)[1]
        value = value if ceiling == resource.RLIM_INFINITY else min(value, ceiling)
        try:
            resource.setrlimit(number, (value, value + (1 if kind == "CPU" else 0)))
        except (ValueError, OSError):
            resource.setrlimit(number, (value, ceiling))
    if Path("/proc/self/oom_score_adj").exists():
        try:
            Path("/proc/self/oom_score_adj").write_text("1000")     # where memory ends, this is the process that goes
        except OSError:
            pass

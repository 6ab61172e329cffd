"""The system calls of Linux that limit a process, as thin as they can be. Each raises OSError.

Names and numbers are those of the kernel's headers: linux/{landlock,seccomp,filter,prctl,mount}.h. What Python has by
itself (rlimits, user ids) is not here.
"""
from __future__ import annotations

import ctypes
import errno
import os
import platform
import struct

CLONE_NEWNS, CLONE_NEWUTS, CLONE_NEWIPC = 0x20000, 0x4000000, 0x8000000
CLONE_NEWUSER, CLONE_NEWPID, CLONE_NEWNET = 0x10000000, 0x20000000, 0x40000000
MS_NOSUID, MS_NODEV, MS_NOEXEC, MS_BIND, MS_REC, MS_PRIVATE = 2, 4, 8, 4096, 16384, 1 << 18
MNT_DETACH = 2

_PR_SET_PDEATHSIG, _PR_SET_DUMPABLE, _PR_SET_SECCOMP = 1, 4, 22
_PR_SET_CHILD_SUBREAPER, _PR_SET_NO_NEW_PRIVS = 36, 38

# System call numbers; from 424 on they are the same on every architecture.
_MOUNT_SETATTR, _LANDLOCK_CREATE, _LANDLOCK_ADD, _LANDLOCK_RESTRICT = 442, 444, 445, 446

_libc = ctypes.CDLL(None, use_errno=True)


def _call(name: str, *arguments) -> int:
    function = getattr(_libc, name, None)
    if function is None:
        raise OSError(errno.ENOSYS, f"{name}: {os.strerror(errno.ENOSYS)}")
    result = function(*arguments)
    if result == -1:
        number = ctypes.get_errno()
        raise OSError(number, f"{name}: {os.strerror(number)}")
    return result


def _syscall(number: int, *arguments) -> int:
    return _call("syscall", ctypes.c_long(number), *arguments)


def _path(path) -> bytes | None:
    return None if path is None else os.fsencode(path)


def unshare(flags: int) -> None:
    _call("unshare", ctypes.c_int(flags))


def setns(descriptor: int, kind: int) -> None:
    _call("setns", ctypes.c_int(descriptor), ctypes.c_int(kind))


def mount(source, target, kind: str | None = None, flags: int = 0, options: str = "") -> None:
    _call("mount", _path(source), _path(target), kind and kind.encode(), ctypes.c_ulong(flags), options.encode())


def make_read_only(target, below: bool = True) -> None:
    """A mount, and all below it: read-only, no set-user-id programs, no devices (Linux 5.12)."""
    attributes = struct.pack("=4Q", 1 | 2 | 4, 0, 0, 0)     # MOUNT_ATTR_RDONLY | NOSUID | NODEV; nothing else changed
    _syscall(_MOUNT_SETATTR, ctypes.c_int(-100), _path(target), ctypes.c_uint(0x8000 if below else 0), attributes,
             ctypes.c_size_t(32))


def change_root(root) -> None:
    """Make the directory, which must be a mount, the root of this mount namespace, and the old root unreachable."""
    os.chdir(root)
    _call("pivot_root", b".", b".")
    _call("umount2", b".", ctypes.c_int(MNT_DETACH))
    os.chdir("/")


def drop_capabilities() -> None:
    _call("capset", struct.pack("=Ii", 0x20080522, 0), bytes(24))           # _LINUX_CAPABILITY_VERSION_3, this thread


def no_new_privileges() -> None:
    _call("prctl", _PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)


def die_with_parent() -> None:
    _call("prctl", _PR_SET_PDEATHSIG, 9, 0, 0, 0)


def not_dumpable() -> None:
    """No core, and no other process of this user may look into this one."""
    _call("prctl", _PR_SET_DUMPABLE, 0, 0, 0, 0)


def adopt_orphans() -> None:
    """Become the parent of descendants whose own parent ends."""
    _call("prctl", _PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def landlock_version() -> int:
    """The kernel's Landlock ABI; 0 where there is none."""
    try:
        return _syscall(_LANDLOCK_CREATE, None, ctypes.c_size_t(0), ctypes.c_uint(1))
    except OSError:
        return 0


def landlock(readable: list, writable: list) -> None:
    """No file but these and what is below them, no TCP, no signal to a process outside (as far as the ABI goes)."""
    version = landlock_version()
    if not version:
        raise OSError(errno.ENOSYS, "this kernel has no Landlock")
    files = (1 << {1: 13, 2: 14}.get(version, 15)) - 1          # EXECUTE … MAKE_SYM, REFER, TRUNCATE
    files |= 1 << 15 if version >= 5 else 0                     # IOCTL_DEV
    reading = 1 << 0 | 1 << 2 | 1 << 3                          # EXECUTE, READ_FILE, READ_DIR
    of_a_file = 1 << 0 | 1 << 1 | 1 << 2 | 1 << 14 | 1 << 15
    attributes = struct.pack("=QQQ", files, 3 if version >= 4 else 0, 3 if version >= 6 else 0)
    size = 8 if version < 4 else 16 if version < 6 else 24
    ruleset = _syscall(_LANDLOCK_CREATE, attributes, ctypes.c_size_t(size), ctypes.c_uint(0))
    try:
        for paths, allowed in ((readable, reading), (writable, files)):
            for path in paths:
                place = os.open(path, os.O_PATH | os.O_CLOEXEC)
                try:
                    access = allowed & (files if os.path.isdir(path) else of_a_file & files)
                    _syscall(_LANDLOCK_ADD, ctypes.c_int(ruleset), ctypes.c_int(1),
                             struct.pack("=Qi", access, place), ctypes.c_uint(0))
                finally:
                    os.close(place)
        _syscall(_LANDLOCK_RESTRICT, ctypes.c_int(ruleset), ctypes.c_uint(0))
    finally:
        os.close(ruleset)


# What a student's process never needs: (x86-64, AArch64) numbers.
_NEVER = {
    "ptrace": (101, 117), "process_vm_readv": (310, 270), "process_vm_writev": (311, 271), "pidfd_getfd": (438, 438),
    "unshare": (272, 97), "setns": (308, 268), "clone3": (435, 435), "mount": (165, 40), "umount2": (166, 39),
    "pivot_root": (155, 41), "open_tree": (428, 428), "move_mount": (429, 429), "fsopen": (430, 430),
    "keyctl": (250, 219), "add_key": (248, 217), "request_key": (249, 218), "bpf": (321, 280),
    "perf_event_open": (298, 241), "userfaultfd": (323, 282), "io_uring_setup": (425, 425),
    "kexec_load": (246, 104), "init_module": (175, 105), "finit_module": (313, 273), "chroot": (161, 51),
}
_SIGNALS = {"kill": (62, 129), "tkill": (200, 130), "tgkill": (234, 131), "pidfd_send_signal": (424, 424)}
_SOCKETS = {"socket": (41, 198)}
_CLONE = (56, 220)
_ARCHITECTURES = {"x86_64": (0, 0xC000003E), "aarch64": (1, 0xC00000B7)}


def filter_calls(sockets: bool = True, signals: bool = True) -> None:
    """Refuse the system calls that a student's process never needs, and sockets or signals if told so.

    A seccomp filter: it holds for this process and all that it starts.
    """
    if platform.machine() not in _ARCHITECTURES:
        raise OSError(errno.ENOSYS, f"no table of system calls for {platform.machine()}")
    column, token = _ARCHITECTURES[platform.machine()]
    allow, refuse, missing, kill = 0x7FFF0000, 0x50000 | errno.EPERM, 0x50000 | errno.ENOSYS, 0x80000000

    def load(offset):
        return 0x20, 0, 0, offset

    def jump_equal(value, yes, no):
        return 0x15, yes, no, value

    program = [load(4), jump_equal(token, 1, 0), (6, 0, 0, kill), load(0)]
    if column == 0:         # the x32 calls have a bit of their own
        program += [(0x35, 0, 1, 0x40000000), (6, 0, 0, kill)]
    never = _NEVER | ({} if signals else _SIGNALS) | ({} if sockets else _SOCKETS)
    for name, numbers in never.items():
        # clone3 takes its flags from memory, where no filter can look: libraries fall back to clone.
        program += [jump_equal(numbers[column], 0, 1), (6, 0, 0, missing if name == "clone3" else refuse)]
    program += [jump_equal(_CLONE[column], 0, 4), load(16), (0x45, 0, 1, CLONE_NEWUSER), (6, 0, 0, refuse), load(0)]
    program.append((6, 0, 0, allow))

    class Program(ctypes.Structure):
        _fields_ = [("length", ctypes.c_ushort), ("instructions", ctypes.c_char_p)]

    code = b"".join(struct.pack("=HBBI", *instruction) for instruction in program)
    _call("prctl", _PR_SET_SECCOMP, 2, ctypes.byref(Program(len(program), code)), 0, 0)

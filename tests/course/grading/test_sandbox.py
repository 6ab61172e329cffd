"""What a student's process can reach: nothing of the grader, nothing of the machine but what it needs to run."""
import os
import signal
import socket
import sys
from pathlib import Path

import pytest
import toysheet
from pvlab.course.grading import sandbox
from pvlab.course.grading.sandbox import Limits
from pvlab.course.grading.session import StudentProcess, Zygote
from pvlab.course.grading.zygote import descendants

LOOK = """
import os, sys

def look(source):
    found = {}
    exec(source, found)
    return found["found"]
"""


@pytest.fixture(scope="module")
def zygote():
    toysheet.need_isolation()
    mine = Zygote()
    yield mine
    mine.close()


@pytest.fixture
def student(zygote):
    process = StudentProcess(zygote, Limits(cpu=5, memory=512 << 20, processes=12, wall=20))
    assert process.execute([("look", LOOK)]) == [None]
    yield process
    process.close()


def look(student, expression: str):
    return student.call("look", f"import os, sys\ntry:\n    found = {expression}\nexcept OSError as error:\n"
                                "    found = type(error).__name__")


def test_isolation_is_there(zygote):
    """Where CI runs, grading must not fall back to anything weaker."""
    assert (zygote.level, zygote.why) == ("namespaces", "")


def test_the_grader_cannot_be_seen(student, tmp_path, monkeypatch):
    secret = tmp_path / "key"
    secret.write_text("hidden")
    monkeypatch.setenv("PVLAB_SECRET", "hidden")
    assert look(student, f"open({str(secret)!r}).read()") == "FileNotFoundError"
    assert look(student, "sorted(os.environ)") == sorted({
        "PATH", "HOME", "USER", "LOGNAME", "LANG", "PYTHONPATH", "PVLAB_STATIC", "PYTHONDONTWRITEBYTECODE",
        "PVLAB_SHARED_CACHE", "OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS"})
    assert look(student, "[name for name in os.listdir('/proc') if name.isdigit()]") == ["1", "2"]
    for file in ("environ", "mem", "maps", "cwd"):
        came = look(student, f"open('/proc/1/{file}', 'rb').read(1) and 'read'")
        assert came in ("PermissionError", "IsADirectoryError")
    assert look(student, f"os.kill({os.getpid()}, 9)") == "ProcessLookupError"
    assert look(student, "os.kill(1, 9)") is None         # the minder, which no signal from inside can end …
    assert look(student, "os.getppid()") == 1             # … is there


def test_files(student):
    assert look(student, "os.listdir('.')") == [] and look(student, "os.getcwd()") == sandbox.HOME
    assert look(student, "open('mine', 'w').write('x')") == 1
    for place in ("/", "/usr/", "/dev/", "/cache/", f"{sandbox.PACKAGE}/"):
        assert look(student, f"open({place!r} + 'mine', 'w')") in ("OSError", "PermissionError", "FileNotFoundError")
    assert look(student, "os.listdir('/home')") == ["student"]
    assert look(student, f"os.listdir({str(sandbox.PACKAGE / 'course')!r})").count("exercises") == 0
    assert look(student, "os.path.exists('/etc/shadow')") is False
    assert look(student, "os.open('/dev/mem', 0)") == "FileNotFoundError"
    assert look(student, f"os.path.exists({str(sandbox.PACKAGE.parent / '.git')!r})") is False


def test_the_next_process_finds_nothing_of_the_last(zygote):
    marks = ("/tmp/mark", "/dev/shm/mark", f"{sandbox.HOME}/mark")
    for turn in range(2):
        process = StudentProcess(zygote, Limits(processes=12))
        process.execute([("look", LOOK)])
        assert [look(process, f"os.path.exists({mark!r})") for mark in marks] == [False] * 3, turn
        assert [look(process, f"open({mark!r}, 'w').write('x')") for mark in marks] == [1] * 3
        process.close()


def test_no_network(student):
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        assert look(student, f"__import__('socket').create_connection(('127.0.0.1', {port}), 2)") == "OSError"
    assert look(student, "__import__('socket').create_connection(('192.0.2.1', 80), 2)") == "OSError"
    assert look(student, "sorted(name for _, name in __import__('socket').if_nameindex())") == ["lo"]


def test_no_privileges(student, zygote):
    assert look(student, "os.getuid()") == (zygote.user or os.getuid())
    for attempt in ("os.setuid(0)", "os.chroot('/tmp')", "os.mknod('disk', 0o60600, os.makedev(8, 0))",
                    "os.nice(-1)", "os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1))"):
        assert look(student, attempt) == "PermissionError", attempt
    status = look(student, "open('/proc/self/status').read()")
    assert "CapEff:\t0000000000000000" in status and "NoNewPrivs:\t1" in status and "Seccomp:\t2" in status
    call = "__import__('ctypes').CDLL(None, use_errno=True)"
    for attempt in ("ptrace(0, 0, 0, 0)", "unshare(0x10000000)", "mount(b'none', b'/tmp', b'tmpfs', 0, None)",
                    "syscall(272, 0x10000000)", "syscall(425, 1, None)"):
        assert look(student, f"{call}.{attempt}") == -1, attempt


def test_limits(student):
    for what, most in (("AS", 512 << 20), ("CPU", 5), ("FSIZE", 16 << 20), ("NPROC", 12), ("CORE", 0)):
        kind = f"__import__('resource').RLIMIT_{what}"
        assert look(student, f"__import__('resource').getrlimit({kind})[0]") == most, what
    assert look(student, "open('/proc/self/oom_score_adj').read().strip()") == "1000"
    assert look(student, "[os.fork() or os.kill(os.getpid(), 19) for _ in range(100)]") == "BlockingIOError"


def test_nothing_is_left_behind(zygote):
    """All that a student's process started ends with it: daemons in sessions of their own, stopped processes."""
    process = StudentProcess(zygote, Limits(processes=12))
    process.execute([("stay", "import os, signal, time\nfor kind in range(4):\n    if os.fork() == 0:\n"
                              "        os.setsid()\n        if kind == 0: os.kill(os.getpid(), signal.SIGSTOP)\n"
                              "        for number in (1, 2, 15): signal.signal(number, signal.SIG_IGN)\n"
                              "        while True: time.sleep(100)\n")])
    assert len(descendants(zygote.process.pid)) >= 6
    process.close()
    assert descendants(zygote.process.pid) == []


def test_a_student_cannot_forge_what_is_built(student):
    """A guest is built in a process in which nothing of the student's was executed."""
    forge = ("import gc\ndef forged(*_): return 'Zm9yZ2Vk'\nfor one in gc.get_objects():\n"
             "    if type(one) is dict and 'build' in one and 'execute' in one: one['build'] = forged\n")
    assert student.execute([("forge", forge)]) == [None]
    assert student.build("int main(void) { return 0; }")[:4] == b"\x7fELF"
    assert student.call("look", "found = 1") == 1


def test_a_guest_is_built_inside(student):
    elf = student.build('#include <pvlab.h>\nint main(void) { pv_puts("hi"); return 0; }')
    assert elf[:4] == b"\x7fELF"
    with pytest.raises(Exception, match="undeclared identifier"):
        student.build("int main(void) { this is not C }")
    with pytest.raises(Exception, match="No such file|not found"):
        student.build('#include "/etc/shadow"\nint main(void) { return 0; }')


def test_landlock(tmp_path):
    """The second line of defence, in a process that has no namespaces of its own."""
    from pvlab.course.grading import linux
    if sys.platform != "linux" or not linux.landlock_version():
        pytest.skip("this kernel has no Landlock")
    reading, writing = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            os.close(reading)
            _under_landlock(writing)
        except BaseException as error:
            os.write(writing, repr(error).encode())
        finally:
            os._exit(0)
    os.close(writing)
    with os.fdopen(reading) as said:
        assert said.read() == "reads Python; FileNotFoundError PermissionError PermissionError PermissionError"
    os.waitpid(pid, 0)


def _under_landlock(writing: int) -> None:
    """In a root directory where everybody can read Python, and as an ordinary user: Landlock alone must hold."""
    from pvlab.course.grading import zygote
    if os.getuid():
        sandbox.new_user_namespace()
    sandbox.build_root()
    user = sandbox.USERS if os.getuid() == 0 else None

    def job() -> int:
        with open(os.__file__):
            said = ["reads Python;"]
        for attempt in (lambda: open("/nowhere"), lambda: open("/etc/passwd"), lambda: os.listdir("/proc"),
                        lambda: socket.socket()):
            try:
                attempt()
                said.append("did it")
            except OSError as error:
                said.append(type(error).__name__)
        os.write(writing, " ".join(said).encode())
        return 0
    zygote.end(zygote.fork_process("landlock", Limits(), user, job, keep=writing), 10)


def test_a_broken_zygote_is_one_clear_error():
    from pvlab.course.grading.session import SandboxError
    mine = Zygote("none")
    mine.process.send_signal(signal.SIGKILL)
    mine.process.wait()
    with pytest.raises(SandboxError, match="died"):
        mine.start("functions", Limits())
    mine.close()


def test_an_ordinary_user_has_the_same_sandbox(monkeypatch):
    """Where the tests run as root: in a root directory where another user can read Python, as that user."""
    toysheet.need_isolation()
    if os.getuid():
        pytest.skip("the other tests have shown it")
    monkeypatch.setattr(sandbox, "HIDDEN", Path("/nothing is hidden from this grader"))
    reading, writing = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            sandbox.build_root()
            os.setgroups([])
            os.setresgid(sandbox.USERS, sandbox.USERS, sandbox.USERS)
            os.setresuid(sandbox.USERS, sandbox.USERS, sandbox.USERS)
            mine = Zygote()
            process = StudentProcess(mine, Limits(processes=12))
            process.execute([("look", LOOK)])
            said = [mine.level, mine.why, look(process, "os.getuid()") == sandbox.USERS, look(process, "os.getpid()"),
                    look(process, "open('/mine', 'w')"), look(process, "open('mine', 'w').write('x')"),
                    look(process, "'CapEff:\\t0000000000000000' in open('/proc/self/status').read()"),
                    look(process, f"os.path.exists({str(sandbox.PACKAGE / 'course/exercises')!r})"),
                    look(process, "[os.fork() or os.kill(os.getpid(), 19) for _ in range(100)]")]
            os.write(writing, repr(said).encode())
        except BaseException as error:
            os.write(writing, repr(error).encode())
        finally:
            os._exit(0)
    os.close(writing)
    with os.fdopen(reading) as said:
        assert said.read() == repr(["namespaces", "", True, 2, "OSError", 1, True, False, "BlockingIOError"])
    os.waitpid(pid, 0)

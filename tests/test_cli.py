"""The command line: what it prints, where, and with which exit status."""
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from pvlab.cli import main

ENDLESS = '#include <pvlab.h>\nint main(void) { for (;;) __asm__ volatile("" ::: "memory"); }\n'


@pytest.fixture
def pvlab(capsys):
    """pvlab("run hello --json"): the exit status, and what was written on stdout and stderr."""
    def command(line, *more):
        status = main([*line.split(), *map(str, more)])
        said = capsys.readouterr()
        return status, said.out, said.err
    return command


@pytest.fixture
def answer(pvlab):
    """answer("guests"): the object that the command prints with --json, and nothing else."""
    def command(line, *more, status=0):
        ended, out, err = pvlab(line, *more, "--json")
        assert (ended, err) == (status, "")
        return json.loads(out)
    return command


@pytest.fixture
def endless(tmp_path) -> Path:
    file = tmp_path / "endless.c"
    file.write_text(ENDLESS)
    return file


def start(*words, **options) -> subprocess.Popen:
    return subprocess.Popen([sys.executable, "-m", "pvlab", *map(str, words)], text=True, stdout=subprocess.PIPE,
                            stderr=subprocess.PIPE, **options)


# What there is

@pytest.mark.parametrize("name, fields", [
    ("guests", {"name", "description", "arch", "parameters"}),
    ("monitors", {"name", "description", "arch"}),
    ("costs", {"name", "machine", "year"}), ("lessons", {"number", "title", "minutes", "file"})])
def test_lists(answer, pvlab, name, fields):
    listed = answer(name)
    assert list(listed) == [name] and listed[name]
    assert all(fields <= set(entry) for entry in listed[name])
    status, out, err = pvlab(name)
    assert (status, err) == (0, "")
    first = listed[name][0]
    assert all(str(first[field]) in out for field in fields & {"name", "title"})


def test_help_and_version(pvlab):
    import pvlab as package
    assert pvlab("--version") == (0, f"{package.__version__}\n", "")
    for line in ("", "--help"):
        status, out, err = pvlab(line)
        assert (status, err) == (0, "") and "Usage: pvlab" in out and "doctor" in out


# Runs

RUN = {"guest", "monitor", "parameters", "outcome", "detail", "output", "instructions", "exits", "events", "accesses",
       "cycles", "digest", "seconds"}


def test_run_as_json(answer):
    run = answer("run hello")
    assert set(run) == RUN
    assert (run["guest"], run["monitor"], run["outcome"]) == ("hello", "native", "shutdown")
    assert run["exits"] == {} and run["cycles"] is None and run["instructions"] > 0 and "ello" in run["output"]


def test_run_is_the_same_every_time(answer):
    runs = [answer("run kernel -p workload=syscall -p n=5 --monitor trap-and-emulate") for _ in range(2)]
    for run in runs:
        del run["seconds"]
    assert runs[0] == runs[1]
    assert runs[0]["parameters"] == {**runs[0]["parameters"], "workload": "syscall", "n": 5}


def test_run_with_costs(answer):
    cycles = answer("run hello --monitor trap-and-emulate --costs p4-672-2006")["cycles"]
    assert set(cycles) == {"model", "total", "guest", "by_reason", "unpriced"}
    assert cycles["model"] == "p4-672-2006" and cycles["total"] >= cycles["guest"] > 0


def test_run_as_text(pvlab):
    status, out, err = pvlab("run hello --costs p4-672-2006")
    assert (status, err) == (0, "")
    assert "hello under native" in out and "instructions" in out and "p4-672-2006" in out


def test_a_guest_that_never_ends(answer, pvlab, endless):
    run = answer("run", endless, "--budget", 100_000, status=1)
    assert run["outcome"] == "budget" and 100_000 <= run["instructions"] < 200_000
    assert pvlab("run", endless, "--budget", 1000)[0] == 1


def test_a_guest_cannot_write_to_the_terminal(pvlab, tmp_path):
    hostile = tmp_path / "hostile.c"
    hostile.write_text('#include <pvlab.h>\nint main(void) { pv_puts("\\033[2J\\007"); return 0; }\n')
    for more in ([], ["--json"], ["--budget", "0\033[2J"]):
        status, out, err = pvlab("run", hostile, *more)
        assert "\x1b" not in out + err and "\x07" not in out + err


# Comparisons

DISK = bytes(range(256)) * 64          # 32 sectors


@pytest.mark.parametrize("mode, changed", [("", True), (":cow", False), (":ro", False)])
def test_a_disk_of_ones_own(answer, tmp_path, mode, changed):
    (tmp_path / "disk").write_bytes(DISK)
    shown = answer("run kernel -p workload=disk-write -p device=virtio -p n=2 --disk", f"{tmp_path / 'disk'}{mode}")
    assert ((tmp_path / "disk").read_bytes() != DISK) is changed
    assert ("panic" in shown["output"]) is (mode == ":ro")


def test_each_run_of_a_comparison_finds_the_disk_as_it_was(answer, tmp_path):
    (tmp_path / "disk").write_bytes(DISK)
    shown = answer("compare kernel -p workload=disk-write -p device=ata-rep -p n=2 --disk", tmp_path / "disk")
    assert all(shown["faithful"].values()) and (tmp_path / "disk").read_bytes() == DISK


def test_packets_are_captured(pvlab, tmp_path):
    assert pvlab("run kernel -p workload=net-send -p n=3 --pcap", tmp_path / "sent.pcap")[0] == 0
    assert len((tmp_path / "sent.pcap").read_bytes()) == 24 + 3 * (16 + 60)


@pytest.mark.parametrize("line, message", [
    ("--disk missing.img", "disk image missing.img: No such file or directory"),
    ("--disk short.img", "disk image short.img: 100 bytes are not whole sectors of 512"),
    ("--disk short.img:rw", "disk image short.img:rw: No such file or directory"),
    ("--pcap missing/x.pcap", "capture file missing/x.pcap: No such file or directory"),
    ("-p workload=net-send -p device=ata", "device=ata: must be one of e1000, virtio for workload=net-send"),
    ("-p device=ata", "device=ata: there is no such parameter for workload=syscall")])
def test_devices_that_cannot_be(pvlab, tmp_path, monkeypatch, line, message):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "short.img").write_bytes(bytes(100))
    assert pvlab(f"run kernel {line}") == (2, "", f"pvlab: {message}\n")


def test_compare_as_json(answer):
    result = answer("compare hello --monitors native,trap-and-emulate")
    assert set(result) == {"guest", "runs", "faithful"}
    assert [set(run) for run in result["runs"]] == [RUN, RUN]
    assert result["faithful"] == {"native": True, "trap-and-emulate": True}


def test_being_unfaithful_is_a_result_and_not_an_error(answer):
    result = answer("compare kernel -p workload=interrupt-flags -p n=3")
    assert result["faithful"] == {"native": True, "trap-and-emulate": False, "binary-translation": True}


def test_compare_fails_only_if_the_bare_machine_does(answer, endless):
    assert answer("compare", endless, "--budget", 10_000, status=1)["runs"][0]["outcome"] == "budget"
    assert answer("compare", endless, "--budget", 10_000, "--monitors", "trap-and-emulate")["faithful"] == {
        "trap-and-emulate": None}


def test_compare_as_text_with_costs(pvlab):
    status, out, _ = pvlab("compare hello --costs p4-672-2006")
    assert status == 0 and "trap-and-emulate" in out and "p4-672-2006" in out


def test_compare_draws(pvlab, tmp_path):
    file = tmp_path / "picture.png"
    assert pvlab("compare hello --png", file) == (0, "", "")
    assert file.read_bytes().startswith(b"\x89PNG\r\n")


# Bad input: one clear line, exit status 2

@pytest.mark.parametrize("line, message", [
    ("run nothing", "nothing"),
    ("run hello --monitor nothing", "there is no monitor 'nothing'"),
    ("run hello --costs nothing", "nothing"),
    ("run kernel -p nothing=1", "nothing"),
    ("run kernel -p workload=nothing", "nothing"),
    ("run kernel -p n=many", "many"),
    ("run kernel -p n=-1", "-1"),
    ("run kernel -p n=" + "9" * 5000, "n"),
    ("run kernel -p name=x", "name"),
    ("run kernel -p name_or_path=x", "name_or_path"),
    ("run hello -p n", "'-p n' is not NAME=VALUE"),
    ("run hello -p =1", "'-p =1' is not NAME=VALUE"),
    ("run kernel -p n=1 -p n=2", "the parameter 'n' is given twice"),
    ("run hello --budget 0", "--budget"),
    ("run hello --budget ten", "--budget"),
    ("run hello --nothing", "No such option"),
    ("run", "Missing argument"),
    ("run hello more", "more"),
    ("run no/such/file.elf", "no/such/file.elf"),
    ("compare hello --monitors native,nothing", "there is no monitor 'nothing'"),
    ("compare hello --monitors native,native", "a monitor is named twice"),
    ("compare hello --monitors ,", "there is no monitor ''"),
    ("compare hello --json --png a.png", "--json and --png cannot be given together"),
    ("compare hello --png no/such/folder/a.png", "cannot write no/such/folder/a.png: No such file or directory"),
    ("lab 99", "there is no lesson '99'"),
    ("guests --nothing", "No such option"),
])
def test_bad_input(pvlab, line, message):
    status, out, err = pvlab(line)
    assert (status, out) == (2, "")
    assert err.startswith("pvlab: ") and err.count("\n") == 1 and len(err) < 1100
    assert message in err


def test_source_that_does_not_compile_shows_the_compilers_message(pvlab, tmp_path):
    wrong = tmp_path / "wrong.c"
    wrong.write_text("int main(void) { return nothing; }\n")
    status, out, err = pvlab("run", wrong)
    assert (status, out) == (2, "")
    assert err.startswith("pvlab: ") and "use of undeclared identifier 'nothing'" in err


# Interrupts, pipes, terminals

@pytest.mark.skipif(os.name == "nt", reason="signals of POSIX")
@pytest.mark.parametrize("monitor", ["native", "trap-and-emulate"])
def test_ctrl_c_stops_a_run_with_one_line(endless, monitor):
    def read_until(fd, text):
        seen = ""
        while text not in seen:
            seen += os.read(fd, 1000).decode()
    import pty
    screen, terminal = pty.openpty()
    process = subprocess.Popen([sys.executable, "-m", "pvlab", "run", endless, "--budget", str(10**12), "-m", monitor],
                               stdout=subprocess.PIPE, stderr=terminal, text=True)
    os.close(terminal)
    read_until(screen, "instructions")  # the progress bar: the guest has run for a second
    process.send_signal(signal.SIGINT)
    read_until(screen, "pvlab: interrupted")
    out, _ = process.communicate(timeout=5)
    os.close(screen)
    assert (process.returncode, out) == (130, "")


def test_a_reader_that_goes_away_is_no_error():
    process = start("guests", "--json")
    process.stdout.close()
    assert process.stderr.read() == ""
    assert process.wait() == 141
    process.stderr.close()


def test_no_progress_where_there_is_no_terminal(endless):
    process = start("run", endless, "--budget", 3 * 10**8)  # more than a second
    _, err = process.communicate()
    assert (process.returncode, err) == (1, "")


def test_python_m_pvlab_is_the_same_command():
    process = start("monitors", "--json")
    out, err = process.communicate()
    assert (process.returncode, err) == (0, "") and "native" in out


# The machine itself

def test_doctor_says_that_all_is_well(pvlab):
    status, out, err = pvlab("doctor")
    assert (status, err) == (0, "")
    assert all(line.startswith("ok ") for line in out.splitlines()) and "zig 0.17.1" in out


def test_doctor_says_what_failed_and_what_to_do(pvlab, monkeypatch, tmp_path):
    in_the_way = tmp_path / "file"
    in_the_way.write_text("")
    monkeypatch.setenv("PVLAB_CACHE", str(in_the_way))
    status, out, _ = pvlab("doctor")
    assert status == 1
    assert "FAILED  cache: " in out and "PVLAB_CACHE=/some/folder" in out and "ok      Python" in out


def test_doctor_as_json(answer):
    result = answer("doctor")
    assert result["ready"] is True
    assert all(check["ok"] and check["name"] and check["said"] and not check["remedy"] for check in result["checks"])


def test_lab_opens_the_lesson_from_the_checkout(pvlab, monkeypatch):
    opened = []
    monkeypatch.setattr("os.execv", lambda program, command: opened.append((program, command)))
    monkeypatch.setattr("subprocess.call", lambda command: opened.append((command[0], command)))
    assert pvlab("lab 1 -- --no-browser")[0] == 0
    root = Path(__file__).resolve().parent.parent
    program, command = opened[0]
    assert program == sys.executable and command[1:3] == ["-m", "jupyterlab"] and command[-1] == "--no-browser"
    assert f"--ServerApp.root_dir={root}" in command
    assert Path(command[-2]).name.startswith("01_") and Path(command[-2]).parent == root / "notebooks"


# Guests for s390x

def test_an_s390x_guest_runs_under_cp_unless_told_otherwise(answer):
    run = answer("run s390-hello")
    assert (run["monitor"], run["outcome"], run["output"]) == ("cp", "shutdown", "hello, world\n")
    assert run["exits"]["ssch"] == 1 and run["events"] == {"io": 1} and run["cycles"] is None
    assert answer("run s390-hello --monitor cp") | {"seconds": 0} == run | {"seconds": 0}


def test_there_is_no_bare_machine_to_be_faithful_to(answer):
    compared = answer("compare s390-hello")
    assert compared["faithful"] == {"cp": None} and len(compared["runs"]) == 1


@pytest.mark.parametrize("line, message", [
    ("run s390-hello -m native", "'native' runs guests for x86, and 's390-hello' is for s390x"),
    ("run hello -m cp", "'cp' runs guests for s390x, and 'hello' is for x86"),
    ("compare s390-hello --monitors native,cp", "'native' runs guests for x86, and 's390-hello' is for s390x"),
])
def test_a_monitor_of_another_instruction_set(pvlab, line, message):
    status, out, err = pvlab(line)
    assert (status, out) == (2, "") and err.count("\n") == 1 and message in err


def test_a_source_of_ones_own_for_s390x(answer, tmp_path):
    source = tmp_path / "mine.s390x.c"
    source.write_text("int main(void) { return 0; }\n")
    assert answer("run", source)["outcome"] == "shutdown"
    source.write_text('int main(void) { __asm__ volatile("j ."); }\n')
    assert answer("run", source, "--budget", 100_000, status=1)["outcome"] == "budget"

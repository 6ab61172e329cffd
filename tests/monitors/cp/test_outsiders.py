"""A guest that others could have built, for QEMU and KVM: it runs as it is, and finds what it expects."""
from pathlib import Path

import pytest

from pvlab.guests.catalogue import guest
from pvlab.guests.toolchain import build_guest
from pvlab.monitors.cp import Cp

HERE = Path(__file__).parent / "outsiders"


@pytest.fixture(scope="module")
def program(tmp_path_factory):
    built = build_guest([HERE / "start.S", HERE / "outsider.c"], HERE / "flat.ld", "s390x")
    path = tmp_path_factory.mktemp("outsider") / "outsider.elf"
    path.write_bytes(built.read_bytes())
    return path


def test_it_finds_what_it_expects_and_stops_by_sigp(program):
    run = Cp().run(guest(str(program)))
    said = run.text.splitlines()
    assert run.outcome == "shutdown" and "stopped" in run.detail
    assert said[-1] == "done." and len(said) == 50 and all(line.startswith("PASS: ") for line in said[:-1]), run.text
    assert run.trace.by_reason()["diagnose:0x288"] == 5 and run.trace.events.counts()["restart"] == 1
    assert run.instructions < 3_000_000      # it waited fifteen seconds for its watchdog, and did not execute them


def test_it_reads_its_command_line(program):
    """-p tcg=1 makes the command line tcg=1: it leaves out what QEMU without KVM does not know."""
    run = Cp().run(guest(str(program), tcg=1))
    assert run.outcome == "shutdown" and len(run.text.splitlines()) == 43 and "diag 258" not in run.text


def test_it_sees_one_cpu_or_two(program):
    assert Cp(cpus=2).run(guest(str(program))).outcome == "shutdown"

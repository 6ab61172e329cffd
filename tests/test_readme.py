"""The README's picture, listings and links, held against what the package does."""
import json
import re
from pathlib import Path

import pytest

import pvlab

README = Path(__file__).parents[1].joinpath("README.md").read_text("utf-8")


def bars():
    """{workload: exits for each iteration} as the README's chart draws them."""
    names = json.loads(re.search(r"x-axis (\[.*\])", README)[1])
    return dict(zip(names, json.loads(re.search(r"\n    bar (\[.*\])", README)[1]), strict=True))


@pytest.mark.parametrize("workload", bars())
def test_each_bar_is_what_is_counted(workload):
    exits = [len(pvlab.TrapAndEmulate().run(pvlab.guest("kernel", workload=workload, n=n)).trace) for n in (10, 20)]
    assert (exits[1] - exits[0]) / 10 == bars()[workload]


def test_the_chart_leaves_out_only_what_has_no_exits_or_breaks():
    from pvlab.guests.catalogue import CPU_WORKLOADS
    assert set(CPU_WORKLOADS) - set(bars()) == {"compute", "call-return", "interrupt-flags"}


def test_the_guest_of_the_readme_runs(tmp_path):
    code = re.search(r"```c\n(.*?)```", README, re.DOTALL)[1]
    file = tmp_path / "mine.c"
    file.write_text(code)
    run = pvlab.Native().run(pvlab.guest(file, n=21))
    assert (run.outcome, run.text, run.result) == ("shutdown", "the answer is 42\n", (42).to_bytes(4, "little"))


def test_links_lead_somewhere():
    root = Path(__file__).parents[1]
    targets = [target for target in re.findall(r"\]\(([^)#]+)\)", README) if "://" not in target]
    assert targets and not [target for target in targets if not (root / target).exists()]


def test_every_lesson_is_listed_with_its_minutes():
    from pvlab.course.lessons import lessons
    for found in lessons():
        row = f"| {found.number:02} | [{found.title}](notebooks/{found.file.name}) | {found.minutes} |"
        assert row in README


def test_the_comparison_shown_is_what_the_command_shows():
    shown = pvlab.compare(pvlab.guest("kernel", workload="syscall", n=1000)).table().text().splitlines()
    block = re.search(r"```\n(exits .*?)```", README, re.DOTALL)[1].splitlines()
    assert [line for line in block if line != "…" and line not in shown] == []

"""The command line: what a notebook says, for a shell, a test and a script.

Exit status: 0; 1 when a guest ended in `budget` or `crashed`, or a check failed; 2 for bad input, with one clear line
on stderr; 130 when interrupted. With --json a command prints one object on stdout and nothing else.
Each command imports what it needs when it runs, so that the cheap ones stay cheap.
"""
from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from time import monotonic
from typing import Annotated, Optional

import typer

from pvlab.course import commands
from pvlab.course.grading.command import grade
from pvlab.errors import PvlabError
from pvlab.terminal import complain, say, say_json, say_list, visible

BUDGET = 200_000_000
FAILED = ("budget", "crashed")

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False,
                  help="Paravirtualization, learnt by running it.")

Parameters = Annotated[Optional[list[str]], typer.Option(
    "-p", "--parameter", metavar="NAME=VALUE", help="A parameter of the guest; may be given several times.")]
Costs = Annotated[Optional[str], typer.Option(
    "--costs", metavar="MODEL", help="Price the exits with this cost model (see `pvlab costs`).")]
Budget = Annotated[int, typer.Option("--budget", metavar="N", min=1, help="Stop after about N guest instructions.")]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object and nothing else.")]
DiskFile = Annotated[Optional[str], typer.Option(
    "--disk", metavar="FILE[:ro|:cow]", help="The machine's disk: an image file, which the guest may write; "
    ":ro read-only, :cow what it writes is forgotten. Without one: 1 MiB of known contents.")]
Pcap = Annotated[Optional[Path], typer.Option("--pcap", metavar="FILE", help="Capture the network's packets.")]
GuestName = Annotated[str, typer.Argument(
    metavar="GUEST", help="A name from `pvlab guests`, or a file: .elf, .c or .S.")]


def main(arguments: list[str] | None = None) -> int:
    """Carry out one command line and return its exit status."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):  # a console that cannot print a character shows its escape instead
            stream.reconfigure(errors="backslashreplace")
    command = typer.main.get_command(app)
    try:
        status = command.main(arguments, prog_name="pvlab", standalone_mode=False) or 0
    except KeyboardInterrupt:
        status = 130
    except PvlabError as error:
        return complain(str(error))
    except Exception as error:
        if not hasattr(error, "format_message"):  # typer's own errors: an unknown option, a missing argument, …
            raise
        return complain(error.format_message())
    if status == 130:
        complain("interrupted")
    return status


def parameter_tables(guest: str, parameters: dict[str, dict]):
    """What can be given to a guest: a table for each parameter. A number that every choice has stands in its table."""
    from pvlab.tables import Table
    numbers = {name: of for name, of in parameters.items() if of.get("by") and "max" in of}
    shared = [name for name, of in numbers.items() if of["max"].keys() == parameters[of["by"]]["choices"].keys()]
    for name, of in parameters.items():
        caption = f"{guest} -p {name}=VALUE: {of['description']}"
        if "choices" in of:
            if "allowed" in of:
                headers = [f"for {of['by']}"]
                more = {value: [", ".join(key for key, names in of["allowed"].items() if value in names)]
                        for value in of["choices"]}
                caption += "; the first that there is, unless given"
            else:
                also = [numbers[other] for other in shared if numbers[other]["by"] == name]
                headers = [f"{other}, {what}" for other in shared for what in ("default", "max")
                           if numbers[other]["by"] == name]
                more = {value: [each[what][value] for each in also for what in ("default", "max")]
                        for value in of["choices"]}
                caption += f"; {of['default']} unless given"
            yield Table([name, "meaning", *headers],
                        [[value, meaning, *more[value]] for value, meaning in of["choices"].items()], caption=caption)
        elif name in numbers and name not in shared:
            yield Table([of["by"], "default", "min", "max"],
                        [[key, *[of[what][key] for what in ("default", "min", "max")]] for key in of["max"]],
                        caption=caption)
        elif name not in numbers:
            yield Table(["default", "min", "max"], [[of["default"], of["min"], of["max"]]], caption=caption)


class Progress:
    """Says on the terminal how far a run is, once it has taken more than a second."""

    def __init__(self, title: str):
        self.title, self.started, self.bar = title, monotonic(), None

    def __enter__(self):
        return self if sys.stderr.isatty() else None

    def __call__(self, done: int, budget: int) -> None:
        if self.bar is None and monotonic() - self.started > 1:
            from rich.console import Console
            from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
            self.bar = Progress(TextColumn("{task.description}", markup=False), BarColumn(),
                                TextColumn("{task.completed:,.0f} instructions"), TimeElapsedColumn(),
                                console=Console(stderr=True), transient=True)
            self.task = self.bar.add_task(visible(self.title), total=budget)
            self.bar.start()
        if self.bar is not None:
            self.bar.update(self.task, completed=done, total=budget)

    def __exit__(self, *_):
        if self.bar is not None:
            self.bar.stop()


def parameters_from(words: list[str] | None) -> dict:
    """["n=10", "workload=fork"] as {"n": 10, "workload": "fork"}: what the guest is then given by name."""
    found: dict = {}
    for word in words or ():
        name, equals, value = word.partition("=")
        if not equals or not name:
            raise PvlabError(f"'-p {word}' is not NAME=VALUE")
        if name in found:
            raise PvlabError(f"the parameter '{name}' is given twice")
        try:
            found[name] = int(value)
        except ValueError:
            found[name] = value
    return found


@app.callback(invoke_without_command=True)
def pvlab(context: typer.Context,
          version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False) -> None:
    if version:
        from pvlab import __version__
        say(__version__)
    elif context.invoked_subcommand is None:
        say(context.get_help())


@app.command()
def doctor(json: Json = False) -> int:
    """Is this machine ready? Versions, toolchain, a guest run end to end."""
    from pvlab.doctor import examine
    found = []
    for check in examine():
        found.append(check)
        if not json:
            say(f"{'ok    ' if check['ok'] else 'FAILED'}  {check['name']}: {check['said']}")
            if check["remedy"]:
                say(f"        {check['remedy']}")
    ready = all(check["ok"] for check in found)
    if json:
        say_json({"ready": ready, "checks": found})
    return 0 if ready else 1


@app.command()
def lab(lesson: Annotated[str, typer.Argument(metavar="[LESSON]", help="A number, or a name (`pvlab lessons`).")] = "0",
        options: Annotated[Optional[list[str]], typer.Argument(metavar="[-- OPTIONS]", help="For JupyterLab.")] = None,
        ) -> int:
    """Open the course in JupyterLab."""
    from pvlab.course.lessons import checkout, lesson as find
    # The root is the checkout, not notebooks/, so that a lesson's links to pvlab's sources open beside it.
    commands.begun(find(lesson))
    command = [sys.executable, "-m", "jupyterlab", f"--ServerApp.root_dir={checkout()}", str(find(lesson).file),
               *(options or ())]
    if os.name == "nt":
        return subprocess.call(command)
    os.execv(sys.executable, command)


@app.command()
def guests(json: Json = False) -> None:
    """List the guests and their parameters."""
    from pvlab import known_guests
    rows = [entry.to_dict() for entry in known_guests()]
    say_list("guests", rows, json, "name arch description")
    for row in rows if not json else ():
        for table in parameter_tables(row["name"], row["parameters"]):
            say("\n" + table.text())


@app.command()
def monitors(json: Json = False) -> None:
    """List the techniques."""
    from pvlab import techniques
    rows = [{"name": technique.name, "description": technique.description, "arch": technique.arch}
            for technique in techniques(arch=None)]
    say_list("monitors", rows, json, "name arch description")


@app.command()
def costs(json: Json = False) -> None:
    """List the cost models."""
    from pvlab import cost_models
    say_list("costs", [model.to_dict() for model in cost_models()], json, "name machine year clock_mhz")


@app.command()
def lessons(json: Json = False) -> None:
    """List the lessons."""
    from pvlab.course.lessons import lessons
    say_list("lessons", [lesson.to_dict() for lesson in lessons()], json, "number title minutes file")


@app.command()
def run(guest: GuestName,
        monitor: Annotated[Optional[str], typer.Option(
            "--monitor", "-m", metavar="M", help="See `pvlab monitors`. Unless given: native, or cp for s390x.")] = None,
        parameter: Parameters = None, disk: DiskFile = None, pcap: Pcap = None, costs: Costs = None,
        budget: Budget = BUDGET, json: Json = False) -> int:
    """Run one guest under one monitor."""
    from pvlab import cost_model, guest as find_guest, monitor as find_monitor, techniques
    technique = find_monitor(monitor) if monitor is not None else None
    if costs is not None:
        cost_model(costs)  # an unknown name is refused before the run, not after it
    subject = find_guest(guest, **parameters_from(parameter))
    technique = technique or techniques(subject.image.arch)[0]
    with Progress(f"{subject.name} under {technique.name}") as progress:
        result = technique.run(subject, budget=budget, progress=progress, disk=disk, pcap=pcap)
    if json:
        say_json(result.to_dict(costs))
    else:
        say(result.table().text())
        if costs is not None:
            say("\n" + result.bill(costs).table().text())
    return 1 if result.outcome in FAILED else 0


@app.command()
def compare(guest: GuestName, parameter: Parameters = None, disk: DiskFile = None,
            monitors: Annotated[Optional[str], typer.Option(metavar="A,B,…", help="All, unless given.")] = None,
            costs: Costs = None, budget: Budget = BUDGET, json: Json = False,
            png: Annotated[Optional[Path], typer.Option(metavar="FILE", help="Draw the comparison.")] = None) -> int:
    """Run one guest under several monitors and compare."""
    from pvlab import compare, cost_model, guest as find_guest, monitor as find_monitor
    if json and png is not None:
        raise PvlabError("--json and --png cannot be given together")
    chosen = monitors.split(",") if monitors is not None else None
    for name in chosen or ():
        find_monitor(name)
    if costs is not None:
        cost_model(costs)
    subject = find_guest(guest, **parameters_from(parameter))
    with Progress(f"{subject.name} under each monitor") as progress:
        result = compare(subject, chosen, budget=budget, progress=progress, disk=disk)
    if json:
        say_json(result.to_dict(costs))
    elif png is not None:
        result.plot(costs).save(png)
    else:
        say(result.table().text())
        if costs is not None:
            say("\n" + result.plot(costs).table.text())
    return 1 if any(run.monitor == "native" and run.outcome in FAILED for run in result.runs) else 0


@app.command()
def translate(guest: GuestName,
              at: Annotated[Optional[str], typer.Option("--at", metavar="ADDRESS|SYMBOL", help="The unit that has this "
                                                        "instruction; the guest's first, unless given.")] = None,
              parameter: Parameters = None, budget: Budget = BUDGET, json: Json = False) -> None:
    """Run a guest under binary translation, and show a unit of its code beside the translation."""
    from pvlab import BinaryTranslation, guest as find_guest
    monitor = BinaryTranslation()
    subject = find_guest(guest, **parameters_from(parameter))
    found = monitor.explain(subject, at, budget)
    if json:
        say_json({**found.to_dict(), "parameters": dict(subject.parameters), "statistics": monitor.statistics.to_dict()})
    else:
        say(found.table().text())
        say("\n" + monitor.statistics.table().text())


@app.command()
def bench(json: Json = False) -> None:
    """Measure the lab itself, as ratios on this machine."""
    from pvlab.bench import measure, summary
    result = measure()
    if json:
        say_json(result)
    else:
        from pvlab.tables import Table
        say(Table(["measure", "measured", "limit"], summary(result)).text())


# The course's own commands, for learners and instructors.
for command in (*commands.COMMANDS, grade):
    app.command()(command)

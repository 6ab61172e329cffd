"""What the command line says: lines and JSON on stdout, complaints on stderr, nothing that rules the terminal."""
from __future__ import annotations

import json
import os
import sys

import typer


def complain(message: str) -> int:
    """Say on stderr what was wrong with the input, in lines of a readable length; returns the exit status for it."""
    lines = [line if len(line) <= 1000 else line[:1000] + "…" for line in message.strip().splitlines()]
    print("pvlab:", visible("\n".join(lines)), file=sys.stderr)
    return 2


def say(text: str) -> None:
    """Print on stdout."""
    try:
        print(visible(text), flush=True)
    except BrokenPipeError:
        # The reader went away (`pvlab guests | head -1`): end quietly, as a program that SIGPIPE stops would.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise typer.Exit(141) from None


def visible(text: str) -> str:
    """The text with its control characters shown, so that no guest's output and no file's name rules the terminal."""
    return "".join(c if c.isprintable() or c in "\n\t" else c.encode("unicode_escape").decode() for c in text)


def say_json(value: dict) -> None:
    say(json.dumps(value, indent=1))


def say_list(name: str, rows: list[dict], as_json: bool, columns: str) -> None:
    """A list of things that have the same fields: an object that holds the list, or a table of some of the fields."""
    if as_json:
        say_json({name: rows})
    else:
        from pvlab.tables import Table
        fields = columns.split()
        say(Table(fields, [["" if row[field] is None else str(row[field]) for field in fields] for row in rows]).text())

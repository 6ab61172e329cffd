"""Execute the lessons and write them in one canonical form, so that stored outputs are true and diffs are small.

    python -m pvlab.course.notebooks              execute and rewrite every lesson
    python -m pvlab.course.notebooks --check      execute, change nothing, and show what would change (exit status 1)
    python -m pvlab.course.notebooks FILE …       only these
    python -m pvlab.course.notebooks --redraw …   also replace figures whose numbers did not change

A lesson's stored outputs must be the same to the byte on every machine, and all but two things are. The pixels of a
figure depend on the fonts and libraries at hand, so a stored PNG is kept as long as the rest of what its cell shows,
which has the same numbers as text, is what the execution gave. And the kernel's exact Python version is not stored.
"""
from __future__ import annotations

import argparse
import difflib
import hashlib
import json
import os
import re
import sys
from pathlib import Path

from pvlab.course.lessons import checkout
from pvlab.course.lint import WIDGET, problems
from pvlab.errors import PvlabError

CELL_TIMEOUT = 120  # seconds of one cell; a guest has a budget of instructions of its own

KERNEL = {"display_name": "Python 3 (ipykernel)", "language": "python", "name": "python3"}
LANGUAGE = {"codemirror_mode": {"name": "ipython", "version": 3}, "file_extension": ".py", "mimetype": "text/x-python",
            "name": "python", "nbconvert_exporter": "python", "pygments_lexer": "ipython3"}
# What a reader or a tool may set on a cell and wants kept; the rest is what an editor or an execution left behind.
CELL_METADATA = ("jupyter", "pvlab", "slideshow", "tags")


class NotebookError(PvlabError):
    """A file that is no notebook, or a cell that failed."""


def main(arguments: list[str] | None = None) -> int:
    """Carry out the command; returns its exit status."""
    parser = argparse.ArgumentParser(prog="python -m pvlab.course.notebooks", description="Execute the lessons.")
    parser.add_argument("files", nargs="*", type=Path, help="notebooks; all of notebooks/ unless given")
    parser.add_argument("--check", action="store_true", help="write nothing; exit status 1 if something would change")
    parser.add_argument("--redraw", action="store_true", help="replace figures even where their numbers are the same")
    options = parser.parse_args(arguments)
    status = 0
    for file in options.files or sorted((checkout() / "notebooks").glob("*.ipynb")):
        try:
            status |= process(file, options.check, options.redraw)
        except NotebookError as error:
            print(f"notebooks: {error}", file=sys.stderr)
            status = 1
    return status


def process(file: Path, check: bool, redraw: bool) -> int:
    """Execute one notebook and write it, or with `check` compare it; returns 1 if it is not as it should be."""
    try:
        stored = file.read_text("utf-8")
    except OSError as error:
        raise NotebookError(f"{file}: {error.strerror}") from None
    fresh = canonical(execute(read(stored, file), file))
    if not redraw:
        keep_figures(read(stored, file), fresh)
    text = write(fresh)
    wrong = list(problems(fresh))
    for problem in wrong:
        print(f"{file.name}: {problem}")
    if text == stored:
        print(f"{file.name}: unchanged")
    elif check:
        print(f"{file.name}: what is stored is not what an execution gives")
        print(difference(write(read(stored, file)), text) or "only the form of the JSON text differs")
    else:
        file.write_text(text, "utf-8", newline="\n")
        print(f"{file.name}: written")
    return 1 if wrong or (check and text != stored) else 0


def read(text: str, file: Path):
    """A notebook from its text, every cell with an id of its own. Raises NotebookError."""
    import nbformat
    try:
        book = json.loads(text)
        book["nbformat_minor"] = 5  # the first version with cell ids; nbformat itself would make up random ones
        taken: set[str] = set()
        for position, cell in enumerate(book["cells"]):
            cell["id"] = fixed_id(cell, f"{file.stem} {position}", taken)
        nbformat.validate(book)
        return nbformat.reads(json.dumps(book), as_version=4)
    except (ValueError, KeyError, TypeError, AttributeError, nbformat.ValidationError) as error:
        raise NotebookError(f"{file} is not a notebook of version 4: {str(error).splitlines()[0]}") from None


def write(book) -> str:
    import nbformat
    return nbformat.writes(book, version=4) + "\n"


def execute(book, file: Path):
    """All cells in order in a fresh kernel; as under nbval, widgets show their static form. Raises NotebookError."""
    from nbclient import NotebookClient
    from nbclient.exceptions import CellExecutionError, CellTimeoutError, DeadKernelError
    os.environ["PVLAB_STATIC"] = "1"
    client = NotebookClient(book, timeout=CELL_TIMEOUT, kernel_name="python3", record_timing=False,
                            extra_arguments=["--log-level=ERROR"],
                            resources={"metadata": {"path": str(file.resolve().parent)}})
    try:
        return client.execute()
    except (CellExecutionError, CellTimeoutError, DeadKernelError) as error:
        message = re.sub(r"\x1b\[[0-9;]*m", "", str(error)).strip()
        raise NotebookError(f"{file.name}: a cell failed\n{message}") from None


def canonical(book):
    """The notebook with everything removed or fixed that differs from one machine or execution to the next."""
    kept = book.metadata.get("pvlab")
    book.metadata = {"kernelspec": KERNEL, "language_info": LANGUAGE} | ({"pvlab": kept} if kept else {})
    count = 0
    for cell in book.cells:
        cell.metadata = {key: cell.metadata[key] for key in CELL_METADATA if cell.metadata.get(key)}
        if cell.cell_type == "code":
            count += 1
            cell.execution_count = count
            cell.outputs = [tidy(output, count) for output in joined(cell.outputs)]
    return book


def fixed_id(cell: dict, salt: str, taken: set[str]) -> str:
    """The cell's own id, or, if it has none or shares it, one made from what the cell says."""
    own = cell.get("id")
    while not own or own in taken:
        own = hashlib.sha256(f"{salt} {cell['cell_type']} {''.join(cell['source'])}".encode()).hexdigest()[:8]
        salt += " again"
    taken.add(own)
    return own


def joined(outputs: list) -> list:
    """Outputs with neighbouring pieces of one stream made one: where the kernel cuts them depends on its timing."""
    found: list = []
    for output in outputs:
        if found and output.output_type == "stream" and found[-1].get("name") == output.name:
            found[-1].text += output.text
        else:
            found.append(output)
    return found


def tidy(output, count: int):
    if output.output_type == "execute_result":
        output.execution_count = count
    if "data" in output:
        output.data.pop(WIDGET, None)
        if "image/png" in output.data:  # one trailing newline, whoever wrote it
            output.data["image/png"] = output.data["image/png"].strip() + "\n"
    return output


def keep_figures(stored, fresh) -> None:
    """Put the stored PNGs of a cell in the place of the fresh ones if all else that the cell shows is the same."""
    old = {cell.id: cell.get("outputs", []) for cell in stored.cells}
    for cell in fresh.cells:
        before, after = old.get(cell.id, []), cell.get("outputs", [])
        if [_without_pixels(output) for output in before] == [_without_pixels(output) for output in after]:
            for was, now in zip(before, after):
                if "image/png" in was.get("data", {}):
                    now.data["image/png"] = was.data["image/png"]


def _without_pixels(output) -> dict:
    data = {kind: kind == "image/png" or value for kind, value in output.get("data", {}).items()}
    return {**output, "data": data, "execution_count": None}


def difference(stored: str, text: str) -> str:
    """A unified diff of two notebooks' texts, with long lines (pictures) cut short."""
    lines = difflib.unified_diff(stored.splitlines(), text.splitlines(), "stored", "executed", n=2, lineterm="")
    return "\n".join(line if len(line) <= 300 else f"{line[:300]}…" for line in lines)


if __name__ == "__main__":
    sys.exit(main())

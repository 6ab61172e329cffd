"""What a committed notebook must be, beyond being executed: see `problems`."""
from __future__ import annotations

import re
from collections.abc import Iterator

WIDGET = "application/vnd.jupyter.widget-view+json"

# Tags by which nbval would look away from a cell.
SKIPPED = {"nbval-skip", "nbval-ignore-output", "skip"}

# Paths of one machine, addresses of Python objects: what cannot be the same elsewhere.
ELSEWHERE = {
    "an absolute path": re.compile(r"""(?<![\w.:/<])(?:/(?:home|root|Users|tmp|usr|opt|var)/|[A-Z]:\\Users)"""),
    "the address of a Python object": re.compile(r"<[\w.]+ (?:object|at) .*0x[0-9a-f]{8,}>"),
}


def problems(book: dict) -> Iterator[str]:
    """What is wrong with a notebook (its parsed JSON), one sentence for each finding that names the cell.

    A notebook has fixed and distinct cell ids, no widget state, no stored error outside a cell tagged
    `raises-exception`, no cell that nbval skips, nothing that holds only on the machine that executed it, and an alt
    text for every picture; a figure in an output stands beside its numbers as text.
    """
    if "widgets" in book["metadata"]:
        yield "its metadata hold widget state"
    ids: set[str] = set()
    for number, cell in enumerate(book["cells"], 1):
        for problem in _cell_problems(cell, ids):
            yield f"cell {number} ({cell.get('id', 'no id')}): {problem}"


def _cell_problems(cell: dict, ids: set[str]) -> Iterator[str]:
    own = cell.get("id")
    if not own or own in ids:
        yield "its id is missing or taken"
    ids.add(own)
    tags = set(cell["metadata"].get("tags", ()))
    for tag in sorted(tags & SKIPPED):
        yield f"the tag '{tag}' hides it from nbval"
    source = _text(cell["source"])
    if cell["cell_type"] == "markdown":
        if re.search(r"!\[\s*\]\(", source) or any(not re.search(r"\balt\s*=\s*[\"'][^\"']", image)
                                                   for image in re.findall(r"<img\b[^>]*>", source)):
            yield "a picture has no alt text"
    elif cell["cell_type"] == "code":
        if not source.strip():
            yield "it is empty"
        if source.rstrip().endswith(";"):
            yield "the semicolon at its end hides a value from JupyterLab, but not from nbval: assign the value to _"
        for output in cell["outputs"]:
            yield from _output_problems(output, tags)


def _output_problems(output: dict, tags: set[str]) -> Iterator[str]:
    if output["output_type"] == "error" and "raises-exception" not in tags:
        yield f"it stores an error: {output['ename']}: {output['evalue']}"
    data = output.get("data", {})
    if WIDGET in data:
        yield "it stores a view of a widget"
    if "image/png" in data:
        alt = output["metadata"].get("image/png", {}).get("alt") or output["metadata"].get("alt")
        if not alt:
            yield "its figure has no alt text"
        if re.match(r"\s*(<|$)", _text(data.get("text/plain", ""))):
            yield "its figure has no text with the same numbers"
    elif data and "text/plain" not in data:
        yield "its output has no plain text"
    said = [_text(output.get("text", "")), *(_text(value) for kind, value in data.items() if kind.startswith("text/"))]
    for what, pattern in ELSEWHERE.items():
        for text in said:
            if found := pattern.search(text):
                yield f"its output holds {what}: {text[max(0, found.start() - 20):found.end() + 20]!r}"
                break


def _text(value: str | list[str]) -> str:
    return value if isinstance(value, str) else "".join(value)

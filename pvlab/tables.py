"""One table, shown as text and as HTML: what every run, bill, comparison, figure and widget says in words.

The text form is what a terminal, a diff and nbval see; the HTML form what JupyterLab, GitHub and a screen reader get.
A cell may hold what a guest printed, and a guest may be hostile, so no cell is trusted: the HTML is escaped, and
characters that a reader cannot see (controls, escape sequences, direction overrides) appear as backslash escapes.
"""
from __future__ import annotations

import textwrap
import unicodedata
from collections.abc import Iterable, Sequence
from html import escape

# What a cell says when there is no figure to give. These count as gaps, not as text: a column of numbers with gaps
# is still a column of numbers.
UNPUBLISHED = "not published"
NONE = "–"
_GAPS = ("", NONE, UNPUBLISHED)

# A guest can print without end; a cell shows this much of it, and the run's `output` keeps the rest.
_LONGEST = 400
_NOTE_WIDTH = 100

# A number in a column of mixed cells is padded with spaces as wide as what the widest number has more of.
_DIGIT_SPACE = str.maketrans({**{digit: "\u2007" for digit in "0123456789-"}, ",": "\u2008", ".": "\u2008"})


class Table:
    """Rows under headers, with a caption.

    A cell is a str, int, float, bool or None. Integers get thousands separators and floats two decimals. A column of
    numbers is aligned to the right; None shows as an empty cell. The first cell of a row is the row's header.
    """

    def __init__(self, headers: Sequence[str], rows: Iterable[Sequence], caption: str = "", note: str = ""):
        """`note` is a sentence or two under the table: what its numbers assume or leave out."""
        self.headers = [str(header) for header in headers]
        self.rows = [list(row) for row in rows]
        self.caption, self.note = str(caption), str(note)
        for row in self.rows:
            if len(row) != len(self.headers):
                raise ValueError(f"a row of {len(row)} cells in a table of {len(self.headers)} columns: {row}")
        columns = [[row[i] for row in self.rows] for i in range(len(self.headers))]
        self._right = [_is_numeric(column) for column in columns]

    def text(self) -> str:
        """Aligned columns, without trailing spaces and without a final newline."""
        shown = [[_plain(cell) for cell in row] for row in self.rows]
        for i, right in enumerate(self._right):
            if not right:  # numbers among words: aligned with each other, at the left
                numbers = [j for j, row in enumerate(self.rows) if _is_number(row[i])]
                width = max((len(shown[j][i]) for j in numbers), default=0)
                for j in numbers:
                    shown[j][i] = shown[j][i].rjust(width)
        headers = [_visible(header) for header in self.headers]
        titled = any(headers)
        widths = [max([_width(row[i]) for row in shown + [headers] * titled], default=0) for i in range(len(headers))]
        lines = [_visible(self.caption)] if self.caption else []
        if titled:
            lines += [self._line(headers, widths), "  ".join("-" * width for width in widths)]
        lines += [self._line(row, widths) for row in shown]
        lines += textwrap.wrap(_visible(self.note), _NOTE_WIDTH)
        return "\n".join(line.rstrip() for line in lines)

    def _line(self, cells: list[str], widths: list[int]) -> str:
        gaps = [" " * (width - _width(cell)) for cell, width in zip(cells, widths)]
        return "  ".join(gap + cell if right else cell + gap for gap, cell, right in zip(gaps, cells, self._right))

    def html(self) -> str:
        """A table with caption and scopes for screen readers. No script, no class, no id; safe for any cell."""
        out = ["<table>"]
        if self.caption:
            out.append(f'<caption style="text-align: left">{_markup(_visible(self.caption))}</caption>')
        if any(self.headers):
            cells = (f'<th scope="col"{_align(right)}>{_markup(_visible(header))}</th>'
                     for header, right in zip(self.headers, self._right))
            out.append(f"<thead><tr>{''.join(cells)}</tr></thead>")
        widest = [max((_plain(row[i]) for row in self.rows if _is_number(row[i])), key=len, default="")
                  for i in range(len(self.headers))]
        out.append("<tbody>")
        for row in self.rows:
            cells = []
            for i, (cell, right) in enumerate(zip(row, self._right)):
                shown = _plain(cell)
                if _is_number(cell) and not right:
                    shown = widest[i][:len(widest[i]) - len(shown)].translate(_DIGIT_SPACE) + shown
                tag, scope = ("th", ' scope="row"') if i == 0 else ("td", "")
                cells.append(f"<{tag}{scope}{_align(right)}>{_markup(shown)}</{tag}>")
            out.append(f"<tr>{''.join(cells)}</tr>")
        out.append("</tbody></table>")
        if self.note:
            out.append(f"<p>{_markup(_visible(self.note))}</p>")
        return "".join(out)

    def bundle(self) -> dict[str, str]:
        """Both forms, as a notebook's display wants them."""
        return {"text/plain": self.text(), "text/html": self.html()}

    def _repr_mimebundle_(self, include=None, exclude=None):
        return self.bundle()

    def __repr__(self) -> str:
        return self.text()


def title_of(run) -> str:
    """What captions call a run's guest: its name and parameters, as visible text."""
    return _visible(" ".join([run.guest, *(f"{name}={value}" for name, value in run.parameters.items())]))


def _is_number(cell) -> bool:
    return isinstance(cell, (int, float)) and not isinstance(cell, bool)


def _is_numeric(column: list) -> bool:
    return any(map(_is_number, column)) and all(_is_number(c) or c is None or c in _GAPS for c in column)


def _plain(cell) -> str:
    """A cell as one line of visible text."""
    if cell is None:
        return ""
    if isinstance(cell, bool):
        return "yes" if cell else "no"
    if isinstance(cell, int):
        return f"{cell:,}"
    if isinstance(cell, float):
        return f"{cell:,.2f}"
    text = str(cell)
    if len(text) > _LONGEST:
        return f"{_visible(text[:_LONGEST])} … and {len(text) - _LONGEST:,} more characters"
    return _visible(text)


def _visible(text: str) -> str:
    """The text with every character that does not print as a backslash escape."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in text)


def _markup(text: str) -> str:
    """Visible text as HTML. An indent is kept, because a browser would drop it."""
    indent = len(text) - len(text.lstrip(" "))
    return "&nbsp;" * indent + escape(text[indent:])


def _align(right: bool) -> str:
    # JupyterLab aligns cells to the right unless told; GitHub drops `style` and keeps its own left.
    return f' style="text-align: {"right" if right else "left"}"'


def _width(text: str) -> int:
    """Columns that a terminal needs: East Asian wide characters take two, combining marks none."""
    if text.isascii():
        return len(text)
    return sum(0 if unicodedata.combining(c) else 2 if unicodedata.east_asian_width(c) in "WF" else 1 for c in text)

"""What every figure is made of: one style, and the Picture that carries its numbers as a table and a description.

Nothing here touches pyplot or any other global state, and no display is needed.
"""
from __future__ import annotations

import base64
import textwrap
from contextlib import contextmanager
from functools import cached_property
from html import escape
from io import BytesIO
from pathlib import Path

from pvlab.errors import PvlabError
from pvlab.tables import Table

# A figure is 9 inches wide and shown at about 1000 pixels: 13 points are readable at the back of a room.
_WIDTH, _DPI = 9.0, 110
INK, FAINT = "#222222", "#767676"
_STYLE = {"font.family": "DejaVu Sans", "font.size": 13, "axes.titlesize": 14, "axes.titlelocation": "left",
          "axes.edgecolor": INK, "axes.spines.top": False, "axes.spines.right": False, "text.parse_math": False,
          "hatch.linewidth": 0.7, "hatch.color": INK, "figure.facecolor": "white", "legend.frameon": False}


class Picture:
    """A figure with the same numbers as a table, and a description for those who do not see it.

    In a notebook it becomes two outputs, first the picture and then its description with the table. One output of
    both would lose one of them: JupyterLab, nbconvert and GitHub each show a single form of an output, GitHub may
    drop an image that is embedded in HTML, and JupyterLab gives a PNG output no alt text at all.
    """

    def __init__(self, figure, table: Table, alt: str):
        self.figure, self.table, self.alt = figure, table, alt

    @cached_property
    def png(self) -> bytes:
        """The figure as PNG, the same bytes for the same figure and versions of matplotlib and its libraries."""
        buffer = BytesIO()
        with style():
            self.figure.savefig(buffer, format="png", dpi=_DPI, metadata={"Software": None, "Description": self.alt})
        return buffer.getvalue()

    @property
    def text(self) -> str:
        """The description and the table."""
        return "\n".join([*textwrap.wrap(self.alt, 100), "", self.table.text()])

    def html(self) -> str:
        """The description and the table; the picture is not in it."""
        return f"<p>{escape(self.alt)}</p>{self.table.html()}"

    def image(self) -> str:
        """The picture as one HTML element with its alt text, for where HTML is not sanitized (a widget)."""
        data = base64.b64encode(self.png).decode("ascii")
        return f'<img alt="{escape(self.alt)}" src="data:image/png;base64,{data}" style="width: 52em; max-width: 100%">'

    def save(self, path: str | Path) -> None:
        """Write the PNG. PvlabError if the file cannot be written."""
        try:
            Path(path).write_bytes(self.png)
        except OSError as error:
            raise PvlabError(f"cannot write {path}: {error.strerror}") from None

    def _repr_mimebundle_(self, include=None, exclude=None):
        data = {"image/png": self.png, "text/plain": self.text, "text/html": self.html()}
        return data, {"image/png": {"alt": self.alt}}

    def _ipython_display_(self) -> None:
        from IPython.display import display
        png = base64.b64encode(self.png).decode("ascii")
        display({"image/png": png, "text/plain": self.alt}, metadata={"image/png": {"alt": self.alt}}, raw=True)
        display({"text/plain": self.table.text(), "text/html": self.html()}, raw=True)

    def __repr__(self) -> str:
        return self.text


@contextmanager
def style():
    """matplotlib's own defaults and ours, whatever the user's matplotlibrc says; put back on leaving."""
    import matplotlib
    with matplotlib.rc_context():
        matplotlib.rcdefaults()
        matplotlib.rcParams.update(_STYLE)
        yield


def blank(height: float, title: str, rows: int = 1, columns: int = 1):
    """A figure with one title: (figure, its axes in reading order)."""
    from matplotlib.figure import Figure
    title = textwrap.fill(title, 76, break_on_hyphens=False)
    figure = Figure(figsize=(_WIDTH, height + 0.25 * title.count("\n")), layout="constrained")
    figure.suptitle(title, x=0.012, ha="left", fontsize=14, fontweight="bold")
    return figure, list(figure.subplots(rows, columns, squeeze=False).flat)


def count_axis(axes, label: str) -> None:
    """An x axis of whole numbers: 500, 20,000, 3 M."""
    from matplotlib.ticker import EngFormatter, MaxNLocator, StrMethodFormatter
    axes.xaxis.set_major_locator(MaxNLocator(6, integer=True))
    small = axes.get_xlim()[1] < 1e6
    axes.xaxis.set_major_formatter(StrMethodFormatter("{x:,.0f}") if small else EngFormatter(sep=" "))
    axes.set_xlabel(label)

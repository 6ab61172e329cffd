"""Measured beside published, for things that differ by orders of magnitude: a dot for each on a logarithmic axis."""
from __future__ import annotations

import math
from collections.abc import Sequence

from pvlab.figures.picture import FAINT, Picture, blank, style
from pvlab.tables import NONE, Table

_MEASURED, _PUBLISHED = "#0072B2", "#D55E00"


def ladder(rows: Sequence[tuple[str, float, float | None]], unit: str, title: str, note: str = "") -> Picture:
    """One row for each (name, measured, published or None); `unit` says what is counted, as "exits per packet".

    A count of zero stands at the left edge. `note` is put under the table: where the published figures come from.
    """
    shown = [[name, _number(measured), NONE if published is None else _number(published)]
             for name, measured, published in rows]
    table = Table(["path", f"measured, {unit}", "published"], shown, caption=title, note=note)
    values = [value for _, *pair in rows for value in pair if value]
    least, most = 10 ** math.floor(math.log10(min(values))), 10 ** math.ceil(math.log10(max(values)) + 0.3)
    with style():
        figure, (axes,) = blank(1.6 + 0.42 * len(rows), title)
        for y, (name, measured, published) in enumerate(rows):
            axes.axhline(y, color=FAINT, linewidth=0.5, zorder=0)
            if published is not None:
                axes.plot(max(published, least), y, "D", markersize=14, markerfacecolor="none", markeredgewidth=1.8,
                          color=_PUBLISHED, clip_on=False, label="published")
            axes.plot(max(measured, least), y, "o", markersize=8, color=_MEASURED, clip_on=False, label="measured here")
            _beside(axes, y, axes.get_yaxis_transform(), (_number(measured), _MEASURED),
                    (NONE if published is None else _number(published), _PUBLISHED))
        axes.set(xscale="log", xlim=(least, most), ylim=(len(rows) - 0.5, -0.5), xlabel=unit + ", logarithmic")
        axes.set_yticks(range(len(rows)), [name for name, _, _ in rows])
        _beside(axes, 1.03, axes.transAxes, ("measured", _MEASURED), ("published", _PUBLISHED))
        ticks = [10.0 ** power for power in range(round(math.log10(least)), round(math.log10(most)) + 1)]
        ticks = ticks[::1 if len(ticks) < 8 else 2]
        axes.set_xticks(ticks, [_number(tick) for tick in ticks])
        axes.minorticks_off()
        axes.tick_params(axis="y", length=0)
        handles = dict(zip(*reversed(axes.get_legend_handles_labels())))
        figure.legend(handles.values(), handles.keys(), loc="outside lower left", ncols=2, fontsize=11)
    told = "; ".join(f"{name} {measured}" + ("" if published == NONE else f" (published {published})")
                     for name, measured, published in shown)
    return Picture(figure, table, f"Dot chart on a logarithmic axis. {title}, {unit}: {told}.")


def _beside(axes, y: float, where, *columns: tuple[str, str]) -> None:
    """Texts in columns of fixed width, to the right of the axes."""
    for place, (text, colour) in enumerate(columns):
        axes.annotate(text, (1, y), xycoords=where, xytext=(12 + 72 * place, 0), textcoords="offset points",
                      va="center", fontsize=11, color=colour, annotation_clip=False)


def _number(value: float) -> str:
    """Three significant digits, without a trailing zero's false precision: 265, 6, 0.0104, 0.00004."""
    if not value:
        return "0"
    digits = max(0, 2 - math.floor(math.log10(abs(value))))
    text = f"{value:,.{digits}f}"
    return text.rstrip("0").rstrip(".") if "." in text else text

"""What is drawn: exits by reason, by rate and over time, and cycles. Each figure carries its numbers as a table.

Colours are those of Okabe and Ito, which most colour-blind readers can tell apart; a family of reasons has the same
colour and the same hatch in every figure, so that a figure reads in grey too. Nothing here touches pyplot or any
other global state, and no display is needed.
"""
from __future__ import annotations

from collections.abc import Iterable, Sequence

from pvlab.costs.model import PARTS
from pvlab.figures.families import FAMILIES, family
from pvlab.figures.picture import FAINT, INK, Picture, blank, count_axis, style
from pvlab.tables import NONE, Table, title_of
from pvlab.trace import Run

# Beyond so many entries a reader no longer finds one, and a sliver of a stack nobody sees: the smallest are drawn as
# one, and the table has them all.
_MOST = 15
_PANELS = 4  # side by side; more techniques go into further rows
_TICKS_UP_TO, _BINS = 1500, 240


def exits(runs: Sequence[Run], most_reasons: int = _MOST) -> Picture:
    """Exits by reason, one panel for each technique that has any; so many reasons by name, the others as one."""
    counts = [run.trace.exits.counts() for run in runs]
    reasons = _largest_first(counts)
    rows = [[reason, *[count.get(reason, 0) for count in counts]] for reason in reasons]
    rows.append(["all exits", *[len(run.trace) for run in runs]])
    title = title_of(runs[0])
    table = Table(["exits", *[run.monitor for run in runs]], rows, caption=f"Exits by reason: {title}")

    drawn = [(run.monitor, count) for run, count in zip(runs, counts) if count]
    without = [run.monitor for run, count in zip(runs, counts) if not count]
    names, merged = reasons[:most_reasons], reasons[most_reasons:]
    with style():
        rows_of_panels = -(-len(drawn) // _PANELS)
        height = 1.0 + rows_of_panels * (0.8 + 0.36 * max(2, len(names) + bool(merged)))
        figure, panels = blank(height, f"Exits by reason: {title}", rows_of_panels or 1, min(len(drawn), _PANELS) or 1)
        most = max((max(count.values()) for _, count in drawn), default=1)
        for i, panel in enumerate(panels):
            if i >= len(drawn):
                panel.axis("off")
                continue
            monitor, count = drawn[i]
            values = {name: count.get(name, 0) for name in names}
            if merged:
                values["other"] = sum(count.get(name, 0) for name in merged)
            _bars(panel, values, max(most, values.get("other", 0)), len(merged))
            panel.set_title(f"{monitor}: {sum(count.values()):,}" if len(drawn) == 1 else
                            f"{monitor}\n{sum(count.values()):,}")
            if i % _PANELS:
                panel.set_yticklabels([])
        if without:
            figure.supxlabel(f"no exits: {', '.join(without)}", fontsize=13, color=INK)
    told = [f"{monitor}: {_several(count)}" for monitor, count in drawn] + [f"{name}: none" for name in without]
    return Picture(figure, table, f"Bar chart of exits by reason, {title}. {'; '.join(told)}.")


def cycles(bills: Sequence) -> Picture:
    """What runs cost, one bar for each bill, stacked by reason; what could not be priced is written beside it."""
    priced = [bill.by_reason for bill in bills]
    reasons = _largest_first(priced)
    labels = _labels(bills)
    rows = [["guest instructions (assumed)", *[bill.guest for bill in bills]]]
    rows += [[reason, *[each.get(reason, 0) for each in priced]] for reason in reasons]
    rows.append(["total", *[bill.total for bill in bills]])
    without = [{line.key: line.count for line in bill.lines if line.cell is None} for bill in bills]
    without = [named | {f"the {PARTS[part]}'s part": n for part, n in bill.without_part.items()}
               for named, bill in zip(without, bills)]
    rows += [[f"not priced: {name}, count", *[each.get(name, NONE) for each in without]]
             for name in _largest_first(without)]
    models = {bill.model: bill.costs for bill in bills}
    title = f"Cycles: {title_of(bills[0].run)}" + (f", {bills[0].model}" if len(models) == 1 else "")
    notes = [model.assumption for model in models.values()] + [model.note for model in models.values()]
    sources = "; ".join(dict.fromkeys(source for bill in bills for source in bill.sources))
    note = " ".join(dict.fromkeys([*notes, f"Source: {sources}." if sources else ""])).strip()
    table = Table(["cycles", *labels], rows, caption=title, note=note)

    seen = 0.01 * max(bill.total for bill in bills)
    names = [name for name in reasons[:_MOST] if max(each.get(name, 0) for each in priced) >= seen]
    merged = reasons[len(names):]
    stack = [("guest", [bill.guest for bill in bills])]
    stack += [(name, [each.get(name, 0) for each in priced]) for name in sorted(names, key=order)]
    if merged:
        stack.append(("other", [sum(each.get(name, 0) for name in merged) for each in priced]))
    with style():
        legend_rows = -(-len(stack) // 3)
        figure, (axes,) = blank(1.9 + 0.75 * len(bills) + 0.3 * legend_rows, title)
        longest = max(bill.total for bill in bills) or 1
        left = [0] * len(bills)
        for name, values in stack:
            label = {"guest": "guest instructions (assumed)", "other": f"{len(merged)} others"}.get(name, name)
            axes.barh(range(len(bills)), values, left=left, height=0.62, label=label, **look(name))
            for y, value in enumerate(values):
                if value > longest * (0.03 + 0.018 * len(name)):  # wide enough for its name
                    axes.text(left[y] + value / 2, y, name, ha="center", va="center", fontsize=11, color=INK,
                              bbox={"facecolor": "white", "edgecolor": "none", "pad": 1.5, "alpha": 0.85})
            left = [a + b for a, b in zip(left, values)]
        axes.set_xlim(0, longest * 1.55)
        for y, bill in enumerate(bills):
            _end_of_bar(axes, y, bill, longest)
        axes.set_yticks(range(len(bills)), labels)
        axes.tick_params(axis="y", length=0)
        axes.set_ylim(len(bills) - 0.5, -0.5)
        count_axis(axes, "cycles")
        figure.legend(loc="outside lower left", ncols=3, fontsize=11, handlelength=1.6, columnspacing=1.4)
    told = []
    for label, bill in zip(labels, bills):
        parts = _several({"guest instructions": bill.guest, **bill.by_reason})
        told.append(f"{label}: {bill.total:,} cycles, of which {parts}"
                    + "".join(f"; plus an unknown amount {missing}" for missing in _missing(bill)))
    return Picture(figure, table, f"Stacked bar chart. {title}. {'; '.join(told)}.")


def timeline(run: Run, since: int = 0, until: int | None = None) -> Picture:
    """When the exits of one run happened: one row for each reason, over guest instructions.

    `since` and `until` (guest instructions, both included) show a part of the run.
    """
    import numpy as np
    until = max(run.instructions, since) if until is None else until
    times: dict[str, list[int]] = {}
    for record in run.trace.exits:
        if since <= record.at <= until:
            times.setdefault(record.reason, []).append(record.at)
    reasons = sorted(times, key=lambda reason: (-len(times[reason]), reason))
    points = {reason: np.asarray(times[reason]) for reason in reasons}
    rows = [[reason, len(at), int(at.min()), int(at.max()), int(np.median(np.diff(at))) if len(at) > 1 else None]
            for reason, at in points.items()]
    title = f"{title_of(run)} under {run.monitor}"
    if since > 0 or until < run.instructions:
        title += f", instructions {since:,} to {until:,}"
    table = Table(["exits", "count", "first at", "last at", "usual gap"], rows, caption=f"Exits over time: {title}",
                  note="In guest instructions. The usual gap is the median of the gaps between neighbours.")

    shown = {reason: points[reason] for reason in reasons[:_MOST]}
    if len(reasons) > _MOST:
        shown["other"] = np.concatenate([points[reason] for reason in reasons[_MOST:]])
    names = list(shown)
    ticks = sum(map(len, times.values())) <= _TICKS_UP_TO
    with style():
        figure, (axes,) = blank(1.9 + 0.42 * max(1, len(names)), f"Exits over time: {title}")
        end = max(until, since + 1)
        for row, name in enumerate(names):
            colour, at = family(name)[1], shown[name]
            if ticks:
                axes.vlines(at, row - 0.32, row + 0.32, colors=INK if name == "other" else colour, linewidth=1.6)
            else:
                heights, edges = np.histogram(at, bins=_BINS, range=(since, end))
                axes.stairs(row + 0.36 - 0.72 * heights / heights.max(), edges, baseline=row + 0.36, fill=True,
                            facecolor=INK if name == "other" else colour, edgecolor=colour, linewidth=0.8)
            axes.text(1.01, row, f"{len(at):,}", transform=axes.get_yaxis_transform(), va="center", fontsize=11)
        axes.set_xlim(since - 0.005 * (end - since), end + 0.005 * (end - since))
        axes.set_ylim(max(len(names), 1) - 0.5, -0.5)
        axes.set_yticks(range(len(names)), [f"{len(reasons) - _MOST} others" if n == "other" else n for n in names])
        axes.tick_params(axis="y", length=0)
        count_axis(axes, "guest instructions" + ("" if ticks else "; each row's height to its own scale"))
        if not names:
            axes.set_yticks([])
            axes.text(0.5, 0.5, "no exits", ha="center", va="center", transform=axes.transAxes)
    how = "one mark for each exit" if ticks else f"counted in {_BINS} slices"
    told = _several({reason: len(at) for reason, at in points.items()})
    return Picture(figure, table, f"Timeline of exits over {run.instructions:,} guest instructions, {title}, one row "
                                  f"for each reason, {how}. {told}.")


def rates(runs: Iterable[Run]) -> Picture:
    """How often each run left for its monitor: a dot for each, in exits per 1,000 guest instructions."""
    runs = list(runs)
    found = {_workload(run): (run, 1000 * len(run.trace) / max(run.instructions, 1)) for run in runs}
    found = dict(sorted(found.items(), key=lambda pair: pair[1][1]))
    rows = [[name, run.instructions, len(run.trace), rate, run.instructions // len(run.trace) if rate else NONE]
            for name, (run, rate) in found.items()]
    title = f"How often the monitor is called: {runs[0].monitor}"
    table = Table(["guest", "instructions", "exits", "exits per 1,000", "instructions per exit"], rows, caption=title)
    with style():
        figure, (axes,) = blank(1.2 + 0.4 * len(found), title)
        for name, (_, rate) in found.items():
            axes.plot(max(rate, 0.01), name, "o", markersize=11, color="#0072B2", clip_on=False)
            axes.annotate(f"{rate:,.2f}", (max(rate, 0.01), name), xytext=(12, -5), textcoords="offset points")
        axes.axvline(1000, color="#D55E00", linestyle="--")
        axes.text(800, 0, "an interpreter:\nfor every instruction", ha="right", va="bottom")
        axes.set(xscale="log", xlim=(0.009, 2000), xlabel="exits for each 1,000 guest instructions")
        axes.set_xticks([0.01, 0.1, 1, 10, 100, 1000], ["0.01", "0.1", "1", "10", "100", "1,000"])
        axes.tick_params(axis="y", length=0)
    told = ", ".join(f"{name} {rate:,.2f}" for name, (_, rate) in found.items())
    return Picture(figure, table, f"Dot chart on a logarithmic axis. {title}, exits for each 1,000 guest instructions: "
                                  f"{told}. An interpreter would be at 1,000.")


def _workload(run: Run) -> str:
    return run.parameters.get("workload", run.guest)


def _bars(axes, values: dict[str, int], most: int, merged: int) -> None:
    """Horizontal bars, one for each name, with the value at its end."""
    for y, (name, value) in enumerate(values.items()):
        axes.barh(y, value, height=0.7, **look(name))
        axes.text(value + most * 0.02, y, f"{value:,}", va="center", fontsize=12, color=INK)
    axes.set_yticks(range(len(values)), [f"{merged} others" if name == "other" else name for name in values])
    axes.set_ylim(max(2, len(values)) - 0.5, -0.5)
    axes.set_xlim(0, most * 1.32)
    axes.set_xticks([])
    axes.spines["bottom"].set_visible(False)
    axes.tick_params(axis="y", length=0)


def _end_of_bar(axes, y: int, bill, longest: int) -> None:
    """The total; and an open, dashed box for what could not be priced, lest the shorter bar be read as the cheaper."""
    said = [f"{bill.total:,}", *(f"+ ? {missing}" for missing in _missing(bill))]
    if len(said) > 1:
        axes.barh(y, longest * 2, left=bill.total, height=0.62, facecolor="none", edgecolor=FAINT,
                  linestyle=(0, (4, 3)), linewidth=1)  # its far end is out of sight: nobody knows how long it is
    axes.text(bill.total + longest * 0.02, y, "\n".join(said), va="center", fontsize=11, color=INK)


def look(reason: str) -> dict:
    """How a reason is filled: its family's colour and hatch, paler for each later member of the family."""
    _, colour, hatch, members = family(reason)
    place = members.index(reason) if reason in members else sum(map(ord, reason))
    share = (0.0, 0.45, 0.7)[place % 3]
    red, green, blue = (int(colour[i:i + 2], 16) / 255 for i in (1, 3, 5))
    return {"facecolor": tuple(c + (1 - c) * share for c in (red, green, blue)), "hatch": hatch,
            "edgecolor": INK, "linewidth": 0.7}


def order(reason: str) -> tuple:
    """A place in a stack: by family, then by name."""
    return FAMILIES.index(family(reason)), reason


def _largest_first(counts: Sequence[dict[str, int]]) -> list[str]:
    names = dict.fromkeys(name for count in counts for name in count)
    return sorted(names, key=lambda name: (-max(count.get(name, 0) for count in counts), name))


def _several(values: dict[str, int], most: int = 5) -> str:
    """The largest few, in words."""
    pairs = sorted(values.items(), key=lambda pair: (-pair[1], pair[0]))
    told = ", ".join(f"{name} {value:,}" for name, value in pairs[:most]) or "none"
    return told + (f" and {len(pairs) - most} more" if len(pairs) > most else "")


def _missing(bill) -> list[str]:
    """What a bill could not price, in a few words."""
    none = [f"for {bill.without_figure:,} not priced"] if bill.without_figure else []
    return none + [f"for the {PARTS[part]}'s part" for part in bill.without_part]


def _labels(bills: Sequence) -> list[str]:
    """What tells the bills apart: their technique, their model, or both."""
    monitors, models = [bill.run.monitor for bill in bills], [bill.model for bill in bills]
    if len(set(models)) == 1:
        return monitors
    return models if len(set(monitors)) == 1 else [f"{a}, {b}" for a, b in zip(monitors, models)]

"""Figures: their bars are their tables' numbers, and each says in words what it shows."""
import base64
import struct
from functools import cache

import pytest
from handmade import make_run

from pvlab.figures import plots
from pvlab.experiments.comparison import Comparison
from pvlab.errors import PvlabError
from pvlab.reasons import REASONS
from pvlab.trace import EVENTS

NATIVE = make_run("native", events={"page-fault": 3, "int": 50}, accesses={"port-0x80:read": 5})
TRAPPED = make_run(exits={"cli": 100, "int": 50, "io:write": 7, "page-fault:guest": 3})
MANY = make_run(exits={reason: 1 + i * i for i, reason in enumerate(list(REASONS)[:22])}, instructions=3_000_000)
HUGE = make_run(exits={"cli": 3000, "hlt": 1}, instructions=2**40)
NONE = make_run(instructions=0)
ODD = make_run(exits={"cli": 1}, instructions=1, guest="a $b$ <script>\x1b[0m", parameters={"x": "{$_^}" * 40})

RUNS = {"none": [NONE], "one": [ODD], "two": [NATIVE, TRAPPED], "many": [MANY], "huge": [NATIVE, HUGE],
        "five": [NATIVE, TRAPPED, MANY, HUGE, TRAPPED, TRAPPED]}


def widths(axes):
    """The lengths of an axes' solid bars, in drawing order."""
    return [round(bar.get_width()) for bar in axes.patches if bar.get_linestyle() == "solid"]


@pytest.mark.parametrize("runs", RUNS.values(), ids=RUNS)
def test_exits_are_drawn_as_the_table_has_them(runs):
    picture = plots.exits(runs)
    *rows, total = picture.table.rows
    panels = [axes for axes in picture.figure.axes if axes.patches]
    counted = [i for i, run in enumerate(runs, 1) if len(run.trace)]
    assert len(panels) == len(counted)
    for panel, column in zip(panels, counted):
        drawn = widths(panel)
        assert sum(drawn) == total[column] == sum(row[column] for row in rows)
        assert drawn[:15] == [row[column] for row in rows[:15]]
    assert len(picture.png) > 1000


@pytest.mark.parametrize("model", ["p4-672-2006", "vmx-merom-2006"])
@pytest.mark.parametrize("runs", RUNS.values(), ids=RUNS)
def test_cycles_are_drawn_as_the_table_has_them(runs, model):
    bills = [run.bill(model) for run in runs]
    picture = plots.cycles(bills)
    rows = {row[0]: row[1:] for row in picture.table.rows}
    axes = picture.figure.axes[0]
    for y, found in enumerate(bills):
        bars = [bar for bar in axes.patches if bar.get_linestyle() == "solid" and round(bar.get_y() + 0.31) == y]
        assert sum(round(bar.get_width()) for bar in bars) == pytest.approx(found.total, rel=1e-12)
        assert rows["total"][y] == found.total == rows["guest instructions (assumed)"][y] + sum(
            rows[reason][y] for reason in found.by_reason)
        for line in found.lines:
            if line.cell is None:
                assert rows[f"not priced: {line.key}, count"][y] == line.count
        for part, count in found.without_part.items():
            assert rows[f"not priced: the {part}'s part, count"][y] == count
    if model == "p4-672-2006":
        assert len(picture.png) > 1000


def test_what_is_not_priced_is_drawn_open_and_said():
    """The bar of unpriced exits must not look like the cheaper technique's."""
    picture = plots.cycles([NATIVE.bill("p4-672-2006"), TRAPPED.bill("p4-672-2006")])
    axes = picture.figure.axes[0]
    dashed = [bar for bar in axes.patches if bar.get_linestyle() != "solid"]
    assert len(dashed) == 2 and all(bar.get_x() + bar.get_width() > axes.get_xlim()[1] for bar in dashed)
    assert "unknown amount for 160 not priced" in picture.alt


def test_one_run_on_six_machines():
    bills = [TRAPPED.bill(name) for name in ("vmx-prescott-2005", "vmx-merom-2006")]
    assert plots.cycles(bills).table.headers == ["cycles", "vmx-prescott-2005", "vmx-merom-2006"]


@pytest.mark.parametrize("run", [NONE, ODD, TRAPPED, MANY, HUGE], ids=["none", "one", "few", "many", "huge"])
def test_timeline(run):
    picture = plots.timeline(run)
    assert {row[0]: row[1] for row in picture.table.rows} == run.trace.by_reason()
    for row in picture.table.rows:
        times = [record.at for record in run.trace.exits if record.reason == row[0]]
        assert row[2:4] == [min(times), max(times)]
    axes = picture.figure.axes[0]
    marks = sum(len(lines.get_segments()) for lines in axes.collections)
    assert marks == (len(run.trace) if len(run.trace) <= 1500 else 0)
    if run in (NONE, HUGE):
        assert len(picture.png) > 1000


def test_a_timeline_of_a_part_of_the_run():
    picture = plots.timeline(TRAPPED, since=1000, until=2000)     # of 10,000: an eleventh of 100 cli
    assert picture.table.rows[0] == ["cli", 11, 1000, 2000, 100]
    assert "instructions 1,000 to 2,000" in picture.table.caption
    assert plots.timeline(TRAPPED, since=999_999).table.rows == []


def test_a_timeline_of_many_exits_counts_each_in_its_slice():
    run = make_run(exits={"cli": 10_000}, instructions=1_000_000)
    stairs, = plots.timeline(run).figure.axes[0].patches
    values, edges, base = stairs.get_data()
    heights = (base - values) / 0.72
    assert len(values) == 240 and edges[-1] == 1_000_000
    assert sum(heights * 42) == pytest.approx(10_000, rel=0.01)  # 41 or 42 of them in each slice


@cache
def drawn(kind):
    return {"exits": lambda: plots.exits([NATIVE, TRAPPED]), "timeline": lambda: plots.timeline(TRAPPED),
            "cycles": lambda: plots.cycles([TRAPPED.bill("vmx-merom-2006")])}[kind]()


@pytest.fixture(params=["exits", "timeline", "cycles"])
def picture(request):
    return drawn(request.param)


class TestPicture:
    def test_alt_text_is_a_sentence_with_numbers(self, picture):
        assert picture.alt.endswith(".") and "cli" in picture.alt and 40 < len(picture.alt) < 700
        assert "100" in picture.alt or "157,900" in picture.alt

    def test_bundle(self, picture):
        data, metadata = picture._repr_mimebundle_()
        assert data["image/png"][:8] == b"\x89PNG\r\n\x1a\n" and metadata["image/png"]["alt"] == picture.alt
        assert picture.table.text() in data["text/plain"] == picture.text == repr(picture)
        assert "<table>" in data["text/html"] and "<img" not in data["text/html"]

    def test_a_notebook_gets_the_picture_and_then_its_table(self, picture, monkeypatch):
        shown = []
        monkeypatch.setattr("IPython.display.display", lambda data, **options: shown.append((data, options)))
        picture._ipython_display_()
        (first, options), (second, _) = shown
        assert base64.b64decode(first["image/png"]) == picture.png and "text/html" not in first
        assert options["metadata"] == {"image/png": {"alt": picture.alt}}
        assert first["text/plain"] == picture.alt and second["text/plain"] == picture.table.text()

    def test_png_has_no_date_and_no_version(self, picture):
        keys = chunks(picture.png)
        assert b"Description" in keys and not any(key in keys for key in (b"Software", b"Creation Time", b"Date"))

    def test_save(self, picture, tmp_path):
        picture.save(tmp_path / "a.png")
        assert (tmp_path / "a.png").read_bytes() == picture.png
        with pytest.raises(PvlabError, match="cannot write"):
            picture.save(tmp_path / "none" / "a.png")


def chunks(png):
    """The keywords of a PNG's text chunks."""
    found, at = [], 8
    while at < len(png):
        size, kind = struct.unpack(">I4s", png[at:at + 8])
        if kind in (b"tEXt", b"iTXt", b"zTXt"):
            found.append(png[at + 8:at + 8 + size].split(b"\0")[0])
        at += 12 + size
    return found


def test_a_figure_is_the_same_each_time():
    again = make_run(exits={"cli": 100, "int": 50, "io:write": 7, "page-fault:guest": 3})
    for draw in (lambda run: plots.exits([run]), plots.timeline, lambda run: run.bill("vmx-merom-2006").plot()):
        assert draw(TRAPPED).text == draw(again).text and draw(TRAPPED).png == draw(again).png


def test_every_reason_has_a_family_of_its_own_colour():
    for reason in REASONS:
        assert plots.family(reason)[0] != "several small ones", f"{reason} has no family in plots.FAMILIES"
    for event in EVENTS:
        assert plots.family(f"event:{event}")[0] in ("reflected events", "memory")
    assert plots.family("access:pit:read")[0] == "devices"
    listed = [reason for family in plots.FAMILIES for reason in family[3]]
    assert len(listed) == len(set(listed))
    assert len({colour for _, colour, *_ in plots.FAMILIES}) == len(plots.FAMILIES)


def test_families_differ_in_grey():
    """By luminance (Rec. 709) or by hatch."""
    def grey(colour):
        return sum(int(colour[i:i + 2], 16) * w for i, w in ((1, 0.2126), (3, 0.7152), (5, 0.0722)))

    for i, (_, colour, hatch, _) in enumerate(plots.FAMILIES):
        for _, other, hatch_of_other, _ in plots.FAMILIES[:i]:
            assert hatch != hatch_of_other or abs(grey(colour) - grey(other)) > 35


def test_a_figure_leaves_matplotlib_as_it_was():
    import matplotlib
    assert drawn("exits").png
    before = dict(matplotlib.rcParams)
    matplotlib.rcParams["font.size"] = 31
    try:
        assert plots.exits([NATIVE, TRAPPED]).png == drawn("exits").png
        assert matplotlib.rcParams["font.size"] == 31
    finally:
        matplotlib.rcParams.update(before)


def test_hostile_names_are_escaped():
    picture = Comparison("x", (ODD,)).plot()
    assert "<script>" not in picture.html() + picture.image()
    assert "\x1b" not in picture.text + picture.html() + picture.image() + picture.alt

"""Widgets: live controls where a front end is there, the same state as text everywhere, and errors in one line."""
import subprocess
import sys

import pytest
from handmade import make_run

from pvlab.figures import picture
from pvlab.experiments.comparison import Comparison
from pvlab.costs import CostError, cost_model
from pvlab.errors import PvlabError
from pvlab.guests import GuestError
from pvlab.widgets import base, breakeven, comparer, explorer, side_by_side, what_if

VIEW = "application/vnd.jupyter.widget-view+json"
RUNS = {
    "syscall": Comparison("kernel", (
        make_run("native", events={"int": 100, "page-fault": 10}, instructions=45_000),
        make_run(exits={"int": 100, "iret": 100, "io:write": 50, "page-fault:guest": 10}, instructions=45_000))),
    "compute": Comparison("kernel", (
        make_run("native", instructions=900_000, parameters={"workload": "compute", "n": 100}),
        make_run(instructions=900_000, parameters={"workload": "compute", "n": 100}))),
}


@pytest.fixture(autouse=True)
def asked(monkeypatch):
    """Runs made by hand instead of real ones; the list of what was asked for."""
    found = []

    def compared(guest, workload, n, monitors):
        found.append((guest, workload, n, monitors))
        if n == 500 or workload == "idle":
            raise GuestError("n=500: must be a whole number from 1 to 200")
        if n == 200:
            raise KeyboardInterrupt
        return RUNS.get(workload, RUNS["syscall"])

    monkeypatch.setattr(side_by_side, "compared", compared)
    monkeypatch.setattr(what_if, "compared", compared)
    return found


@pytest.fixture
def live(monkeypatch):
    """As in a notebook's kernel; what is drawn there is tested elsewhere, and takes its time."""
    monkeypatch.setattr(picture.Picture, "png", b"a picture")

    class Shell:
        kernel = object()

    import IPython
    monkeypatch.setattr(IPython, "get_ipython", Shell)
    monkeypatch.delenv("PVLAB_STATIC")


def controls(shown):
    """{label: control} of a live widget."""
    found, boxes = {}, [shown.container]
    while boxes:
        one = boxes.pop()
        boxes += getattr(one, "children", ())
        if getattr(one, "description", ""):
            found[one.description] = one
    return found


def answer(shown):
    return shown._status.value, shown._answer.value


@pytest.mark.parametrize("widget", [comparer, explorer])
class TestBoth:
    def test_static_bundle_has_a_captioned_table_and_text_and_no_view(self, widget):
        bundle = widget()._repr_mimebundle_()
        assert set(bundle) == {"text/plain", "text/html"}
        assert "<caption" in bundle["text/html"] and "<img" not in bundle["text/html"]
        assert "JupyterLab" in bundle["text/plain"] and "trap-and-emulate" in bundle["text/plain"]
        assert bundle == widget()._repr_mimebundle_() and bundle["text/plain"] == repr(widget())

    @pytest.mark.parametrize("value, static", [("1", True), ("yes", True), ("0", False), ("", False)])
    def test_live_bundle_has_the_view_beside_them(self, widget, live, monkeypatch, value, static):
        monkeypatch.setenv("PVLAB_STATIC", value)
        assert (VIEW in widget()._repr_mimebundle_()) != static
        assert {"text/plain", "text/html"} <= set(widget()._repr_mimebundle_())

    def test_without_a_notebook_there_is_no_view(self, widget, monkeypatch):
        monkeypatch.delenv("PVLAB_STATIC")
        assert VIEW not in widget()._repr_mimebundle_()

    def test_live_answer_has_alt_text_and_the_table(self, widget, live):
        shown = widget()
        shown._repr_mimebundle_()
        status, html = answer(shown)
        assert 'role="status"' in status and html.count("<img alt=") == html.count("<details>") >= 1
        assert "<caption" in html and "<script" not in html

    def test_the_same_widget_twice_has_the_same_controls(self, widget, live):
        shown = widget()
        assert shown._repr_mimebundle_()[VIEW] == shown._repr_mimebundle_()[VIEW]
        assert shown._repr_mimebundle_()[VIEW] != widget()._repr_mimebundle_()[VIEW]

    def test_every_control_has_a_label(self, widget, live):
        import ipywidgets
        boxes, inputs = [widget().container], []
        while boxes:
            one = boxes.pop()
            boxes += getattr(one, "children", ())
            if isinstance(one, (ipywidgets.Dropdown, ipywidgets.BoundedIntText, ipywidgets.Button)):
                inputs.append(one)
            assert not isinstance(one, ipywidgets.Output)
        assert len(inputs) >= 3 and all(one.description for one in inputs)

    def test_bad_input_is_refused(self, widget):
        with pytest.raises(CostError):
            widget(costs="p5")
        with pytest.raises(PvlabError, match="'hello' is not"):
            widget(guest="hello")
        with pytest.raises(GuestError):
            widget(n=500)


def test_comparer_follows_its_controls(asked, live):
    shown = comparer()
    found = controls(shown)
    assert list(found["Workload"].options)[:2] == [("compute", "compute"), ("syscall", "syscall")]
    found["Workload"].value = "compute"
    found["Times (n)"].value = 1000
    assert asked[-1][:3] == ("kernel", "compute", 1000)
    assert "0 exits in 900,000" in answer(shown)[0] and "no exits" not in answer(shown)[0]
    found["Priced by"].value = "p4-672-2006"
    assert "p4-672-2006" in answer(shown)[1] and shown.costs == "p4-672-2006"
    assert "p4-672-2006" in shown._repr_mimebundle_()["text/plain"]


def test_an_error_or_an_interrupt_is_one_line(live):
    shown = comparer()
    found = controls(shown)
    found["Times (n)"].value = 500
    assert ">n=500: must be a whole number from 1 to 200</p>" in answer(shown)[0] and answer(shown)[1] == ""
    assert "n=500: must be" in shown._repr_mimebundle_()["text/plain"]
    found["Times (n)"].value = 200
    assert ">Stopped.<" in answer(shown)[0]
    found["Times (n)"].value = 100
    assert "<img" in answer(shown)[1]


def test_explorer_follows_its_sliders_and_returns_to_what_was_published(live):
    shown = explorer()
    found = controls(shown)
    assert found["every exit (hardware)"].value == 761
    assert "At 761 cycles an exit" in answer(shown)[0]
    found["every exit (hardware)"].value = 500
    found["unpublished part of an exit"].value = 250
    assert "At 750 cycles an exit" in answer(shown)[0] and "250 cycles are supposed" in answer(shown)[0]
    found["Published figures"].click()
    found = controls(shown)
    assert found["every exit (hardware)"].value == 761 and "At 761 cycles" in answer(shown)[0]
    assert cost_model("vmx-westmere-2010").cells[0].cycles == 761


def test_explorer_offers_the_figures_that_matter(live):
    shown = explorer(costs="p4-672-2006")
    assert {"event:page-fault (hardware)", "unpublished part of an exit"} <= set(controls(shown))
    assert "event:divide-error (hardware)" not in controls(shown)
    assert "suppose a cost" in answer(shown)[0]
    controls(shown)["Model"].value = "p4-1700-2002"
    assert "io:read, io:write (hardware and monitor)" in controls(shown)
    controls(shown)["Workload"].value = "compute"
    assert set(controls(shown)) == {"Workload", "Model", "Tolerated slowdown, %", "Published figures"}
    assert "never exits" in answer(shown)[0]


def test_a_workload_that_the_explorer_cannot_run_is_one_line_too(live):
    shown = explorer()
    controls(shown)["Workload"].value = "idle"
    assert "n=500: must be" in answer(shown)[0] and answer(shown)[1] == ""
    controls(shown)["Workload"].value = "syscall"
    assert "At 761 cycles" in answer(shown)[0] and "every exit (hardware)" in controls(shown)


def test_the_readers_figures_stay_with_their_model(live):
    shown = explorer()
    controls(shown)["every exit (hardware)"].value = 500
    controls(shown)["Workload"].value = "fork"
    assert controls(shown)["every exit (hardware)"].value == 500 and "At 500 cycles" in answer(shown)[0]
    controls(shown)["Model"].value = "vmx-merom-2006"
    assert controls(shown)["every exit (hardware)"].value == 1579 and "At 1,579 cycles" in answer(shown)[0]


def test_the_sliders_say_what_was_published(live):
    import ipywidgets
    boxes, said = [explorer().container], []
    while boxes:
        one = boxes.pop()
        boxes += getattr(one, "children", ())
        said += [one.value] if isinstance(one, ipywidgets.Label) else []
    assert sorted(said) == ["nothing published: what you suppose", "published: 761 cycles"]


def test_explorer_takes_a_comparison(asked):
    shown = explorer(RUNS["syscall"])
    assert not asked and "times native" in repr(shown) and not shown.workloads
    with pytest.raises(PvlabError, match="no native run"):
        explorer(Comparison("kernel", (make_run(),)))
    with pytest.raises(PvlabError, match="no other run"):
        explorer(Comparison("kernel", (make_run("native"),)))


class TestBreakEven:
    """260 exits in 45,000 instructions, that is one in 173."""

    def outcome(self, model="vmx-westmere-2010", supposed=0, tolerated=0.1, runs=RUNS["syscall"]):
        found, = breakeven.outcomes(runs, cost_model(model), supposed, tolerated)
        return found

    def test_arithmetic(self):
        found = self.outcome()
        assert found.exits == found.unknown == 260 and found.per_exit == 761
        assert found.instructions_per_exit == pytest.approx(45_000 / 260)
        assert found.cycles == found.bill.total == 45_000 + 260 * 761
        assert found.slowdown(761) == pytest.approx((45_000 + 260 * 761) / 45_000)
        assert found.break_even == pytest.approx(0.1 * 45_000 / 260)
        assert found.slowdown(found.break_even) == pytest.approx(1.1)

    def test_what_is_supposed_counts_once_for_each_exit_that_lacks_it(self):
        assert self.outcome(supposed=100).per_exit == 861
        io_only = self.outcome("p4-1700-2002", supposed=100)
        assert io_only.unknown == 210 and io_only.cycles == 45_000 + 50 * 2087 + 210 * 100

    def test_native_events_are_priced_on_the_other_side(self):
        found = self.outcome("p4-672-2006")
        assert found.native.total == 45_000 + 10 * 1093 and found.per_exit is None
        assert found.break_even == pytest.approx((0.1 * 45_000 + 1.1 * 10 * 1093) / 260)

    def test_a_run_without_exits_has_no_break_even(self):
        found = self.outcome(runs=RUNS["compute"])
        assert found.break_even is found.per_exit is found.instructions_per_exit is None
        assert breakeven.picture([found]).png and "never exits" in breakeven.sentence([found])

    def test_an_empty_run(self):
        empty = Comparison("x", (make_run("native", instructions=0), make_run(exits={"hlt": 1}, instructions=0)))
        found = self.outcome(runs=empty)
        assert found.slowdown(761) == 761 and breakeven.picture([found]).png

    def test_the_figure_shows_the_tables_numbers(self):
        found = self.outcome(supposed=39)
        picture = breakeven.picture([found])
        rows = {row[0]: row[1] for row in picture.table.rows}
        points = {line.get_marker(): (line.get_xdata()[0], line.get_ydata()[0]) for line in picture.figure.axes[0].lines
                  if line.get_marker() in ("D", "o")}
        assert points["o"] == pytest.approx((rows["cycles of an exit"], rows["times native"]))
        assert points["D"] == pytest.approx((rows["break-even: cycles of an exit"],
                                             1 + rows["tolerated slowdown, %"] / 100))
        assert "break-even" not in picture.alt and "no more than 10%" in picture.alt

    @pytest.mark.parametrize("model, supposed, tolerated", [("p4-672-2006", 0, 5), ("p4-672-2006", 1, 0.01),
                                                            ("vmx-prescott-2005", 10_000, 0.01)])
    def test_figures_of_extremes(self, model, supposed, tolerated):
        assert breakeven.picture([self.outcome(model, supposed, tolerated)]).png

    def test_two_techniques(self):
        other = make_run("paravirtual", exits={"int": 9}, instructions=45_000)
        runs = Comparison("kernel", (*RUNS["syscall"].runs, other))
        found = breakeven.outcomes(runs, cost_model("vmx-merom-2006"), 0, 0.1)
        assert breakeven.picture(found).table.headers == ["", "trap-and-emulate", "paravirtual"]


def test_a_real_guest_once():
    """The widgets' own runs, without anything put in their place, and kept when made."""
    made = base.compared("kernel", "syscall", 1, ("native", "trap-and-emulate"))
    assert made is base.compared("kernel", "syscall", 1, ("native", "trap-and-emulate"))
    assert made.faithful == {"native": True, "trap-and-emulate": True} and len(made.runs[1].trace)


def test_a_widget_is_not_imported_before_it_is_shown():
    code = "import sys, pvlab.widgets; sys.exit('ipywidgets' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0

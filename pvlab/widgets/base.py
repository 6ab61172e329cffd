"""What all widgets share: where a front end can show controls they appear; everywhere else the state is a table."""
from __future__ import annotations

import os
import sys
from functools import cached_property, lru_cache
from html import escape

from pvlab.experiments.comparison import Comparison, compare
from pvlab.errors import PvlabError

# The first model that prices every exit, for a widget that has not been told otherwise.
MODEL = "vmx-westmere-2010"


def is_live() -> bool:
    """Whether a front end with widgets may be there: a notebook's kernel, unless PVLAB_STATIC says no."""
    if os.environ.get("PVLAB_STATIC", "0") not in ("", "0"):
        return False
    shell = sys.modules.get("IPython")
    return shell is not None and getattr(shell.get_ipython(), "kernel", None) is not None


@lru_cache(maxsize=32)
def compared(guest: str, workload: str, n: int, monitors: tuple[str, ...]) -> Comparison:
    """The guest's workload, n times, under each monitor. Runs are deterministic, so each is made once."""
    import pvlab
    return compare(pvlab.guest(guest, workload=workload, n=n), monitors)


def names(monitors) -> tuple[str, ...]:
    """Names of techniques: those given, else all there are."""
    from pvlab.monitors import monitor, techniques
    return tuple(m.name for m in techniques()) if monitors is None else tuple(monitor(m).name for m in monitors)


def workloads(guest: str) -> dict[str, str]:
    """{workload: what it does}, as the catalogue lists them for a guest."""
    from pvlab.guests import known_guests
    entry = next((entry for entry in known_guests() if entry.name == guest), None)
    if entry is None or not {"workload", "n"} <= set(entry.parameters):
        raise PvlabError(f"the widgets need a guest with the parameters 'workload' and 'n', which '{guest}' is not")
    return dict(entry.parameters["workload"].choices)


def models() -> list[str]:
    """The names of the cost models, oldest machine first."""
    from pvlab.costs import cost_models
    return [model.name for model in cost_models()]


# ------------------------------------------------------------------------------------------------ controls
# Each can be worked from the keyboard and has a label that a screen reader finds. ipywidgets' sliders have none, so
# a slider stands beside a number box that has.

def choice(shown: "Shown", name: str, label: str, options):
    """A drop-down list that sets an attribute."""
    import ipywidgets
    pairs = [(f"{value:,}" if isinstance(value, int) else value, value) for value in options]
    control = ipywidgets.Dropdown(options=pairs, value=getattr(shown, name), description=label, **_layout("34em"))

    def changed(change):
        setattr(shown, name, change.new)
        shown.refresh()
    control.observe(changed, "value")
    return control


def slider(label: str, value: int, most: int, put, remark: str):
    """A number of cycles as box and slider, with a remark beside them; `put(value)` is called when it is let go."""
    import ipywidgets
    most = max(most, value)
    box = ipywidgets.BoundedIntText(value=value, min=0, max=most, step=max(1, most // 200), description=label,
                                    continuous_update=False, **_layout("26em"))
    bar = ipywidgets.IntSlider(value=value, min=0, max=most, step=max(1, most // 200), readout=False,
                               continuous_update=False, layout={"width": "16em"})
    ipywidgets.link((box, "value"), (bar, "value"))
    box.observe(lambda change: put(change.new), "value")
    return ipywidgets.HBox([box, bar, ipywidgets.Label(remark)], layout={"flex_flow": "row wrap"})


def _layout(width: str) -> dict:
    return {"style": {"description_width": "18em"}, "layout": {"width": width, "max_width": "98%"}}


class Shown:
    """A widget: a title, some controls, and what they give.

    A subclass keeps its state in attributes of its own, so that the static form needs no controls; a control sets an
    attribute and calls `refresh`.
    """

    title = ""

    def controls(self) -> list:
        """The ipywidgets controls, from top to bottom."""
        raise NotImplementedError

    def state(self) -> list:
        """Tables and Pictures of the present state."""
        raise NotImplementedError

    def arrange(self) -> None:
        """Fit the controls to the state, where one control decides about others."""

    def refresh(self) -> None:
        """Work out the answer for the controls as they stand, and show it; an error becomes one line."""
        self._say("Running …")
        try:
            self.arrange()
            parts = self.state()
            sentence = self.sentence()
        except PvlabError as error:
            parts, sentence = [], str(error)
        except KeyboardInterrupt:
            parts, sentence = [], "Stopped."
        self._answer.value = "".join(_live(part) for part in parts)
        self._say(sentence)

    def sentence(self) -> str:
        """What the present state shows, in a sentence or two."""
        return ""

    def _say(self, text: str) -> None:
        self._status.value = f'<p role="status" style="line-height: 1.4">{escape(text)}</p>'

    @cached_property
    def container(self):
        """The ipywidgets box. Made once: two cells that show the same widget show the same state."""
        import ipywidgets
        self._status, self._answer = ipywidgets.HTML(), ipywidgets.HTML()
        heading = ipywidgets.HTML(f"<h3>{escape(self.title)}</h3>")
        self._controls = ipywidgets.VBox(self.controls())
        self.refresh()
        return ipywidgets.VBox([heading, self._controls, self._status, self._answer])

    def _static(self) -> dict[str, str]:
        try:
            parts, sentence = self.state(), self.sentence()
        except PvlabError as error:
            parts, sentence = [], str(error)
        hint = "Run this cell in JupyterLab to move its controls."
        text = "\n\n".join([f"{self.title}\n{hint}", sentence, *(_words(part).text() for part in parts)])
        html = "".join([f"<p><b>{escape(self.title)}</b><br>{escape(hint)}</p><p>{escape(sentence)}</p>",
                        *(_words(part).html() for part in parts)])
        return {"text/plain": text, "text/html": html}

    def _repr_mimebundle_(self, include=None, exclude=None):
        bundle = self._static()
        if is_live():
            # JupyterLab prefers the view where it can make one; any other reader takes the HTML beside it.
            view = self.container._repr_mimebundle_()
            bundle["application/vnd.jupyter.widget-view+json"] = view["application/vnd.jupyter.widget-view+json"]
        return bundle

    def __repr__(self) -> str:
        return self._static()["text/plain"]


def _words(part):
    """The table of a Picture, or a Table itself."""
    return getattr(part, "table", part)


def _live(part) -> str:
    """A Table, or a Picture with its table folded away beneath it."""
    if not hasattr(part, "image"):
        return part.html()
    return f"{part.image()}<details><summary>The same numbers as a table</summary>{part.table.html()}</details>"

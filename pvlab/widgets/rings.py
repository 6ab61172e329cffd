"""The ring viewer: a virtqueue's memory, moment after moment."""
from __future__ import annotations

from collections.abc import Sequence

from pvlab.devices.virtio.rings import Ring
from pvlab.errors import PvlabError
from pvlab.figures.rings import ring, told
from pvlab.tables import Table
from pvlab.widgets.base import Shown, choice


class RingViewer(Shown):
    """See `ring_viewer`."""

    def __init__(self, steps: Sequence[tuple[str, Ring]], title: str):
        if not steps:
            raise PvlabError("the ring viewer needs at least one step")
        self.title, self.steps = title, list(steps)
        self.names = [f"{i}. {said}" for i, (said, _) in enumerate(steps, 1)]
        self.step = self.names[0]

    def controls(self) -> list:
        """Two buttons, and a list of all steps."""
        import ipywidgets
        steps = choice(self, "step", "Step", self.names)
        steps.layout.width, steps.style.description_width = "52em", "4em"        # a step is a sentence

        def button(text: str, by: int):
            made = ipywidgets.Button(description=text)

            def clicked(_):
                steps.value = self.names[max(0, min(self.names.index(steps.value) + by, len(self.names) - 1))]
            made.on_click(clicked)
            return made
        return [steps, ipywidgets.HBox([button("Back", -1), button("Next", 1)])]

    def state(self) -> list:
        return [ring(self._ring(), f"{self.step} (of {len(self.steps)})")]

    def sentence(self) -> str:
        return told(self._ring())

    def _ring(self) -> Ring:
        return self.steps[self.names.index(self.step)][1]

    def _static(self) -> dict[str, str]:
        """Where nothing moves: all steps as one table."""
        rows = [[f"{i}. {said}", state.available_index, state.used_index, state.waiting, _wish(state)]
                for i, (said, state) in enumerate(self.steps, 1)]
        table = Table(["step", "available idx", "used idx", "offered", "wishes"], rows, caption=self.title)
        hint = "Run this cell in JupyterLab to step through the ring's memory."
        return {"text/plain": f"{hint}\n\n{table.text()}", "text/html": f"<p>{hint}</p>{table.html()}"}


def _wish(state: Ring) -> str:
    if state.used_event is not None:
        return f"interrupt after {state.used_event}, kick after {state.avail_event}"
    flags = [name for name, wish in (("no interrupt", state.no_interrupt), ("no kick", state.no_notify)) if wish]
    return ", ".join(flags) or "interrupt, kick"


def ring_viewer(steps: Sequence[tuple[str, Ring]], title: str = "A virtqueue, step by step") -> RingViewer:
    """A widget that steps through moments of a virtqueue.

    steps   (what happened, the ring after it) in order; `pvlab.ring_of(device)` or `pvlab.decode_ring(...)` gives a
            Ring, of any guest's memory
    """
    return RingViewer(steps, title)

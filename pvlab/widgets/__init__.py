"""What moves: controls for JupyterLab that say the same as text where nothing can move.

base.py          what all widgets share: the live form, and the static one
side_by_side.py  comparer(): one workload under every technique, counted and priced
what_if.py       explorer(): a model's figures as sliders, and the break-even point
breakeven.py     the arithmetic and the figure of the explorer
rings.py         ring_viewer(): a virtqueue's memory, step by step
translation.py   stepper(): a unit of guest code beside its translation, as that changes (imported where it is used: it
                 is a monitor, too)
talk.py          conversation(): commands to a control program, and its responses

ipywidgets is imported when a widget is shown live. With the environment variable PVLAB_STATIC set (to anything but
"" or "0"), a widget shows its static form even in a notebook: so stored outputs hold no widget.
"""
from pvlab.widgets.rings import ring_viewer
from pvlab.widgets.side_by_side import comparer
from pvlab.widgets.talk import conversation
from pvlab.widgets.what_if import explorer

__all__ = ["comparer", "conversation", "explorer", "ring_viewer"]

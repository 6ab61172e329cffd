"""pvlab: paravirtualization, learnt by running it.

    import pvlab
    guest = pvlab.guest("kernel", workload="syscall", n=1000)
    run = pvlab.TrapAndEmulate().run(guest)
    run.trace.by_reason()
    pvlab.compare(guest, pvlab.techniques()).plot()

Everything named here is loaded when it is first used, so that `import pvlab` stays cheap.
"""
from importlib import import_module

__version__ = "0.1.0"

# Where each name lives: the modules of this package that are named on the right-hand side.
_HOME = {
    "guest": "guests", "known_guests": "guests", "GuestError": "guests",
    "Native": "monitors", "TrapAndEmulate": "monitors", "BinaryTranslation": "monitors", "Cp": "monitors",
    "techniques": "monitors", "monitor": "monitors",
    "compare": "experiments.comparison", "Comparison": "experiments.comparison", "sweep": "experiments.grid",
    "Sweep": "experiments.grid", "per_iteration": "experiments.iterations", "per_unit": "experiments.units",
    "nanobenchmarks": "experiments.nanobenchmarks",
    "cost_models": "costs", "cost_model": "costs", "bill": "costs",
    "probe": "machine.x86.probe",
    "Run": "trace", "Trace": "trace", "Exit": "trace",
    "Table": "tables", "PvlabError": "errors",
    "check": "course.checking", "hint": "course.hints",
    "comparer": "widgets", "conversation": "widgets", "explorer": "widgets", "ring_viewer": "widgets",
    "stepper": "widgets.translation",
    "ladder": "figures.dots", "ring": "figures.rings", "ring_of": "devices.virtio.rings", "decode_ring": "devices.virtio.rings",
    "plots": "figures.plots", "rings": "figures.rings", "widgets": "widgets",
}
_MODULES = ("nanobenchmarks", "plots", "rings", "widgets")      # modules themselves; the others are names in one
__all__ = [*_HOME, "__version__"]


def __getattr__(name: str):
    """A name from its home module (PEP 562). No function has the name of a module: importing that would hide it."""
    if name not in _HOME:
        raise AttributeError(f"module 'pvlab' has no attribute '{name}'")
    home = import_module("pvlab." + _HOME[name])
    value = home if name in _MODULES else getattr(home, name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)

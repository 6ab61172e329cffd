"""pvlab: paravirtualization, learnt by running it.

    import pvlab
    guest = pvlab.guest("kernel", workload="syscall", n=1000)
    run = pvlab.TrapAndEmulate().run(guest)
    run.trace.by_reason()
    pvlab.compare(guest, pvlab.techniques()).plot()

Everything named here is loaded when it is first used, so that `import pvlab` stays cheap.
"""
import sys
from importlib import import_module
from types import ModuleType

__version__ = "0.1.0"

# Where each name lives: the modules of this package that are named on the right-hand side.
_HOME = {
    "guest": "guests", "guests": "guests", "GuestError": "guests",
    "Native": "monitors", "TrapAndEmulate": "monitors", "techniques": "monitors", "monitor": "monitors",
    "compare": "compare",
    "costs": "costs", "cost_model": "costs", "bill": "costs",
    "probe": "machine.x86.probe",
    "Run": "trace", "Trace": "trace", "Exit": "trace",
    "PvlabError": "errors",
    "comparer": "widgets", "explorer": "widgets",
    "plots": "plots", "widgets": "widgets",
}
__all__ = [*_HOME, "__version__"]


def __getattr__(name: str):
    """A name from its home module (PEP 562)."""
    if name not in _HOME:
        raise AttributeError(f"module 'pvlab' has no attribute '{name}'")
    home = import_module("pvlab." + _HOME[name])
    # Of `guests`, `compare` and `costs` this is the module itself, which can be called: see below.
    value = home if name == _HOME[name] else getattr(home, name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)


class _Callable(ModuleType):
    """A module that is also its one function of the same name: `pvlab.compare(…)` is `pvlab.compare.compare(…)`.

    Python binds a submodule in its package whenever anything imports it, so without this `pvlab.compare` would be
    the function or the module, depending on what ran before.
    """

    def _function(self):
        return getattr(self, self.__name__.rpartition(".")[2])

    def __call__(self, *args, **options):
        return self._function()(*args, **options)

    @property
    def __signature__(self):
        import inspect
        return inspect.signature(self._function())


class _Package(ModuleType):
    def __setattr__(self, name, value):
        if name in ("guests", "compare", "costs") and isinstance(value, ModuleType):
            value.__class__ = _Callable
        super().__setattr__(name, value)


sys.modules[__name__].__class__ = _Package

"""Who runs the guest: one monitor for each technique, in the course's reading order."""
from __future__ import annotations

from pvlab.errors import PvlabError
from pvlab.monitors.base import BUDGET, Monitor
from pvlab.monitors.binary_translation import BinaryTranslation
from pvlab.monitors.cp import Cp
from pvlab.monitors.native import Native
from pvlab.monitors.trap_and_emulate import TrapAndEmulate

__all__ = ["BUDGET", "BinaryTranslation", "Cp", "Monitor", "MonitorError", "Native", "TrapAndEmulate", "monitor",
           "techniques"]

_TECHNIQUES = (Native, TrapAndEmulate, BinaryTranslation, Cp)


class MonitorError(PvlabError):
    """There is no monitor of that name."""


def techniques(arch: str | None = "x86") -> list[Monitor]:
    """One monitor for each technique for guests of an instruction set ("x86", "s390x", None: all), the bare machine
    first, where there is one."""
    return [technique() for technique in _TECHNIQUES if arch in (None, technique.arch)]


def monitor(name: str) -> Monitor:
    """The monitor of that name, or MonitorError."""
    for technique in _TECHNIQUES:
        if technique.name == name:
            return technique()
    known = ", ".join(technique.name for technique in _TECHNIQUES)
    raise MonitorError(f"there is no monitor '{name}': choose from {known}")

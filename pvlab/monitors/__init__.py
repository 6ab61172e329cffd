"""Who runs the guest: one monitor for each technique, in the course's reading order."""
from __future__ import annotations

from pvlab.errors import PvlabError
from pvlab.monitors.base import BUDGET, Monitor
from pvlab.monitors.binary_translation import BinaryTranslation
from pvlab.monitors.native import Native
from pvlab.monitors.trap_and_emulate import TrapAndEmulate

__all__ = ["BUDGET", "BinaryTranslation", "Monitor", "MonitorError", "Native", "TrapAndEmulate", "monitor", "techniques"]

_TECHNIQUES = (Native, TrapAndEmulate, BinaryTranslation)


class MonitorError(PvlabError):
    """There is no monitor of that name."""


def techniques() -> list[Monitor]:
    """One monitor for each technique, the bare machine first."""
    return [technique() for technique in _TECHNIQUES]


def monitor(name: str) -> Monitor:
    """The monitor of that name, or MonitorError."""
    for technique in _TECHNIQUES:
        if technique.name == name:
            return technique()
    known = ", ".join(technique.name for technique in _TECHNIQUES)
    raise MonitorError(f"there is no monitor '{name}': choose from {known}")

"""Binary translation."""
from pvlab.monitors.binary_translation.monitor import BinaryTranslation

__all__ = ["BinaryTranslation"]

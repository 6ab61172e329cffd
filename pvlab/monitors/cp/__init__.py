"""VM/370's control program for s390x guests. cp.py is the place to begin."""
from pvlab.monitors.cp.cp import Cp
from pvlab.monitors.cp.diagnose import codes

__all__ = ["Cp", "codes"]

"""DIAGNOSE: what a guest can ask CP for. One file for each family of codes; registry.py has the table."""
from pvlab.monitors.cp.diagnose import (block, console, device, disk, dispatch, identity, ipl, kvm,  # noqa: F401
                                          pages, segments)
from pvlab.monitors.cp.diagnose.registry import CODES, USER, Code, codes, diagnose, user_code

__all__ = ["CODES", "USER", "Code", "codes", "diagnose", "user_code"]

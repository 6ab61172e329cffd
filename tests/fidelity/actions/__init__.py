"""What random programs do. Each action is a few instructions that need no sensitive unprivileged one.

To import this package is to register them all.
"""
from fidelity.actions import memory, ordinary, privileged, transfers  # noqa: F401

"""What random programs do. Each action is a few instructions.

Those of `ordinary`, `memory`, `privileged` and `transfers` need no sensitive unprivileged one, so every technique can
do them; those of `sensitive`, `flow` and `own_code` are for the translator. To import this package is to register all.
"""
from fidelity.actions import flow, memory, ordinary, own_code, privileged, sensitive, transfers  # noqa: F401

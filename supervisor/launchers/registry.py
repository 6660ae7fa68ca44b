"""The launchers by name: the one place that knows them all."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from .base import Launcher
from .local import LocalLauncher
from .slurm.launcher import SlurmLauncher
from .slurm.srun_launcher import SrunLauncher

SRUN = "srun"  # never named in a plan: a slot on another node of the allocation stands for it
LAUNCHERS: Mapping[str, Callable[[Callable[[], None]], Launcher]] = {
    "local": LocalLauncher,
    "slurm": SlurmLauncher,
    SRUN: SrunLauncher,
}


def create_launcher(name: str, on_change: Callable[[], None]) -> Launcher:
    """Create the launcher with that name.

    Args:
        name: A key of `LAUNCHERS`.
        on_change: Called in the event loop when an attempt may have changed.
    """
    return LAUNCHERS[name](on_change)

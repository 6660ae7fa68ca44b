"""The launchers by name: the one place that knows them all.

The modules of Slurm are imported for a session that needs them; all others start 20 ms sooner.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from .base import Launcher
from .local import LocalLauncher


def _slurm(on_change: Callable[[], None]) -> Launcher:
    from .slurm.launcher import SlurmLauncher  # noqa: PLC0415

    return SlurmLauncher(on_change)


def _srun(on_change: Callable[[], None]) -> Launcher:
    from .slurm.srun_launcher import SrunLauncher  # noqa: PLC0415

    return SrunLauncher(on_change)


SRUN = "srun"  # never named in a plan: a slot on another node of the allocation stands for it
LAUNCHERS: Mapping[str, Callable[[Callable[[], None]], Launcher]] = {
    "local": LocalLauncher,
    "slurm": _slurm,
    SRUN: _srun,
}


def create_launcher(name: str, on_change: Callable[[], None]) -> Launcher:
    """Create the launcher with that name.

    Args:
        name: A key of `LAUNCHERS`.
        on_change: Called in the event loop when an attempt may have changed.
    """
    return LAUNCHERS[name](on_change)

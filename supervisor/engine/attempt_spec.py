"""The command line, environment and log header of an attempt. Pure, except for the number of cores."""

from __future__ import annotations

import os
import shlex
from collections.abc import Sequence
from pathlib import Path

from ..gpus.slot_selection import SlotRequest
from ..gpus.slots import Slot, cuda_environment
from ..launchers.attempt_files import AttemptSpec
from ..plan.schema import Plan
from ..session.events import AttemptStarting
from ..session.folder import SessionSettings
from ..session.session_log import log_line


def concurrent_runs(plan: Plan, slots: Sequence[Slot]) -> int:
    """Return how many runs may train at once, each with its share of the cores."""
    shared = any(slot.shared_mib is not None for slot in slots)
    return max(1, len(slots), SlotRequest.for_plan(plan).width if shared else 1)


def attempt_spec(
    plan: Plan, settings: SessionSettings, starting: AttemptStarting, log: Path, *, concurrent: int
) -> AttemptSpec:
    """Return what a launcher needs to start an attempt.

    Args:
        plan: Plan of the session.
        settings: Settings of the session.
        starting: The recorded decision to start.
        log: Log of the run.
        concurrent: Number of runs that share the cores.
    """
    run = plan.runs[starting.run]
    command = (*run.command, *(run.fresh_args if starting.fresh else ()))
    slot = starting.slot.name if starting.slot else "no slot"
    header = f"attempt {starting.attempt} on {slot}: {shlex.join(command)}"
    return AttemptSpec(
        command=command,
        cwd=run.cwd or ".",
        given=_given(plan, settings, starting, concurrent),
        inherited=settings.environment,
        log=str(log),
        header=log_line(starting.run, header, at=starting.at) + "\n",
        stop_grace_s=run.stop_grace_s,
    )


def _given(plan: Plan, settings: SessionSettings, starting: AttemptStarting, concurrent: int) -> dict[str, str]:
    """Return the variables of the plan and of the slot's GPU; and the cores, unless the user's shell names them."""
    cores = len(os.sched_getaffinity(0))
    threads = {"OMP_NUM_THREADS": str(settings.threads or max(1, cores // concurrent))}
    return {
        **({} if "OMP_NUM_THREADS" in settings.environment else threads),
        **plan.runs[starting.run].env,
        **cuda_environment(starting.slot),
    }

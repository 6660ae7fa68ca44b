"""The command line, environment and log header of an attempt. Pure, except for the number of cores."""

from __future__ import annotations

import os
import shlex
from collections.abc import Sequence
from pathlib import Path

from ..gpus.slot_selection import SlotRequest
from ..gpus.slots import Slot, cuda_environment
from ..launchers.attempt_files import FENCE_VARIABLE, AttemptSpec, fence_path
from ..plan.schema import LOCAL, Plan, RunPlan
from ..session.events import AttemptStarting
from ..session.folder import SessionFolder, SessionSettings
from ..session.session_log import log_line


def concurrent_runs(plan: Plan, slots: Sequence[Slot]) -> int:
    """Return how many runs may train at once, each with its share of the cores."""
    shared = any(slot.shared_mib is not None for slot in slots)
    return max(1, len(slots), SlotRequest.for_plan(plan).width if shared else 1)


def attempt_spec(
    plan: Plan, settings: SessionSettings, starting: AttemptStarting, folder: SessionFolder, *, concurrent: int
) -> AttemptSpec:
    """Return what a launcher needs to start an attempt.

    Args:
        plan: Plan of the session.
        settings: Settings of the session.
        starting: The recorded decision to start.
        folder: The session.
        concurrent: Number of runs that share the cores of this machine.
    """
    run = plan.runs[starting.run]
    is_local = starting.launcher == LOCAL
    command = (*run.command, *(run.fresh_args if starting.fresh else ()))
    where = starting.slot.name if starting.slot else "no slot" if is_local else starting.launcher.capitalize()
    header = f"attempt {starting.attempt} on {where}: {shlex.join(command)}"
    cpus = run.slurm.get("cpus")
    if is_local:
        given = _local_variables(run, settings, starting.slot, concurrent)
    else:
        given = _job_variables(run, settings, folder.attempt_folder(starting.run, starting.attempt), starting.attempt)
    return AttemptSpec(
        command=command,
        cwd=run.cwd or ".",
        given=given,
        log=str(folder.run_log(starting.run)),
        header=log_line(starting.run, header, at=starting.at) + "\n",
        stop_grace_s=run.stop_grace_s,
        inherited=settings.environment,
        run=starting.run,
        session="" if is_local else folder.token,
        attempt=starting.attempt,
        follows=tuple(folder.attempt_folder(run, number) for run, number in starting.follows),
        cpus=cpus if isinstance(cpus, int) else None,
        gpus=1 if run.wants_gpu else 0,
        slurm=run.slurm,
    )


def _local_variables(run: RunPlan, settings: SessionSettings, slot: Slot | None, concurrent: int) -> dict[str, str]:
    """Return the variables of the plan and of the slot's GPU; and the cores, unless the user's shell names them."""
    cores = len(os.sched_getaffinity(0))
    threads = {"OMP_NUM_THREADS": str(settings.threads or max(1, cores // concurrent))}
    inherited = "OMP_NUM_THREADS" in settings.environment
    return {**({} if inherited else threads), **run.env, **cuda_environment(slot)}


def _job_variables(run: RunPlan, settings: SessionSettings, folder: Path, attempt: int) -> dict[str, str]:
    """Return the variables of the plan, the fence and the cores; the batch system gives the GPU.

    The cores of this machine mean nothing for a job, and neither does OMP_NUM_THREADS of a shell on a login node.
    """
    threads = settings.threads or run.slurm.get("cpus")
    return {
        **({"OMP_NUM_THREADS": str(threads)} if threads else {}),
        **run.env,
        FENCE_VARIABLE: f"{fence_path(folder)}:{attempt}",
    }

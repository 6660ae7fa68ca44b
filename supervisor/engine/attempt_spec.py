"""The command line, environment and log header of an attempt. Pure, except for the number of cores."""

from __future__ import annotations

import os
import shlex
from collections.abc import Sequence

from ..gpus.slot_selection import SlotRequest
from ..gpus.slots import Slot, cuda_environment
from ..launchers.attempt_files import FENCE_VARIABLE, AttemptSpec, fence_path
from ..launchers.slurm.bundle_runner import device_variables
from ..plan.schema import LOCAL, Plan, RunPlan
from ..session.events import AttemptStarting
from ..session.folder import SessionFolder, SessionSettings
from ..session.session_log import log_line


def concurrent_runs(plan: Plan, slots: Sequence[Slot]) -> int:
    """Return how many runs may train at once on this machine, each with its share of the cores."""
    shared = any(slot.shared_mib is not None for slot in slots)
    return max(1, sum(not slot.node for slot in slots), SlotRequest.for_plan(plan).width if shared else 1)


def attempt_spec(
    plan: Plan,
    settings: SessionSettings,
    starting: AttemptStarting,
    folder: SessionFolder,
    *,
    concurrent: int,
    is_fenced: bool = False,
) -> AttemptSpec:
    """Return what a launcher needs to start an attempt.

    Args:
        plan: Plan of the session.
        settings: Settings of the session.
        starting: The recorded decision to start.
        folder: The session.
        concurrent: Number of runs that share the cores of this machine.
        is_fenced: Whether an older attempt of the run may come back on another machine.
    """
    run = plan.runs[starting.run]
    is_local = starting.launcher == LOCAL
    command = (*run.command, *(run.fresh_args if starting.fresh else ()))
    where = starting.slot.name if starting.slot else "no slot" if is_local else starting.launcher.capitalize()
    header = f"attempt {starting.attempt} on {where}: {shlex.join(command)}"
    cpus = run.slurm.get("cpus")
    slot, attempt_folder = starting.slot, folder.attempt_folder(starting.run, starting.attempt)
    given = _slot_variables(run, settings, slot, concurrent) if is_local or slot else _job_variables(run, settings)
    if is_fenced or not is_local:
        given[FENCE_VARIABLE] = f"{fence_path(attempt_folder)}:{starting.attempt}"
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
        node=slot.node if slot else "",
        granted=slot.granted if slot else None,
    )


def _slot_variables(run: RunPlan, settings: SessionSettings, slot: Slot | None, concurrent: int) -> dict[str, str]:
    """Return the variables of the plan and of the slot's GPU; and the cores, unless the user's shell names them."""
    is_elsewhere = slot is not None and bool(slot.node)
    cores = slot.cores if slot is not None and is_elsewhere else max(1, len(os.sched_getaffinity(0)) // concurrent)
    threads = settings.threads or cores
    is_named = threads is None or "OMP_NUM_THREADS" in settings.environment
    gpu = cuda_environment(slot)
    if slot is not None and slot.granted is not None and not is_elsewhere:
        gpu = device_variables(settings.environment, *slot.granted)
    return {**({} if is_named else {"OMP_NUM_THREADS": str(threads)}), **run.env, **gpu}


def _job_variables(run: RunPlan, settings: SessionSettings) -> dict[str, str]:
    """Return the variables of the plan, and the cores; the batch system gives the GPU.

    The cores of this machine mean nothing for a job, and neither does OMP_NUM_THREADS of a shell on a login node.
    """
    threads = settings.threads or run.slurm.get("cpus")
    return {**({"OMP_NUM_THREADS": str(threads)} if threads else {}), **run.env}

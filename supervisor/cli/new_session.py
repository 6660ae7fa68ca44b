"""A new session from the command line's options; everything is checked before anything is written."""

from __future__ import annotations

import asyncio
import glob
import os
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from ..gpus.models import GpuReading
from ..gpus.node_slots import select_node_slots
from ..gpus.poller import read_gpus
from ..gpus.slot_selection import SlotRequest, SlotSelection, select_slots
from ..ipc.connection import stop_idle_engine
from ..ipc.engine_lock import EngineLock
from ..ipc.socket_path import socket_path
from ..ownership import user_name
from ..plan.errors import PlanError
from ..plan.loader import builtin_plan, load_plan
from ..plan.schema import Plan
from ..session.allocation import Allocation
from ..session.create import next_session, resolve_plan, write_session
from ..session.folder import SessionError, SessionFolder, SessionSettings
from ..session.lookup import current_session, is_finished
from .launcher_choice import choose_launchers, keep_inside
from .output import echo_error, warn_of_incomplete_session
from .session_options import SessionOptions, absolute_pattern

DISMISSAL_DEADLINE_S = 5.0


def create_session(logs: Path, options: SessionOptions) -> tuple[SessionFolder, EngineLock]:
    """Write a new session, after everything was checked.

    Returns:
        The session and the lock of its logs folder: hand the lock to an engine, or release it.

    Raises:
        UserError: The session cannot be created; nothing was written.
    """
    plan = load_plan(options.plan_file) if options.plan_file else builtin_plan()
    source = str(options.plan_file or "the built-in plan")
    warn_of_incomplete_session(logs)
    plan, changed = keep_inside(choose_launchers(plan, options, source), Allocation.of(os.environ))
    _check_options(plan, options, source)
    _check_data(options.data)
    settings = session_settings(options)
    if options.gpus is not None:
        choose_slots(read_gpus(), options, plan, settings.environment)
    if any(not run.is_local for run in plan.runs.values()):
        from .slurm import query_cluster  # noqa: PLC0415 - only where a plan submits jobs

        query_cluster(plan, logs, probe=not options.no_probe).require_usable()
    socket_path(logs)
    folder = next_session(logs)
    resolved = resolve_plan(folder, plan, options.placeholders(), source=source)
    try:
        logs.mkdir(mode=0o700, parents=True, exist_ok=True)
        lock = EngineLock(logs)
        free = acquire_lock(lock, logs)
    except OSError as error:
        raise SessionError(f"{logs}: cannot write there: {error.strerror}; choose another folder with --logs") from None
    try:
        _check_free(logs, free)
        write_session(folder, resolved, settings)
    except BaseException:
        lock.release()
        raise
    if changed:
        echo_error(f"pmssm-supervise: {changed}")
    return folder, lock


def session_settings(options: SessionOptions) -> SessionSettings:
    """Return what the engine keeps of the options and of this shell: every option that is a field of the settings."""
    kept = {name: getattr(options, name) for name in SessionSettings.model_fields if hasattr(options, name)}
    return SessionSettings(**kept, owner=os.getuid(), environment=dict(os.environ))


def choose_slots(
    reading: GpuReading, options: SessionOptions, plan: Plan, environment: Mapping[str, str]
) -> SlotSelection:
    """Return the slots that a session with these options would have now.

    Raises:
        GpuRequestError: `--gpus` names a GPU that cannot be used.
    """
    request = SlotRequest.for_plan(
        plan,
        gpus=options.gpus,
        inherited=environment.get("CUDA_VISIBLE_DEVICES"),
        parallel=options.parallel,
        share=options.share_gpu,
        cpu_slots=options.cpu_slots,
    )
    allocation = Allocation.around(environment)
    if allocation is None:
        return select_slots(reading, request)
    from .slurm import query_node_shares  # noqa: PLC0415 - only inside an allocation of Slurm

    shares = query_node_shares(allocation, environment)
    return select_node_slots(reading, request, frozenset(), allocation.node, shares)


def _check_options(plan: Plan, options: SessionOptions, source: str) -> None:
    """Reject options that no command of the plan would receive."""
    words = {word for run in plan.runs.values() for word in run.command}
    arguments = {f"{{{name}}}": values for name, values in options.placeholders().items()}
    used = {argument for placeholder in words & arguments.keys() for argument in arguments[placeholder]}
    for placeholder, values in arguments.items():
        ignored = [argument for argument in values if argument.startswith("--") and argument not in used]
        if ignored:
            raise PlanError(f"{source}: no command has {placeholder}, so {ignored[0]} would have no effect")


def _check_data(patterns: Sequence[str]) -> None:
    for pattern in patterns:
        if not pattern:
            raise SessionError("--data '': give scan files, a folder, or a quoted glob")
        path = absolute_pattern(pattern)
        # Not pathlib's functions, which raise for a name that is too long or a folder that we may not enter.
        if not os.path.exists(path) and not glob.glob(path, recursive=True):  # noqa: PTH110, PTH207
            raise SessionError(f"--data {pattern}: no such file; give scan files, a folder, or a quoted glob")


def acquire_lock(lock: EngineLock, logs: Path) -> bool:
    """Return whether we hold the lock; an idle engine of a finished session is stopped first."""
    if lock.acquire():
        return True
    current = current_session(logs)
    if current is None or not is_finished(current):
        return False
    asyncio.run(stop_idle_engine(logs))
    deadline = time.monotonic() + DISMISSAL_DEADLINE_S
    while not lock.acquire():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True


def _check_free(logs: Path, free: bool) -> None:
    current = current_session(logs)
    if not free:
        stamp = f" ({current.stamp})" if current else ""
        raise SessionError(
            f"{logs}: a session is running in this folder{stamp}; see it with `pmssm-supervise attach`, "
            "end it with `down`, or choose another folder with --logs"
        )
    if current is not None and not is_finished(current):
        owner = current.load_settings().owner
        if owner not in (None, os.getuid()):
            name = user_name(owner)
            raise SessionError(
                f"{logs}: session {current.stamp} of {name} was interrupted, and only {name} can go on with it; "
                "choose another folder with --logs"
            )
        raise SessionError(
            f"{logs}: session {current.stamp} was interrupted; go on with it with `pmssm-supervise attach`, "
            "end it with `down`, or choose another folder with --logs"
        )

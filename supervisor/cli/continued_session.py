"""An existing session that goes on in the foreground: the next batch job of a training that takes several."""

from __future__ import annotations

import json
import os
from pathlib import Path

from ..errors import UserError
from ..files import write_atomic
from ..ipc.engine_lock import EngineLock
from ..ipc.spawn import load_own_settings
from ..plan.loader import dump_plan
from ..session.allocation import Allocation
from ..session.folder import SessionError, SessionFolder
from ..session.lookup import current_session, replay_session
from .launcher_choice import keep_inside
from .new_session import acquire_lock
from .output import echo_error, warn_of_incomplete_session


def continue_session(logs: Path) -> tuple[SessionFolder, EngineLock] | None:
    """Prepare the current session for an engine in this process.

    Its runs get the environment of this process: a batch job has other GPUs than the one before. Inside an allocation
    of Slurm, runs that were jobs go on without a job of their own.

    Returns:
        The session and the lock of its logs folder; None if there is no session.

    Raises:
        UserError: The session is running, damaged, that of another user, or has jobs in Slurm's queue.
    """
    folder = current_session(logs)
    if folder is None:
        return None
    warn_of_incomplete_session(logs)
    settings = load_own_settings(folder).model_copy(update={"environment": dict(os.environ)})
    lock = EngineLock(logs)
    try:
        if not acquire_lock(lock, logs):
            raise SessionError(f"{logs}: session {folder.stamp} is running; see it with `pmssm-supervise attach`")
        _keep_inside(folder)
        write_atomic(folder.settings, json.dumps(settings.model_dump()))
    except OSError as error:
        lock.release()
        raise SessionError(f"{error.filename or logs}: cannot write there: {error.strerror}") from None
    except UserError:
        lock.release()
        raise
    return folder, lock


def _keep_inside(folder: SessionFolder) -> None:
    """Inside an allocation, let the session submit nothing more.

    Raises:
        UserError: Jobs that it has submitted are left, or this machine is no node of the allocation.
    """
    before, state = replay_session(folder)
    plan, changed = keep_inside(before, Allocation.of(os.environ))
    if not changed:
        return
    alive = {name: run.last for name, run in state.runs.items() if run.alive and run.last is not None}
    jobs = [name for name, last in alive.items() if not last.is_local]
    if jobs:
        raise SessionError(
            f"{folder.logs}: session {folder.stamp} has jobs in Slurm ({', '.join(jobs)}); end it with "
            "`pmssm-supervise down` first"
        )
    write_atomic(folder.plan, dump_plan(plan))
    echo_error(f"pmssm-supervise: {changed}")

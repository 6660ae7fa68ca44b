"""An existing session that goes on in the foreground: the next batch job of a training that takes several."""

from __future__ import annotations

import json
import os
from pathlib import Path

from ..files import write_atomic
from ..ipc.engine_lock import EngineLock
from ..ipc.spawn import load_own_settings
from ..session.folder import SessionError, SessionFolder
from ..session.lookup import current_session
from .new_session import acquire_lock
from .output import warn_of_incomplete_session


def continue_session(logs: Path) -> tuple[SessionFolder, EngineLock] | None:
    """Prepare the current session for an engine in this process.

    Its runs get the environment of this process: a batch job has other GPUs than the one before.

    Returns:
        The session and the lock of its logs folder; None if there is no session.

    Raises:
        UserError: The session is running, damaged, or that of another user.
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
        write_atomic(folder.settings, json.dumps(settings.model_dump()))
    except OSError as error:
        lock.release()
        raise SessionError(f"{error.filename or logs}: cannot write there: {error.strerror}") from None
    return folder, lock

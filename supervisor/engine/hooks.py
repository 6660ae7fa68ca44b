"""The `--on-finish` command: started when a run has failed and when the session has finished."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping

from ..session.events import AttemptEnded, Event, SessionFinished
from ..session.folder import SessionFolder
from ..session.session_log import LogLevel


def is_notable(event: Event, level: LogLevel) -> bool:
    """Return whether the user wants a notification of an event, logged at that level."""
    return isinstance(event, SessionFinished) or (isinstance(event, AttemptEnded) and level == "error")


def run_hook(command: str, text: str, folder: SessionFolder, environment: Mapping[str, str]) -> None:
    """Start the user's command without waiting for it; its output goes to the session's engine.log.

    Args:
        command: A shell command.
        text: What happened; the command finds it in `$PMSSM_NEWS`.
        folder: The session, whose path the command finds in `$PMSSM_SESSION`.
        environment: The session's environment.

    Raises:
        OSError: There is no shell, or the session's folder was deleted.
    """
    with folder.engine_output.open("ab") as output:
        subprocess.Popen(
            ["/bin/sh", "-c", command],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            env={**environment, "PMSSM_NEWS": text, "PMSSM_SESSION": str(folder.path)},
            start_new_session=True,
        )

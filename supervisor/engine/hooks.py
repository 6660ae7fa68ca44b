"""`--on-finish`: a command of the user's, started when a run has failed and when the session has finished."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping

from ..session.events import AttemptEnded, Event, SessionFinished
from ..session.folder import SessionFolder
from ..session.session_log import LogLevel


def is_notable(event: Event, level: LogLevel) -> bool:
    """Whether the user wants to hear of an event, whose line in the session's log has that level."""
    return isinstance(event, SessionFinished) or (isinstance(event, AttemptEnded) and level == "error")


def run_hook(command: str, text: str, folder: SessionFolder, environment: Mapping[str, str]) -> None:
    """Starts the command, which finds what happened in PMSSM_NEWS, and leaves it to itself.

    Its output goes to the session's engine.log.

    Raises:
        OSError: there is no shell, or the session's folder is gone.
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

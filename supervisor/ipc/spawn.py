"""Start a detached engine."""

from __future__ import annotations

import os
import subprocess
import sys

from ..ownership import foreign_owner, open_own, user_name
from ..session.folder import SessionError, SessionFolder, SessionSettings


def spawn_engine(folder: SessionFolder) -> subprocess.Popen[bytes]:
    """Start a detached engine on a session: no terminal, and the environment in which the session was started.

    `-P` keeps Python from importing a random.py or queue.py in the user's current folder.

    Raises:
        SessionError: The session belongs to another user, whose runs would then be ours, or cannot be written.
    """
    settings = load_own_settings(folder)
    kept = {name: os.environ[name] for name in ("XDG_RUNTIME_DIR", "TMPDIR") if name in os.environ}
    try:
        output = os.fdopen(open_own(folder.engine_output, os.O_WRONLY | os.O_APPEND | os.O_CREAT), "ab")
    except OSError as error:
        raise SessionError(f"{folder.engine_output}: cannot write it: {error.strerror}") from None
    with output:
        os.fchmod(output.fileno(), 0o600)
        return subprocess.Popen(
            [sys.executable, "-P", "-m", "pmssm.supervisor.engine", str(folder.logs), folder.stamp],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            env={**settings.environment, **kept},
            start_new_session=True,
        )


def load_own_settings(folder: SessionFolder) -> SessionSettings:
    """Load the settings of a session of ours.

    Raises:
        SessionError: It belongs to another user, or its settings cannot be read.
    """
    _check_files(folder)
    settings = folder.load_settings()
    if settings.owner not in (None, os.getuid()):
        raise SessionError(f"{folder.path}: is the session of {user_name(settings.owner)}; go on with it as that user")
    return settings


def _check_files(folder: SessionFolder) -> None:
    """Raise SessionError unless this user made the session: its commands would run as this user."""
    for path in (folder.path, folder.plan, folder.settings, folder.journal):
        try:
            owner = foreign_owner(path)
        except OSError:  # its reader reports a file that is missing or may not be read
            continue
        if owner is not None:
            raise SessionError(f"{path}: is the session of {owner}; go on with it as that user")


def last_engine_message(folder: SessionFolder) -> str:
    """Return why an engine could not start, from the last line of its output."""
    try:
        lines = folder.engine_output.read_text(errors="replace").strip().splitlines()
    except OSError:
        lines = []
    return f"the engine could not start: {lines[-1] if lines else 'it printed no message'} (see {folder.engine_output})"

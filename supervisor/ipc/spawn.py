"""Start a detached engine."""

from __future__ import annotations

import os
import pwd
import subprocess
import sys

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
        output = folder.engine_output.open("ab")
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
    settings = folder.load_settings()
    if settings.owner not in (None, os.getuid()):
        raise SessionError(f"{folder.path}: is the session of {_user_name(settings.owner)}; go on with it as that user")
    return settings


def _user_name(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"uid {uid}"


def last_engine_message(folder: SessionFolder) -> str:
    """Return why an engine could not start, from the last line of its output."""
    try:
        lines = folder.engine_output.read_text(errors="replace").strip().splitlines()
    except OSError:
        lines = []
    return f"the engine could not start: {lines[-1] if lines else 'it printed no message'} (see {folder.engine_output})"

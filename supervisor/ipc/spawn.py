"""Start a detached engine."""

from __future__ import annotations

import os
import pwd
import subprocess
import sys

from ..session.folder import SessionError, SessionFolder


def spawn_engine(folder: SessionFolder) -> subprocess.Popen[bytes]:
    """A detached engine on the session: its own process session, no terminal, the environment of the beginning.

    `-P`: a random.py or queue.py in the folder where the user happens to be is not for us to import.

    Raises:
        SessionError: the session is another user's, whose runs would then be ours, or cannot be written.
    """
    settings = folder.load_settings()
    if settings.owner not in (None, os.getuid()):
        raise SessionError(f"{folder.path}: is the session of {_user_name(settings.owner)}; go on with it as that user")
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


def _user_name(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"uid {uid}"


def last_engine_message(folder: SessionFolder) -> str:
    try:
        lines = folder.engine_output.read_text(errors="replace").strip().splitlines()
    except OSError:
        lines = []
    return f"the engine could not start: {lines[-1] if lines else 'it said nothing'} (see {folder.engine_output})"

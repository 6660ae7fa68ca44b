"""The session's own log file, one line per decision."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Literal

LogLevel = Literal["info", "warning", "error"]


def log_line(name: str, text: str, level: LogLevel = "info", at: float | None = None) -> str:
    """One line in the format that trainers and supervisor share."""
    moment = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(at))
    return f"{moment} [{level:<9}] {name:<20} | {text}"


class SessionLog:
    """The session's decisions, one line each, in training_<stamp>.log."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def write(self, text: str, level: LogLevel = "info") -> None:
        """Appends a line; a full disk costs the line, never the session."""
        try:
            # Somebody may have put a FIFO there: it must not block us.
            flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NONBLOCK
            descriptor = os.open(self._path, flags, 0o600)
            try:
                os.write(descriptor, (log_line("supervisor", text, level) + "\n").encode("utf-8", "backslashreplace"))
            finally:
                os.close(descriptor)
        except OSError:
            pass

"""The log of the session itself, one line per decision, for people."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Literal

from ..ownership import open_own

LogLevel = Literal["info", "warning", "error"]


def log_line(name: str, text: str, level: LogLevel = "info", at: float | None = None) -> str:
    """Return a line in the format that trainers and supervisor share.

    Args:
        name: The run, or `supervisor`.
        text: The message.
        level: Its level.
        at: Unix time, s; by default now.
    """
    stamp = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(at))
    return f"{stamp} [{level:<9}] {name:<20} | {text}"


class SessionLog:
    """Writer of training_<stamp>.log."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def write(self, text: str, level: LogLevel = "info") -> None:
        """Append a line; on a full disk it is lost."""
        try:
            descriptor = open_own(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
            try:
                os.write(descriptor, (log_line("supervisor", text, level) + "\n").encode("utf-8", "backslashreplace"))
            finally:
                os.close(descriptor)
        except OSError:
            pass

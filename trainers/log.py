"""Log lines, the one interface between a trainer and whoever watches it.

2026-01-22 15:31:00 [info     ] transformer          | Epoch 0100 | Train MSE = 0.123456 | ...
"""

from __future__ import annotations

import logging
import sys

LOGGER = logging.getLogger("pmssm.trainers")


class LineFormatter(logging.Formatter):
    """One line a record: time, level padded to 9, the command's name padded to 20, message."""

    def __init__(self, name: str) -> None:
        super().__init__(datefmt="%Y-%m-%d %H:%M:%S")
        self.name = name

    def formatMessage(self, record: logging.LogRecord) -> str:
        message = "".join(char if char.isprintable() else repr(char)[1:-1] for char in record.message)  # file names
        return f"{record.asctime} [{record.levelname.lower():<9}] {self.name:<20} | {message}"

    def usesTime(self) -> bool:
        return True


class _UpTo(logging.Filter):
    def filter(self, record: logging.LogRecord) -> bool:
        return record.levelno < logging.ERROR


def start_logging(name: str) -> logging.Logger:
    """The trainers' logger, writing as the command `name`: errors to stderr, the rest to stdout, each line flushed."""
    out, err = logging.StreamHandler(sys.stdout), logging.StreamHandler(sys.stderr)
    out.addFilter(_UpTo())
    err.setLevel(logging.ERROR)
    for handler in (out, err):
        handler.setFormatter(LineFormatter(name))
    LOGGER.handlers[:] = [out, err]
    LOGGER.setLevel(logging.INFO)
    LOGGER.propagate = False
    return LOGGER

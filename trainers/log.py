"""Log lines: the interface between a trainer and the supervisor.

2026-01-22 15:31:00 [info     ] transformer          | Epoch 0100 | Train MSE = 0.123456 | ...
"""

from __future__ import annotations

import logging
import sys

LOGGER = logging.getLogger("pmssm.trainers")


class LineFormatter(logging.Formatter):
    """Formatter with one line per record: time, level, name of the command, message.

    The level is padded to 9 characters, the name to 20. Unprintable characters are escaped.

    Args:
        name: Name of the command; also an attribute.
    """

    def __init__(self, name: str) -> None:
        super().__init__(datefmt="%Y-%m-%d %H:%M:%S")
        self.name = name

    def formatMessage(self, record: logging.LogRecord) -> str:
        """Return the line of a record."""
        message = "".join(char if char.isprintable() else repr(char)[1:-1] for char in record.message)  # file names
        return f"{record.asctime} [{record.levelname.lower():<9}] {self.name:<20} | {message}"

    def usesTime(self) -> bool:
        """Return True: each line has a time."""
        return True


class _BelowError(logging.Filter):
    def filter(self, record: logging.LogRecord) -> bool:
        return record.levelno < logging.ERROR


def start_logging(name: str) -> logging.Logger:
    """Configure the logger of the trainers and return it.

    Errors go to stderr, other records to stdout; each line is flushed.

    Args:
        name: Name of the command in each line.
    """
    out, err = logging.StreamHandler(sys.stdout), logging.StreamHandler(sys.stderr)
    out.addFilter(_BelowError())
    err.setLevel(logging.ERROR)
    for handler in (out, err):
        handler.setFormatter(LineFormatter(name))
    LOGGER.handlers[:] = [out, err]
    LOGGER.setLevel(logging.INFO)
    LOGGER.propagate = False
    return LOGGER

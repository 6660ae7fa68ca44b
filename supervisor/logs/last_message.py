"""The last meaningful line in the log of a failed run."""

from __future__ import annotations

import re
from pathlib import Path

from .follower import LogFollower

TAIL_BYTES = 1 << 14  # bytes at the end of a log that are searched
MAX_MESSAGE = 300  # characters

# Trainers and supervisor write time, level and name before a message.
_PREFIX = re.compile(r"\S+ \S+ \[\w+ *\] \S+ +\| ")


def last_message(path: Path, offset: int) -> str | None:
    """Return the last error of an attempt, or else its last line, without time and name; None if it wrote nothing.

    Args:
        path: The log of the run.
        offset: Where the attempt starts in it: its first line is the header, bytes.
    """
    follower = LogFollower.from_tail(path, TAIL_BYTES)
    if follower.offset <= offset:
        follower = LogFollower(path, offset)
        lines = follower.read()[1:]  # without the header
    else:
        lines = follower.read()
    written = [line for line in lines if line.strip()]
    errors = [line for line in written if "[error" in line]
    last = (errors or written)[-1:]
    return _PREFIX.sub("", last[0].strip(), count=1)[:MAX_MESSAGE] if last else None

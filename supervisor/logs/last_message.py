"""The last meaningful line of a run's log."""

from __future__ import annotations

import re
from pathlib import Path

from .follower import LogFollower

TAIL_BYTES = 1 << 14  # bytes at the end of a log in which they are looked for


MAX_MESSAGE = 300  # characters


# What trainers and supervisor put before a message: time, level, name.
_PREFIX = re.compile(r"\S+ \S+ \[\w+ *\] \S+ +\| ")


def last_message(path: Path, offset: int) -> str | None:
    """The last error of an attempt whose header lies at `offset`, or else its last line; without time and name."""
    follower = LogFollower.near_end(path, TAIL_BYTES)
    if follower.offset <= offset:
        follower = LogFollower(path, offset)
        lines = follower.read()[1:]  # without the header
    else:
        lines = follower.read()
    spoken = [line for line in lines if line.strip()]
    errors = [line for line in spoken if "[error" in line]
    words = (errors or spoken)[-1:]
    return _PREFIX.sub("", words[0].strip(), count=1)[:MAX_MESSAGE] if words else None

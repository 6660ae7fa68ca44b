"""`pmssm-supervise logs`: a log on standard output, sanitized, from its beginning or followed."""

from __future__ import annotations

import difflib
import math
import time
from collections import deque
from collections.abc import Callable
from pathlib import Path

from ..logs.follower import LogFollower
from ..session.folder import SessionError, SessionFolder
from ..session.lookup import find_session
from .printing import warn_of_incomplete_session

POLL_S = 0.2


def print_log(
    logs: Path, run: str | None, *, stamp: str | None, follow: bool, last: int | None, write: Callable[[str], None]
) -> None:
    """Print the log of a run, or the session's own log.

    Args:
        logs: The logs folder.
        run: The run; None for the session's own log.
        stamp: The session; None for the current one.
        follow: Whether to wait for new lines, without end.
        last: Print only so many lines of those that are there; None for all.
        write: Receives the text.

    Raises:
        SessionError: There is no session, no such run, or no log yet.
    """
    warn_of_incomplete_session(logs)
    folder = find_session(logs, stamp)
    if folder is None:
        raise SessionError(f"{logs}: no session here; start one with `pmssm-supervise`, or name its folder with --logs")
    path = log_path(folder, run)
    if not path.exists() and not follow:
        raise SessionError(f"{path}: does not exist yet: {run} has not started; `logs {run} -f` waits for it")
    follower = LogFollower(path, max_backlog=math.inf)
    if last is not None:
        kept: deque[str] = deque(maxlen=last)
        offset = -1
        while follower.offset != offset:  # a read may return no line: a line can be longer than a read
            offset = follower.offset
            kept.extend(follower.read())
        _write_lines(list(kept), write)
    while True:
        offset = follower.offset
        _write_lines(follower.read(), write)
        if follower.offset == offset:
            if not follow:
                return
            time.sleep(POLL_S)


def log_path(folder: SessionFolder, run: str | None) -> Path:
    """Return the log file of a run, or of the session for None.

    Raises:
        SessionError: There is no such run.
    """
    if run is None:
        return folder.log
    runs = folder.load_plan().runs
    if run not in runs:
        near = difflib.get_close_matches(run, runs, n=1)
        hint = f"did you mean '{near[0]}'?" if near else f"runs are {', '.join(runs)}"
        raise SessionError(f"no run named '{run}'; {hint}")
    return folder.run_log(run)


def _write_lines(lines: list[str], write: Callable[[str], None]) -> None:
    if lines:
        write("\n".join(lines))

"""`pmssm-supervise logs`: a log on standard output, cleaned, from its beginning or followed."""

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

POLL_S = 0.2


def print_log(
    logs: Path, run: str | None, *, stamp: str | None, follow: bool, last: int | None, write: Callable[[str], None]
) -> None:
    """Writes the log of `run`, or the session's own: of the session with that `stamp`, or the current one.

    With `follow` it never returns.

    Raises:
        SessionError: no session, no such run, or no log yet.
    """
    folder = find_session(logs, stamp)
    if folder is None:
        raise SessionError(f"{logs}: no session here; start one with `pmssm-supervise`, or name its folder with --logs")
    path = log_path(folder, run)
    if not path.exists() and not follow:
        raise SessionError(f"{path}: not there yet: {run} has not started; `logs {run} -f` waits for it")
    follower = LogFollower(path, max_backlog=math.inf)
    if last is not None:
        kept: deque[str] = deque(maxlen=last)
        offset = -1
        while follower.offset != offset:  # not until there are no lines: one may be longer than a read
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
    """The log file of a run, or of the session for None.

    Raises:
        SessionError: no such run.
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

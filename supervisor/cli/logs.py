"""`pmssm-supervise logs`: a log on standard output, sanitized, from its beginning or followed."""

from __future__ import annotations

import difflib
import math
import time
from collections import deque
from collections.abc import Callable, Iterator
from pathlib import Path

from ..logs.follower import LogFollower
from ..logs.log_file import LogFile
from ..session.folder import SessionError, SessionFolder
from ..session.lookup import find_session, replay_session
from .output import warn_of_incomplete_session

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
        SessionError: There is no session, no such run, no log yet, or no log any more.
    """
    warn_of_incomplete_session(logs)
    folder = find_session(logs, stamp)
    if folder is None:
        raise SessionError(f"{logs}: no session here; start one with `pmssm-supervise`, or name its folder with --logs")
    path = log_path(folder, run)
    if not path.exists():
        _check_absence(folder, run, path, follow=follow)
    log = LogFile(path)
    start = 0 if last is None else log.last_lines_start(last)
    end = log.state()[1]  # a program may write faster than we print
    follower = LogFollower(path, start, max_backlog=math.inf)
    if last is not None:
        _write_lines(list(deque(_existing_lines(follower, end), maxlen=last)), write)
    while follow or follower.offset < end:
        offset = follower.offset
        _write_lines(follower.read(), write)
        if follower.offset == offset:
            if not follow:
                return
            time.sleep(POLL_S)


def _existing_lines(follower: LogFollower, end: int) -> Iterator[str]:
    """Yield the lines up to the offset `end`, and a few more if the log has grown meanwhile."""
    offset = -1
    while offset != follower.offset < end:  # a read may return no line: a line can be longer than a read
        offset = follower.offset
        yield from follower.read()


def _check_absence(folder: SessionFolder, run: str | None, path: Path, *, follow: bool) -> None:
    """Raise SessionError for a log that is absent, unless the user wants to wait for its first line."""
    attempts = replay_session(folder)[1].runs[run].attempts if run is not None else ()
    if attempts and attempts[-1].node is not None:
        if follow:
            return
        raise SessionError(f"{path}: is not visible here yet: {attempts[-1].node} writes it; try again in a minute")
    if run is None or any(attempt.pid is not None for attempt in attempts):
        raise SessionError(f"{path}: was moved or deleted; put it back to read it here")
    if not follow:
        raise SessionError(f"{path}: does not exist yet: {run} has not started; `logs {run} -f` waits for it")


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

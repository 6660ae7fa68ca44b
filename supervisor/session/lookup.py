"""A session as its files tell it, when no engine lives to be asked."""

from __future__ import annotations

import asyncio
import difflib
import time
from pathlib import Path

from ..formatting import tally
from ..logs.progress import READS_PER_UPDATE, ProgressTracker, first_offset
from ..plan.schema import Plan
from .folder import SessionError, SessionFolder, folder_size, list_sessions
from .journal import JournalError, is_closed, read_journal
from .snapshot import Snapshot
from .snapshot_builder import Observation, Painter
from .state import SessionState, replay, run_states


def is_finished(folder: SessionFolder) -> bool:
    """Whether nothing of the session runs, or will start by itself.

    Raises:
        SessionError, JournalError: the session's files are missing or damaged.
    """
    return _replayed(folder)[1].finished


def _replayed(folder: SessionFolder) -> tuple[Plan, SessionState]:
    plan = folder.load_plan()
    return plan, replay(plan, read_journal(folder.journal))


def current_session(logs: Path) -> SessionFolder | None:
    """The session that clients mean: the newest, or an earlier one that somebody goes on with."""
    sessions = list_sessions(logs)
    if sessions and is_closed(sessions[-1].journal):
        return next(filter(_goes_on, sessions[:-1]), sessions[-1])
    return sessions[-1] if sessions else None


def _goes_on(folder: SessionFolder) -> bool:
    try:
        return not is_closed(folder.journal) and not is_finished(folder)
    except (SessionError, JournalError):
        return False


def named_session(logs: Path, stamp: str) -> SessionFolder:
    """The session with that stamp.

    Raises:
        SessionError: there is none.
    """
    stamps = [folder.stamp for folder in list_sessions(logs)]
    if stamp not in stamps:
        near = difflib.get_close_matches(stamp, stamps, n=1, cutoff=0.0)
        hint = f"did you mean {near[0]}? `pmssm-supervise sessions` lists them" if near else "there is none at all"
        raise SessionError(f"{logs}: no session {stamp!r}; {hint}")
    return SessionFolder(logs, stamp)


def find_session(logs: Path, stamp: str | None) -> SessionFolder | None:
    """The session with that stamp, or the current one for None.

    Raises:
        SessionError: there is none with that stamp.
    """
    return current_session(logs) if stamp is None else named_session(logs, stamp)


def session_rows(logs: Path) -> list[list[str]]:
    """Stamp, name, state, result and size of each session of a logs folder, oldest first."""
    return [_session_row(folder) for folder in list_sessions(logs)]


def _session_row(folder: SessionFolder) -> list[str]:
    size = f"{folder_size(folder.path) / 2**20:.1f} MiB"
    try:
        plan, state = _replayed(folder)
    except (SessionError, JournalError) as error:
        return [folder.stamp, "", "damaged", str(error), size]
    result = tally(run_states(plan, state).values())
    return [folder.stamp, plan.session.name, "finished" if state.finished else "running", result, size]


async def recorded_snapshot(folder: SessionFolder) -> Snapshot:
    """The last picture of a finished session. Reads logs piece by piece, so that others have their turn.

    Raises:
        SessionError, JournalError: the session's files are missing or damaged.
    """
    plan, state = await asyncio.to_thread(_replayed, folder)
    now = time.time()
    observations: dict[str, Observation] = {}
    for name, run in plan.runs.items():
        tracker = ProgressTracker(run.progress, folder.run_log(name), first_offset(state.runs[name].attempts))
        for _ in range(READS_PER_UPDATE):
            tracker.update(now, budget_s=0)
            await asyncio.sleep(0)
        observations[name] = Observation(tracker.values)
    return Painter(plan, folder).snapshot(state, observations.__getitem__, now=now, reading=None, engine_pid=None)

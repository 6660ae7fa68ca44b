"""A session as its files tell it, when no engine lives to be asked."""

from __future__ import annotations

import difflib
from pathlib import Path

from ..plan.schema import Plan
from .folder import SessionError, SessionFolder, list_sessions
from .journal import JournalError, is_closed, read_journal
from .state import SessionState, replay


def is_finished(folder: SessionFolder) -> bool:
    """Whether nothing of the session runs, or will start by itself.

    Raises:
        SessionError, JournalError: the session's files are missing or damaged.
    """
    return replay_session(folder)[1].finished


def replay_session(folder: SessionFolder) -> tuple[Plan, SessionState]:
    plan = folder.load_plan()
    return plan, replay(plan, read_journal(folder.journal))


def current_session(logs: Path) -> SessionFolder | None:
    """The session that clients mean: the newest, or an earlier one that somebody goes on with."""
    sessions = list_sessions(logs)
    if sessions and is_closed(sessions[-1].journal):
        return next(filter(_is_unfinished, sessions[:-1]), sessions[-1])
    return sessions[-1] if sessions else None


def _is_unfinished(folder: SessionFolder) -> bool:
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

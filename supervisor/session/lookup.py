"""Lookup of the session that a client means, and its state, from files alone."""

from __future__ import annotations

import difflib
from pathlib import Path

from ..plan.schema import Plan
from .folder import SessionError, SessionFolder, latest_session, list_sessions
from .journal import JournalError, is_closed, read_journal
from .reducer import replay
from .state import SessionState


def is_finished(folder: SessionFolder) -> bool:
    """Return whether nothing of the session is alive or will start on its own.

    Raises:
        SessionError: The plan is missing or damaged.
        JournalError: The journal is damaged.
    """
    return replay_session(folder)[1].finished


def replay_session(folder: SessionFolder) -> tuple[Plan, SessionState]:
    """Read plan and state of a session from its files.

    Raises:
        SessionError: The plan is missing or damaged.
        JournalError: The journal is damaged.
    """
    plan = folder.load_plan()
    return plan, load_state(folder, plan)


def load_state(folder: SessionFolder, plan: Plan) -> SessionState:
    """Return the state of a session after all events of its journal.

    Raises:
        JournalError: The journal is damaged, or belongs to another plan.
    """
    try:
        return replay(plan, read_journal(folder.journal))
    except LookupError:
        raise JournalError(f"{folder.journal}: is not the journal of {folder.plan.name}; {folder.remedy}") from None


def current_session(logs: Path) -> SessionFolder | None:
    """Return the session that clients mean: the newest, or an earlier one that was resumed; None if there is none.

    Folders in which no session was started are passed over.
    """
    sessions = [folder for folder in list_sessions(logs) if not folder.is_incomplete]
    if sessions and is_closed(sessions[-1].journal):
        return next(filter(_is_unfinished, sessions[:-1]), sessions[-1])
    return sessions[-1] if sessions else None


def newest_incomplete(logs: Path) -> SessionFolder | None:
    """Return the newest folder of a session if no session was started in it."""
    newest = latest_session(logs)
    return newest if newest is not None and newest.is_incomplete else None


def _is_unfinished(folder: SessionFolder) -> bool:
    try:
        return not is_closed(folder.journal) and not is_finished(folder)
    except (SessionError, JournalError):
        return False


def named_session(logs: Path, stamp: str) -> SessionFolder:
    """Return the session with that stamp.

    Raises:
        SessionError: There is none.
    """
    stamps = [folder.stamp for folder in list_sessions(logs)]
    if stamp not in stamps:
        near = difflib.get_close_matches(stamp, stamps, n=1, cutoff=0.0)
        hint = f"did you mean {near[0]}? `pmssm-supervise sessions` lists them" if near else "there are no sessions"
        raise SessionError(f"{logs}: no session {stamp!r}; {hint}")
    return SessionFolder(logs, stamp)


def find_session(logs: Path, stamp: str | None) -> SessionFolder | None:
    """Return the session with that stamp, or the current one for None.

    Raises:
        SessionError: There is none with that stamp.
    """
    return current_session(logs) if stamp is None else named_session(logs, stamp)

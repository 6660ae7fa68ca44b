"""A session as its files tell it, when no engine lives to be asked."""

from __future__ import annotations

import time
from pathlib import Path

from .journal import JournalError, read_journal
from .progress import ProgressTracker
from .sessions import SessionError, SessionFolder, folder_size, list_sessions
from .snapshot import Observation, Snapshot, run_view
from .state import replay, run_states
from .tables import tally


def is_finished(folder: SessionFolder) -> bool:
    """Whether nothing of the session runs, or will start by itself.

    Raises:
        SessionError, JournalError: the session's files are missing or damaged.
    """
    return replay(folder.load_plan(), read_journal(folder.journal)).finished


def session_rows(logs: Path) -> list[list[str]]:
    """Stamp, name, state, result and size of each session of a logs folder, oldest first."""
    return [_session_row(folder) for folder in list_sessions(logs)]


def _session_row(folder: SessionFolder) -> list[str]:
    size = f"{folder_size(folder.path) / 2**20:.1f} MiB"
    try:
        plan = folder.load_plan()
        state = replay(plan, read_journal(folder.journal))
    except (SessionError, JournalError) as error:
        return [folder.stamp, "", "damaged", str(error), size]
    result = tally(run_states(plan, state).values())
    return [folder.stamp, plan.session.name, "finished" if state.finished else "running", result, size]


def recorded_snapshot(folder: SessionFolder) -> Snapshot:
    """The last picture of a finished session.

    Raises:
        SessionError, JournalError: the session's files are missing or damaged.
    """
    plan = folder.load_plan()
    state = replay(plan, read_journal(folder.journal))
    states = run_states(plan, state)
    now = time.time()
    runs = {}
    for name, run in state.runs.items():
        log = folder.run_log(name)
        tracker = ProgressTracker(plan.runs[name].progress, log, run.last.log_offset if run.last else 0)
        tracker.update(now)
        seen = Observation(tracker.values)
        runs[name] = run_view(name, plan, state, states, log=log, seen=seen, reading=None)
    return Snapshot(
        session=folder.stamp,
        name=plan.session.name,
        state="finished" if state.finished else "running",
        mode=state.mode,
        logs=str(folder.logs),
        folder=str(folder.path),
        engine_pid=None,
        taken_at=now,
        started=state.started,
        ended=state.ended,
        notes=state.notes,
        runs=runs,
        gpu_error="no engine runs, so nobody asks NVML",
    )

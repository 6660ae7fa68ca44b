"""Snapshot and table row of a session from its files alone, without an engine."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

from ..formatting import state_counts
from ..logs.progress import READS_PER_UPDATE, ProgressTracker
from .folder import SessionError, SessionFolder, folder_size, list_sessions
from .journal import JournalError
from .lookup import replay_session
from .observation import Observation
from .snapshot import Snapshot
from .snapshot_builder import SnapshotBuilder
from .state import progress_start_offset, run_states


def session_table(logs: Path) -> list[list[str]]:
    """Return stamp, name, state, result and size of each session of a logs folder, oldest first."""
    return [_session_row(folder) for folder in list_sessions(logs)]


def _session_row(folder: SessionFolder) -> list[str]:
    size = f"{folder_size(folder.path) / 2**20:.1f} MiB"
    try:
        plan, state = replay_session(folder)
    except (SessionError, JournalError) as error:
        return [folder.stamp, "", "damaged", str(error), size]
    result = state_counts(run_states(plan, state).values())
    return [folder.stamp, plan.session.name, "finished" if state.finished else "running", result, size]


async def snapshot_from_files(folder: SessionFolder) -> Snapshot:
    """Return the last snapshot of a session without an engine.

    Logs are read in pieces, so that other tasks of the event loop run in between.

    Raises:
        SessionError: The plan is missing or damaged.
        JournalError: The journal is damaged.
    """
    plan, state = await asyncio.to_thread(replay_session, folder)
    now = time.time()
    observations: dict[str, Observation] = {}
    for name, run in plan.runs.items():
        tracker = ProgressTracker(run.progress, folder.run_log(name), progress_start_offset(state.runs[name].attempts))
        for _ in range(READS_PER_UPDATE):
            tracker.update(now, budget_s=0)
            await asyncio.sleep(0)
        observations[name] = Observation(tracker.values)
    return SnapshotBuilder(plan, folder).snapshot(
        state, observations.__getitem__, now=now, reading=None, engine_pid=None
    )

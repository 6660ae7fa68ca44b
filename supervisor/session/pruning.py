"""Deletion of the checkpoints of old rounds, as `keep` of the plan allows."""

from __future__ import annotations

from collections.abc import Mapping

from ..plan.schema import Plan
from .folder import SessionFolder
from .state import RunState

PATTERN = "checkpoint*"
"""Files of a run's folder that count as checkpoints."""


def prunable_runs(plan: Plan, states: Mapping[str, RunState], ended: str) -> list[str]:
    """Return the older rounds of a run that need their checkpoints no longer. Pure.

    Args:
        plan: Plan of the session.
        states: State of each run.
        ended: Run of a round that has just ended.

    Returns:
        Runs of the same line that have succeeded, at least as many rounds before `ended` as `keep` says.
    """
    run = plan.runs[ended]
    if run.kept_rounds is None or run.round is None or states[ended] is not RunState.SUCCEEDED:
        return []
    newest = run.round - run.kept_rounds
    return [
        name
        for name, other in plan.runs.items()
        if other.line == run.line and (other.round or 0) <= newest and states[name] is RunState.SUCCEEDED
    ]


def delete_checkpoints(folder: SessionFolder, run: str) -> int:
    """Delete the checkpoints in the folder of a run, and return how many there were.

    Raises:
        OSError: A file could not be deleted.
    """
    files = [path for path in folder.run_folder(run).glob(PATTERN) if path.is_file() and not path.is_symlink()]
    for path in files:
        path.unlink(missing_ok=True)
    return len(files)

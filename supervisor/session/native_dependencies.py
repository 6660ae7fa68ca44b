"""Runs whose jobs wait in Slurm's queue for other jobs, instead of waiting here for the ends of other runs. Pure.

Such a job is submitted as soon as the jobs before it are. Slurm starts it after their success (`afterok`), even while
no engine lives. If one of them does not succeed, the attempt never starts and the run waits again, as any other.
"""

from __future__ import annotations

from collections.abc import Mapping

from ..plan.schema import Plan
from .state import DONE, Attempt, Run, RunState

AttemptNumbers = tuple[tuple[str, int], ...]
"""Attempts, each as the name of its run and its number."""


def has_native_dependencies(plan: Plan, name: str) -> bool:
    """Return whether Slurm itself can keep all dependencies of a run.

    It cannot for runs of this machine, for `after_end`, and where an exit code other than 0 counts as success
    (`stop_when`), in which case later rounds are skipped. Of a job that runs share, it only sees the end of all.
    """
    run = plan.runs[name]
    if not plan.session.native_dependencies or run.is_local or not run.after or run.after_end:
        return False
    if run.round is not None and plan.chain_enders:
        return False
    others = [plan.runs[other] for other in run.after]
    return all(other.launcher == run.launcher and other.bundle == 1 and not other.stop_when for other in others)


def can_be_followed(run: Run) -> bool:
    """Return whether the newest attempt of a run has a job that may still succeed."""
    last = run.last
    return last is not None and last.job_id is not None and last.exit is None and last.stop is None


def attempts_to_follow(
    plan: Plan, runs: Mapping[str, Run], states: Mapping[str, RunState], name: str
) -> AttemptNumbers:
    """Return the attempts behind which a run is submitted whose dependencies have succeeded or can be followed."""
    others = ((other, runs[other].last) for other in plan.runs[name].after if states[other] not in DONE)
    return tuple((other, last.number) for other, last in others if last is not None)


def is_to_be_withdrawn(runs: Mapping[str, Run], attempt: Attempt) -> bool:
    """Return whether an attempt in the queue waits for one that has ended without success.

    This takes the view of Slurm: an attempt that was told to stop and counts as a success all the same has not
    succeeded there.
    """
    if not attempt.is_pending or attempt.stop is not None:
        return False
    followed = (runs[name].attempts[number - 1] for name, number in attempt.follows)
    return any(other.exit is not None and not other.has_exited_cleanly for other in followed)

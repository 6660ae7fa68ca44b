"""The states of runs, and why they wait, as they follow from the plan and the recorded events. Pure."""

from __future__ import annotations

from collections.abc import Mapping

from ..plan.schema import Plan, RunPlan
from .chains import chain_ends, skipped_because_of
from .state import DONE, ENDED_BADLY, SETTLED, Run, RunState, SessionState


def run_states(plan: Plan, state: SessionState) -> dict[str, RunState]:
    """Return the state of every run.

    The dependencies of a run that has not started decide between `waiting`, `blocked` and `queued`. It is `skipped` if
    its chain has ended in a round before.
    """
    states: dict[str, RunState] = {}
    ends = chain_ends(plan, state.runs)
    for name in plan.dependencies_first:
        run = state.runs[name]
        if not run.alive and (run.wants_start or _is_outdated(plan.runs[name], state, run)):
            if ends and skipped_because_of(plan.runs[name], plan, ends) is not None:
                states[name] = RunState.SKIPPED
                continue
            states[name] = _unstarted_state(plan.runs[name], states)
        else:
            states[name] = run.attempt_state
    return {name: states[name] for name in plan.runs}


def _is_outdated(plan: RunPlan, state: SessionState, run: Run) -> bool:
    """Return whether a run with `rerun` must run again, because one in its `after_end` started after it."""
    if not plan.rerun or run.last is None or run.stopped_by_user:
        return False
    others = [state.runs[dependency].last for dependency in plan.after_end]
    return any(other is not None and other.order > run.last.order for other in others)


def _unstarted_state(plan: RunPlan, states: Mapping[str, RunState]) -> RunState:
    if not (plan.after or plan.after_end):
        return RunState.QUEUED
    if any(states[dependency] in ENDED_BADLY for dependency in plan.after):
        return RunState.BLOCKED
    return RunState.WAITING if unfinished_dependencies(plan, states) else RunState.QUEUED


def unfinished_dependencies(plan: RunPlan, states: Mapping[str, RunState]) -> list[str]:
    """Return the runs that must still succeed, or end, before this one may start."""
    unsuccessful = [dependency for dependency in plan.after if states[dependency] not in DONE]
    return unsuccessful + [dependency for dependency in plan.after_end if states[dependency] not in SETTLED]


def is_continued(plan: Plan, state: SessionState, name: str) -> bool:
    """Return whether a new attempt of an interrupted run is due, which is still to be recorded."""
    run = state.runs[name]
    if not run.is_interrupted or run.wants_start or run.stopped_by_user:
        return False
    return run.continuations < plan.continuations(name)


def blockers(plan: Plan, states: Mapping[str, RunState], name: str) -> tuple[str, ...]:
    """Return the runs that `name` is blocked by in the end: those that failed, were stopped or lost."""
    roots: list[str] = []
    seen: set[str] = set()
    to_visit = list(reversed(plan.runs[name].after))
    while to_visit:
        dependency = to_visit.pop()
        if dependency in seen:
            continue
        seen.add(dependency)
        if states[dependency] is RunState.BLOCKED:
            to_visit += reversed(plan.runs[dependency].after)
        elif states[dependency] in ENDED_BADLY:
            roots.append(dependency)
    return tuple(roots)

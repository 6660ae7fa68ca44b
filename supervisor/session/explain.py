"""Explanations for people: why a run is in its state, how it ended. Pure."""

from __future__ import annotations

import signal
import time
from collections.abc import Mapping

from ..formatting import ordinal
from ..gpus.slots import Slot
from ..logs.sanitize import sanitize_line
from ..plan.schema import Plan, RunPlan
from .chains import chain_ends, skipped_because_of
from .events import RetryScheduled
from .observation import Observation
from .run_states import blockers, unfinished_dependencies
from .state import Run, RunState, SessionState

INTERRUPTED = "interrupted: "


def explain_state(name: str, plan: Plan, state: SessionState, states: Mapping[str, RunState]) -> str:
    """Return why a run is in its state, in words; "" if the state needs no explanation."""
    run = state.runs[name]
    match states[name]:
        case RunState.WAITING:
            return f"waits for {', '.join(unfinished_dependencies(plan.runs[name], states))}"
        case RunState.BLOCKED:
            roots = blockers(plan, states, name)
            return "blocked by " + ", ".join(
                f"{root} ({describe_exit(state.runs[root], with_message=False)})" for root in roots
            )
        case RunState.QUEUED:
            return _explain_queued(run, plan.runs[name], state.slots)
        case RunState.PENDING | RunState.RUNNING:
            return job_number(run) if run.continuations else ""
        case RunState.STOPPING:
            return "stopping; starts again afterwards" if run.wants_start else "stopping"
        case RunState.SKIPPED:
            return explain_skipped(plan.runs[name], plan, state)
        case RunState.FAILED | RunState.LOST | RunState.STOPPED:
            used_up = f"; {run.continuations} continuations are used up" if run.is_interrupted else ""
            return describe_exit(run) + used_up
        case _:
            return ""


def explain_skipped(run: RunPlan, plan: Plan, state: SessionState) -> str:
    """Return which run ended the chain of a skipped run, and how."""
    ender = skipped_because_of(run, plan, chain_ends(plan, state.runs))
    if ender is None:
        return ""
    last = state.runs[ender].last
    code = "" if last is None or last.exit is None else f" with exit code {last.exit.exit_code}"
    return f"its chain ended in round {plan.runs[ender].round}: {ender} exited{code}"


def _explain_queued(run: Run, plan: RunPlan, slots: tuple[Slot, ...] | None) -> str:
    due = "" if run.retry is None else time.strftime("%H:%M:%S", time.localtime(run.retry.at + run.retry.delay_s))
    if isinstance(run.retry, RetryScheduled):
        return f"{describe_exit(run)}; retry {run.retries} of {plan.retries} not before {due}"
    if run.is_interrupted:
        return f"{describe_exit(run)}; {job_number(run)} follows" + (f" not before {due}" if due else "")
    return _missing_resource(plan, slots)


def job_number(run: Run) -> str:
    """Return which job of a run the present one is, or, without one, the next."""
    return f"{ordinal(len(run.attempts) + (0 if run.alive else 1))} job of this run"


def explain_queue(observation: Observation, job: str) -> str:
    """Return why a pending run has not started: the batch system's reason, the expected start, and which job it is."""
    start = observation.expected_start
    parts = (observation.waits_because, "" if start is None else f"start expected {_moment(start)}", job)
    return "; ".join(filter(None, parts))


def _moment(at: float) -> str:
    """Return a local time: `14:02`, and for another day `28 Nov 14:02`."""
    moment = time.localtime(at)
    is_today = moment[:3] == time.localtime()[:3]
    return time.strftime("%H:%M" if is_today else "%-d %b %H:%M", moment)


def _missing_resource(plan: RunPlan, slots: tuple[Slot, ...] | None) -> str:
    """Return what a queued run waits for; "" if nothing."""
    if not plan.is_local:
        return "waits until fewer jobs are submitted (--max-jobs)"
    if not plan.takes_slot:
        return ""
    if not slots:
        return "waits for NVML"
    if plan.gpu_memory_mib is not None and any(slot.shared_mib is not None for slot in slots):
        return f"waits for {plan.gpu_memory_mib} MiB on a GPU"
    return "waits for a free slot"


def describe_exit(run: Run, *, with_message: bool = True) -> str:
    """Return how the latest attempt ended: `exit code 1`, `SIGSEGV`, or why it could not start.

    Args:
        run: The run.
        with_message: Whether to add the last message of its log.
    """
    last = run.last
    if last is None or last.exit is None:
        return "stopped before it started"
    if last.exit.error is not None:
        # It contains the name of the command, or what a batch system reports.
        error = sanitize_line(last.exit.error.encode("utf-8", "replace"))
        return f"{INTERRUPTED}{error}" if run.is_interrupted else error
    if last.exit.exit_code is not None:
        ending = f"exit code {last.exit.exit_code}"
    elif last.exit.signal is not None:
        ending = signal_name(last.exit.signal)
    else:
        return last.exit.unseen or "exit status unknown: its shim was killed"
    if run.attempt_state is RunState.STOPPED:
        return f"stopped, {ending}"
    if run.is_interrupted:
        return f"{INTERRUPTED}{ending}"
    return f"{ending}: {last.exit.last_words}" if with_message and last.exit.last_words else ending


def signal_name(number: int) -> str:
    """Return `SIGKILL` for 9, and `signal 77` for a number without a name."""
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"

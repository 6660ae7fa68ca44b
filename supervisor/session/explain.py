"""Explanations for people: why a run is in its state, how it ended. Pure."""

from __future__ import annotations

import signal
import time
from collections.abc import Mapping

from ..gpus.slots import Slot
from ..logs.sanitize import sanitize_line
from ..plan.schema import Plan, RunPlan
from .state import Run, RunState, SessionState, blockers, unfinished_dependencies


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
            if run.retry is not None:
                due = time.strftime("%H:%M:%S", time.localtime(run.retry.at + run.retry.delay_s))
                return f"{describe_exit(run)}; retry {run.retries} of {plan.runs[name].retries} not before {due}"
            return _missing_resource(plan.runs[name], state.slots)
        case RunState.STOPPING:
            return "stopping; starts again afterwards" if run.wants_start else "stopping"
        case RunState.FAILED | RunState.LOST | RunState.STOPPED:
            return describe_exit(run)
        case _:
            return ""


def _missing_resource(plan: RunPlan, slots: tuple[Slot, ...] | None) -> str:
    """Return what a queued run waits for; "" if nothing."""
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
        return sanitize_line(last.exit.error.encode("utf-8", "replace"))  # it contains the name of the command
    if last.exit.exit_code is not None:
        ending = f"exit code {last.exit.exit_code}"
    elif last.exit.signal is not None:
        ending = signal_name(last.exit.signal)
    else:
        return last.exit.unseen or "exit status unknown: its shim was killed"
    if run.attempt_state is RunState.STOPPED:
        return f"stopped, {ending}"
    return f"{ending}: {last.exit.last_words}" if with_message and last.exit.last_words else ending


def signal_name(number: int) -> str:
    """Return `SIGKILL` for 9, and `signal 77` for a number without a name."""
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"

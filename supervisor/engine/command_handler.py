"""Turn a client's command into events and a reply. Pure."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import dataclass

from ..ipc.messages import Command, Down, Reply, Restart, Start, Stop
from ..plan.schema import Plan
from ..session.events import RestartRequested, RunEvent, StopRequested
from ..session.run_states import blockers, run_states, unfinished_dependencies
from ..session.state import ALIVE, ENDED, RunState, SessionState


@dataclass(frozen=True)
class CommandResult:
    """The reply to a command, and the events to record."""

    reply: Reply
    events: tuple[RunEvent, ...] = ()


def handle_command(plan: Plan, state: SessionState, command: Command, now: float) -> CommandResult:
    """Return the reply to a command and the events that execute it.

    Args:
        plan: Plan of the session.
        state: The session now.
        command: The client's command.
        now: Unix time, in seconds; the time of the events.
    """
    states = run_states(plan, state)
    if isinstance(command, Down):
        return _down(plan, state, states, now)
    if command.run not in plan.runs:
        near = difflib.get_close_matches(command.run, plan.runs, n=1)
        hint = f"did you mean '{near[0]}'?" if near else f"runs are {', '.join(plan.runs)}"
        return _rejection(f"no run named {command.run!r}; {hint}")
    if isinstance(command, Stop):
        return _stop(plan, states, command, now, starts_again=state.runs[command.run].wants_start)
    if isinstance(command, Start):
        return _start(plan, states, command.run, now, retrying=state.runs[command.run].retry is not None)
    return _restart(plan, states, command, now)


def _rejection(message: str) -> CommandResult:
    return CommandResult(Reply(ok=False, message=message))


def _stop(
    plan: Plan, states: Mapping[str, RunState], command: Stop, now: float, *, starts_again: bool
) -> CommandResult:
    run, state = command.run, states[command.run]
    event = StopRequested(at=now, run=run, how=command.how)
    if state is RunState.PENDING:
        return CommandResult(Reply(ok=True, message=f"{run}: its job is cancelled"), (event,))
    if state in ALIVE:
        if command.how == "kill":
            return CommandResult(Reply(ok=True, message=f"{run}: SIGKILL sent"), (event,))
        if state is RunState.STOPPING:
            effect = "will not start again" if starts_again else "is stopping already; `kill` ends it at once"
            return CommandResult(Reply(ok=True, message=f"{run}: {effect}"), (event,) if starts_again else ())
        grace = f"{plan.runs[run].stop_grace_s:g} s"
        purpose = "write its checkpoint" if plan.runs[run].can_resume else "end"
        return CommandResult(
            Reply(ok=True, message=f"{run}: SIGTERM sent; it has {grace} to {purpose}, then SIGKILL"), (event,)
        )
    if state in (RunState.WAITING, RunState.BLOCKED, RunState.QUEUED):
        return CommandResult(Reply(ok=True, message=f"{run}: will not start; `restart` undoes this"), (event,))
    return _rejection(f"{run}: is not running ({state})")


def _start(plan: Plan, states: Mapping[str, RunState], run: str, now: float, *, retrying: bool) -> CommandResult:
    state = states[run]
    if state is RunState.STOPPING:
        return _rejection(f"{run}: is stopping; `restart` starts it again as soon as it has ended")
    if state in (RunState.PENDING, RunState.RUNNING) or (state is RunState.QUEUED and not retrying):
        return _rejection(f"{run}: is {state} already")
    return _restart(plan, states, Restart(run=run), now)


def _restart(plan: Plan, states: Mapping[str, RunState], command: Restart, now: float) -> CommandResult:
    run, state = command.run, states[command.run]
    if command.fresh and not plan.runs[run].fresh_args:
        return _rejection(f"{run}: the plan gives it no fresh_args, so it cannot start from the beginning")
    event = RestartRequested(at=now, run=run, fresh=command.fresh)
    checkpoint = " from its checkpoint, if it has one" if plan.runs[run].can_resume else ""
    origin = " from the beginning" if command.fresh else checkpoint
    if state is RunState.PENDING:
        message = f"{run}: its job is cancelled; after that it starts again{origin}"
    elif state in ALIVE:
        message = f"{run}: SIGTERM sent; once it has ended it starts again{origin}"
    elif state is RunState.SKIPPED:
        return _rejection(f"{run}: is skipped, because its chain has ended; restart the run that ended it")
    elif state is RunState.BLOCKED:
        return _rejection(f"{run}: is blocked by {', '.join(blockers(plan, states, run))}; restart that first")
    elif missing := unfinished_dependencies(plan.runs[run], states):
        done = "succeeded" if set(missing) <= set(plan.runs[run].after) else "ended"
        message = f"{run}: starts once {', '.join(missing)} {done}{',' if origin else ''}{origin}"
    else:
        message = f"{run}: starts again{origin}"
    return CommandResult(Reply(ok=True, message=message), (event,))


def _down(plan: Plan, state: SessionState, states: Mapping[str, RunState], now: float) -> CommandResult:
    unfinished = [run for run, run_state in states.items() if run_state not in ENDED]
    to_stop = [run for run in unfinished if states[run] is not RunState.STOPPING or state.runs[run].wants_start]
    events = tuple(StopRequested(at=now, run=run, how="stop") for run in to_stop)
    alive = [run for run in unfinished if states[run] in ALIVE]
    if not alive:
        return CommandResult(Reply(ok=True, message="nothing was running; the session ends"), events)
    pending = [run for run in alive if states[run] is RunState.PENDING]
    alive = [run for run in alive if run not in pending]
    jobs = f"jobs of {', '.join(pending)} cancelled; " if pending else ""
    if not alive:
        return CommandResult(Reply(ok=True, message=f"{jobs}then the session ends"), events)
    grace = max(plan.runs[run].stop_grace_s for run in alive)
    purpose = "for checkpoints" if any(plan.runs[run].can_resume for run in alive) else "to end"
    message = f"SIGTERM sent to {', '.join(alive)}; up to {grace:g} s {purpose}, then the session ends"
    return CommandResult(Reply(ok=True, message=jobs + message), events)

"""Which call to Slurm comes next. Pure.

Ends are seen in the shared folder, so Slurm need not be asked often: it explains why a job waits, and what has become
of one that writes nothing more.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from .call_budget import POLL_S, CallBudget, CallKind


@dataclass(frozen=True)
class Pace:
    """How often Slurm is asked for the states of all jobs.

    Attributes:
        urgent_s: Between two questions whose answer decides about an attempt.
        waiting_s: While jobs wait in Slurm's queue.
        quiet_s: While all run, or while jobs are being submitted.
    """

    urgent_s: float = POLL_S
    waiting_s: float = 15.0
    quiet_s: float = 30.0


@dataclass(frozen=True)
class Demand:
    """What the attempts of a session need of Slurm.

    Attributes:
        has_stops: Slurm has to be told to stop or cancel jobs whose numbers it has confirmed.
        has_unconfirmed_stops: The same, but the numbers may belong to other jobs by now.
        has_urgent: Its next answer decides about an attempt.
        has_waiting: Jobs wait in its queue.
        has_jobs: Any job is known or searched.
        has_unsubmitted: Jobs are to be submitted.
    """

    has_stops: bool = False
    has_unconfirmed_stops: bool = False
    has_urgent: bool = False
    has_waiting: bool = False
    has_jobs: bool = False
    has_unsubmitted: bool = False


@dataclass(frozen=True)
class NextCall:
    """A call that may be made now.

    Attributes:
        work: What to do.
        kind: The part of the budget that pays for it.
    """

    work: Literal["stop", "poll", "submit"]
    kind: CallKind


STOP = NextCall("stop", "command")
POLL = NextCall("poll", "poll")
POLL_FOR_STOP = NextCall("poll", "command")
SUBMIT = NextCall("submit", "submit")


def next_call(demand: Demand, budget: CallBudget, pace: Pace, now: float, polled_at: float | None) -> NextCall | None:
    """Return the most important call that the budget allows now, or None.

    Args:
        demand: What is needed.
        budget: What is allowed.
        pace: How often to ask for states.
        now: Time on the budget's clock, s.
        polled_at: When the last question for all states began, on the same clock.
    """
    since_poll = math.inf if polled_at is None else now - polled_at
    wanted = []
    if demand.has_stops:
        wanted.append(STOP)
    if demand.has_unconfirmed_stops and since_poll >= pace.urgent_s:
        wanted.append(POLL_FOR_STOP)
    if demand.has_jobs and since_poll >= _poll_interval_s(demand, pace):
        wanted.append(POLL)
    if demand.has_unsubmitted:
        wanted.append(SUBMIT)
    return next((call for call in wanted if budget.wait_s(now, call.kind) <= 0), None)


def _poll_interval_s(demand: Demand, pace: Pace) -> float:
    if demand.has_urgent:
        return pace.urgent_s
    return pace.waiting_s if demand.has_waiting and not demand.has_unsubmitted else pace.quiet_s

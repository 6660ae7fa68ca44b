"""What can happen to a session, as the journal keeps it."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict

from ..gpus.slots import Slot

StopKind = Literal["stop", "kill"]
Mode = Literal["parallel", "sequential"]


class Exit(BaseModel):
    """How an attempt ended. Neither exit code nor signal: nobody saw it end (`lost`)."""

    model_config = ConfigDict(frozen=True)

    ended: float  # unix time, s
    exit_code: int | None = None
    signal: int | None = None
    stop: StopKind | None = None  # what it had been told by then
    user_s: float | None = None
    system_s: float | None = None
    max_rss_mib: float | None = None
    leftovers: int = 0  # processes that outlived the command and were ended
    error: str | None = None  # why the command could not be started
    last_words: str | None = None  # of its log, where it failed: most often why
    unseen: str | None = None  # why nobody saw it end, where that is known


class _Event(BaseModel):
    model_config = ConfigDict(frozen=True)
    at: float  # unix time, s


class EngineStarted(_Event):
    """An engine took the session over: at its beginning, after a crash, or to go on with a finished one."""

    kind: Literal["engine_started"] = "engine_started"
    pid: int


class SlotsChosen(_Event):
    """The places where runs may run, for as long as anything is running."""

    kind: Literal["slots_chosen"] = "slots_chosen"
    slots: tuple[Slot, ...]
    mode: Mode
    notes: tuple[str, ...] = ()


class AttemptStarting(_Event):
    """A decision to start; on disk before the shim is spawned, so that a start is never forgotten."""

    kind: Literal["attempt_starting"] = "attempt_starting"
    run: str
    attempt: int
    slot: Slot | None = None
    fresh: bool
    log_offset: int  # bytes of the run's log that belong to earlier attempts


class AttemptStarted(_Event):
    """The trainer's process exists."""

    kind: Literal["attempt_started"] = "attempt_started"
    run: str
    attempt: int
    pid: int
    started: float


class AttemptVoided(_Event):
    """A start that an engine decided on and did not live to carry out."""

    kind: Literal["attempt_voided"] = "attempt_voided"
    run: str
    attempt: int


class AttemptEnded(_Event):
    """Nothing of the attempt lives any more."""

    kind: Literal["attempt_ended"] = "attempt_ended"
    run: str
    attempt: int
    exit: Exit


class StopRequested(_Event):
    """Somebody wants the run to end, and not to start by itself."""

    kind: Literal["stop_requested"] = "stop_requested"
    run: str
    how: StopKind


class RestartRequested(_Event):
    """A new attempt is wanted, after the present one if there is one: by somebody, or because the run stalled."""

    kind: Literal["restart_requested"] = "restart_requested"
    run: str
    fresh: bool
    cause: Literal["user", "stall"] = "user"


class RetryScheduled(_Event):
    """The run crashed and will start again by itself, `delay_s` after this."""

    kind: Literal["retry_scheduled"] = "retry_scheduled"
    run: str
    delay_s: float


class SessionFinished(_Event):
    """Nothing runs and nothing more will start by itself."""

    kind: Literal["session_finished"] = "session_finished"


RunEvent = (
    AttemptStarting | AttemptStarted | AttemptVoided | AttemptEnded | StopRequested | RestartRequested | RetryScheduled
)
Event = EngineStarted | SlotsChosen | SessionFinished | RunEvent

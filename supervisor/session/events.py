"""Events of a session, which are the records of its journal."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict

from ..gpus.slots import Slot
from ..plan.schema import LOCAL

StopKind = Literal["stop", "kill"]
Mode = Literal["parallel", "sequential"]
ENGINE_DIED = "its engine died first"  # why an attempt was not started


class Exit(BaseModel):
    """The end of an attempt. Without exit code, signal and error it was not observed, and the attempt is lost.

    Attributes:
        ended: Unix time, s.
        duration_s: How long the command ran, from a clock that nobody sets; None if that was not measured.
        exit_code: Exit code of the command, if it exited.
        signal: Number of the signal that killed it, if any.
        stop: The stop that had been requested by then.
        user_s: CPU time in user mode, s.
        system_s: CPU time in the kernel, s.
        max_rss_mib: Peak resident memory of the largest process, MiB.
        leftovers: Number of processes that outlived the command and were terminated.
        error: Why the command could not be started, or what interrupted it.
        interrupted: Whether a batch system ended it and the run goes on in a new job: a time limit, a preemption, a
            lost node, or a stop that nobody requested.
        ends_chain: Whether the exit code is one of `stop_when`: a success after which later rounds are skipped.
        last_words: The last error in the log of a failed attempt, or its last line.
        unseen: Why the end was not observed, where that is known.
    """

    model_config = ConfigDict(frozen=True)

    ended: float
    duration_s: float | None = None
    exit_code: int | None = None
    signal: int | None = None
    stop: StopKind | None = None
    user_s: float | None = None
    system_s: float | None = None
    max_rss_mib: float | None = None
    leftovers: int = 0
    error: str | None = None
    interrupted: bool = False
    ends_chain: bool = False
    last_words: str | None = None
    unseen: str | None = None


class _Event(BaseModel):
    model_config = ConfigDict(frozen=True)
    at: float  # unix time, s


class EngineStarted(_Event):
    """The start of an engine: for a new session, after a crash, or to resume a finished session.

    Attributes:
        boot_id: The kernel's identifier of this boot.
        clock_offset_s: Unix time at which the machine was started, as the clock tells it now, s.
    """

    kind: Literal["engine_started"] = "engine_started"
    pid: int
    boot_id: str | None = None
    clock_offset_s: float | None = None


class ClockStepped(_Event):
    """A step of the clock while an engine lived: it now tells `by_s` seconds more for every moment recorded so far."""

    kind: Literal["clock_stepped"] = "clock_stepped"
    by_s: float


class SlotsChosen(_Event):
    """The selection of slots, which stays valid while any run is alive."""

    kind: Literal["slots_chosen"] = "slots_chosen"
    slots: tuple[Slot, ...]
    mode: Mode
    notes: tuple[str, ...] = ()


class AttemptStarting(_Event):
    """The decision to start an attempt; on disk before its shim is spawned, so that no start is forgotten.

    Attributes:
        slot: Where it runs; None for a run without slot.
        fresh: Whether it starts from scratch.
        log_offset: Bytes of the run's log that belong to earlier attempts.
        launcher: The launcher that starts it.
        follows: Attempts that must succeed before its job starts, each as the name of its run and its number.
    """

    kind: Literal["attempt_starting"] = "attempt_starting"
    run: str
    attempt: int
    slot: Slot | None = None
    fresh: bool
    log_offset: int
    launcher: str = LOCAL
    follows: tuple[tuple[str, int], ...] = ()


class AttemptSubmitted(_Event):
    """The acceptance of an attempt by a batch system, in whose queue it waits."""

    kind: Literal["attempt_submitted"] = "attempt_submitted"
    run: str
    attempt: int
    job_id: str


class AttemptStarted(_Event):
    """The start of the command's process.

    Attributes:
        pid: Process id on `node`.
        started: Unix time, s.
        node: The machine where it runs; None for this one.
    """

    kind: Literal["attempt_started"] = "attempt_started"
    run: str
    attempt: int
    pid: int
    started: float
    node: str | None = None


class AttemptVoided(_Event):
    """A start that was decided but not carried out, and never will be.

    Attributes:
        reason: Why, in words.
    """

    kind: Literal["attempt_voided"] = "attempt_voided"
    run: str
    attempt: int
    reason: str = ENGINE_DIED


class AttemptEnded(_Event):
    """The end of an attempt: none of its processes is left."""

    kind: Literal["attempt_ended"] = "attempt_ended"
    run: str
    attempt: int
    exit: Exit


class StopRequested(_Event):
    """The user's request to stop a run; it does not start again on its own."""

    kind: Literal["stop_requested"] = "stop_requested"
    run: str
    how: StopKind


class RestartRequested(_Event):
    """A request for a new attempt, after the present one if any: by the user, or because the run stalled."""

    kind: Literal["restart_requested"] = "restart_requested"
    run: str
    fresh: bool
    cause: Literal["user", "stall"] = "user"


class RetryScheduled(_Event):
    """The crash of a run that will start again, `delay_s` seconds after this event."""

    kind: Literal["retry_scheduled"] = "retry_scheduled"
    run: str
    delay_s: float


class ContinuationScheduled(_Event):
    """The interruption of a run that goes on in a new attempt, `delay_s` seconds after this event; this is no retry."""

    kind: Literal["continuation_scheduled"] = "continuation_scheduled"
    run: str
    delay_s: float = 0.0


class SessionFinished(_Event):
    """The end of a session: nothing is alive and nothing will start on its own."""

    kind: Literal["session_finished"] = "session_finished"


AttemptEvent = AttemptStarting | AttemptSubmitted | AttemptStarted | AttemptVoided | AttemptEnded
RunEvent = AttemptEvent | StopRequested | RestartRequested | RetryScheduled | ContinuationScheduled
Event = EngineStarted | ClockStepped | SlotsChosen | SessionFinished | RunEvent

"""Execution of what the scheduler decides: each decision is on the disk before it has an effect."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path

from ..files import RoomProbe
from ..launchers.attempt_files import AttemptSpec
from ..launchers.registry import SRUN
from ..plan.schema import LOCAL
from ..session.events import (
    AttemptStarting,
    ContinuationScheduled,
    RestartRequested,
    RetryScheduled,
    SessionFinished,
)
from ..session.folder import SessionFolder
from .attempt_spec import attempt_spec, concurrent_runs
from .attempts import RunningAttempts
from .scheduler import Action, Continue, FinishSession, RestartStalled, Retry, SendSignal, StartAttempt, Withdraw
from .session_store import SessionStore


class ActionExecutor:
    """Records the scheduler's decisions, and carries them out.

    Args:
        folder: The session.
        session: Its state on the disk.
        attempts: The attempts that are alive.
        on_failed_start: Called if a start fails after its record.
    """

    def __init__(
        self,
        folder: SessionFolder,
        session: SessionStore,
        attempts: RunningAttempts,
        on_failed_start: Callable[[], None],
    ) -> None:
        self._folder = folder
        self._session = session
        self._attempts = attempts
        self._on_failed_start = on_failed_start
        self._plan = session.plan
        self._room = RoomProbe(folder.path)

    def is_new(self, action: Action) -> bool:
        """Return whether an action is still to be executed: the scheduler repeats signals and withdrawals."""
        if isinstance(action, Withdraw):
            return self._attempts.is_in_queue(action.run)
        if not isinstance(action, SendSignal):
            return True
        return action.run in self._attempts and not self._attempts.is_stop_requested(action.run, action.how)

    def execute(self, actions: Sequence[Action], *, may_wait: bool) -> None:
        """Record all decisions, write them to the disk together, then start what they start.

        If a start fails after its record, the next step of the engine adopts it, as one of an engine that died.

        Args:
            actions: The decisions.
            may_wait: Whether the end of the session may wait for room on the disk.

        Raises:
            OSError: The disk is full or has vanished.
        """
        recorded = []
        try:
            for action in actions:
                if isinstance(action, StartAttempt):
                    recorded.append(self._record_start(action))
                else:
                    self._execute_one(action, may_wait)
        finally:  # what was recorded is started, even where the disk had no room for the next record
            self.commit()
            for run, folder, spec, launcher in recorded:
                if not self._attempts.start(run, folder, spec, launcher):
                    self._on_failed_start()

    def commit(self) -> None:
        """Write all records to the disk, and tell this to the attempts that have ended."""
        self._session.commit()
        self._attempts.confirm_ends()

    def close(self) -> None:
        """Release the resources."""
        self._room.close()

    def _execute_one(
        self, action: SendSignal | Withdraw | Retry | Continue | RestartStalled | FinishSession, may_wait: bool
    ) -> None:
        match action:
            case SendSignal():
                self._attempts.request_stop(action.run, action.how, self._plan.runs[action.run].stop_grace_s)
            case Withdraw():
                self._attempts.withdraw(action.run)
            case Retry():
                self._session.record(RetryScheduled(at=time.time(), run=action.run, delay_s=action.delay_s))
            case Continue():
                self._session.record(ContinuationScheduled(at=time.time(), run=action.run, delay_s=action.delay_s))
            case RestartStalled():
                self._session.record(RestartRequested(at=time.time(), run=action.run, fresh=False, cause="stall"))
            case FinishSession():
                self._session.write_summary(required=may_wait, final=True)
                self._session.record(SessionFinished(at=time.time()))

    def _record_start(self, action: StartAttempt) -> tuple[str, Path, AttemptSpec, str]:
        """Record the decision to start an attempt, and return what its start needs."""
        plan, state = self._plan, self._session.state
        # A run that reports on others reads how they ended from the summary.
        if plan.runs[action.run].after_end and not self._session.is_summary_current:
            self._session.write_summary()
        number = len(state.runs[action.run].attempts) + 1
        log = self._folder.run_log(action.run)
        try:
            offset = log.stat().st_size
        except FileNotFoundError:
            offset = 0
        launcher = SRUN if action.slot and action.slot.node else plan.runs[action.run].launcher or LOCAL
        starting = AttemptStarting(
            at=time.time(),
            run=action.run,
            attempt=number,
            slot=action.slot,
            fresh=action.fresh,
            log_offset=offset,
            launcher=launcher,
            follows=action.follows,
        )
        spec = attempt_spec(
            plan,
            self._session.settings,
            starting,
            self._folder,
            concurrent=concurrent_runs(plan, state.slots or ()),
            is_fenced=any(not attempt.is_local for attempt in state.runs[action.run].attempts),
        )
        folder = self._folder.attempt_folder(action.run, number)
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._room.check()
        self._attempts.prepare(launcher)  # everything that may fail comes before the decision is recorded
        self._session.record(starting)
        return action.run, folder, spec, launcher

"""Write-ahead store of the running session: journal, then state, then log. Its engine is the only writer."""

from __future__ import annotations

import time
from collections.abc import Callable

from ..logs.sanitize import sanitize_line
from ..session.event_messages import event_messages
from ..session.events import (
    AttemptEnded,
    AttemptStarted,
    ClockStepped,
    EngineStarted,
    Event,
    SessionFinished,
    SlotsChosen,
)
from ..session.folder import SessionFolder
from ..session.journal import Journal
from ..session.lookup import load_state
from ..session.reducer import reduce
from ..session.session_log import LogLevel, SessionLog
from ..session.summary import SummaryWriter, write_summary
from .hooks import is_notable, run_hook
from .run_index import RunIndex

SUMMARY_INTERVAL_S = 5.0  # between two summaries of a session that is not finished


class SessionStore:
    """Plan, settings and state of a session, and the only way to change them.

    Args:
        folder: The session.
        on_line: Called with every line of the session's log.
        on_event: Called with every event.

    Attributes:
        folder: The session.
        plan: Its plan.
        settings: Its settings.
        state: Its state after all recorded events.
        index: The states of its runs then.

    Raises:
        SessionError: A file of the session is missing or damaged.
        JournalError: The journal is missing or damaged.
    """

    def __init__(
        self,
        folder: SessionFolder,
        on_line: Callable[[str, LogLevel], None] | None = None,
        on_event: Callable[[Event], None] | None = None,
    ) -> None:
        self.folder = folder
        self.plan = folder.load_plan()
        self.settings = folder.load_settings()
        self.state = load_state(folder, self.plan)
        self.index = RunIndex(self.plan, self.state)
        self._summary = SummaryWriter(folder, self.plan)
        self._log = SessionLog(folder.log)
        self._on_line = on_line
        self._on_event = on_event
        self._journal: Journal | None = None
        self._uncommitted = False  # events that must be on disk before anything follows from them
        self._attempt_ended = True  # since the last summary
        self._summary_due: set[str] = set()  # runs that have changed since then
        self._summary_at = -SUMMARY_INTERVAL_S

    def open(self) -> None:
        """Open the journal for writing.

        Raises:
            JournalBusy: Another engine writes it.
        """
        self._journal = Journal(self.folder.journal)

    def close(self) -> None:
        """Close the journal."""
        if self._journal is not None:
            self._journal.close()

    def is_deleted(self) -> bool:
        """Return whether the session's folder was deleted or moved."""
        assert self._journal is not None
        return self._journal.is_deleted()

    def record(self, event: Event) -> None:
        """Record an event: append it to the journal, apply it, log it.

        What follows from it waits for `commit`.

        Raises:
            OSError: It could not be written, and was not applied.
        """
        assert self._journal is not None
        self._journal.append(event)
        self._uncommitted |= not isinstance(event, AttemptStarted)  # after a power cut its pid means nothing
        self._apply(event)
        self._attempt_ended |= isinstance(event, AttemptEnded)
        if self._on_event is not None:
            self._on_event(event)
        for text, level in event_messages(event, self.plan, self.state, self.index.states):
            self.log(text, level)
            if self.settings.on_finish and is_notable(event, level):
                self.commit()
                self._run_hook(self.settings.on_finish, text)

    def _apply(self, event: Event) -> None:
        before, self.state = self.state, reduce(self.state, event)
        if isinstance(event, EngineStarted | ClockStepped):
            if self.state.runs is not before.runs:  # their times have changed
                self.index = RunIndex(self.plan, self.state)
        elif not isinstance(event, SlotsChosen | SessionFinished):
            self.index.update(self.state, event.run)

    def commit(self) -> None:
        """Write the events recorded so far through to the disk, together, before anything follows from them.

        Raises:
            OSError: They are recorded, but may be lost in a power cut.
        """
        assert self._journal is not None
        if self._uncommitted:
            self._journal.sync()
            self._uncommitted = False

    def log(self, text: str, level: LogLevel = "info") -> None:
        """Append a line to the session's log."""
        text = sanitize_line(text.encode("utf-8", "replace"))  # a command may have any name
        self._log.write(text, level)
        if self._on_line is not None:
            self._on_line(text, level)

    @property
    def is_summary_current(self) -> bool:
        """True if no attempt has ended since the last summary."""
        return not self._attempt_ended

    @property
    def is_summary_due(self) -> bool:
        """True if an attempt has ended since the last summary, and that one is older than `SUMMARY_INTERVAL_S`."""
        return self._attempt_ended and time.monotonic() - self._summary_at > SUMMARY_INTERVAL_S

    def write_summary(self, *, required: bool = True, final: bool = False) -> None:
        """Write summary.json.

        Args:
            final: The session has finished, so nothing will write it again after a power cut.
            required: If False, an error is logged instead of raised.

        Raises:
            OSError: It could not be written, and is `required`.
        """
        try:
            if final:  # all results are read again: a user may have replaced some
                write_summary(self.folder, self.plan, self.state)
            else:
                self._summary_due |= self.index.take_changed()
                # A run that is alive may have written results.
                changed = self._summary_due.union(self.index.alive())
                self._summary.write(self.state, self.index.states, changed, sync=False)
                self._summary_due.clear()
        except OSError as error:
            if required:
                raise
            reason = f"cannot write {self.folder.summary}: {error.strerror}"
            self.log(f"{reason}; the session ends without a summary", "error")
        self._attempt_ended = False
        self._summary_at = time.monotonic()

    def _run_hook(self, command: str, text: str) -> None:
        try:
            run_hook(command, text, self.folder, self.settings.environment)
        except OSError as error:
            self.log(f"--on-finish: cannot start the command: {error.strerror}", "warning")

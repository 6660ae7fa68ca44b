"""A session as its engine keeps it: in the journal first, then in memory, then in its log. Nothing else writes it."""

from __future__ import annotations

import time
from collections.abc import Callable

from ..logs.sanitize import sanitize_line
from ..session.event_messages import event_messages
from ..session.events import AttemptEnded, Event
from ..session.folder import SessionFolder
from ..session.journal import Journal, read_journal
from ..session.session_log import LogLevel, SessionLog
from ..session.state import reduce, replay
from ..session.summary import write_summary
from . import hooks as on_finish

SUMMARY_INTERVAL_S = 5.0  # between two summaries of a session that is not finished


class SessionStore:
    """The plan, settings and state of a session, and how an event becomes part of it."""

    def __init__(
        self,
        folder: SessionFolder,
        on_line: Callable[[str, LogLevel], None] | None = None,
        on_event: Callable[[Event], None] | None = None,
    ) -> None:
        """Reads the session; `on_line` gets every line of its log, `on_event` every event.

        Raises:
            SessionError, JournalError: the session's files are missing or damaged.
        """
        self.folder = folder
        self.plan = folder.load_plan()
        self.settings = folder.load_settings()
        self.state = replay(self.plan, read_journal(folder.journal))
        self._log = SessionLog(folder.log)
        self._on_line = on_line
        self._on_event = on_event
        self._journal: Journal | None = None
        self._summary_due = True
        self._summary_at = -SUMMARY_INTERVAL_S

    def open(self) -> None:
        """Takes the journal.

        Raises:
            JournalBusy: another engine writes it.
        """
        self._journal = Journal(self.folder.journal)

    def close(self) -> None:
        """Lets go of the journal."""
        if self._journal is not None:
            self._journal.close()

    def is_deleted(self) -> bool:
        """Whether nobody finds the session any more where it was."""
        assert self._journal is not None
        return self._journal.is_deleted()

    def record(self, event: Event) -> None:
        """Makes `event` so.

        Raises:
            OSError: it could not be written, so it is not.
        """
        assert self._journal is not None
        self._journal.append(event)
        self.state = reduce(self.state, event)
        self._summary_due |= isinstance(event, AttemptEnded)
        if self._on_event is not None:
            self._on_event(event)
        for text, level in event_messages(event, self.plan, self.state):
            self.log(text, level)
            if self.settings.on_finish and on_finish.is_notable(event, level):
                self._start_on_finish(self.settings.on_finish, text)

    def log(self, text: str, level: LogLevel = "info") -> None:
        """Adds a line to the session's log."""
        text = sanitize_line(text.encode("utf-8", "replace"))  # a command may have any name
        self._log.write(text, level)
        if self._on_line is not None:
            self._on_line(text, level)

    @property
    def is_summed_up(self) -> bool:
        """Whether no attempt has ended since the last summary."""
        return not self._summary_due

    @property
    def is_to_be_summed_up(self) -> bool:
        """Whether an attempt has ended since the last summary, which is not of just now."""
        return self._summary_due and time.monotonic() - self._summary_at > SUMMARY_INTERVAL_S

    def sum_up(self, *, required: bool = True) -> None:
        """Writes summary.json.

        Raises:
            OSError: it could not be written, and is `required`.
        """
        try:
            write_summary(self.folder, self.plan, self.state)
        except OSError as error:
            if required:
                raise
            self.log(f"cannot write {self.folder.summary}: {error.strerror}; the session ends without", "error")
        self._summary_due = False
        self._summary_at = time.monotonic()

    def _start_on_finish(self, command: str, text: str) -> None:
        try:
            on_finish.run_hook(command, text, self.folder, self.settings.environment)
        except OSError as error:
            self.log(f"--on-finish: cannot start it: {error.strerror}", "warning")

"""A stop that was requested of a job, and what Slurm has to be told for it. Pure: time comes in as an argument.

`scancel` alone reaches all processes of a job at once, with a grace period that the site sets. So a running job is
stopped through its shim, by a signal to the batch process, and ended by `scancel` only after the promised time. A
pending job is cancelled with `--state=PENDING`, which does nothing to a job that has just started.
"""

from __future__ import annotations

from typing import Literal

from ...session.events import StopKind

RESEND_S = 15.0  # between two calls for a job that does not react
AFTER_GRACE_S = 5.0  # after the grace period, until Slurm ends the job by force

StopCall = Literal["cancel pending", "TERM", "QUIT", "end"]


class StopRequest:
    """The strongest stop that was requested of an attempt."""

    def __init__(self) -> None:
        self.kind: StopKind | None = None
        self._grace_s = 0.0
        self._called: dict[StopCall, float] = {}  # monotonic time of the last call of each kind
        self._signalled_at: float | None = None  # of the first signal of this kind of stop

    def update(self, kind: StopKind, grace_s: float) -> None:
        """Note a request; a grace period that has begun is not lengthened, and a kill stays a kill."""
        if self.kind is None or (kind == "kill" and self.kind == "stop"):
            self.kind, self._grace_s, self._signalled_at = kind, grace_s if kind == "stop" else 0.0, None
        else:
            self._grace_s = min(self._grace_s, grace_s)

    def due_call(self, now: float, *, is_running: bool, is_stopping: bool) -> StopCall | None:
        """Return what Slurm has to be told now.

        Args:
            now: Monotonic time, s.
            is_running: Whether the job has started.
            is_stopping: Whether its shim has passed a gentle stop on to the command.
        """
        if self.kind is None:
            return None
        call: StopCall
        if not is_running:
            call = "cancel pending"
        elif self._signalled_at is not None and now - self._signalled_at > self._grace_s + AFTER_GRACE_S:
            call = "end"
        else:
            call = "TERM" if self.kind == "stop" else "QUIT"
            if call == "TERM" and is_stopping and call in self._called:
                return None
        called = self._called.get(call)
        return call if called is None or now - called >= RESEND_S else None

    def note_call(self, call: StopCall, now: float) -> None:
        """Note that Slurm was told."""
        self._called[call] = now
        if call in ("TERM", "QUIT") and self._signalled_at is None:
            self._signalled_at = now

    def is_overdue(self, now: float) -> bool:
        """Return whether Slurm was told to end the job by force, and had time to do so."""
        return "end" in self._called and now - self._called["end"] > RESEND_S / 3

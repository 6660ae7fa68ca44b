"""Limit on how often one session calls Slurm's controller. Pure: time comes in as an argument."""

from __future__ import annotations

from collections import deque

CALLS = 12
WINDOW_S = 60.0
KEPT_FOR_POLLS = 2  # of CALLS, so that a long series of submissions does not blind the session
POLL_S = 5.0
SLOW_FACTOR = 10.0  # after a call of t seconds the controller is left alone for SLOW_FACTOR * t
MAX_PAUSE_S = 120.0


class CallBudget:
    """Sliding window over the last minute, with a pause after slow or failed calls.

    All times are seconds of one monotonic clock.
    """

    def __init__(self, *, calls: int = CALLS, poll_s: float = POLL_S) -> None:
        """Allow `calls` calls in a minute, and `poll_s` between polls."""
        self._allowed = calls
        self._poll_s = poll_s
        self._calls: deque[tuple[float, bool]] = deque()  # time, and whether it was a poll
        self._not_before = 0.0
        self._failures = 0

    def wait_s(self, now: float, *, poll: bool) -> float:
        """Return how long the next call has to wait; 0 if it may be made now.

        Args:
            now: Present time.
            poll: Whether the call only asks for states. Polls are spaced by POLL_S, and other calls leave
                KEPT_FOR_POLLS calls a minute to them.
        """
        self._forget(now)
        earliest = [self._not_before]
        if len(self._calls) >= self._allowed:
            earliest.append(self._calls[-self._allowed][0] + WINDOW_S)
        alike = [at for at, was_poll in self._calls if was_poll == poll]
        if poll and alike:
            earliest.append(alike[-1] + self._poll_s)
        others_allowed = self._allowed - KEPT_FOR_POLLS
        if not poll and len(alike) >= others_allowed:
            earliest.append(alike[-others_allowed] + WINDOW_S)
        return max(0.0, max(earliest) - now)

    def begin(self, now: float, *, poll: bool) -> None:
        """Count a call that starts now."""
        self._forget(now)
        self._calls.append((now, poll))

    def end(self, now: float, *, took_s: float, answered: bool) -> None:
        """Note how a call ended, which decides how long the controller is left alone.

        Args:
            now: Present time.
            took_s: Duration of the call.
            answered: Whether the controller answered, a refusal included.
        """
        self._failures = 0 if answered else self._failures + 1
        pause = SLOW_FACTOR * took_s if took_s > 1.0 else 0.0
        if self._failures:
            pause = max(pause, self._poll_s * 2 ** min(self._failures, 8))
        self._not_before = now + min(pause, MAX_PAUSE_S)

    def _forget(self, now: float) -> None:
        while self._calls and self._calls[0][0] <= now - WINDOW_S:
            self._calls.popleft()

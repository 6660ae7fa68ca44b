"""Limit on how often one session calls Slurm's controller. Pure: time comes in as an argument."""

from __future__ import annotations

from collections import deque
from typing import Literal

CallKind = Literal["poll", "submit", "command"]  # asks for states; starts a job; does what a user waits for

CALLS = 12
WINDOW_S = 60.0
KEPT_FOR_COMMANDS = 2  # of CALLS, so that a stop need not wait
POLL_S = 7.5
SLOW_S = 1.0
SLOW_FACTOR = 10.0  # after a slow call of t seconds the controller is left alone for SLOW_FACTOR * t
FIRST_PAUSE_S = 10.0  # after the first call without an answer; each further one doubles it
MAX_PAUSE_S = 120.0


class CallBudget:
    """Sliding window over the last minute, with a pause after slow or unanswered calls.

    Polls and submissions may each use two thirds of the calls, so that neither shuts the other out. Commands of the
    user may use all, and do not wait for the end of a pause. All times are seconds of one monotonic clock.
    """

    def __init__(self, *, calls: int = CALLS, poll_s: float = POLL_S) -> None:
        """Allow `calls` calls in a minute, and `poll_s` between polls."""
        self._allowed = calls
        self._poll_s = poll_s
        self._calls: deque[tuple[float, CallKind]] = deque()
        self._not_before = 0.0
        self._failures = 0

    def wait_s(self, now: float, kind: CallKind) -> float:
        """Return how long the next call has to wait; 0 if it may be made now."""
        self._forget(now)
        times = [at for at, _ in self._calls]
        if kind == "command":
            return _until_room(times, self._allowed, now)
        alike = [at for at, earlier in self._calls if earlier == kind]
        spaced = alike[-1] + self._poll_s - now if kind == "poll" and alike else 0.0
        return max(
            0.0,
            self._not_before - now,
            spaced,
            _until_room(times, self._allowed - KEPT_FOR_COMMANDS, now),
            _until_room(alike, self._allowed * 2 // 3, now),
        )

    def begin(self, now: float, kind: CallKind) -> None:
        """Count a call that starts now."""
        self._forget(now)
        self._calls.append((now, kind))

    def end(self, now: float, *, took_s: float, answered: bool) -> None:
        """Note how a call ended, which decides how long the controller is left alone.

        Args:
            now: Present time.
            took_s: Duration of the call.
            answered: Whether the controller answered, a refusal included.
        """
        self._failures = 0 if answered else self._failures + 1
        pause = SLOW_FACTOR * took_s if took_s > SLOW_S else 0.0
        if self._failures:
            pause = FIRST_PAUSE_S * 2 ** min(self._failures - 1, 8)
        self._not_before = now + min(pause, MAX_PAUSE_S)

    def _forget(self, now: float) -> None:
        while self._calls and self._calls[0][0] <= now - WINDOW_S:
            self._calls.popleft()


def _until_room(times: list[float], allowed: int, now: float) -> float:
    """Return how long until fewer than `allowed` of `times` lie within the window, s."""
    return max(0.0, times[-allowed] + WINDOW_S - now) if len(times) >= allowed else 0.0

"""Progress of a run, read from its log: newest values, remaining time, stalls."""

from __future__ import annotations

import contextlib
import math
import re
import time
from collections import deque
from pathlib import Path
from statistics import median

from .follower import LogFollower
from .time_limit import regex_time_limit

READS_PER_UPDATE = 12  # chunks; more than a follower's backlog, so that an update always catches up
PACE_SAMPLES = 20
STALL_FACTOR = 20.0  # multiples of the median time per epoch
STALL_MINIMUM_S = 120.0


class ProgressTracker:
    """The progress of a run up to its newest attempt.

    Args:
        pattern: Regular expression whose named groups are numbers; None for a run without progress.
        log: The log of the run.
        offset: Where the progress starts in the log, bytes.
        stall_after_s: Silence that counts as a stall, s; by default it is derived from the pace of the run.
        has_earlier: Whether the lines that the log contains now say nothing about the pace, because they are of earlier
            attempts or nobody knows when they were written.

    Attributes:
        values: The newest number of each group of the pattern.
        pattern_timed_out: Whether a search took too long, so that there is no more progress.
    """

    def __init__(
        self,
        pattern: str | None,
        log: Path,
        offset: int,
        stall_after_s: float | None = None,
        *,
        has_earlier: bool = False,
    ) -> None:
        self.values: dict[str, int | float] = {}
        self.pattern_timed_out = False
        self._pattern = re.compile(pattern) if pattern else None
        self._follower = LogFollower(log, offset)
        self._paces: deque[float] = deque(maxlen=PACE_SAMPLES)  # s per epoch, newest last
        self._last: tuple[float, float] | None = None  # when the newest epoch was read (s), and its number
        self._last_line: float | None = None  # when the newest line was read, s
        self._stall_after_s = stall_after_s
        self._has_earlier = has_earlier

    def update(self, now: float, budget_s: float = math.inf) -> bool:
        """Read the new lines of the log.

        Args:
            now: Time of this update, s; from the same clock in all calls.
            budget_s: Seconds after which reading stops; the next update goes on from there.

        Returns:
            Whether the progress has changed.
        """
        if self._pattern is None or self.pattern_timed_out:
            return False
        before = dict(self.values)
        deadline = time.monotonic() + budget_s
        for _ in range(READS_PER_UPDATE):
            lines = self._follower.read()
            if not lines:
                break
            self._last_line = now
            try:
                with regex_time_limit():
                    for line in lines:
                        self.values.update(parse_progress(self._pattern, line))
            except TimeoutError:
                self.pattern_timed_out = True
                self._paces.clear()
                return True
            if time.monotonic() > deadline:
                break
        has_earlier, self._has_earlier = self._has_earlier, False
        if self.values.get("epoch") != before.get("epoch") and not has_earlier:
            self._record_epoch(now, float(self.values["epoch"]))
        return self.values != before

    def eta_s(self, now: float) -> float | None:
        """Return the remaining time at `now` from the median of recent times per epoch, s; None while unknown."""
        epoch, epochs = self.values.get("epoch"), self.values.get("epochs")
        if epoch is None or epochs is None or not self._paces or self._last is None:
            return None
        elapsed = now - self._last[0]
        return max(0.0, (epochs - epoch) * median(self._paces) - elapsed)

    def stalled(self, now: float) -> bool:
        """Return whether the log has been silent for far longer than an epoch takes.

        A run is never stalled before its second epoch, when its pace is unknown.
        """
        if not self._paces or self._last_line is None or self.values.get("epoch") == self.values.get("epochs"):
            return False
        patience = self._stall_after_s or max(STALL_MINIMUM_S, STALL_FACTOR * median(self._paces))
        return now - self._last_line > patience

    def _record_epoch(self, now: float, epoch: float) -> None:
        if self._last is not None and epoch > self._last[1] and now > self._last[0]:
            self._paces.append((now - self._last[0]) / (epoch - self._last[1]))
        self._last = (now, epoch)


def parse_progress(pattern: re.Pattern[str], line: str) -> dict[str, int | float]:
    """Return the finite numbers that the named groups of a pattern match in a sanitized line."""
    match = pattern.search(line)
    if match is None:
        return {}
    numbers = {name: _number(text) for name, text in match.groupdict().items() if text is not None}
    return {name: number for name, number in numbers.items() if number is not None}


def _number(text: str) -> int | float | None:
    kinds = (int, float) if len(text) <= 18 else (float,)  # an integer must fit into 64 bits
    for kind in kinds:
        with contextlib.suppress(ValueError):
            number = kind(text)
            return number if math.isfinite(number) else None
    return None

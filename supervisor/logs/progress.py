"""How far a run is, from its log, and how long it still takes."""

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
STALL_FACTOR = 20.0  # times its own pace
STALL_MINIMUM_S = 120.0


class ProgressTracker:
    """The progress of a run up to its newest attempt: `values` holds the newest number of each group of the pattern."""

    def __init__(
        self, pattern: str | None, log: Path, offset: int, stall_after_s: float | None = None, *, resumes: bool = False
    ) -> None:
        """Reads `log` from `offset` on; with `resumes` what it says already is of earlier attempts and has no pace."""
        self.values: dict[str, int | float] = {}
        self.gave_up = False  # the pattern takes too long, so that there is no progress to be had
        self._pattern = re.compile(pattern) if pattern else None
        self._follower = LogFollower(log, offset)
        self._paces: deque[float] = deque(maxlen=PACE_SAMPLES)  # s per epoch
        self._last: tuple[float, float] | None = None  # when the newest epoch was seen, and which it was
        self._last_line: float | None = None  # when the newest line was seen
        self._stall_after_s = stall_after_s
        self._has_earlier = resumes

    def update(self, now: float, budget_s: float = math.inf) -> bool:
        """Reads what is new in the log; whether the progress has changed. Ends after `budget_s`, all read or not."""
        if self._pattern is None or self.gave_up:
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
                self.gave_up = True
                self._paces.clear()
                return True
            if time.monotonic() > deadline:
                break
        has_earlier, self._has_earlier = self._has_earlier, False
        if self.values.get("epoch") != before.get("epoch") and not has_earlier:
            self._note_epoch(now, float(self.values["epoch"]))
        return self.values != before

    def eta_s(self, now: float) -> float | None:
        """Seconds still to go, from the median of the recent paces; None while that is unknown."""
        epoch, epochs = self.values.get("epoch"), self.values.get("epochs")
        if epoch is None or epochs is None or not self._paces or self._last is None:
            return None
        since = now - self._last[0]
        return max(0.0, (epochs - epoch) * median(self._paces) - since)

    def stalled(self, now: float) -> bool:
        """Whether no line came for far longer than the run's own pace. Before its second epoch a run has no pace."""
        if not self._paces or self._last_line is None or self.values.get("epoch") == self.values.get("epochs"):
            return False
        patience = self._stall_after_s or max(STALL_MINIMUM_S, STALL_FACTOR * median(self._paces))
        return now - self._last_line > patience

    def _note_epoch(self, now: float, epoch: float) -> None:
        if self._last is not None and epoch > self._last[1] and now > self._last[0]:
            self._paces.append((now - self._last[0]) / (epoch - self._last[1]))
        self._last = (now, epoch)


def parse_progress(pattern: re.Pattern[str], line: str) -> dict[str, int | float]:
    """The numbers that the pattern's named groups find in a cleaned line, without those that are not finite."""
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

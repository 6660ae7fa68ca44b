"""Metrics of a run by epoch, parsed from its log by each client."""

from __future__ import annotations

import asyncio
import math
import re
from bisect import bisect_left
from collections.abc import Mapping, Sequence
from pathlib import Path

from .follower import MAX_BACKLOG, LogFollower
from .progress import parse_progress
from .time_limit import in_chunks, regex_time_limit

MAX_SUPERSEDED = 8
_POSITION = ("epoch", "epochs")  # groups that are progress, not metrics

Numbers = Mapping[str, int | float]
Points = Sequence[tuple[float, float]]
"""(epoch, value) pairs, ascending in epoch."""


class MetricHistory:
    """The metrics of a run by epoch.

    A point replaces all points from its epoch on: the run resumed from an earlier checkpoint.

    Attributes:
        epochs: All epochs, ascending.
    """

    def __init__(self) -> None:
        self.epochs: list[float] = []
        self._metrics: dict[str, list[float]] = {}  # as long as `epochs`; nan where a line lacks the metric
        self._superseded: list[dict[str, list[tuple[float, float]]]] = []  # replaced points, oldest first

    def __len__(self) -> int:
        return len(self.epochs)

    @property
    def names(self) -> tuple[str, ...]:
        """The metrics that are plotted, at most two: training and validation loss if there are any."""
        losses = tuple(name for name in ("train_loss", "val_loss") if name in self._metrics)
        return losses or tuple(self._metrics)[:2]

    def add(self, numbers: Numbers) -> None:
        """Add the numbers of one line; numbers without a metric are ignored."""
        metrics = {name: float(value) for name, value in numbers.items() if name not in _POSITION}
        if not metrics:
            return
        epoch = float(numbers.get("epoch", len(self.epochs) + 1))
        index = bisect_left(self.epochs, epoch)
        if len(self.epochs) - index > 1:
            self._superseded.append({name: self.points(name)[index:] for name in self._metrics})
            del self._superseded[:-MAX_SUPERSEDED]
        del self.epochs[index:]
        self.epochs.append(epoch)
        for name in metrics:
            self._metrics.setdefault(name, [math.nan] * index)
        for name, values in self._metrics.items():
            values[index:] = [metrics.get(name, math.nan)]

    def clear(self) -> None:
        """Drop all points."""
        self.epochs.clear()
        self._metrics.clear()
        self._superseded.clear()

    def points(self, name: str) -> list[tuple[float, float]]:
        """Return the (epoch, value) pairs of a metric."""
        pairs = zip(self.epochs, self._metrics.get(name, ()), strict=False)
        return [(epoch, value) for epoch, value in pairs if not math.isnan(value)]

    def superseded_points(self, name: str) -> list[list[tuple[float, float]]]:
        """Return the replaced points of a metric, one list for each time that the run resumed before them."""
        return [tail[name] for tail in self._superseded if tail.get(name)]

    def best(self, name: str = "val_loss") -> tuple[float, float] | None:
        """Return the (epoch, value) where a metric is lowest; None if it has no value."""
        return min(self.points(name), key=lambda point: point[1], default=None)


class MetricHistoryReader:
    """The history of one log, from its start or, if it is huge, from its last 8 MiB.

    Creating a reader blocks on the disk: an asyncio program does it in a thread.

    Attributes:
        path: The log.
        history: The metrics read so far.
        pattern_timed_out: Whether a search took too long, so that reading was given up.
    """

    def __init__(self, path: Path, pattern: str) -> None:
        self.path = path
        self.history = MetricHistory()
        self.pattern_timed_out = False
        self._pattern = re.compile(pattern)
        self._follower = LogFollower.from_tail(path, MAX_BACKLOG)

    async def read(self) -> bool:
        """Read the new lines; return whether the history has changed."""
        changed = False
        while not self.pattern_timed_out:
            before = self._follower.offset
            lines = await asyncio.to_thread(self._follower.read)
            if self._follower.offset < before:
                self.history.clear()
                changed = True
            if not lines:
                break
            try:
                async for some in in_chunks(lines):
                    with regex_time_limit():
                        parsed = [found for line in some if (found := parse_progress(self._pattern, line))]
                    for numbers in parsed:
                        self.history.add(numbers)
                    changed = changed or bool(parsed)
            except TimeoutError:
                self.pattern_timed_out = True
        return changed


class MetricHistories:
    """The histories of the runs whose curves were shown."""

    def __init__(self) -> None:
        self._readers: dict[str, MetricHistoryReader] = {}

    def get(self, run: str) -> MetricHistory | None:
        """Return the history of a run; None before its first refresh."""
        return self._readers[run].history if run in self._readers else None

    async def refresh(self, run: str, path: Path, pattern: str) -> bool:
        """Read the new lines in the log of a run; return whether its history has changed."""
        reader = self._readers.get(run)
        if reader is None or reader.path != path:
            reader = self._readers[run] = await asyncio.to_thread(MetricHistoryReader, path, pattern)
        return await reader.read()

"""The course of a run's losses, taken from its log. Nothing of it crosses the wire."""

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

MAX_TAKEN_BACK = 8
_POSITION = ("epoch", "epochs")  # groups that say how far, not how well

Numbers = Mapping[str, int | float]


class MetricHistory:
    """The metrics of a run by epoch. A point at an epoch forgets all later ones: the run resumed before them."""

    def __init__(self) -> None:
        self.epochs: list[float] = []
        self._metrics: dict[str, list[float]] = {}  # as long as `epochs`; nan where a line did not tell
        self._taken_back: list[dict[str, list[tuple[float, float]]]] = []  # what was forgotten, oldest first

    def __len__(self) -> int:
        return len(self.epochs)

    @property
    def names(self) -> tuple[str, ...]:
        """The metrics worth a curve, at most two: training and validation loss where there are such."""
        losses = tuple(name for name in ("train_loss", "val_loss") if name in self._metrics)
        return losses or tuple(self._metrics)[:2]

    def add(self, numbers: Numbers) -> None:
        """Takes in what one line said; a line without any metric says nothing here."""
        metrics = {name: float(value) for name, value in numbers.items() if name not in _POSITION}
        if not metrics:
            return
        epoch = float(numbers.get("epoch", len(self.epochs) + 1))
        index = bisect_left(self.epochs, epoch)
        if len(self.epochs) - index > 1:
            self._taken_back.append({name: self.points(name)[index:] for name in self._metrics})
            del self._taken_back[:-MAX_TAKEN_BACK]
        del self.epochs[index:]
        self.epochs.append(epoch)
        for name in metrics:
            self._metrics.setdefault(name, [math.nan] * index)
        for name, values in self._metrics.items():
            values[index:] = [metrics.get(name, math.nan)]

    def clear(self) -> None:
        """Forgets everything."""
        self.epochs.clear()
        self._metrics.clear()
        self._taken_back.clear()

    def points(self, name: str) -> list[tuple[float, float]]:
        """The (epoch, value) pairs of a metric."""
        pairs = zip(self.epochs, self._metrics.get(name, ()), strict=False)
        return [(epoch, value) for epoch, value in pairs if not math.isnan(value)]

    def taken_back(self, name: str) -> list[list[tuple[float, float]]]:
        """The points of a metric that the run went back before, once for each time that it did."""
        return [tail[name] for tail in self._taken_back if tail.get(name)]

    def best(self, name: str = "val_loss") -> tuple[float, float] | None:
        """The (epoch, value) where a metric was lowest; None where it was never told."""
        return min(self.points(name), key=lambda point: point[1], default=None)


class MetricHistoryReader:
    """Keeps a history as its log tells it, from its beginning or, of a huge log, from its last 8 MiB."""

    def __init__(self, path: Path, pattern: str) -> None:
        """Blocks on the disk: for threads."""
        self.path = path
        self.history = MetricHistory()
        self.gave_up = False  # the pattern takes too long, so that no more is to be had
        self._pattern = re.compile(pattern)
        self._follower = LogFollower.near_end(path, MAX_BACKLOG)

    async def read(self) -> bool:
        """Takes in what is new; whether anything was."""
        changed = False
        while not self.gave_up:
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
                        told = [found for line in some if (found := parse_progress(self._pattern, line))]
                    for numbers in told:
                        self.history.add(numbers)
                    changed = changed or bool(told)
            except TimeoutError:
                self.gave_up = True
        return changed


class MetricHistories:
    """The histories of all runs that somebody wanted to see."""

    def __init__(self) -> None:
        self._readers: dict[str, MetricHistoryReader] = {}

    def get(self, run: str) -> MetricHistory | None:
        """What is known so far of a run's past."""
        return self._readers[run].history if run in self._readers else None

    async def refresh(self, run: str, path: Path, pattern: str) -> bool:
        """Reads what is new in a run's log; whether anything was."""
        reader = self._readers.get(run)
        if reader is None or reader.path != path:
            reader = self._readers[run] = await asyncio.to_thread(MetricHistoryReader, path, pattern)
        return await reader.read()


Points = Sequence[tuple[float, float]]

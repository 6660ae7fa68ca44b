"""The logs of all runs and of the session as one, by time, however long they are."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Mapping
from itertools import groupby
from pathlib import Path

from .line_format import MAX_NAME, with_run_prefix
from .log_file import LogFile, split_lines
from .merged_history import MergedHistory
from .pages import PAGE, Page
from .sanitize import sanitize_line
from .segments import LineBlock, Segments
from .timestamps import EARLIEST, timestamps_of

CHUNK = 1 << 20  # bytes of one log that are taken in at a time
MERGED_AT_ONCE = 1 << 18  # bytes of news that are put in order; more of them are taken log by log
MAX_PIECES = 1_000_000  # of news; then all begins anew with these as the past, too
_OFTEN = 64  # logs; of more of them only those that grow are looked at each time
_SELDOM = 16  # turns


class MergedLog:
    """What the logs held at first, in the order of their times; below it what came since, as it came.

    Places are numbers of bytes above a line.
    """

    def __init__(self, paths: Mapping[str, Path]) -> None:
        self._paths = paths
        self._width = min(MAX_NAME, max(map(len, paths), default=0))
        self._identity = 0
        self._turn = 0
        self._lock = threading.RLock()  # one thread reads what is in view while another one searches
        self._begin()

    def state(self) -> tuple[int, int]:
        """Takes in what is new; which time all began anew, and the place after the newest line."""
        with self._lock:
            self._look_at_logs()
            if len(self._news) > MAX_PIECES:
                self._begin()
            return self._identity, self._news.end

    def _look_at_logs(self) -> None:
        self._turn += 1
        if self._turn % _SELDOM == 0:
            self._find_logs()
        news: list[tuple[int, int, bytes]] = []
        for index, log in enumerate(self._logs):
            if len(self._logs) > _OFTEN and index not in self._growing and (self._turn + index) % _SELDOM:
                continue
            inode, size = log.state()
            if inode != self._inodes[index] or size < self._taken[index]:
                self._begin()
                return
            data = log.after(self._taken[index], CHUNK) if size > self._taken[index] else b""
            (self._growing.add if data else self._growing.discard)(index)
            if data:
                news.append((index, self._taken[index], data))
                self._taken[index] += len(data)
        self._take_in(news)

    def _begin(self) -> None:
        """Takes all that there is for the past."""
        self._identity += 1
        self._names: list[str] = []
        self._logs: list[LogFile] = []
        self._inodes: list[int] = []
        self._taken: list[int] = []  # bytes of each log
        self._growing: set[int] = set()
        self._counts: deque[tuple[int, int]] = deque(maxlen=64)  # where news end, and how many lines they are
        self._find_logs()
        sizes = [log.line_at(log.state()[1]) for log in self._logs]
        self._taken[:] = sizes
        self._past = MergedHistory(self._logs[:], sizes)
        self._news = Segments(self._logs, self._past.end)

    def _find_logs(self) -> None:
        """Adds the logs that have come to be."""
        known = set(self._names)
        for name, path in self._paths.items():
            if name not in known and (inode := LogFile(path).state()[0]):
                self._names.append(name)
                self._logs.append(LogFile(path))
                self._inodes.append(inode)
                self._taken.append(0)

    def _take_in(self, news: list[tuple[int, int, bytes]]) -> None:
        if sum(len(data) for _, _, data in news) > MERGED_AT_ONCE:
            for index, offset, data in news:
                self._news.add(index, offset, len(data))
        else:
            timed: list[tuple[int, int, int]] = []
            offsets = {}
            for index, offset, data in news:
                lines = split_lines(data)
                offsets[index] = offset
                moments = timestamps_of(lines, EARLIEST)
                timed += ((moment, index, len(raw) + 1) for moment, raw in zip(moments, lines, strict=True))
            timed.sort(key=lambda line: line[0])  # stable: what one log says keeps its order
            for index, same in groupby(timed, key=lambda line: line[1]):
                length = sum(line[2] for line in same)
                self._news.add(index, offsets[index], length)
                offsets[index] += length
        if news:
            self._counts.append((self._news.end, sum(data.count(b"\n") for _, _, data in news)))

    def tail(self) -> Page:
        _, end = self.state()
        return self.before(end)

    def before(self, place: int) -> Page:
        with self._lock:
            return self._page(self._before(place, PAGE))

    def after(self, place: int) -> Page:
        with self._lock:
            return self._page(self._after(place, PAGE))

    def around(self, place: int) -> Page:
        with self._lock:
            place = self._part(place).line_at(place)
            above, below = self._before(place, PAGE // 2), self._after(place, PAGE // 2)
            return self._page(LineBlock(above.start if above.lines else place, below.end, above.lines + below.lines))

    def count(self, start: int, end: int) -> int:
        """Lines of the latest news."""
        with self._lock:
            return sum(lines for at, lines in self._counts if start < at <= end)

    def _part(self, place: int) -> MergedHistory | Segments:
        return self._past if place < self._past.end else self._news

    def _before(self, place: int, want: int) -> LineBlock:
        return self._part(place - 1).before(place, want)

    def _after(self, place: int, want: int) -> LineBlock:
        return self._part(place).after(place, want)

    def _page(self, text: LineBlock) -> Page:
        return Page(text.start, text.end, [(place, self._told(log, raw)) for place, log, raw in text.lines])

    def _told(self, log: int, raw: bytes) -> str:
        return with_run_prefix(self._names[log], self._width, sanitize_line(raw))

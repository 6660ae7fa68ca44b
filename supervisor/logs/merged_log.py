"""All logs of a session as one text: existing lines by time, then new lines as they arrive.

Every call blocks on the disk: an asyncio program makes it in a thread.
"""

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

CHUNK = 1 << 20  # bytes of one log that are read at a time
MAX_SORTED = 1 << 18  # bytes of new lines that are sorted by time; more of them are appended log by log
MAX_SEGMENTS = 1_000_000  # of new lines; then the text is rebuilt, with these as part of the history
_ALL_POLLED = 64  # logs; of more logs only those that grow are polled each time
_SLOW_POLL = 16  # polls; how often the other logs are polled, and logs that did not exist yet


class MergedLog:
    """The history of several logs, ordered by time, and below it the lines that were written since.

    Implements `LogPages`. An offset is the number of bytes before a line.

    Args:
        paths: The log files by the name that is shown before their lines.
    """

    def __init__(self, paths: Mapping[str, Path]) -> None:
        self._paths = paths
        self._width = min(MAX_NAME, max(map(len, paths), default=0))
        self._identity = 0
        self._polls = 0
        self._lock = threading.RLock()  # one thread reads the lines in view while another one searches
        self._rebuild()

    def state(self) -> tuple[int, int]:
        """Read what is new; return the identity of the text, which a rebuild changes, and the offset of its end."""
        with self._lock:
            self._poll()
            if len(self._appended) > MAX_SEGMENTS:
                self._rebuild()
            return self._identity, self._appended.end

    def tail(self) -> Page:
        """Return the newest lines."""
        _, end = self.state()
        return self.before(end)

    def before(self, offset: int) -> Page:
        """Return the lines just before the offset of a line."""
        with self._lock:
            return self._page(self._before(offset, PAGE))

    def after(self, offset: int) -> Page:
        """Return the lines from the offset of a line on."""
        with self._lock:
            return self._page(self._after(offset, PAGE))

    def around(self, offset: int) -> Page:
        """Return the lines around any offset."""
        with self._lock:
            offset = self._part(offset).line_start(offset)
            above, below = self._before(offset, PAGE // 2), self._after(offset, PAGE // 2)
            start = above.start if above.lines else offset
            return self._page(LineBlock(start, below.end, above.lines + below.lines))

    def count(self, start: int, end: int) -> int:
        """Return how many of the newest lines end between two offsets."""
        with self._lock:
            return sum(lines for offset, lines in self._counts if start < offset <= end)

    def _rebuild(self) -> None:
        """Make all lines that exist now the history."""
        self._identity += 1
        self._names: list[str] = []
        self._logs: list[LogFile] = []
        self._inodes: list[int] = []
        self._read_sizes: list[int] = []  # bytes of each log that are part of the text
        self._growing: set[int] = set()
        self._counts: deque[tuple[int, int]] = deque(maxlen=64)  # offset after new lines, and their number
        self._find_logs()
        sizes = [log.line_start(log.state()[1]) for log in self._logs]
        self._read_sizes[:] = sizes
        self._history = MergedHistory(self._logs[:], sizes)
        self._appended = Segments(self._logs, self._history.end)

    def _find_logs(self) -> None:
        """Add the logs that exist now and did not before."""
        known = set(self._names)
        for name, path in self._paths.items():
            if name not in known and (inode := LogFile(path).state()[0]):
                self._names.append(name)
                self._logs.append(LogFile(path))
                self._inodes.append(inode)
                self._read_sizes.append(0)

    def _poll(self) -> None:
        """Append the new lines of all logs; rebuild the text if a log was truncated or replaced."""
        self._polls += 1
        if self._polls % _SLOW_POLL == 0:
            self._find_logs()
        new: list[tuple[int, int, bytes]] = []
        for index, log in enumerate(self._logs):
            is_slow = len(self._logs) > _ALL_POLLED and index not in self._growing
            if is_slow and (self._polls + index) % _SLOW_POLL:
                continue
            inode, size = log.state()
            if inode != self._inodes[index] or size < self._read_sizes[index]:
                self._rebuild()
                return
            data = log.lines_after(self._read_sizes[index], CHUNK) if size > self._read_sizes[index] else b""
            (self._growing.add if data else self._growing.discard)(index)
            if data:
                new.append((index, self._read_sizes[index], data))
                self._read_sizes[index] += len(data)
        self._append(new)

    def _append(self, new: list[tuple[int, int, bytes]]) -> None:
        """Append new lines, ordered by time; `new` holds number, offset and bytes of each log that has grown."""
        if sum(len(data) for _, _, data in new) > MAX_SORTED:
            for index, offset, data in new:
                self._appended.add(index, offset, len(data))
        else:
            timed: list[tuple[int, int, int]] = []
            offsets = {}
            for index, offset, data in new:
                lines = split_lines(data)
                offsets[index] = offset
                timestamps = timestamps_of(lines, EARLIEST)
                timed += ((at, index, len(raw) + 1) for at, raw in zip(timestamps, lines, strict=True))
            timed.sort(key=lambda line: line[0])  # stable: the lines of one log keep their order
            for index, same in groupby(timed, key=lambda line: line[1]):
                length = sum(line[2] for line in same)
                self._appended.add(index, offsets[index], length)
                offsets[index] += length
        if new:
            self._counts.append((self._appended.end, sum(data.count(b"\n") for _, _, data in new)))

    def _part(self, offset: int) -> MergedHistory | Segments:
        return self._history if offset < self._history.end else self._appended

    def _before(self, offset: int, size: int) -> LineBlock:
        return self._part(offset - 1).before(offset, size)

    def _after(self, offset: int, size: int) -> LineBlock:
        return self._part(offset).after(offset, size)

    def _page(self, block: LineBlock) -> Page:
        return Page(block.start, block.end, [(offset, self._format(log, raw)) for offset, log, raw in block.lines])

    def _format(self, log: int, raw: bytes) -> str:
        return with_run_prefix(self._names[log], self._width, sanitize_line(raw))

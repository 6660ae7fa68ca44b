"""A log as pages of sanitized lines, with access to any part of it at once.

Every call blocks on the disk: an asyncio program makes it in a thread.
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple, Protocol

from .log_file import LogFile, split_lines
from .sanitize import sanitize_line

PAGE = 1 << 17  # bytes; about a thousand lines
COUNTED_PAGES = 64  # pages of new lines that are counted


class Page(NamedTuple):
    """Whole lines between two offsets.

    Attributes:
        start: Offset of the first line, bytes.
        end: Offset after the last line, bytes.
        lines: Each line with the offset where it starts.
    """

    start: int
    end: int
    lines: list[tuple[int, str]]


class LogPages(Protocol):
    """A log as pages. The offset of a line never changes while the identity of the log stays the same."""

    def state(self) -> tuple[int, int]:
        """Return the identity of the log, and the offset of its end."""
        ...

    def tail(self) -> Page:
        """Return the newest lines."""
        ...

    def before(self, offset: int) -> Page:
        """Return the lines just before the offset of a line."""
        ...

    def after(self, offset: int) -> Page:
        """Return the complete lines from the offset of a line on."""
        ...

    def around(self, offset: int) -> Page:
        """Return the lines around any offset."""
        ...

    def count(self, start: int, end: int) -> int:
        """Return how many lines end between two offsets."""
        ...


class PagedLog:
    """One log file as pages; implements `LogPages`."""

    def __init__(self, path: Path) -> None:
        self._log = LogFile(path)

    def state(self) -> tuple[int, int]:
        """Return the file's inode and size in bytes; zeros while there is no regular file."""
        return self._log.state()

    def tail(self) -> Page:
        """Return the newest complete lines."""
        _, size = self.state()
        start, data = self._log.lines_before(size, PAGE)
        return _page(start, data[: data.rfind(b"\n") + 1])

    def before(self, offset: int) -> Page:
        """Return the lines just before the offset of a line."""
        return _page(*self._log.lines_before(offset, PAGE))

    def after(self, offset: int) -> Page:
        """Return the complete lines from the offset of a line on."""
        return _page(offset, self._log.lines_after(offset, PAGE))

    def around(self, offset: int) -> Page:
        """Return the lines around any offset."""
        start, above = self._log.lines_before(offset, PAGE // 2) if offset else (0, b"")
        return _page(start, self._log.lines_after(start, len(above) + PAGE // 2) or above)

    def count(self, start: int, end: int) -> int:
        """Return how many lines end between two offsets, counted in the first 8 MiB only."""
        return self._log.read(start, min(end - start, COUNTED_PAGES * PAGE)).count(b"\n")


def _page(start: int, data: bytes) -> Page:
    lines: list[tuple[int, str]] = []
    offset = start
    for raw in split_lines(data):
        lines.append((offset, sanitize_line(raw)))
        offset += len(raw) + 1
    return Page(start, start + len(data), lines)

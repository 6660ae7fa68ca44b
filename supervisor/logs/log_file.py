"""Random access to a log that another process appends to. The only place where bytes of logs are read.

Every call blocks on the disk: an asyncio program makes it in a thread.
"""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Iterator
from pathlib import Path

MAX_LINE_BYTES = 1 << 24  # a longer line is treated as several
_STEP = 1 << 12  # bytes
_LARGE_STEP = 1 << 18  # bytes


class OpenLogFile:
    """An open log: reads refer to the same file even if another one replaces it meanwhile.

    Attributes:
        inode: Identity of the file.
        size: Bytes that it held when it was opened.
    """

    __slots__ = ("_descriptor", "inode", "size")

    def __init__(self, descriptor: int, inode: int, size: int) -> None:
        self._descriptor = descriptor
        self.inode = inode
        self.size = size

    def read(self, start: int, size: int) -> bytes:
        """Return at most `size` bytes from offset `start` on; none if they cannot be read."""
        try:
            return os.pread(self._descriptor, max(0, size), start)
        except OSError:
            return b""


class LogFile:
    """A file that another process appends to. Offsets are bytes from its beginning."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def state(self) -> tuple[int, int]:
        """Return the file's inode and size in bytes; zeros while there is no regular file."""
        try:
            status = os.stat(self._path)  # noqa: PTH116 - called for many files many times a second
        except OSError:
            return 0, 0
        return (status.st_ino, status.st_size) if stat.S_ISREG(status.st_mode) else (0, 0)

    @property
    def modified(self) -> float:
        """When the file was last written, unix time in s; 0 if it is absent."""
        try:
            return self._path.stat().st_mtime
        except OSError:
            return 0.0

    @contextlib.contextmanager
    def open(self) -> Iterator[OpenLogFile | None]:
        """Open the file for a `with` block; None if it is absent or no regular file. Never blocks on a FIFO."""
        try:
            descriptor = os.open(self._path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        except OSError:
            yield None
            return
        try:
            yield _open_file(descriptor)
        finally:
            os.close(descriptor)

    def read(self, start: int, size: int) -> bytes:
        """Return at most `size` bytes from offset `start` on; none if they cannot be read."""
        with self.open() as file:
            return file.read(start, size) if file is not None else b""

    def lines_before(self, end: int, size: int) -> tuple[int, bytes]:
        """Return about `size` bytes of whole lines just before offset `end`, and the offset where they start.

        That is at least one line, or MAX_LINE_BYTES of a longer one.
        """
        while True:
            start = max(0, end - size)
            data = self.read(start, end - start)
            cut = data.find(b"\n") + 1 if start else 0
            if start == 0 or 0 < cut < len(data):
                return start + cut, data[cut:]
            if size >= MAX_LINE_BYTES:
                return start, data
            size = min(4 * size, MAX_LINE_BYTES)

    def lines_after(self, start: int, size: int) -> bytes:
        """Return about `size` bytes of complete lines from offset `start` on, at least one line if there is one."""
        while True:
            data = self.read(start, size)
            end = data.rfind(b"\n") + 1
            if end or len(data) < size:
                return data[:end]
            if size >= MAX_LINE_BYTES:
                return data
            size = min(4 * size, MAX_LINE_BYTES)

    def last_lines_start(self, count: int) -> int:
        """Return where the last `count` complete lines start; only these lines are read."""
        with self.open() as file:
            start = file.size if file is not None else 0
            newlines = count + 1  # still to be found: that before the first of the lines, and their own
            while file is not None and start > 0:
                end, start = start, max(0, start - _LARGE_STEP)
                data = file.read(start, end - start)
                found = data.count(b"\n")
                if found >= newlines:
                    position = len(data)
                    for _ in range(newlines):
                        position = data.rindex(b"\n", 0, position)
                    return start + position + 1
                newlines -= found
        return 0

    def line_start(self, offset: int) -> int:
        """Return where the line that contains `offset` starts; not far before it in a very long line."""
        start, data = self.lines_before(offset, _STEP)
        return start + data.rfind(b"\n") + 1

    def next_line_start(self, offset: int) -> int:
        """Return where the first line at or after `offset` starts; not far after it if there is none."""
        start, step = offset, _STEP
        while offset and start < offset + MAX_LINE_BYTES:
            data = self.read(start - 1, step)
            found = data.find(b"\n") + 1
            if found or len(data) < step:
                return start - 1 + (found or len(data))
            start, step = start + step, min(4 * step, MAX_LINE_BYTES // 8)
        return offset


def _open_file(descriptor: int) -> OpenLogFile | None:
    try:
        status = os.fstat(descriptor)
    except OSError:  # such as ESTALE on a network disk
        return None
    return OpenLogFile(descriptor, status.st_ino, status.st_size) if stat.S_ISREG(status.st_mode) else None


def split_lines(data: bytes) -> list[bytes]:
    """Split at line ends, which are removed."""
    lines = data.split(b"\n")
    return lines if lines[-1] else lines[:-1]

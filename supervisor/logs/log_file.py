"""Random access to a log that another process appends to. The only place where bytes of logs are read.

Every call blocks on the disk: an asyncio program makes it in a thread.
"""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Iterator
from pathlib import Path

LONGEST = 1 << 24  # bytes; a line that is longer is taken for several
_STEP = 1 << 12


class OpenLogFile:
    """An open log: what is read stays the same file, even if its name is given to another one meanwhile.

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
    """A file that another process appends to."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def state(self) -> tuple[int, int]:
        """The file's inode and size; zeros while there is no regular file."""
        try:
            status = os.stat(self._path)  # noqa: PTH116 - asked of many files many times a second
        except OSError:
            return 0, 0
        return (status.st_ino, status.st_size) if stat.S_ISREG(status.st_mode) else (0, 0)

    @property
    def modified(self) -> float:
        """When it was written to last, unix seconds."""
        try:
            return self._path.stat().st_mtime
        except OSError:
            return 0.0

    @contextlib.contextmanager
    def open(self) -> Iterator[OpenLogFile | None]:
        """Open the file for the length of a `with` block; None if it is absent or no regular file. Never blocks."""
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

    def before(self, end: int, want: int) -> tuple[int, bytes]:
        """Where the lines just above `end` begin, and their bytes; at least one line, if it is not endless."""
        while True:
            start = max(0, end - want)
            data = self.read(start, end - start)
            cut = data.find(b"\n") + 1 if start else 0
            if start == 0 or 0 < cut < len(data):
                return start + cut, data[cut:]
            if want >= LONGEST:
                return start, data
            want = min(4 * want, LONGEST)

    def after(self, start: int, want: int) -> bytes:
        """The bytes of the complete lines from `start` on."""
        while True:
            data = self.read(start, want)
            end = data.rfind(b"\n") + 1
            if end or len(data) < want:
                return data[:end]
            if want >= LONGEST:
                return data
            want = min(4 * want, LONGEST)

    def line_at(self, place: int) -> int:
        """Where the line begins that a place lies in; not far above it, if the line is endless."""
        start, data = self.before(place, _STEP)
        return start + data.rfind(b"\n") + 1

    def line_from(self, place: int) -> int:
        """Where the first line begins at or after a place; not far below it, if there is none."""
        start, step = place, _STEP
        while place and start < place + LONGEST:
            data = self.read(start - 1, step)
            found = data.find(b"\n") + 1
            if found or len(data) < step:
                return start - 1 + (found or len(data))
            start, step = start + step, min(4 * step, LONGEST // 8)
        return place


def _open_file(descriptor: int) -> OpenLogFile | None:
    try:
        status = os.fstat(descriptor)
    except OSError:  # such as ESTALE on a network disk
        return None
    return OpenLogFile(descriptor, status.st_ino, status.st_size) if stat.S_ISREG(status.st_mode) else None


def split_lines(data: bytes) -> list[bytes]:
    """The lines without their ends."""
    lines = data.split(b"\n")
    return lines if lines[-1] else lines[:-1]

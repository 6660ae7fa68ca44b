"""Log files: follow one, make a line of it harmless, find progress in it.

Every byte of a log is hostile until `sanitize_line` has seen it: terminals obey escape sequences, widgets obey
markup, and a program may write a line that never ends.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path

from .sanitize import MAX_LINE, sanitize_line

CHUNK = 1 << 20  # bytes read at a time
MAX_BACKLOG = 8 << 20  # bytes; a follower further behind than this jumps to the newest CHUNK


def _shown_part(unended: bytes) -> bytes:
    """Of a line that does not end, what would be shown: the start of what follows its last \\r."""
    text = unended.rstrip(b"\r")
    return text.rpartition(b"\r")[2][: 8 * MAX_LINE] + (b"\r" if text != unended else b"")


class LogFollower:
    """Reads what is new in a file that another process appends to.

    Survives a file that does not exist yet, is truncated, replaced, or is no regular file; never blocks; never
    holds more than a chunk and one cut line in memory.
    """

    def __init__(self, path: Path, offset: int = 0, max_backlog: float = MAX_BACKLOG) -> None:
        """Reads from `offset` on. More than `max_backlog` bytes behind it jumps ahead; infinity reads everything."""
        self.path = path
        self.offset = offset  # bytes read so far
        self._max_backlog = max_backlog
        self._partial = b""  # the beginning of a line whose end is not written yet
        self._inode: int | None = None

    @classmethod
    def near_end(cls, path: Path, keep: int = CHUNK) -> LogFollower:
        """A follower that starts at most `keep` bytes before the end, at the beginning of a line."""
        try:
            offset = max(0, path.stat().st_size - keep)
        except OSError:
            offset = 0
        follower = cls(path, offset)
        if offset:
            follower._drop_first_line()
        return follower

    def read(self) -> list[str]:
        """The complete lines that came since the last call, cleaned; at most one chunk's worth."""
        return [sanitize_line(line) for line in self._raw_lines()]

    def _raw_lines(self) -> list[bytes]:
        for _ in range(MAX_BACKLOG // CHUNK + 1):  # a line longer than a chunk is not the end of what is new
            data = self._read_chunk()
            if not data:
                break
            *lines, partial = (self._partial + data).split(b"\n")
            self._partial = partial if len(partial) <= CHUNK else _shown_part(partial)
            if lines:
                return lines
        return []

    def _read_chunk(self) -> bytes:
        try:
            descriptor = os.open(self.path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        except OSError:
            return b""
        try:
            status = os.fstat(descriptor)
            if not stat.S_ISREG(status.st_mode):
                return b""
            if self._inode not in (None, status.st_ino) or status.st_size < self.offset:
                self.offset, self._partial = 0, b""
            self._inode = status.st_ino
            if status.st_size - self.offset > self._max_backlog:
                self._skip_to(descriptor, status.st_size - CHUNK)
            data = os.pread(descriptor, CHUNK, self.offset)
        except OSError:
            return b""
        finally:
            os.close(descriptor)
        self.offset += len(data)
        return data

    def _skip_to(self, descriptor: int, offset: int) -> None:
        start = os.pread(descriptor, 16 * MAX_LINE, offset)
        self.offset = offset + start.find(b"\n") + 1
        self._partial = b""

    def _drop_first_line(self) -> None:
        try:
            with self.path.open("rb") as file:
                file.seek(self.offset)
                self.offset += file.read(16 * MAX_LINE).find(b"\n") + 1
        except OSError:
            pass

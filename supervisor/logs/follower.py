"""Incremental reading of a growing log, as `tail -f` does.

Every byte of a log is hostile until `sanitize_line` has seen it: terminals obey escape sequences, widgets obey
markup, and a program may write a line that never ends.
"""

from __future__ import annotations

from pathlib import Path

from .log_file import LogFile, OpenLogFile
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
        self._log = LogFile(path)
        self.offset = offset  # bytes read so far
        self._max_backlog = max_backlog
        self._partial = b""  # the beginning of a line whose end is not written yet
        self._inode: int | None = None

    @classmethod
    def near_end(cls, path: Path, keep: int = CHUNK) -> LogFollower:
        """Return a follower that starts at the first line in the last `keep` bytes of the file."""
        follower = cls(path)
        with follower._log.open() as file:
            if file is not None and file.size > keep:
                follower._skip_to(file, file.size - keep)
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
        with self._log.open() as file:
            if file is None:
                return b""
            if self._inode not in (None, file.inode) or file.size < self.offset:  # replaced or truncated
                self.offset, self._partial = 0, b""
            self._inode = file.inode
            if file.size - self.offset > self._max_backlog:
                self._skip_to(file, file.size - CHUNK)
            data = file.read(self.offset, CHUNK)
        self.offset += len(data)
        return data

    def _skip_to(self, file: OpenLogFile, offset: int) -> None:
        """Go on at the first line that begins after `offset`, or right there if none begins soon."""
        self.offset = offset + file.read(offset, 16 * MAX_LINE).find(b"\n") + 1
        self._partial = b""

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


class LogFollower:
    """Reader of the new lines of a file that another process appends to.

    The file may not exist yet, be truncated, replaced, or be no regular file. A follower never blocks and never holds
    more than a chunk and one shortened line in memory.

    Args:
        path: The log.
        offset: Where to start, bytes.
        max_backlog: A follower that is further behind than this many bytes jumps to the newest chunk; infinity reads
            everything.

    Attributes:
        offset: Bytes read so far.
    """

    def __init__(self, path: Path, offset: int = 0, max_backlog: float = MAX_BACKLOG) -> None:
        self._log = LogFile(path)
        self.offset = offset
        self._max_backlog = max_backlog
        self._partial = b""  # the start of a line whose end is not written yet
        self._inode: int | None = None

    @classmethod
    def from_tail(cls, path: Path, keep: int = CHUNK) -> LogFollower:
        """Return a follower that starts at the first line in the last `keep` bytes of the file."""
        follower = cls(path)
        with follower._log.open() as file:
            if file is not None and file.size > keep:
                follower._skip_to(file, file.size - keep)
        return follower

    def read(self) -> list[str]:
        """Return the complete lines written since the last call, sanitized; at most one chunk of them."""
        return [sanitize_line(line) for line in self._raw_lines()]

    def _raw_lines(self) -> list[bytes]:
        for _ in range(MAX_BACKLOG // CHUNK + 1):  # a chunk may end within a very long line
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


def _shown_part(unfinished: bytes) -> bytes:
    """Return the part of an unfinished line that would be shown: the start of the text after its last CR."""
    text = unfinished.rstrip(b"\r")
    return text.rpartition(b"\r")[2][: 8 * MAX_LINE] + (b"\r" if text != unfinished else b"")

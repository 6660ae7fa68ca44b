"""Log files: follow one, make a line of it harmless, find progress in it.

Every byte of a log is hostile until `clean_line` has seen it: terminals obey escape sequences, widgets obey
markup, and a program may write a line that never ends.
"""

from __future__ import annotations

import contextlib
import math
import os
import re
import stat
from pathlib import Path

MAX_LINE = 4096  # characters kept of a line
LAST_WORDS_FROM = 1 << 14  # bytes at the end of a log in which they are looked for
MAX_LAST_WORDS = 300  # characters
CHUNK = 1 << 20  # bytes read at a time
MAX_BACKLOG = 8 << 20  # bytes; a follower further behind than this jumps to the newest CHUNK

# ECMA-48: control sequences, then strings (OSC, DCS, SOS, PM, APC; ended by BEL or ST, or cut off by the end of
# the line), then any other escape. Each introducer has a 7-bit and an 8-bit (C1) form.
_ESCAPES = re.compile(
    r"(?:\x1b\[|\x9b)[0-?]*[ -/]*[@-~]?"
    r"|(?:\x1b[\]PX^_]|[\x9d\x90\x98\x9e\x9f]).*?(?:\x07|\x1b\\|\x9c|$)"
    r"|\x1b[ -/]*[0-~]?",
    re.DOTALL,
)


def clean_line(raw: bytes) -> str:
    """The text a terminal would show for one line of a log, and nothing that could steer the terminal.

    Escape sequences and characters without a glyph (controls, bidirectional and zero-width marks) are gone, bad
    UTF-8 shows as U+FFFD, only what follows the last carriage return is kept, and a line longer than `MAX_LINE`
    ends in an ellipsis.
    """
    segment = raw.rstrip(b"\r\n").rpartition(b"\r")[2]
    text = segment[: 8 * MAX_LINE].decode("utf-8", "replace")
    if not text.isprintable():
        text = _ESCAPES.sub("", text).expandtabs(8)
        text = "".join(char if char.isprintable() else " " if char.isspace() else "" for char in text)
    return text if len(text) <= MAX_LINE else text[: MAX_LINE - 1] + "…"


def parse_progress(pattern: re.Pattern[str], line: str) -> dict[str, int | float]:
    """The numbers that the pattern's named groups find in a cleaned line, without those that are not finite."""
    match = pattern.search(line)
    if match is None:
        return {}
    numbers = {name: _number(text) for name, text in match.groupdict().items() if text is not None}
    return {name: number for name, number in numbers.items() if number is not None}


def _number(text: str) -> int | float | None:
    kinds = (int, float) if len(text) <= 18 else (float,)  # an integer must fit into 64 bits
    for kind in kinds:
        with contextlib.suppress(ValueError):
            number = kind(text)
            return number if math.isfinite(number) else None
    return None


def _shown_part(unended: bytes) -> bytes:
    """Of a line that does not end, what would be shown: the start of what follows its last \\r."""
    text = unended.rstrip(b"\r")
    return text.rpartition(b"\r")[2][: 8 * MAX_LINE] + (b"\r" if text != unended else b"")


# What trainers and supervisor put before a message: time, level, name.
_PREFIX = re.compile(r"\S+ \S+ \[\w+ *\] \S+ +\| ")


def last_words(path: Path, offset: int) -> str | None:
    """The last error of an attempt whose header lies at `offset`, or else its last line; without time and name."""
    follower = LogFollower.near_end(path, LAST_WORDS_FROM)
    if follower.offset <= offset:
        follower = LogFollower(path, offset)
        lines = follower.read()[1:]  # without the header
    else:
        lines = follower.read()
    spoken = [line for line in lines if line.strip()]
    errors = [line for line in spoken if "[error" in line]
    words = (errors or spoken)[-1:]
    return _PREFIX.sub("", words[0].strip(), count=1)[:MAX_LAST_WORDS] if words else None


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
        return [clean_line(line) for line in self._raw_lines()]

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

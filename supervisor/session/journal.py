"""Every event of a session, on disk before it is acted on."""

from __future__ import annotations

import ctypes
import errno
import fcntl
import os
from pathlib import Path
from typing import Annotated

from pydantic import Field, TypeAdapter, ValidationError

from ..errors import UserError
from .events import Event

_events: TypeAdapter[Event] = TypeAdapter(Annotated[Event, Field(discriminator="kind")])


RESERVE = 1 << 16  # bytes kept free for the journal, so that on a full disk ends are noted and stops obeyed
FALLOC_FL_KEEP_SIZE = 1


class JournalBusy(RuntimeError):
    """Another engine writes this journal."""


class JournalError(UserError, ValueError):
    """A journal damaged elsewhere than in its last line; the message names file and line."""


def read_journal(path: Path) -> list[Event]:
    """The events of a session, oldest first; a torn last line never happened.

    Raises:
        JournalError: a line in the middle cannot be read.
    """
    events: list[Event] = []
    for number, line in enumerate(_whole_lines(path), start=1):
        try:
            events.append(_events.validate_json(line))
        except ValidationError as error:
            problem = error.errors()[0]["msg"]
            raise JournalError(f"{path}: line {number} is damaged ({problem}); the session cannot go on") from None
    return events


def is_closed(path: Path) -> bool:
    """Whether the session of this journal has finished, told from its text: quick in a folder of many sessions."""
    text = b"\n".join(_whole_lines(path))
    return text.rfind(b'"kind":"session_finished"') > text.rfind(b'"kind":"restart_requested"')


_libc = ctypes.CDLL(None)
_libc.fallocate.argtypes = [ctypes.c_int, ctypes.c_int, ctypes.c_int64, ctypes.c_int64]


def _whole_lines(path: Path) -> list[bytes]:
    try:
        return path.read_bytes().split(b"\n")[:-1]
    except FileNotFoundError:
        return []
    except PermissionError as error:
        raise JournalError(f"{path}: cannot be read ({error.strerror}); only whoever began the session can") from None


class Journal:
    """The journal of the engine that owns the session."""

    def __init__(self, path: Path) -> None:
        """Opens the journal for writing.

        Raises:
            JournalBusy: another engine writes it, although the lock of the logs folder was free: it was deleted.
        """
        self._path = path
        self._descriptor = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(self._descriptor)
            raise JournalBusy(str(path)) from None
        self._size = sum(len(line) + 1 for line in _whole_lines(path))
        self._reserved_to = 0
        if os.fstat(self._descriptor).st_size != self._size:
            os.ftruncate(self._descriptor, self._size)  # what an engine died writing must not run into our first line
        self._reserve()

    def append(self, event: Event) -> None:
        """Writes the event through to the disk.

        Raises:
            OSError: it could not be written; nothing of it remains.
        """
        line = event.model_dump_json(exclude_none=True).encode() + b"\n"
        try:
            written = os.write(self._descriptor, line)
            if written != len(line):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            os.fdatasync(self._descriptor)
        except OSError:
            if os.fstat(self._descriptor).st_size != self._size:
                os.ftruncate(self._descriptor, self._size)
            raise
        self._size += len(line)
        self._reserve()

    def is_deleted(self) -> bool:
        """Whether it is not where others look for it any more: deleted, or moved with its folder."""
        try:
            return self._path.stat().st_ino != os.fstat(self._descriptor).st_ino
        except FileNotFoundError:
            return True
        except OSError as error:
            return error.errno == errno.ESTALE  # NFS, where another machine deleted it

    def _reserve(self) -> None:
        """Asks for the next blocks early. Not all file systems can; a full disk then stops us at once."""
        if self._reserved_to - self._size < RESERVE // 2:
            reserve = _libc.fallocate(self._descriptor, FALLOC_FL_KEEP_SIZE, self._size, RESERVE)
            self._reserved_to = self._size + RESERVE if reserve == 0 else self._reserved_to

    def close(self) -> None:
        """Closes the file."""
        os.close(self._descriptor)

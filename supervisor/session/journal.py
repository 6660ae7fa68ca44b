"""Append-only file of all events of a session; a decision is on disk before it is executed."""

from __future__ import annotations

import ctypes
import errno
import fcntl
import os
from pathlib import Path
from typing import Annotated

from pydantic import Field, TypeAdapter, ValidationError

from ..errors import UserError
from ..ownership import denial, open_own
from .events import Event

_events: TypeAdapter[Event] = TypeAdapter(Annotated[Event, Field(discriminator="kind")])

RESERVE = 1 << 16  # bytes preallocated, so that exits and stops are still recorded on a full disk
FALLOC_FL_KEEP_SIZE = 1


class JournalBusy(RuntimeError):
    """A journal that another engine is writing."""


class JournalError(UserError):
    """A journal that cannot be read, or is damaged before its last line; the message names file and line."""


def read_journal(path: Path) -> list[Event]:
    """Read the events of a session, oldest first; an incomplete last line is ignored.

    Raises:
        JournalError: Another line is damaged, or the file may not be read.
    """
    events: list[Event] = []
    for number, line in enumerate(_whole_lines(path), start=1):
        try:
            events.append(_events.validate_json(line))
        except ValidationError as error:
            problem = error.errors()[0]["msg"]
            raise JournalError(
                f"{path}: line {number} is damaged ({problem}); the session cannot be resumed; {_remedy(path)}"
            ) from None
    return events


def is_closed(path: Path) -> bool:
    """Return whether the session has finished, from the text alone, which is quick for many sessions."""
    text = b"\n".join(_whole_lines(path))
    return text.rfind(b'"kind":"session_finished"') > text.rfind(b'"kind":"restart_requested"')


_libc = ctypes.CDLL(None)
_libc.fallocate.argtypes = [ctypes.c_int, ctypes.c_int, ctypes.c_int64, ctypes.c_int64]


def _whole_lines(path: Path) -> list[bytes]:
    try:
        return path.read_bytes().split(b"\n")[:-1]
    except FileNotFoundError:
        return []
    except PermissionError:
        raise JournalError(denial(path.parent)) from None
    except OSError as error:
        raise JournalError(f"{path}: cannot be read ({error.strerror}); {_remedy(path)}") from None


def _remedy(path: Path) -> str:
    return f"to go on without this session, move {path.parent.name} out of {path.parent.parent}"


class Journal:
    """The journal of a session, opened for writing by the engine that owns it.

    Raises:
        JournalBusy: Another engine writes it; the lock file of the logs folder must have been deleted.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._descriptor = open_own(path, os.O_RDWR | os.O_APPEND | os.O_CREAT)
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(self._descriptor)
            raise JournalBusy(str(path)) from None
        self._size = sum(len(line) + 1 for line in _whole_lines(path))
        self._synced_to = -1
        self._reserved_to = 0
        if os.fstat(self._descriptor).st_size != self._size:
            os.ftruncate(self._descriptor, self._size)  # remove a line that an engine did not finish
        self._reserve()

    def append(self, event: Event) -> None:
        """Write an event; it survives the death of this process, and after `sync` a power cut.

        Raises:
            OSError: It could not be written; nothing of it remains.
        """
        line = event.model_dump_json(exclude_none=True).encode() + b"\n"
        try:
            written = os.write(self._descriptor, line)
            if written != len(line):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        except OSError:
            if os.fstat(self._descriptor).st_size != self._size:
                os.ftruncate(self._descriptor, self._size)
            raise
        self._size += len(line)
        self._reserve()

    def sync(self) -> None:
        """Write all events through to the disk, with one call for all since the last one.

        Raises:
            OSError: They may be lost in a power cut; the next call tries again.
        """
        if self._synced_to != self._size:
            os.fdatasync(self._descriptor)
            self._synced_to = self._size

    def is_deleted(self) -> bool:
        """Return whether the file was deleted, or moved with its folder."""
        try:
            return self._path.stat().st_ino != os.fstat(self._descriptor).st_ino
        except FileNotFoundError:
            return True
        except OSError as error:
            return error.errno == errno.ESTALE  # NFS, where another machine deleted it

    def _reserve(self) -> None:
        """Allocate the next blocks early; on file systems without fallocate, a full disk stops writing at once."""
        if self._reserved_to - self._size < RESERVE // 2:
            reserve = _libc.fallocate(self._descriptor, FALLOC_FL_KEEP_SIZE, self._size, RESERVE)
            self._reserved_to = self._size + RESERVE if reserve == 0 else self._reserved_to

    def close(self) -> None:
        """Close the file."""
        os.close(self._descriptor)

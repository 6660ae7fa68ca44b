"""Every event of a session, on disk before it is acted on."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

from pydantic import Field, TypeAdapter, ValidationError

from .state import Event

_events: TypeAdapter[Event] = TypeAdapter(Annotated[Event, Field(discriminator="kind")])


class JournalError(ValueError):
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


def _whole_lines(path: Path) -> list[bytes]:
    try:
        return path.read_bytes().split(b"\n")[:-1]
    except FileNotFoundError:
        return []


class Journal:
    """The journal of the engine that owns the session."""

    def __init__(self, path: Path) -> None:
        self._descriptor = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
        whole = sum(len(line) + 1 for line in _whole_lines(path))
        os.ftruncate(self._descriptor, whole)  # what an engine died writing must not run into our first line

    def append(self, event: Event) -> None:
        """Writes the event through to the disk.

        Raises:
            OSError: it could not be written; nothing of it remains.
        """
        line = event.model_dump_json(exclude_none=True).encode() + b"\n"
        size = os.fstat(self._descriptor).st_size
        try:
            written = os.write(self._descriptor, line)
            if written != len(line):
                raise OSError(28, "no space left for the journal")
            os.fdatasync(self._descriptor)
        except OSError:
            os.ftruncate(self._descriptor, size)
            raise

    def close(self) -> None:
        """Closes the file."""
        os.close(self._descriptor)

"""Small private files, written completely or not at all."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

ROOM_BYTES = 1 << 15  # enough for a few small files


def write_atomic(
    path: Path, text: str, place: Callable[[Path, Path], object] = os.replace, *, sync: bool = True
) -> None:
    """Write a file atomically: a temporary file, fsync, then `place`.

    Args:
        path: The file.
        text: Its content.
        place: Gives the temporary file its final name; by default it replaces an existing file.
        sync: Whether the file survives a power cut; it survives the death of any process in any case.

    Raises:
        OSError: It could not be written; an existing file is unchanged.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            if sync:
                os.fsync(file.fileno())
        place(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    if place is not os.replace:  # it may have left the first name
        temporary.unlink(missing_ok=True)
    if sync:
        sync_folder(path.parent)


class RoomProbe:
    """Question whether a few small files fit on the disk of a folder.

    It asks with one file without a name. Files that are made and deleted in quick succession make every new file
    expensive on ext4, which passes over inodes that were freed within the last minute.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._descriptor = -1

    def check(self) -> None:
        """Check that there is room.

        Raises:
            OSError: The folder cannot be written, or the disk is full.
        """
        if self._descriptor < 0:
            path = self._folder / ".room"
            self._descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
            path.unlink()
        try:
            os.posix_fallocate(self._descriptor, 0, ROOM_BYTES)
        except OSError as error:
            error.filename = str(self._folder)
            raise
        finally:
            os.ftruncate(self._descriptor, 0)

    def close(self) -> None:
        """Close the file."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1


def sync_folder(folder: Path) -> None:
    """Write the names in a folder to the disk, so that new and renamed files survive a power cut."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def read_object(path: Path) -> dict[str, Any] | None:
    """Read the JSON object in a file; return None if there is no such file, or no object in it."""
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None

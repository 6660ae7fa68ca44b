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
    finally:
        temporary.unlink(missing_ok=True)
    if sync:
        sync_folder(path.parent)


def ensure_room(folder: Path) -> None:
    """Create a folder, and check that a few small files fit on its disk.

    Raises:
        OSError: It cannot be written, or the disk is full.
    """
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    probe = folder / ".room"
    descriptor = os.open(probe, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        os.posix_fallocate(descriptor, 0, ROOM_BYTES)
    except OSError as error:
        error.filename = str(folder)
        raise
    finally:
        os.close(descriptor)
        probe.unlink()


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

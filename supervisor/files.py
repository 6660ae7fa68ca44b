"""Small files, written whole or not at all, and private to the user."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

SMALL_FILES = 1 << 15  # bytes


def write_atomic(
    path: Path, text: str, place: Callable[[Path, Path], object] = os.replace, *, sync: bool = True
) -> None:
    """Puts `text` at `path`: temporary file, fsync, then `place` (by default rename), which is atomic.

    Without `sync` a power cut may take the file; the death of any process never does.
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
    """Makes the folder.

    Raises:
        OSError: it cannot be written, or the disk has no room for a few small files.
    """
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    probe = folder / ".room"
    descriptor = os.open(probe, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        os.posix_fallocate(descriptor, 0, SMALL_FILES)
    except OSError as error:
        error.filename = str(folder)
        raise
    finally:
        os.close(descriptor)
        probe.unlink()


def sync_folder(folder: Path) -> None:
    """Makes names created or renamed in `folder` survive a power cut."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def read_object(path: Path) -> dict[str, Any] | None:
    """The JSON object in a file, or None where there is no such file or no object in it."""
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None

"""Files and folders that are either complete or absent: temporary name, fsync, rename."""

from __future__ import annotations

import os
import secrets
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from .fence import check_fence


def sync_folder(folder: Path) -> None:
    """Write renames inside `folder` to the disk."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sync_file(path: Path) -> None:
    """Write the contents of `path` to the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_atomic(path: Path, write: Callable[[BinaryIO], object]) -> None:
    """Replace `path` by a new file; after an error the old one is unchanged.

    Args:
        path: File to write.
        write: Writes the contents to an open binary file.

    Raises:
        OSError: The folder cannot be written.
        FencedError: A newer attempt of this run was started.
    """
    descriptor, temporary = _create_temporary(path, f".{path.name}.", ".tmp")
    try:
        with os.fdopen(descriptor, "wb") as file:
            write(file)
            file.flush()
            os.fsync(file.fileno())
        check_fence()
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    sync_folder(path.parent)


@contextmanager
def atomic_file(path: Path) -> Iterator[Path]:
    """Provide a temporary file that replaces `path` when the block ends.

    The temporary file has the same suffix. If the block fails, it is deleted.

    Raises:
        OSError: The folder cannot be written.
    """
    descriptor, temporary = _create_temporary(path, ".", f".tmp{path.suffix}")
    os.close(descriptor)
    try:
        yield temporary
        sync_file(temporary)
        check_fence()
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
    sync_folder(path.parent)


def _create_temporary(path: Path, prefix: str, suffix: str) -> tuple[int, Path]:
    """Create a file beside `path`, with the permissions of the umask; mkstemp would make it private.

    Raises:
        OSError: The folder cannot be written; the error names `path`.
    """
    temporary = path.parent / f"{prefix}{secrets.token_hex(8)}{suffix}"
    try:
        return os.open(temporary, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666), temporary
    except OSError as error:
        error.filename = str(path)
        raise


@contextmanager
def atomic_folder(path: Path) -> Iterator[Path]:
    """Provide a temporary folder that becomes `path` when the block ends.

    If the block fails, it is deleted. If another process created `path` meanwhile, that folder is kept.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.parent / f".{path.name[:12]}.{secrets.token_hex(8)}.tmp"
    temporary.mkdir()
    try:
        yield temporary
        for file in temporary.iterdir():
            sync_file(file)
        sync_folder(temporary)
        check_fence()
        try:
            temporary.rename(path)
        except OSError:
            if not path.is_dir():
                raise
        sync_folder(path.parent)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)

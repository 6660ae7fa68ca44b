"""One folder under two names, as through a FUSE mount or a network disk whose locks are not shared."""

from __future__ import annotations

import contextlib
import os
import time
from pathlib import Path

from ..ownership import open_own

LOCK_NAME = ".engine.lock"
HEARTBEAT_S = 2.0  # how often an engine renews the time of its lock file
WATCH_S = 7.0  # without a renewal for so long, an engine on another machine is dead
POLL_S = 0.1


def other_name(pid: int, logs: Path) -> Path | None:
    """Return the name under which a process of this machine holds the lock of the folder `logs`.

    The process has the lock file open. A file made here for a moment tells whether its folder is this one.

    Args:
        pid: The process.
        logs: The folder.

    Returns:
        None if the process holds no lock, or that of another folder, such as one that `logs` was copied from.
    """
    for folder in _locked_folders(pid):
        if _is_same_folder(Path(f"/proc/{pid}/root{folder}"), logs):
            return folder
    return None


def is_renewed(lock: Path) -> bool:
    """Return whether the time of a lock file changes within `WATCH_S`; no clocks of two machines are compared."""
    before = _renewed_at(lock)
    deadline = time.monotonic() + WATCH_S
    while before and time.monotonic() < deadline:
        if _renewed_at(lock) != before:
            return True
        time.sleep(POLL_S)
    return False


def _renewed_at(lock: Path) -> int:
    """Return the time of a lock file, ns; 0 once it was released."""
    try:
        descriptor = os.open(lock, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)  # NFS reads the time at each opening
    except OSError:
        return 0
    try:
        return os.fstat(descriptor).st_mtime_ns
    finally:
        os.close(descriptor)


def _locked_folders(pid: int) -> list[Path]:
    folders: list[Path] = []
    with contextlib.suppress(OSError):  # it has ended, or is another user's
        for entry in Path(f"/proc/{pid}/fd").iterdir():
            with contextlib.suppress(OSError):
                target = entry.readlink()
                if target.name == LOCK_NAME:
                    folders.append(target.parent)
    return folders


def _is_same_folder(one: Path, other: Path) -> bool:
    name = f".engine.probe.{os.getpid()}.{time.monotonic_ns()}"
    try:
        os.close(open_own(other / name, os.O_WRONLY | os.O_CREAT | os.O_EXCL))
    except OSError:
        return False
    try:
        return (one / name).exists()
    finally:
        (other / name).unlink(missing_ok=True)

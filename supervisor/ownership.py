"""Files that only this user may have made: others may write to the folder in which they lie."""

from __future__ import annotations

import errno
import os
import pwd
import stat
from pathlib import Path


def open_own(path: Path, flags: int) -> int:
    """Open, or create with mode 0600, a regular file of this user; never through a link.

    Args:
        path: The file.
        flags: Flags of `os.open`, without O_TRUNC.

    Returns:
        A descriptor, not inherited by other programs.

    Raises:
        OSError: The file cannot be opened, is a link or no regular file, or belongs to another user.
    """
    try:
        descriptor = os.open(path, flags | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, 0o600)
    except OSError as error:
        if error.errno == errno.ELOOP:
            raise OSError(errno.ELOOP, "is a link, which could lead to any file; remove it", str(path)) from None
        raise
    status = os.fstat(descriptor)
    problem = None
    if not stat.S_ISREG(status.st_mode):
        problem = "is not a regular file; remove it"
    elif not is_own_uid(status.st_uid, path.parent):
        problem = f"belongs to {user_name(status.st_uid)}"
    if problem is not None:
        os.close(descriptor)
        raise OSError(errno.EPERM, problem, str(path))
    return descriptor


def is_own_uid(uid: int, folder: Path) -> bool:
    """Return whether files of this user have that owner in a folder; some network disks give all files one owner."""
    return uid == os.geteuid() or uid == _owner_of_new_files(folder)


def foreign_owner(path: Path) -> str | None:
    """Return the name of the other user who made a file, folder or link, or what a link leads to; None if we did."""
    for status in (path.lstat(), path.stat()):
        if not is_own_uid(status.st_uid, path.parent):
            return user_name(status.st_uid)
    return None


def denial(folder: Path) -> str:
    """Return why a folder may not be read, and what to do."""
    try:
        uid = folder.stat().st_uid
    except OSError:
        return f"{folder}: cannot be read: Permission denied; choose another folder with --logs"
    if uid == os.geteuid():
        return f"{folder}: cannot be read: Permission denied; allow it with chmod u+rwx"
    return (
        f"{folder}: cannot be read: it is private to {user_name(uid)}; only that user sees its sessions; "
        "choose a folder of your own with --logs"
    )


def user_name(uid: int) -> str:
    """Return the name of a user, or `uid 1234` for one without a name."""
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"uid {uid}"


def _owner_of_new_files(folder: Path) -> int | None:
    """Return the owner that the disk gives to a new file; None if none can be made there."""
    import tempfile  # noqa: PLC0415 - seldom needed, and every command imports this module

    try:
        with tempfile.TemporaryFile(dir=folder) as file:
            return os.fstat(file.fileno()).st_uid
    except OSError:
        return None

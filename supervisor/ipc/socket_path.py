"""The private runtime folder, and the path of an engine's socket in it."""

from __future__ import annotations

import hashlib
import os
import stat
import tempfile
from pathlib import Path

from ..errors import UserError

MAX_SOCKET_PATH = 107  # bytes; sun_path holds 108 with its final NUL


class RuntimeFolderError(UserError, OSError):
    """There is no safe folder for the socket; the message explains why and what to do."""


def socket_path(logs: Path) -> Path:
    """Return the path of the socket of the engine that serves a logs folder, however its path is spelled.

    Raises:
        RuntimeFolderError: The runtime folder is not safe, or its path is too long.
    """
    path = _runtime_folder() / socket_name(logs)
    if len(os.fsencode(path)) > MAX_SOCKET_PATH:
        raise RuntimeFolderError(f"{path}: too long for a socket; set XDG_RUNTIME_DIR to a shorter folder of yours")
    return path


def socket_name(logs: Path) -> str:
    """Return the file name of the socket for a logs folder."""
    return hashlib.sha256(os.fsencode(os.path.realpath(logs))).hexdigest()[:16] + ".sock"


def _runtime_folder() -> Path:
    """Return a folder that only this user can enter, and create it if necessary."""
    base = os.environ.get("XDG_RUNTIME_DIR")
    if base and Path(base).is_absolute() and Path(base).is_dir():
        folder = Path(base) / "pmssm-supervise"
    else:
        folder = Path(tempfile.gettempdir()) / f"pmssm-supervise-{os.getuid()}"
    try:
        folder.mkdir(mode=0o700, exist_ok=True)
        status = folder.lstat()
    except OSError as error:
        raise RuntimeFolderError(
            f"{folder}: cannot make the folder for sockets: {error.strerror}; set XDG_RUNTIME_DIR to a folder of yours"
        ) from None
    if not stat.S_ISDIR(status.st_mode) or status.st_uid != os.getuid() or status.st_mode & 0o077:
        raise RuntimeFolderError(
            f"{folder}: is not a private folder of yours; remove it, or set XDG_RUNTIME_DIR to one that is"
        )
    return folder

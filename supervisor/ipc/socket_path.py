"""The private runtime folder, and the path of an engine's socket."""

from __future__ import annotations

import hashlib
import os
import stat
import tempfile
from pathlib import Path

from ..errors import UserError

MAX_SOCKET_PATH = 107  # bytes; sun_path holds 108 with its final NUL


class RuntimeFolderError(UserError, OSError):
    """No safe place for the socket; the message says why and what to do."""


def socket_path(logs: Path) -> Path:
    """The socket of the engine that serves the logs folder; the same for every spelling of the folder.

    Raises:
        RuntimeFolderError: the runtime folder is not safe, or its path is too long.
    """
    path = _runtime_folder() / socket_name(logs)
    if len(os.fsencode(path)) > MAX_SOCKET_PATH:
        raise RuntimeFolderError(f"{path}: too long for a socket; set XDG_RUNTIME_DIR to a shorter folder of yours")
    return path


def socket_name(logs: Path) -> str:
    return hashlib.sha256(os.fsencode(logs.resolve())).hexdigest()[:16] + ".sock"


def _runtime_folder() -> Path:
    """A folder of the user's own that nobody else can enter."""
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

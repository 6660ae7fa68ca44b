"""The lock of a logs folder: one engine serves it, and clients find that engine's socket in it."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import socket
from dataclasses import asdict, dataclass
from pathlib import Path

from ..files import read_object
from .socket_path import socket_name


@dataclass(frozen=True)
class LockOwner:
    """The engine that holds a lock, or held it last."""

    socket: str  # a batch job or `su` may have another runtime folder than the login shell
    host: str  # several machines may share a logs folder, but not a socket
    pid: int

    @property
    def is_on_other_host(self) -> bool:
        """True if that engine runs on another machine."""
        return self.host != socket.gethostname()


class EngineLock:
    """Lock held by the engine that serves a logs folder; the kernel releases it when that engine dies.

    Attributes:
        logs: The logs folder.
    """

    def __init__(self, logs: Path) -> None:
        self.logs = logs
        self._path = logs / ".engine.lock"
        self._descriptor: int | None = None

    def acquire(self) -> bool:
        """Try to acquire the lock, and return whether we hold it.

        Raises:
            OSError: The lock file cannot be created.
        """
        if self._descriptor is not None:
            return True
        descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            return False
        self._descriptor = descriptor
        return True

    def release(self) -> None:
        """Release the lock."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

    def is_intact(self) -> bool:
        """Return whether other engines find the lock taken, which fails once its file was deleted."""
        assert self._descriptor is not None
        try:
            return self._path.stat().st_ino == os.fstat(self._descriptor).st_ino
        except OSError:
            return False

    def is_replaced(self) -> bool:
        """Return whether our lock file was deleted and another one has its path."""
        return self._path.exists() and not self.is_intact()

    def publish_address(self, path: Path) -> None:
        """Write the path of our socket into the lock file, for clients."""
        assert self._descriptor is not None
        record = json.dumps(asdict(LockOwner(str(path), socket.gethostname(), os.getpid()))).encode()
        with contextlib.suppress(OSError):  # a full disk; most clients find the socket without it
            os.pwrite(self._descriptor, record, 0)
            os.ftruncate(self._descriptor, len(record))

    def owner(self) -> LockOwner | None:
        """Return the last engine that published its address.

        Returns:
            None if there is none, or if the address is that of another folder, of which this one is a copy.
        """
        owner = self._last_owner()
        return owner if owner and Path(owner.socket).name == socket_name(self.logs) else None

    def owner_before_move(self) -> LockOwner | None:
        """Return the engine that serves this folder under another name and is alive on this machine."""
        owner = self._last_owner()
        if owner is None or owner.is_on_other_host or Path(owner.socket).name == socket_name(self.logs):
            return None
        return owner if Path(f"/proc/{owner.pid}").exists() else None

    def _last_owner(self) -> LockOwner | None:
        record = read_object(self._path)
        try:
            owner = LockOwner(**record) if record else None
        except TypeError:
            return None
        is_valid = owner is not None and isinstance(owner.socket, str) and "\0" not in owner.socket
        return owner if is_valid else None

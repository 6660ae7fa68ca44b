"""Where engines and clients meet: the socket, and the lock that says who may listen on it."""

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

    socket: str  # the runtime folder of a batch job or of `su` is not that of the login shell
    host: str  # a logs folder may be seen from several machines; a socket can't
    pid: int

    @property
    def is_elsewhere(self) -> bool:
        """Whether that engine runs on another machine."""
        return self.host != socket.gethostname()


class EngineLock:
    """Held by the one live engine of a logs folder; the kernel lets go of it when that engine dies."""

    def __init__(self, logs: Path) -> None:
        self._logs = logs
        self._path = logs / ".engine.lock"
        self._descriptor: int | None = None

    def acquire(self) -> bool:
        """Whether the lock is ours now, or was already."""
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
        """Lets another engine have it."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

    def is_whole(self) -> bool:
        """Whether whoever comes now finds the lock taken; not so once its file was deleted."""
        assert self._descriptor is not None
        try:
            return self._path.stat().st_ino == os.fstat(self._descriptor).st_ino
        except OSError:
            return False

    def is_replaced(self) -> bool:
        """Whether the file was deleted and there is another lock in its place."""
        return self._path.exists() and not self.is_whole()

    def tell(self, path: Path) -> None:
        """Leaves word, in the lock that is ours, of where we listen."""
        assert self._descriptor is not None
        record = json.dumps(asdict(LockOwner(str(path), socket.gethostname(), os.getpid()))).encode()
        with contextlib.suppress(OSError):  # a full disk; most clients find us without it
            os.pwrite(self._descriptor, record, 0)
            os.ftruncate(self._descriptor, len(record))

    def holder(self) -> LockOwner | None:
        """Who left word last; None where nobody did, or about another folder, of which this one is a copy."""
        holder = self._last_holder()
        return holder if holder and Path(holder.socket).name == socket_name(self._logs) else None

    def holder_before_move(self) -> LockOwner | None:
        """Who left word last about this folder under another name, and still lives on this machine."""
        holder = self._last_holder()
        if holder is None or holder.is_elsewhere or Path(holder.socket).name == socket_name(self._logs):
            return None
        return holder if Path(f"/proc/{holder.pid}").exists() else None

    def _last_holder(self) -> LockOwner | None:
        record = read_object(self._path)
        try:
            holder = LockOwner(**record) if record else None
        except TypeError:
            return None
        known = holder is not None and isinstance(holder.socket, str) and "\0" not in holder.socket
        return holder if known else None

"""The lock of a logs folder: one engine serves it, and clients find that engine's socket in it."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import json
import os
import socket
import stat
import time
from dataclasses import asdict, dataclass
from pathlib import Path

from ..errors import UserError
from ..files import read_object
from ..ownership import is_own_uid, open_own, user_name
from .other_names import HEARTBEAT_S, LOCK_NAME, is_renewed, other_name
from .socket_path import socket_name


class LockRefused(UserError):
    """A lock file that this user must not use; the message names the reason and the remedy."""


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
        self._path = logs / LOCK_NAME
        self._descriptor: int | None = None
        self._renewed_at = -HEARTBEAT_S

    def acquire(self) -> bool:
        """Try to acquire the lock, and return whether we hold it.

        Raises:
            LockRefused: The lock file is not a file of this user.
            OSError: The lock file cannot be created.
        """
        if self._descriptor is not None:
            return True
        try:
            descriptor = open_own(self._path, os.O_RDWR | os.O_CREAT)
        except OSError as error:
            if error.errno in (errno.EPERM, errno.EACCES, errno.ELOOP):
                self._explain(error)
            raise
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            return False
        if self._is_held_elsewhere():
            os.close(descriptor)
            return False
        self._descriptor = descriptor
        return True

    def _is_held_elsewhere(self) -> bool:
        """Return whether an engine serves this folder under another name, where the file lock is not shared."""
        owner = self._last_owner()
        if owner is None or (owner.pid == os.getpid() and not owner.is_on_other_host):
            return False
        return is_renewed(self._path) if owner.is_on_other_host else other_name(owner.pid, self.logs) is not None

    def renew(self) -> bool:
        """Tell engines on other machines that we live, every `HEARTBEAT_S`; return whether that was due."""
        assert self._descriptor is not None
        if time.monotonic() - self._renewed_at < HEARTBEAT_S:
            return False
        self._renewed_at = time.monotonic()
        with contextlib.suppress(OSError):
            os.utime(self._descriptor)
        return True

    def is_overtaken(self) -> bool:
        """Return whether another engine has published its address since we did."""
        owner = self._last_owner()
        return self.is_intact() and owner is not None and (owner.host, owner.pid) != (socket.gethostname(), os.getpid())

    def _explain(self, error: OSError) -> None:
        """Raise LockRefused if the lock file is there and not ours."""
        try:
            status = self._path.lstat()
        except OSError:
            return
        if stat.S_ISLNK(status.st_mode) or status.st_uid == os.geteuid():
            raise LockRefused(f"{self._path}: {error.strerror}, or choose another folder with --logs") from None
        raise LockRefused(
            f"{self.logs}: is the logs folder of {user_name(status.st_uid)} ({self._path.name} is that user's); "
            "two users cannot share one, because its engine runs all commands as one user; "
            "choose another folder with --logs"
        ) from None

    @property
    def trusted_uids(self) -> frozenset[int]:
        """The users whose engine may serve this folder: this user and, for root, the owner of the folder."""
        uids = {os.geteuid()}
        if os.geteuid() == 0:
            with contextlib.suppress(OSError):
                uids.add(self.logs.stat().st_uid)
        return frozenset(uids)

    def release(self) -> None:
        """Release the lock."""
        if self._descriptor is not None:
            with contextlib.suppress(OSError):
                os.utime(self._descriptor, (0, 0))  # nobody need watch whether we renew it
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

    def _is_trusted(self) -> bool:
        """Return whether the lock file was made by a user whose engine may serve this folder."""
        try:
            status = self._path.lstat()
        except OSError:
            return False
        is_ours = status.st_uid in self.trusted_uids or is_own_uid(status.st_uid, self.logs)
        return stat.S_ISREG(status.st_mode) and is_ours

    def _last_owner(self) -> LockOwner | None:
        record = read_object(self._path) if self._is_trusted() else None
        try:
            owner = LockOwner(**record) if record else None
        except TypeError:
            return None
        is_valid = owner is not None and isinstance(owner.socket, str) and "\0" not in owner.socket
        return owner if is_valid else None

"""Source of snapshots and receiver of commands: the engine, or a test double."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from ...ipc.client import EngineUnavailable
from ...ipc.compatibility import EngineIncompatible
from ...ipc.connection import NoActiveSession, open_client
from ...ipc.messages import Command, Reply
from ...ipc.socket_path import RuntimeFolderError
from ...session.folder import SessionError
from ...session.journal import JournalError
from ...session.lookup import find_session
from ...session.offline import snapshot_from_files
from ...session.snapshot import Snapshot

RETRY_S = 1.0
FINISHED_RETRY_S = 5.0  # another client may restart a run


class Connection(Protocol):
    """One connection to an engine, for example `ipc.client.Client`."""

    def snapshots(self) -> AsyncIterator[Snapshot]:
        """Yield the current snapshot, then a new one at every change.

        Raises:
            EngineUnavailable: The connection is lost.
        """
        ...

    async def command(self, command: Command) -> Reply:
        """Send a command and return the engine's reply."""
        ...


class SessionSource(Protocol):
    """One session, with or without an engine."""

    def open(self, *, reopen: bool = False) -> AbstractAsyncContextManager[Connection]:
        """Return a connection to the session's engine as a context manager.

        Args:
            reopen: Start an engine even if the session has finished.

        Raises:
            EngineUnavailable: There is no engine; the message is for the user.
            NoActiveSession: The session has finished, so that no engine is expected.
        """
        ...

    async def read_recorded(self) -> Snapshot | None:
        """Read the session's last state from its files, without an engine."""
        ...


class EngineSource:
    """Session of a logs folder.

    Args:
        logs: The logs folder.
        stamp: Stamp of the session; the current one by default.
    """

    def __init__(self, logs: Path, stamp: str | None = None) -> None:
        self._logs = logs
        self._stamp = stamp
        self._recorded: tuple[tuple[str, int, int], Snapshot] | None = (
            None  # stamp, size and mtime of the journal; snapshot
        )

    @contextlib.asynccontextmanager
    async def open(self, *, reopen: bool = False) -> AsyncIterator[Connection]:
        """Connect to the engine, which is started if it died before the session finished."""
        try:
            async with open_client(self._logs, reopen=reopen, stamp=self._stamp) as client:
                yield client
        except (SessionError, JournalError, RuntimeFolderError, EngineIncompatible) as error:
            raise EngineUnavailable(str(error)) from None

    async def read_recorded(self) -> Snapshot | None:
        """Return the session's last snapshot, or None if its files cannot be read."""
        try:
            folder = await asyncio.to_thread(find_session, self._logs, self._stamp)  # may read many journals
            if folder is None:
                return None
            journal = folder.journal.stat()
            made_from = folder.stamp, journal.st_size, journal.st_mtime_ns
            if self._recorded is None or self._recorded[0] != made_from:
                self._recorded = made_from, await snapshot_from_files(folder)
            return self._recorded[1]
        except (SessionError, JournalError, OSError):
            return None


@dataclass(frozen=True)
class EngineUnreachable:
    """Report that the engine does not answer; `reason` is for the user."""

    reason: str


async def watch_snapshots(source: SessionSource, retry: asyncio.Event) -> AsyncIterator[Snapshot | EngineUnreachable]:
    """Yield snapshots without end, and `EngineUnreachable` each time the engine does not answer.

    The connection is retried every second (finished session: every five seconds), or at once when `retry` is set.
    """
    while True:
        retry.clear()
        pause = RETRY_S
        try:
            async with source.open() as connection:
                async for snapshot in connection.snapshots():
                    yield snapshot
        except NoActiveSession as error:
            pause = FINISHED_RETRY_S
            recorded = await source.read_recorded()
            yield recorded or EngineUnreachable(str(error))
        except EngineUnavailable as error:
            yield EngineUnreachable(str(error))
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(pause):
                await retry.wait()

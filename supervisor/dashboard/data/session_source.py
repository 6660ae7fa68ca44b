"""Where the dashboard's pictures come from and its commands go: the engine, or a stand-in for it."""

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
FINISHED_RETRY_S = 5.0  # somebody may restart a run from elsewhere


class Connection(Protocol):
    """One connection to an engine; `wire.Client` is one."""

    def snapshots(self) -> AsyncIterator[Snapshot]:
        """The session now and at every change; ends with EngineGone."""
        ...

    async def command(self, command: Command) -> Reply:
        """The engine's answer to a command."""
        ...


class SessionSource(Protocol):
    """One session."""

    def open(self, *, reopen: bool = False) -> AbstractAsyncContextManager[Connection]:
        """A connection to the session's engine; `reopen` also starts one on a session that has finished.

        Raises EngineGone, with a message for the user, where there is none; NoSession where none is to be expected.
        """
        ...

    async def recorded(self) -> Snapshot | None:
        """The session as its files tell it, without an engine."""
        ...


class EngineSource:
    """The session of a logs folder with that stamp, or the current one."""

    def __init__(self, logs: Path, stamp: str | None = None) -> None:
        self._logs = logs
        self._stamp = stamp
        self._recorded: tuple[tuple[str, int, int], Snapshot] | None = None  # and what it was made from

    @contextlib.asynccontextmanager
    async def open(self, *, reopen: bool = False) -> AsyncIterator[Connection]:
        """A connection to the engine, which is started if it died with work to do."""
        try:
            async with open_client(self._logs, reopen=reopen, stamp=self._stamp) as client:
                yield client
        except (SessionError, JournalError, RuntimeFolderError, EngineIncompatible) as error:
            raise EngineUnavailable(str(error)) from None

    async def recorded(self) -> Snapshot | None:
        """The session's last picture; None where its files can't be read."""
        try:
            folder = await asyncio.to_thread(find_session, self._logs, self._stamp)  # it may read many journals
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
    """The engine went away, or was not there; `reason` in words."""

    reason: str


async def watch_snapshots(source: SessionSource, again: asyncio.Event) -> AsyncIterator[Snapshot | EngineUnreachable]:
    """Snapshots for as long as anybody listens, and Gone each time the engine does not answer.

    It is tried anew every second (a finished session: every five), or at once when `again` is set.
    """
    while True:
        again.clear()
        pause = RETRY_S
        try:
            async with source.open() as connection:
                async for snapshot in connection.snapshots():
                    yield snapshot
        except NoActiveSession as error:
            pause = FINISHED_RETRY_S
            recorded = await source.recorded()
            yield recorded or EngineUnreachable(str(error))
        except EngineUnavailable as error:
            yield EngineUnreachable(str(error))
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(again.wait(), pause)

"""From a logs folder to its engine: found, or started again if it died with work to do."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator
from pathlib import Path

from ..session.folder import SessionFolder
from ..session.lookup import current_session, find_session, is_finished
from .client import Client, EngineUnavailable
from .engine_lock import EngineLock
from .messages import Down
from .socket_path import socket_path
from .spawn import last_engine_message, spawn_engine

START_DEADLINE_S = 20.0
RETRY_S = 0.02
RIVAL_S = 0.5  # for an engine that is just leaving to let go of the lock


class NoActiveSession(EngineUnavailable):
    """There is nothing to talk to: no session at all, or one that has finished."""


@contextlib.asynccontextmanager
async def open_client(logs: Path, *, reopen: bool = False, stamp: str | None = None) -> AsyncIterator[Client]:
    """A connection to the engine of `logs`; an engine that died with work to do is started again.

    With `reopen` the engine is also started on a session that has finished, so that its runs can be restarted:
    the one with that `stamp`, or the current one.

    Raises:
        NoSession: there is no session, or it has finished.
        EngineGone: the engine could not be started, or does not answer, or serves another session.
        SessionError, JournalError, RuntimeFolderError: damaged files, no safe place for the socket.
    """
    if stamp is not None:
        await _make_current(session_to_serve(logs, reopen=reopen, stamp=stamp))
    async with contextlib.AsyncExitStack() as stack:
        try:
            client = await stack.enter_async_context(_connect(logs))
        except EngineUnavailable:
            folder = session_to_serve(logs, reopen=reopen, stamp=stamp)
            client = await stack.enter_async_context(_start_and_connect(folder))
        yield client


@contextlib.asynccontextmanager
async def _connect(logs: Path) -> AsyncIterator[Client]:
    """A connection to the engine where it said that it listens, or else where we would listen ourselves."""
    holder = EngineLock(logs).holder()
    async with contextlib.AsyncExitStack() as stack:
        client: Client | None = None
        if holder is not None and not holder.is_elsewhere:
            with contextlib.suppress(EngineUnavailable):
                client = await stack.enter_async_context(Client.connect(Path(holder.socket)))
        if client is None:
            client = await stack.enter_async_context(Client.connect(socket_path(logs)))
        yield client


async def _make_current(folder: SessionFolder) -> None:
    """Has an engine that lingers on another session, which has finished, make way for one on this."""
    current = current_session(folder.logs)
    if current is not None and current != folder and not is_finished(current):
        raise EngineUnavailable(
            f"{folder.logs}: session {current.stamp} is not finished; end it with `pmssm-supervise down`"
        )
    deadline = time.monotonic() + START_DEADLINE_S
    while time.monotonic() < deadline:
        try:
            async with _connect(folder.logs) as client:
                if (await client.look()).session == folder.stamp:
                    return
                await client.command(Down())
        except EngineUnavailable:
            return
        await asyncio.sleep(RETRY_S)
    raise EngineUnavailable(f"{folder.logs}: another session's engine does not leave; see `pmssm-supervise status`")


async def stop_idle_engine(logs: Path) -> None:
    """Ends an engine that only lingers on a finished session, for those who still look at it."""
    with contextlib.suppress(EngineUnavailable):
        async with _connect(logs) as client:
            await client.command(Down())


def session_to_serve(logs: Path, *, reopen: bool, stamp: str | None = None) -> SessionFolder:
    """The session of `logs` with that `stamp`, or the current one.

    Raises:
        NoSession: there is none, or it has finished and is not to be reopened.
        SessionError: there is none with that stamp.
    """
    folder = find_session(logs, stamp)
    if folder is None:
        raise NoActiveSession(
            f"{logs}: no session here; start one with `pmssm-supervise`, or name its folder with --logs"
        )
    if not reopen and is_finished(folder):
        raise NoActiveSession(
            f"{logs}: session {folder.stamp} has finished; `pmssm-supervise restart RUN` goes on with it"
        )
    return folder


@contextlib.asynccontextmanager
async def _start_and_connect(folder: SessionFolder) -> AsyncIterator[Client]:
    engine = spawn_engine(folder)
    deadline = time.monotonic() + START_DEADLINE_S
    async with contextlib.AsyncExitStack() as stack:
        while True:
            try:
                client = await stack.enter_async_context(_connect(folder.logs))
                break
            except EngineUnavailable:
                if engine.poll() not in (None, 0):
                    raise EngineUnavailable(last_engine_message(folder)) from None
                if time.monotonic() > deadline:
                    message = f"the engine did not start within {START_DEADLINE_S:.0f} s; see {folder.engine_output}"
                    raise EngineUnavailable(message) from None
            await asyncio.sleep(RETRY_S)
            if engine.poll() == 0:  # another engine had the lock: it just started, just leaves, or is far away
                lock = EngineLock(folder.logs)
                holder = lock.holder()
                if holder is not None and holder.is_elsewhere:
                    raise EngineUnavailable(f"{folder.logs}: is served by an engine on {holder.host}; use that machine")
                if (mover := lock.holder_before_move()) is not None:
                    raise EngineUnavailable(
                        f"{folder.logs}: was moved while its engine (pid {mover.pid}) ran; it goes on here once what "
                        "runs has ended"
                    )
                await asyncio.sleep(RIVAL_S)
                engine = spawn_engine(folder)
        yield client

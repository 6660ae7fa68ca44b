"""Connect to the engine of a logs folder, and start it again if it died with work to do."""

from __future__ import annotations

import asyncio
import contextlib
import os
import time
from collections.abc import AsyncIterator
from pathlib import Path

from ..session.allocation import Allocation
from ..session.folder import SessionFolder
from ..session.lookup import current_session, find_session, is_finished
from .client import Client, EngineUnavailable
from .engine_lock import EngineLock
from .messages import Down
from .other_names import other_name
from .socket_path import socket_path
from .spawn import last_engine_message, load_own_settings, spawn_engine

START_DEADLINE_S = 20.0
RETRY_S = 0.02
RIVAL_S = 0.5  # for an engine that is about to exit to release the lock


class NoActiveSession(EngineUnavailable):
    """There is no session, or it has finished."""


@contextlib.asynccontextmanager
async def open_client(logs: Path, *, reopen: bool = False, stamp: str | None = None) -> AsyncIterator[Client]:
    """Connect to the engine of `logs`; an engine that died with work to do is started again.

    Args:
        logs: The logs folder.
        reopen: Start the engine also on a finished session, so that its runs can be restarted.
        stamp: The session to serve; by default the current one.

    Raises:
        NoActiveSession: There is no session, or it has finished.
        EngineUnavailable: The engine could not be started, does not answer, or serves another session.
        SessionError: A file of the session is missing or damaged.
        JournalError: The journal is missing or damaged.
        RuntimeFolderError: There is no safe folder for the socket.
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
    """Connect to the address in the lock or, failing that, to the default path of the socket."""
    lock = EngineLock(logs)
    owner = lock.owner()
    async with contextlib.AsyncExitStack() as stack:
        client: Client | None = None
        if owner is not None and not owner.is_on_other_host:
            with contextlib.suppress(EngineUnavailable):
                client = await stack.enter_async_context(Client.connect(Path(owner.socket), lock.trusted_uids))
        if client is None:
            client = await stack.enter_async_context(Client.connect(socket_path(logs)))
        yield client


async def _make_current(folder: SessionFolder) -> None:
    """Stop an engine that lingers on another, finished session, so that a new one can serve this session."""
    current = current_session(folder.logs)
    if current is not None and current != folder and not is_finished(current):
        raise EngineUnavailable(
            f"{folder.logs}: session {current.stamp} is not finished; end it with `pmssm-supervise down`"
        )
    deadline = time.monotonic() + START_DEADLINE_S
    while time.monotonic() < deadline:
        try:
            async with _connect(folder.logs) as client:
                if (await client.snapshot()).session == folder.stamp:
                    return
                await client.command(Down())
        except EngineUnavailable:
            return
        await asyncio.sleep(RETRY_S)
    raise EngineUnavailable(f"{folder.logs}: the engine of another session did not exit; see `pmssm-supervise status`")


async def stop_idle_engine(logs: Path) -> None:
    """Stop an engine that serves a finished session only because clients still subscribe to it."""
    with contextlib.suppress(EngineUnavailable):
        async with _connect(logs) as client:
            await client.command(Down())


def session_to_serve(logs: Path, *, reopen: bool, stamp: str | None = None) -> SessionFolder:
    """Return the session of `logs` with that `stamp`, or the current one.

    Raises:
        NoActiveSession: There is none, or it has finished and `reopen` is False.
        SessionError: There is none with that stamp.
    """
    folder = find_session(logs, stamp)
    if folder is None:
        raise NoActiveSession(
            f"{logs}: no session here; start one with `pmssm-supervise`, or name its folder with --logs"
        )
    if not reopen and is_finished(folder):
        raise NoActiveSession(
            f"{logs}: session {folder.stamp} has finished; `pmssm-supervise restart RUN` continues it"
        )
    return folder


@contextlib.asynccontextmanager
async def _start_and_connect(folder: SessionFolder) -> AsyncIterator[Client]:
    _check_allocation(folder)
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
            if engine.poll() == 0:  # another engine holds the lock: it has just started, or is about to exit
                _check_lock_owner(folder.logs)
                await asyncio.sleep(RIVAL_S)
                engine = spawn_engine(folder)
        yield client


def _check_allocation(folder: SessionFolder) -> None:
    """Raise NoActiveSession for a session of an allocation of Slurm in which we are not.

    An engine here would train on this machine, which may be a login node.
    """
    allocation = Allocation.around(load_own_settings(folder).environment)
    if allocation is not None and not allocation.is_same_place(Allocation.around(os.environ)):
        raise NoActiveSession(
            f"{folder.logs}: session {folder.stamp} runs inside allocation {allocation.job_id} on {allocation.node}; "
            "use it there or, once that has ended, go on in the next job with `pmssm-supervise --headless --continue`"
        )


def _check_lock_owner(logs: Path) -> None:
    """Raise EngineUnavailable if the engine that holds the lock will not answer here."""
    lock = EngineLock(logs)
    owner = lock.owner()
    if owner is not None and owner.is_on_other_host:
        raise EngineUnavailable(f"{logs}: is served by an engine on {owner.host}; use that machine")
    mover = lock.owner_before_move()
    name = other_name(mover.pid, logs) if mover is not None else None
    if mover is not None and name not in (None, logs.resolve()):
        raise EngineUnavailable(
            f"{logs}: is served by an engine (pid {mover.pid}) under the name {name}; use that name"
        )
    if mover is not None:
        raise EngineUnavailable(
            f"{logs}: was moved while its engine (pid {mover.pid}) ran; "
            "the session continues here once its runs have ended"
        )

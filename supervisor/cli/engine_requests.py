"""Requests to the engine of a session, one connection each."""

from __future__ import annotations

import asyncio
import contextlib
from pathlib import Path

from ..ipc.client import ConnectionLost
from ..ipc.connection import open_client
from ..ipc.messages import Command, Reply
from ..session.snapshot import Snapshot
from .command import CommandError
from .output import echo, warn_of_incomplete_session


async def fetch_snapshot(logs: Path, *, reopen: bool = False, stamp: str | None = None) -> Snapshot:
    """Return a snapshot from the engine of `logs`, which is started again if it died.

    Args:
        logs: The logs folder.
        reopen: Whether an engine is also started for a session that has finished.
        stamp: The session; None for the current one.

    Raises:
        UserError: There is no such session, or no engine can be started.
    """
    with contextlib.suppress(ConnectionLost):  # the engine exited at that moment; another one is started
        async with open_client(logs, reopen=reopen, stamp=stamp) as client:
            return await client.snapshot()
    async with open_client(logs, reopen=reopen, stamp=stamp) as client:
        return await client.snapshot()


def send_command(logs: Path, command: Command, stamp: str | None = None) -> None:
    """Send a command to the engine, started for a finished session if need be, and print the reply.

    Raises:
        CommandError: The engine rejects the command.
        UserError: There is no such session, or no engine can be started.
    """

    async def send() -> Reply:
        async with open_client(logs, reopen=True, stamp=stamp) as client:
            return await client.command(command)

    warn_of_incomplete_session(logs)
    reply = asyncio.run(send())
    if not reply.ok:
        raise CommandError(reply.message)
    echo(reply.message)

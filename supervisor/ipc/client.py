"""The client's side of the socket."""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator, Collection
from pathlib import Path

from ..errors import UserError
from ..ownership import user_name
from ..session.snapshot import Snapshot
from .compatibility import parse_reply, server_pid, server_uid
from .messages import Command, GetSnapshot, Reply, Subscribe
from .server import MAX_REPLY, REQUEST_DEADLINE_S, SILENCE_S


class EngineUnavailable(UserError, ConnectionError):
    """The engine does not answer, or closed the connection."""


class ConnectionLost(EngineUnavailable):
    """The engine closed the connection during a request, which may have been executed or not."""


class Client:
    """A connection to an engine; use as `async with Client.connect(path) as client`."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self._pid = server_pid(writer.get_extra_info("socket"))

    @classmethod
    @contextlib.asynccontextmanager
    async def connect(cls, path: Path, uids: Collection[int] | None = None) -> AsyncIterator[Client]:
        """Connect to the engine that listens on `path`.

        Args:
            path: The socket.
            uids: Users whose engine it may be; by default this user.

        Raises:
            EngineUnavailable: No engine listens there, or that of another user.
        """
        try:
            reader, writer = await asyncio.open_unix_connection(path, limit=MAX_REPLY)
        except OSError as error:
            raise EngineUnavailable(f"no engine listens on {path}: {error.strerror}") from None
        try:
            uid = server_uid(writer.get_extra_info("socket"))
            if uid not in (uids or {os.geteuid()}):
                raise EngineUnavailable(f"{path}: {user_name(uid)} listens there, not this user's engine; remove it")
            yield cls(reader, writer)
        finally:
            writer.close()

    async def snapshot(self) -> Snapshot:
        """Return the session as it is now.

        Raises:
            EngineUnavailable: The engine does not answer, or closed the connection.
        """
        return parse_reply(Snapshot, await self._request(GetSnapshot()), self._pid)

    async def command(self, command: Command) -> Reply:
        """Send a command and return the engine's reply.

        Raises:
            EngineUnavailable: The engine does not answer, or closed the connection.
        """
        return parse_reply(Reply, await self._request(command), self._pid)

    async def snapshots(self) -> AsyncIterator[Snapshot]:
        """Yield the session now and at every change; the connection cannot be used for anything else.

        Raises:
            EngineUnavailable: The engine does not answer, or closed the connection.
        """
        line = await self._request(Subscribe())
        while True:
            yield parse_reply(Snapshot, line, self._pid)
            try:
                async with asyncio.timeout(SILENCE_S):
                    line = await self._receive()
            except TimeoutError:
                raise EngineUnavailable(f"the engine has not answered for {SILENCE_S:.0f} s") from None

    async def _request(self, request: GetSnapshot | Subscribe | Command) -> bytes:
        try:
            self._writer.write(request.model_dump_json().encode() + b"\n")
            await self._writer.drain()
            async with asyncio.timeout(REQUEST_DEADLINE_S):
                return await self._receive()
        except TimeoutError:
            process = f"the engine (pid {self._pid})" if self._pid is not None else "the engine"
            raise EngineUnavailable(
                f"{process} did not answer within {REQUEST_DEADLINE_S:.0f} s; try again, or end it with "
                f"`kill -9 {self._pid or 'PID'}`: its runs continue, and the next command starts a new engine"
            ) from None
        except OSError as error:
            lost = error if isinstance(error, ConnectionLost) else _connection_lost(error)
            if isinstance(request, Subscribe):  # nobody waits for the effect of a command
                raise lost from None
            raise ConnectionLost(f"{lost}; `status` shows whether the command was executed") from None

    async def _receive(self) -> bytes:
        try:
            line = await self._reader.readline()
        except OSError as error:
            raise _connection_lost(error) from None
        if not line:
            raise _connection_lost()
        return line


def _connection_lost(error: OSError | None = None) -> ConnectionLost:
    reason = f" ({error.strerror})" if error is not None else ""
    return ConnectionLost(f"the engine closed the connection{reason}")

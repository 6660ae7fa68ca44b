"""The client's side of the socket."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

from ..errors import UserError
from ..session.snapshot import Snapshot
from .compatibility import parse_reply, server_pid
from .messages import Command, GetSnapshot, Reply, Subscribe
from .server import MAX_REPLY, REQUEST_DEADLINE_S, SILENCE_S


class EngineUnavailable(UserError, ConnectionError):
    """The engine does not answer, or went away while answering."""


class ConnectionLost(EngineUnavailable):
    """The engine went away while it was asked: what was asked for may be done or not."""


class Client:
    """A client's end; use as `async with Client.connect(path) as client`."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self._pid = server_pid(writer.get_extra_info("socket"))

    @classmethod
    @contextlib.asynccontextmanager
    async def connect(cls, path: Path) -> AsyncIterator[Client]:
        """A connection to the engine that listens on `path`.

        Raises:
            EngineGone: nobody listens there.
        """
        try:
            reader, writer = await asyncio.open_unix_connection(path, limit=MAX_REPLY)
        except OSError as error:
            raise EngineUnavailable(f"no engine listens on {path}: {error.strerror}") from None
        try:
            yield cls(reader, writer)
        finally:
            writer.close()

    async def look(self) -> Snapshot:
        """The session as it is now."""
        return parse_reply(Snapshot, await self._ask(GetSnapshot()), self._pid)

    async def command(self, command: Command) -> Reply:
        """The engine's answer to a command."""
        return parse_reply(Reply, await self._ask(command), self._pid)

    async def snapshots(self) -> AsyncIterator[Snapshot]:
        """The session now and at every change; ends with EngineGone. Takes the connection for itself."""
        line = await self._ask(Subscribe())
        while True:
            yield parse_reply(Snapshot, line, self._pid)
            try:
                line = await asyncio.wait_for(self._receive(), SILENCE_S)
            except TimeoutError:
                raise EngineUnavailable(f"the engine has not answered for {SILENCE_S:.0f} s") from None

    async def _ask(self, request: GetSnapshot | Subscribe | Command) -> bytes:
        try:
            self._writer.write(request.model_dump_json().encode() + b"\n")
            await self._writer.drain()
            return await asyncio.wait_for(self._receive(), REQUEST_DEADLINE_S)
        except ConnectionLost:
            raise
        except TimeoutError:
            raise EngineUnavailable(f"the engine did not answer within {REQUEST_DEADLINE_S:.0f} s") from None
        except OSError as error:
            raise ConnectionLost(
                f"the engine hung up ({error.strerror}); see with `status` whether it was done"
            ) from None

    async def _receive(self) -> bytes:
        try:
            line = await self._reader.readline()
        except OSError as error:
            raise ConnectionLost(
                f"the engine hung up ({error.strerror}); see with `status` whether it was done"
            ) from None
        if not line:
            raise ConnectionLost("the engine hung up; see with `status` whether it was done")
        return line

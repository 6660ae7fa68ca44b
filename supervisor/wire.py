"""What engine and clients say to each other: JSON lines over a unix socket.

One request, one reply. `Subscribe` is answered by snapshots until either side goes away.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import struct
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from .snapshot import Snapshot

MAX_REQUEST = 1 << 16  # bytes of one request line
MAX_REPLY = 1 << 26  # bytes of one reply line
PUSH_INTERVAL_S = 0.25  # at most four snapshots a second
REQUEST_DEADLINE_S = 10.0


class _Message(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Look(_Message):
    """Asks for one snapshot."""

    verb: Literal["look"] = "look"


class Subscribe(_Message):
    """Asks for a snapshot now and at every change."""

    verb: Literal["subscribe"] = "subscribe"


class Stop(_Message):
    """Ends a run: gently (SIGTERM, grace, SIGKILL), or at once."""

    verb: Literal["stop"] = "stop"
    run: str
    how: Literal["stop", "kill"] = "stop"


class Restart(_Message):
    """Starts a new attempt of a run, after stopping the present one; `fresh` forgets the checkpoint."""

    verb: Literal["restart"] = "restart"
    run: str
    fresh: bool = False


class Start(_Message):
    """Starts a run that is not running; it resumes from its checkpoint."""

    verb: Literal["start"] = "start"
    run: str


class Down(_Message):
    """Stops every run gently and ends the session."""

    verb: Literal["down"] = "down"


Command = Stop | Restart | Start | Down
Request = Annotated[Look | Subscribe | Command, Field(discriminator="verb")]


class Reply(_Message):
    """The answer to a command, in words for the user."""

    ok: bool
    message: str


_requests: TypeAdapter[Look | Subscribe | Command] = TypeAdapter(Request)


class EngineGone(ConnectionError):
    """The engine does not answer, or went away while answering."""


class Server:
    """The engine's end. Garbage from a client costs that client its connection, nobody else anything."""

    def __init__(self, look: Callable[[], Snapshot], command: Callable[[Command], Awaitable[Reply]]) -> None:
        self._look = look
        self._command = command
        self._changed = asyncio.Condition()
        self._version = 0
        self._server: asyncio.Server | None = None
        self._connections: set[asyncio.Task[None]] = set()
        self.subscribers = 0

    async def listen(self, path: Path) -> None:
        """Accepts clients on the socket `path`; replaces a socket that a dead engine left there."""
        path.unlink(missing_ok=True)
        mask = os.umask(0o177)
        try:
            # A full backlog refuses clients: it must hold as many as may come in one turn of the loop.
            self._server = await asyncio.start_unix_server(self._on_client, path, limit=MAX_REQUEST, backlog=4096)
        finally:
            os.umask(mask)

    async def close(self) -> None:
        """Hangs up on every client."""
        if self._server is not None:
            self._server.close()
        for task in list(self._connections):
            task.cancel()
        await asyncio.gather(*self._connections, return_exceptions=True)

    async def push(self) -> None:
        """Tells the subscribers that the picture has changed."""
        async with self._changed:
            self._version += 1
            self._changed.notify_all()

    async def _on_client(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._connections.add(task)
        try:
            if is_welcome(_peer_uid(writer)):
                await self._serve(reader, writer)
        except (OSError, ValueError, asyncio.CancelledError):
            pass  # the client hung up, sent an endless line, or we are closing
        finally:
            self._connections.discard(task)
            writer.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while line := await reader.readline():
            try:
                request = _requests.validate_json(line)
            except ValidationError as error:
                await _send(writer, Reply(ok=False, message=f"not a request: {error.errors()[0]['msg']}"))
                return
            if isinstance(request, Subscribe):
                await self._stream(reader, writer)
                return
            if isinstance(request, Look):
                await _send(writer, self._look())
            else:
                await _send(writer, await self._command(request))

    async def _stream(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Pushes until the subscriber hangs up, which shows in what it sends: it has nothing more to say."""
        self.subscribers += 1
        ends = [asyncio.create_task(self._push_changes(writer)), asyncio.create_task(reader.read(1))]
        try:
            await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in ends:
                task.cancel()
            await asyncio.gather(*ends, return_exceptions=True)
            self.subscribers -= 1

    async def _push_changes(self, writer: asyncio.StreamWriter) -> None:
        while True:
            seen = self._version
            await _send(writer, self._look())
            await asyncio.sleep(PUSH_INTERVAL_S)
            async with self._changed:
                await self._changed.wait_for(lambda seen=seen: self._version != seen)  # type: ignore[misc]


async def _send(writer: asyncio.StreamWriter, message: BaseModel) -> None:
    writer.write(message.model_dump_json().encode() + b"\n")
    try:
        await asyncio.wait_for(writer.drain(), REQUEST_DEADLINE_S)
    except TimeoutError:
        writer.transport.abort()  # closing would wait for the client to read
        raise


def is_welcome(uid: int) -> bool:
    """Whether a peer may command us: our own user, and root, who could anyway."""
    return uid in (os.getuid(), 0)


def _peer_uid(writer: asyncio.StreamWriter) -> int:
    credentials = writer.get_extra_info("socket").getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12)
    return int(struct.unpack("3i", credentials)[1])


class Client:
    """A client's end; use as `async with Client.connect(path) as client`."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

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
            raise EngineGone(f"no engine listens on {path}: {error.strerror}") from None
        try:
            yield cls(reader, writer)
        finally:
            writer.close()

    async def look(self) -> Snapshot:
        """The session as it is now."""
        return Snapshot.model_validate_json(await self._ask(Look()))

    async def command(self, command: Command) -> Reply:
        """The engine's answer to a command."""
        return Reply.model_validate_json(await self._ask(command))

    async def snapshots(self) -> AsyncIterator[Snapshot]:
        """The session now and at every change; ends with EngineGone. Takes the connection for itself."""
        line = await self._ask(Subscribe())
        while True:
            yield Snapshot.model_validate_json(line)
            line = await self._receive()

    async def _ask(self, request: Look | Subscribe | Command) -> bytes:
        try:
            self._writer.write(request.model_dump_json().encode() + b"\n")
            await self._writer.drain()
            return await asyncio.wait_for(self._receive(), REQUEST_DEADLINE_S)
        except TimeoutError:
            raise EngineGone(f"the engine did not answer within {REQUEST_DEADLINE_S:.0f} s") from None
        except OSError as error:
            raise EngineGone(f"the engine hung up: {error}") from None

    async def _receive(self) -> bytes:
        try:
            line = await self._reader.readline()
        except OSError as error:
            raise EngineGone(f"the engine hung up: {error}") from None
        if not line:
            raise EngineGone("the engine hung up")
        return line

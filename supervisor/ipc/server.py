"""What engine and clients say to each other: JSON lines over a unix socket.

One request, one reply. `Subscribe` is answered by snapshots until either side goes away.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import resource
import socket
import struct
from collections.abc import Awaitable, Callable
from pathlib import Path

from pydantic import BaseModel, ValidationError

from ..session.snapshot import Snapshot
from .compatibility import NOT_A_REQUEST
from .messages import Command, GetSnapshot, Reply, Subscribe, requests

MAX_REQUEST = 1 << 16  # bytes of one request line
MAX_REPLY = 1 << 26  # bytes of one reply line
PUSH_INTERVAL_S = 0.25  # at most four snapshots a second
REQUEST_DEADLINE_S = 10.0
HEARTBEAT_S = 5.0  # a subscriber hears from us at least so often
SILENCE_S = 20.0  # after so much of it a subscriber gives us up
BACKLOG = 4096  # a full one refuses clients: it must hold as many as may come in one turn of the loop
MAX_CLIENTS = 1000
OWN_FILES = 40  # descriptors that the engine itself needs


class Server:
    """The engine's end. Garbage from a client costs that client its connection, nobody else anything."""

    def __init__(
        self,
        look: Callable[[], Snapshot],
        command: Callable[[Command], Awaitable[Reply]],
        is_replaced: Callable[[], bool] = lambda: False,
    ) -> None:
        """`is_replaced` says whether the place where we listen is another engine's by now."""
        self._is_replaced = is_replaced
        self._look = look
        self._command = command
        self._changed = asyncio.Condition()
        self._version = 0
        self._listener: socket.socket | None = None
        self._place: tuple[Path, int] | None = None  # the socket's path and inode
        self._accepting: asyncio.Task[None] | None = None
        self._connections: set[asyncio.Task[None]] = set()
        self._silent: dict[asyncio.Task[None], None] = {}  # connections that have not asked anything yet, oldest first
        self.subscribers = 0

    async def listen(self, path: Path) -> None:
        """Accepts clients on the socket `path`; replaces a socket that a dead engine left there."""
        self._stop_listening()
        path.unlink(missing_ok=True)
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
        mask = os.umask(0o177)
        try:
            listener.bind(str(path))
            listener.listen(BACKLOG)
            self._place = path, path.lstat().st_ino
        except OSError as error:
            listener.close()
            error.filename = error.filename or path
            raise
        finally:
            os.umask(mask)
        self._listener = listener
        self._accepting = asyncio.create_task(self._accept(listener))

    def can_be_found(self) -> bool:
        """Whether the socket still lies where it was put; some clean up folders that look unused."""
        try:
            return self._place is not None and self._place[0].lstat().st_ino == self._place[1]
        except OSError:
            return False

    async def close(self) -> None:
        """Hangs up on every client, and removes the socket."""
        self._give_up_place()
        for task in list(self._connections):
            task.cancel()
        await asyncio.gather(*self._connections, return_exceptions=True)

    def _give_up_place(self) -> None:
        if self._place is not None and self.can_be_found():
            self._place[0].unlink(missing_ok=True)
        self._stop_listening()

    def _stop_listening(self) -> None:
        if self._accepting is not None:
            self._accepting.cancel()
        if self._listener is not None:
            self._listener.close()
        self._listener = self._place = None

    async def _accept(self, listener: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        room = _max_connections()
        while True:
            try:
                connection, _ = await loop.sock_accept(listener)
            except OSError:  # no descriptor left, or a client that has gone again
                await asyncio.sleep(PUSH_INTERVAL_S)
                continue
            if self._is_replaced():
                self._give_up_place()
                connection.close()  # only now, so that the client does not find us once more
                return
            if len(self._connections) >= room:
                if not self._silent:
                    connection.close()
                    continue
                oldest = next(iter(self._silent))  # somebody who keeps a place without using it
                del self._silent[oldest]
                oldest.cancel()
            task = asyncio.create_task(self._on_client(connection))
            self._connections.add(task)
            self._silent[task] = None
            task.add_done_callback(self._forget)
            await asyncio.sleep(0)  # a crowd at the door keeps nobody inside waiting

    def _forget(self, task: asyncio.Task[None]) -> None:
        self._connections.discard(task)
        self._silent.pop(task, None)

    async def push(self) -> None:
        """Tells the subscribers that the picture has changed."""
        async with self._changed:
            self._version += 1
            self._changed.notify_all()

    async def _on_client(self, connection: socket.socket) -> None:
        with connection, contextlib.suppress(OSError, ValueError, asyncio.CancelledError):
            # What is suppressed: the client hung up, is silent, sent an endless line, or we are closing.
            if not is_authorized(_peer_uid(connection)):
                return
            reader, writer = await asyncio.open_unix_connection(sock=connection, limit=MAX_REQUEST)
            try:
                await self._serve(reader, writer)
            finally:
                writer.close()
                try:
                    await asyncio.wait_for(writer.wait_closed(), PUSH_INTERVAL_S)
                finally:
                    writer.transport.abort()  # it has read all that it ever will

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        while line := await asyncio.wait_for(reader.readline(), REQUEST_DEADLINE_S):
            self._silent.pop(task, None)
            try:
                request = requests.validate_json(line)
            except ValidationError as error:
                await _send(writer, Reply(ok=False, message=f"{NOT_A_REQUEST}: {error.errors()[0]['msg']}"))
                return
            if isinstance(request, Subscribe):
                await self._stream(reader, writer)
                return
            if isinstance(request, GetSnapshot):
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
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._change_since(seen), HEARTBEAT_S)

    async def _change_since(self, version: int) -> None:
        async with self._changed:
            await self._changed.wait_for(lambda: self._version != version)


async def _send(writer: asyncio.StreamWriter, message: BaseModel) -> None:
    writer.write(message.model_dump_json().encode() + b"\n")
    try:
        await asyncio.wait_for(writer.drain(), REQUEST_DEADLINE_S)
    except TimeoutError:
        writer.transport.abort()  # closing would wait for the client to read
        raise


def is_authorized(uid: int) -> bool:
    """Whether a peer may command us: our own user, and root, who could anyway."""
    return uid in (os.getuid(), 0)


def _max_connections() -> int:
    """How many clients the limit on open files leaves room for."""
    files, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return MAX_CLIENTS if files == resource.RLIM_INFINITY else min(MAX_CLIENTS, max(8, files - OWN_FILES))


def _peer_uid(connection: socket.socket) -> int:
    credentials = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12)
    return int(struct.unpack("3i", credentials)[1])

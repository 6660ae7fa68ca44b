"""The engine's side of the socket: JSON lines over a unix socket.

Each request gets one reply. `Subscribe` gets snapshots until either side closes the connection.
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
from .engine_lock import EngineLock
from .messages import Command, GetSnapshot, Reply, Subscribe, requests
from .socket_path import socket_path

MAX_REQUEST = 1 << 16  # bytes of one request line
MAX_REPLY = 1 << 26  # bytes of one reply line
PUSH_INTERVAL_S = 0.25  # at most four snapshots a second
REQUEST_DEADLINE_S = 10.0
HEARTBEAT_S = 5.0  # a subscriber gets a snapshot at least this often
SILENCE_S = 20.0  # a subscriber closes the connection after this time without a snapshot
BACKLOG = 4096  # a full backlog refuses clients: it must hold all that connect during one turn of the loop
MAX_CLIENTS = 1000
OWN_FILES = 40  # descriptors that the engine itself needs


class Server:
    """The engine's socket and its clients. A malformed request closes that client's connection only.

    Args:
        snapshot: Returns the session as it is now.
        handle: Executes a command.
        lock: Lock of the logs folder that the engine serves.

    Attributes:
        subscribers: Number of clients that get snapshots.
    """

    def __init__(
        self,
        snapshot: Callable[[], Snapshot],
        handle: Callable[[Command], Awaitable[Reply]],
        lock: EngineLock,
    ) -> None:
        self._snapshot = snapshot
        self._handle = handle
        self._lock = lock
        self._changed = asyncio.Condition()
        self._version = 0
        self._listener: socket.socket | None = None
        self._socket: tuple[Path, int] | None = None  # path and inode
        self._accepting: asyncio.Task[None] | None = None
        self._connections: set[asyncio.Task[None]] = set()
        self._silent: dict[asyncio.Task[None], None] = {}  # connections without a request so far, oldest first
        self.subscribers = 0

    async def open(self) -> None:
        """Accept clients on the socket of the logs folder, and publish its path in the lock.

        Raises:
            RuntimeFolderError: There is no safe folder for the socket.
            OSError: The socket cannot be created.
        """
        path = socket_path(self._lock.logs)
        await self.listen(path)
        self._lock.publish_address(path)

    async def ensure_reachable(self) -> None:
        """Create the socket again if it was removed, as systemd does at a user's last logout."""
        if not self.is_socket_present() and self._lock.is_intact():
            with contextlib.suppress(OSError):  # the next call tries again
                await self.open()

    async def listen(self, path: Path) -> None:
        """Accept clients on the socket `path`; a socket that a dead engine left there is replaced.

        Raises:
            OSError: The socket cannot be created.
        """
        self._stop_listening()
        path.unlink(missing_ok=True)
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
        mask = os.umask(0o177)
        try:
            listener.bind(str(path))
            listener.listen(BACKLOG)
            self._socket = path, path.lstat().st_ino
        except OSError as error:
            listener.close()
            error.filename = error.filename or path
            raise
        finally:
            os.umask(mask)
        self._listener = listener
        self._accepting = asyncio.create_task(self._accept(listener))

    def is_socket_present(self) -> bool:
        """Return whether clients find the socket; some systems delete files that look unused."""
        try:
            return self._socket is not None and self._socket[0].lstat().st_ino == self._socket[1]
        except OSError:
            return False

    async def close(self) -> None:
        """Close all connections and remove the socket."""
        self._remove_socket()
        for task in list(self._connections):
            task.cancel()
        await asyncio.gather(*self._connections, return_exceptions=True)

    def _remove_socket(self) -> None:
        if self._socket is not None and self.is_socket_present():
            self._socket[0].unlink(missing_ok=True)
        self._stop_listening()

    def _stop_listening(self) -> None:
        if self._accepting is not None:
            self._accepting.cancel()
        if self._listener is not None:
            self._listener.close()
        self._listener = self._socket = None

    async def _accept(self, listener: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        most = _max_connections()
        while True:
            try:
                connection, _ = await loop.sock_accept(listener)
            except OSError:  # no descriptor left, or the client has closed the connection
                await asyncio.sleep(PUSH_INTERVAL_S)
                continue
            if self._lock.is_replaced():
                self._remove_socket()
                connection.close()  # only now, so that the client does not find our socket again
                return
            if len(self._connections) >= most:
                if not self._silent:
                    connection.close()
                    continue
                oldest = next(iter(self._silent))  # it occupies a connection without using it
                del self._silent[oldest]
                oldest.cancel()
            task = asyncio.create_task(self._on_client(connection))
            self._connections.add(task)
            self._silent[task] = None
            task.add_done_callback(self._forget)
            await asyncio.sleep(0)  # yield, so that new connections cannot starve existing ones

    def _forget(self, task: asyncio.Task[None]) -> None:
        self._connections.discard(task)
        self._silent.pop(task, None)

    async def push(self) -> None:
        """Send a new snapshot to all subscribers."""
        async with self._changed:
            self._version += 1
            self._changed.notify_all()

    async def _on_client(self, connection: socket.socket) -> None:
        with connection, contextlib.suppress(OSError, ValueError, asyncio.CancelledError):
            # Suppressed: the client closed the connection, is silent, sent an endless line, or we are closing.
            if not is_authorized(_peer_uid(connection)):
                return
            reader, writer = await asyncio.open_unix_connection(sock=connection, limit=MAX_REQUEST)
            try:
                await self._serve(reader, writer)
            finally:
                writer.close()
                try:
                    async with asyncio.timeout(PUSH_INTERVAL_S):
                        await writer.wait_closed()
                finally:
                    writer.transport.abort()  # the client reads no more

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        while line := await _next_line(reader):
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
                await _send(writer, self._snapshot())
            else:
                await _send(writer, await self._handle(request))

    async def _stream(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Push snapshots until the subscriber closes the connection; whatever it sends ends it, too."""
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
            await _send(writer, self._snapshot())
            await asyncio.sleep(PUSH_INTERVAL_S)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(HEARTBEAT_S):
                    await self._change_since(seen)

    async def _change_since(self, version: int) -> None:
        async with self._changed:
            await self._changed.wait_for(lambda: self._version != version)


async def _next_line(reader: asyncio.StreamReader) -> bytes:
    async with asyncio.timeout(REQUEST_DEADLINE_S):
        return await reader.readline()


async def _send(writer: asyncio.StreamWriter, message: BaseModel) -> None:
    writer.write(message.model_dump_json().encode() + b"\n")
    try:
        async with asyncio.timeout(REQUEST_DEADLINE_S):
            await writer.drain()
    except TimeoutError:
        writer.transport.abort()  # closing would wait for the client to read
        raise


def is_authorized(uid: int) -> bool:
    """Return whether a peer may send requests: our own user, or root, who could control us anyway."""
    return uid in (os.getuid(), 0)


def _max_connections() -> int:
    """Return how many clients the limit on open files allows."""
    files, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return MAX_CLIENTS if files == resource.RLIM_INFINITY else min(MAX_CLIENTS, max(8, files - OWN_FILES))


def _peer_uid(connection: socket.socket) -> int:
    credentials = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12)
    return int(struct.unpack("3i", credentials)[1])

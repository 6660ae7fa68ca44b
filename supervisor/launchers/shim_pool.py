"""Shims that are started before they are needed: cloned from a warm interpreter, or as an interpreter of their own."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import socket
import sys
from collections import deque
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from . import shim, shim_server

REPLY_DEADLINE_S = 2.0  # of the shim server; a clone takes about a millisecond


@dataclass(frozen=True)
class IdleShim:
    """A shim that waits on its standard input for an attempt's folder; if we close that, it exits.

    Attributes:
        pid: Its pid; it is our child.
        pidfd: Becomes readable when it ends.
        channel: Our end of its standard input, a socket.
        ready: Reaches its end of file once the command has been started.
    """

    pid: int
    pidfd: int
    channel: int
    ready: int

    @classmethod
    def spawn(cls) -> Self:
        """Start a shim as an interpreter of its own: a child process, in a process session of its own.

        Raises:
            OSError: No process can be created, or no descriptor is left.
        """
        with contextlib.ExitStack() as theirs, contextlib.ExitStack() as ours:
            (its_stdin, its_ready), (channel, ready) = _connect(theirs, ours)
            pid = os.posix_spawn(
                sys.executable,
                [sys.executable, "-I", "-S", shim.__file__],
                os.environ,
                file_actions=[
                    (os.POSIX_SPAWN_DUP2, its_stdin, 0),
                    (os.POSIX_SPAWN_OPEN, 1, "/dev/null", os.O_RDWR, 0),
                    (os.POSIX_SPAWN_DUP2, 1, 2),
                    (os.POSIX_SPAWN_DUP2, its_ready, shim.READY),
                ],
                setsid=True,
                setsigmask=shim.HANDLED,  # a signal that arrives before the shim is ready stays pending
            )
            idle = cls(pid, os.pidfd_open(pid), channel, ready)
            ours.pop_all()
            return idle

    def assign(self, folder: Path) -> None:
        """Start an attempt: send its folder to the shim.

        Raises:
            BrokenPipeError: The shim was killed while it waited.
            ConnectionResetError: Likewise.
        """
        os.write(self.channel, os.fsencode(folder))

    def terminate(self) -> None:
        """Close its standard input, at which it exits, and all other descriptors."""
        for descriptor in (self.channel, self.ready, self.pidfd):
            os.close(descriptor)


def _connect(theirs: contextlib.ExitStack, ours: contextlib.ExitStack) -> tuple[tuple[int, int], tuple[int, int]]:
    """Make standard input and `ready` of a shim; return the shim's ends and ours, which the stacks close."""
    ready, its_ready = os.pipe2(os.O_CLOEXEC)
    ours.callback(os.close, ready)
    theirs.callback(os.close, its_ready)
    channel, its_stdin = (end.detach() for end in socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET))
    ours.callback(os.close, channel)
    theirs.callback(os.close, its_stdin)
    return (its_stdin, its_ready), (channel, ready)


@dataclass(frozen=True)
class _Requested:
    """A shim that the server was asked for: our ends of its connections."""

    channel: int
    ready: int

    def pid(self) -> int:
        """Wait until the shim says who it is.

        Raises:
            OSError: There is no such shim, or it is too slow.
        """
        poller = select.poll()
        poller.register(self.channel, select.POLLIN)
        if not poller.poll(1000 * REPLY_DEADLINE_S):
            raise TimeoutError("the shim server does not answer")
        reply = os.read(self.channel, shim_server.REPLY.size)
        if not reply:
            raise ConnectionResetError("the shim server has ended")
        (pid,) = shim_server.REPLY.unpack(reply)
        if pid < 0:
            raise OSError(-pid, os.strerror(-pid))
        return int(pid)

    def close(self) -> None:
        os.close(self.channel)
        os.close(self.ready)


class ShimServer:
    """The warm interpreter, and the shims that were requested of it.

    Raises:
        OSError: No process can be created, or no descriptor is left.
    """

    def __init__(self) -> None:
        self._requested: deque[_Requested] = deque()
        self._connection, its_end = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        try:
            with its_end:
                self.pid = os.posix_spawn(
                    sys.executable,
                    [sys.executable, "-I", "-S", shim_server.__file__, shim.__file__],
                    {**os.environ, "LD_BIND_NOW": "1"},  # or every clone would look up the same symbols
                    file_actions=[
                        (os.POSIX_SPAWN_DUP2, its_end.fileno(), 0),
                        (os.POSIX_SPAWN_OPEN, 1, "/dev/null", os.O_RDWR, 0),
                        (os.POSIX_SPAWN_DUP2, 1, 2),
                    ],
                    setsid=True,
                    setsigmask=(),
                    setsigdef={signal.SIGINT, signal.SIGHUP, signal.SIGPIPE},
                )
        except OSError:
            self._connection.close()
            raise
        self._connection.settimeout(REPLY_DEADLINE_S)

    @property
    def requested(self) -> int:
        """The number of shims that were requested and not taken yet."""
        return len(self._requested)

    def request(self) -> None:
        """Ask for one more shim, without waiting for it.

        Raises:
            OSError: The server is dead, or no descriptor is left.
        """
        with contextlib.ExitStack() as theirs, contextlib.ExitStack() as ours:
            (its_stdin, its_ready), (channel, ready) = _connect(theirs, ours)
            socket.send_fds(self._connection, [b"1"], [its_stdin, its_ready])
            ours.pop_all()
        self._requested.append(_Requested(channel, ready))

    def take(self) -> IdleShim:
        """Return the shim that was requested first.

        Raises:
            OSError: The server is dead or too slow, or could not clone itself.
        """
        requested = self._requested.popleft()
        try:
            pid = requested.pid()
            return IdleShim(pid, os.pidfd_open(pid), requested.channel, requested.ready)
        except OSError:
            requested.close()
            raise

    def close(self) -> None:
        """End the server and the shims that nobody has taken."""
        _end(self.pid)
        self._connection.close()
        for requested in self._requested:
            with contextlib.suppress(OSError):
                _end(requested.pid())
            requested.close()


def _end(child: int) -> None:
    """Kill and reap a child process; its number is its own until it is reaped."""
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)


class ShimPool:
    """One spare shim, ready while more attempts are to come.

    Spares come from a shim server. Its death costs nothing: a shim that it still owed is started as an interpreter of
    its own, and the next spare comes from a new server.
    """

    def __init__(self) -> None:
        self._server: ShimServer | None = None

    def refill(self) -> None:
        """Request a spare shim unless there is one.

        Raises:
            OSError: No process can be created, or no descriptor is left.
        """
        if self._server is None:
            self._server = ShimServer()
        if self._server.requested:
            return
        try:
            self._server.request()
        except (BrokenPipeError, ConnectionResetError, TimeoutError):
            self._close_server()

    def assign(self, folder: Path) -> IdleShim:
        """Start an attempt under the spare shim, or under a new one if there is none or it was killed.

        Raises:
            OSError: No process can be created, or no descriptor is left.
        """
        spare = self._take()
        if spare is not None:
            try:
                spare.assign(folder)
            except (BrokenPipeError, ConnectionResetError):
                os.waitpid(spare.pid, 0)
                spare.terminate()
            else:
                return spare
        fresh = IdleShim.spawn()
        with contextlib.suppress(
            BrokenPipeError, ConnectionResetError
        ):  # a shim that cannot even run: its exit shows it
            fresh.assign(folder)
        return fresh

    def close(self) -> None:
        """Terminate the server and the spare shim."""
        self._close_server()

    def _take(self) -> IdleShim | None:
        """Return the spare shim, or None if its server has failed."""
        self.refill()
        if self._server is None:
            return None
        try:
            return self._server.take()
        except OSError:
            self._close_server()
            return None

    def _close_server(self) -> None:
        if self._server is not None:
            self._server.close()
            self._server = None

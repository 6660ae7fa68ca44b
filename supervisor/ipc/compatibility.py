"""A client and an engine of different versions of the program, as after an upgrade while a session runs.

Messages that have only gained fields with defaults are still understood. Everything else is one error with a remedy.
"""

from __future__ import annotations

import json
import re
import socket
import struct
from pathlib import Path
from typing import TypeVar

from pydantic import BaseModel, ValidationError

from ..errors import UserError
from .messages import Reply

MessageT = TypeVar("MessageT", bound=BaseModel)

NOT_A_REQUEST = "not a request"  # how an engine, of any version, begins its reply to what it does not understand
_DETACHED_ENGINE = b"pmssm.supervisor.engine"  # module of a detached engine; 0.1.0 has `engine_process`
_STAMP = re.compile(r"\d{8}_\d{6}", re.ASCII)


class EngineIncompatible(UserError):
    """The engine is of another version: one side does not understand the other."""


def parse_reply(model: type[MessageT], line: bytes, pid: int | None) -> MessageT:
    """Return the engine's reply.

    Args:
        model: The expected message.
        line: The reply as received.
        pid: The engine's process, if known.

    Raises:
        EngineIncompatible: It is another message, or the engine did not understand the request.
    """
    try:
        message = model.model_validate_json(line)
    except ValidationError:
        raise EngineIncompatible(_remedy(line, pid)) from None
    if isinstance(message, Reply) and not message.ok and message.message.startswith(NOT_A_REQUEST):
        raise EngineIncompatible(_remedy(line, pid))
    return message


def server_pid(connection: socket.socket) -> int | None:
    """Return the process that listens at the other end of a unix socket; None if the kernel does not know."""
    pid, _ = _credentials(connection)
    return pid if pid > 0 else None


def server_uid(connection: socket.socket) -> int:
    """Return the user who listens at the other end of a unix socket; -1 if the kernel does not know."""
    return _credentials(connection)[1]


def _credentials(connection: socket.socket) -> tuple[int, int]:
    """Return pid and uid of the other end."""
    try:
        credentials = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
    except OSError:
        return -1, -1
    pid, uid, _ = struct.unpack("3i", credentials)
    return pid, uid


def _remedy(line: bytes, pid: int | None) -> str:
    engine = "the engine" + (f" of session {stamp}" if (stamp := _stamp(line)) else "")
    engine += f" (pid {pid})" if pid is not None else ""
    ending = "end the session with that version's `pmssm-supervise down`"
    if pid is not None and _is_detached(pid):
        ending += f", or end the engine alone with `kill -TERM {pid}` (the runs go on) and call again"
    return f"{engine} is of another version of pmssm-supervise; {ending}"


def _stamp(line: bytes) -> str | None:
    try:
        stamp = json.loads(line)["session"]
    except (ValueError, LookupError, TypeError, RecursionError):
        return None
    return stamp if isinstance(stamp, str) and _STAMP.fullmatch(stamp) else None


def _is_detached(pid: int) -> bool:
    """Return whether SIGTERM ends the engine alone: with --headless it stops the runs, too."""
    try:
        words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
    except OSError:
        return False
    return any(word.startswith(_DETACHED_ENGINE) for word in words)

"""What engine and shim say to each other over the shim's standard input.

That is a SOCK_SEQPACKET socket, or a pipe that carries the attempt's folder alone. It imports the standard library
alone, see shim.
"""

from __future__ import annotations

import _socket  # not socket, which takes ten times as long to import
import os
import stat
import sys

ENDED, JOURNALED = b"ended", b"journaled"  # the messages about the exit
JOURNAL_DEADLINE_S = 0.2  # for the engine to record an exit, after which the shim syncs it to the disk
MAX_PATH = 4096


def receive_folder() -> tuple[str, _socket.socket | None]:
    """Wait for the attempt's folder, and return it with the socket to the engine; "" if there is no attempt."""
    if not stat.S_ISSOCK(os.fstat(0).st_mode):
        return os.fsdecode(sys.stdin.buffer.read()), None
    channel = _socket.socket(fileno=0)
    return os.fsdecode(channel.recv(MAX_PATH)), channel


def is_journaled(channel: _socket.socket | None) -> bool:
    """Tell the engine that the exit is recorded, and return whether its journal has it on the disk.

    The record then survives a power cut twice, so it need not be synced. Without an answer, because the engine is dead,
    stopped or busy, it must be.
    """
    if channel is None:
        return False
    try:
        channel.settimeout(JOURNAL_DEADLINE_S)
        channel.send(ENDED)
        return channel.recv(len(JOURNALED)) == JOURNALED
    except OSError:
        return False

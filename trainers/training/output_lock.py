"""The lock of an output folder: one trainer at a time."""

from __future__ import annotations

import fcntl
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

from ..errors import OptionError
from ..fence import Fence, own_fence

LOCK_FILE = ".lock"


@contextmanager
def exclusive_output(folder: Path) -> Iterator[None]:
    """Hold the lock of the output folder while the block runs.

    A process that is frozen, or on a node that was cut off, keeps its lock. If it is an older attempt of this run, its
    fence keeps it from writing, so its lock is taken over: another file takes the place of the one that it has locked.

    Raises:
        OptionError: Another trainer holds it.
    """
    path, fence = folder / LOCK_FILE, own_fence()
    with path.open("a+", encoding="utf-8") as lock:
        if _try_lock(lock):
            _note_owner(lock, fence)
            yield
            return
        lock.seek(0)
        holder = Fence.parse(lock.read().strip())
    if fence is None or holder is None or not fence.replaces(holder):
        raise OptionError(f"--output {folder}: another trainer uses this folder; wait for it or stop it")
    descriptor, name = tempfile.mkstemp(prefix=f"{LOCK_FILE}.", suffix=".tmp", dir=folder)
    with os.fdopen(descriptor, "w+", encoding="utf-8") as lock:
        _try_lock(lock)
        _note_owner(lock, fence)
        Path(name).replace(path)
        yield


def _try_lock(lock: TextIO) -> bool:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _note_owner(lock: TextIO, fence: Fence | None) -> None:
    lock.seek(0)
    lock.truncate()
    lock.write("" if fence is None else str(fence))
    lock.flush()

"""Small files and the identities of processes, for a shim: the standard library alone, and few system calls.

It must work without the package: on another machine, shim.py imports it from its own folder.
"""

from __future__ import annotations

import json
import os
import stat

TYPE_CHECKING = False  # typing itself would cost milliseconds
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

_boot_ids: list[str] = []  # read once, also for all shims that are cloned from one interpreter


def identity(pid: int) -> dict[str, object]:
    """Return what distinguishes the process `pid` from all others that have had or will have that number."""
    return {"pid": pid, "start_ticks": start_ticks(pid), "boot_id": boot_id()}


def identities(pids: Iterable[int]) -> list[dict[str, object]]:
    """Return the identities of those of the processes that have not ended."""
    found = []
    for pid in pids:
        try:
            found.append(identity(pid))
        except (OSError, IndexError):
            pass
    return found


def start_ticks(pid: int) -> int:
    """Return when the process started, in clock ticks since boot (field 22 of proc(5) stat)."""
    return int(read(f"/proc/{pid}/stat").rpartition(")")[2].split()[19])


def boot_id() -> str:
    """Return the kernel's identifier of this boot."""
    if not _boot_ids:
        _boot_ids.append(read("/proc/sys/kernel/random/boot_id").strip())
    return _boot_ids[0]


def descendants(root: int) -> list[int]:
    """Return the pids of all living descendants of `root`; zombies are not alive."""
    children: dict[int, list[int]] = {}
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            try:
                state, parent = read(f"/proc/{entry}/stat").rpartition(")")[2].split()[:2]
            except OSError:
                continue
            if state not in "ZX":
                children.setdefault(int(parent), []).append(int(entry))
    found: list[int] = []
    frontier = [root]
    while frontier:
        below = children.get(frontier.pop(), [])
        found += below
        frontier += below
    return found


def group_of(pid: int) -> int | None:
    """Return the process group of a process; None if it has ended."""
    try:
        return os.getpgid(pid)
    except OSError:
        return None


def quietly(send: Callable[[int, int], None], pid: int, number: int) -> None:
    """Send a signal to a process or group that may have ended."""
    try:
        send(pid, number)
    except OSError:
        pass


def read(path: str) -> str:
    """Return the text of a file.

    Raises:
        OSError: It cannot be read.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        parts = []
        while part := os.read(descriptor, 1 << 16):
            parts.append(part)
    finally:
        os.close(descriptor)
    return b"".join(parts).decode("utf-8", "replace")


def write(folder: str, name: str, record: Mapping[str, object]) -> None:
    """Write a record to folder/name atomically, as a JSON object.

    Raises:
        OSError: It could not be written; an existing file is unchanged.
    """
    temporary = os.path.join(folder, f"{name}.{os.getpid()}")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    try:
        os.write(descriptor, json.dumps(record).encode())
    except OSError:
        os.unlink(temporary)
        raise
    finally:
        os.close(descriptor)
    os.rename(temporary, os.path.join(folder, name))


def open_log(path: str, owners: set[int]) -> int:
    """Open a log for appending, and return its descriptor.

    Args:
        path: The log, which is created if need be.
        owners: Users to whom it may belong.

    Raises:
        OSError: It cannot be written; or it is a link, another user's, or no regular file, which could block.
    """
    flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOFOLLOW
    log = os.open(path, flags, 0o600)
    status = os.fstat(log)
    if not stat.S_ISREG(status.st_mode) or status.st_uid not in owners:
        os.close(log)
        raise OSError(22, "Not a regular file of this user", path)
    os.set_blocking(log, True)
    return log


def end_last_line(path: str) -> None:
    """End the log with a newline: readers of lines then see the last one, often the reason of a crash."""
    try:
        log = os.open(path, os.O_RDWR | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError:
        return  # not there yet, or not a file of ours
    try:
        os.lseek(log, -1, os.SEEK_END)
        if os.read(log, 1) != b"\n":
            os.write(log, b"\n")
    except OSError:
        pass  # empty, not a regular file, or no room
    finally:
        os.close(log)

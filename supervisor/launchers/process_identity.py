"""Processes identified by pid, start time and boot, never by pid alone."""

from __future__ import annotations

import asyncio
import os
import select
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Self

from pydantic import BaseModel, ConfigDict

from .shim_files import boot_id, start_ticks


class ProcessIdentity(BaseModel):
    """A process, distinct from later ones with the same pid.

    Attributes:
        pid: The number that the kernel reuses after the end of the process.
        start_ticks: Start of the process, in clock ticks since boot.
        boot_id: The kernel's identifier of the boot.
    """

    model_config = ConfigDict(frozen=True)

    pid: int
    start_ticks: int
    boot_id: str

    @classmethod
    def of(cls, pid: int) -> Self | None:
        """Return the identity of the process with that pid, or None where there is none."""
        try:
            return cls(pid=pid, start_ticks=start_ticks(pid), boot_id=boot_id())
        except (OSError, ValueError, IndexError):
            return None

    def open(self) -> int | None:
        """Return a pidfd of exactly this process, or None if it has ended."""
        try:
            descriptor = os.pidfd_open(self.pid)
        except OSError:
            return None
        # The descriptor pins the process, so the pid cannot be reused after this comparison.
        if ProcessIdentity.of(self.pid) == self and not _is_zombie(self.pid):
            return descriptor
        os.close(descriptor)
        return None


def has_ended(pidfd: int) -> bool:
    """Return whether the process has ended; a child still has to be waited for."""
    poller = select.poll()
    poller.register(pidfd, select.POLLIN)
    return bool(poller.poll(0))


def seconds_since_start(process: ProcessIdentity) -> float:
    """Return how long ago a process of this boot was started, s, from a clock that nobody sets."""
    return time.clock_gettime(time.CLOCK_BOOTTIME) - process.start_ticks / os.sysconf("SC_CLK_TCK")


async def wait_until_ended(process: ProcessIdentity) -> None:
    """Wait until the process has ended; it need not be a child of ours."""
    descriptor = process.open()
    if descriptor is None:
        return
    loop, ended = asyncio.get_running_loop(), asyncio.Event()
    loop.add_reader(descriptor, ended.set)
    try:
        await ended.wait()
    finally:
        loop.remove_reader(descriptor)
        os.close(descriptor)


def find_by_environment(variable: str, value: str) -> Iterator[ProcessIdentity]:
    """Yield the living processes that were started with `variable=value` in their environment.

    Processes of other users are left out, unless we are root.
    """
    assignment = f"{variable}={value}".encode()
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                environment = (entry / "environ").read_bytes()
            except OSError:
                continue
            if assignment in environment.split(b"\0") and not _is_zombie(int(entry.name)):
                identity = ProcessIdentity.of(int(entry.name))
                if identity is not None:
                    yield identity


def session_members(leader: ProcessIdentity) -> Iterator[ProcessIdentity]:
    """Yield the other living processes of the process session that `leader` started; `leader` may have ended."""
    if leader.boot_id != boot_id() or (ProcessIdentity.of(leader.pid) or leader) != leader:
        return  # the kernel does not reuse the number of a session that has members
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                fields = (entry / "stat").read_text(errors="replace").rpartition(")")[2].split()
            except OSError:
                continue
            if int(fields[3]) == leader.pid != int(entry.name) and fields[0] not in "ZX":
                identity = ProcessIdentity.of(int(entry.name))
                if identity is not None and identity.start_ticks >= leader.start_ticks:
                    yield identity


def _is_zombie(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text(errors="replace").rpartition(")")[2].split()[0] in "ZX"
    except (OSError, IndexError):
        return True

"""The processes of an attempt while they can be found, and the record of them for the time when they cannot.

A child with a cleared environment, in a process session of its own, is found through its parents only. These end at the
shim, which adopts orphans. The record therefore has to be written while the shim lives.
"""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterable, Iterator
from pathlib import Path

import psutil
from pydantic import BaseModel, ConfigDict, ValidationError

from ..files import read_object, write_atomic
from .process_identity import ProcessIdentity
from .shim_files import boot_id

# Linux with CONFIG_PROC_CHILDREN, as distributions have it. Without it every process of the machine is examined.
KERNEL_LISTS_CHILDREN = os.path.exists("/proc/thread-self/children")  # noqa: PTH110


class _Record(BaseModel):
    model_config = ConfigDict(frozen=True)
    processes: tuple[ProcessIdentity, ...]


class KnownProcesses:
    """The processes of an attempt that were seen so far and are alive, also in `processes.json`.

    Args:
        folder: Folder of the attempt.
    """

    def __init__(self, folder: Path) -> None:
        self._file = folder / "processes.json"
        try:
            recorded = _Record.model_validate(read_object(self._file)).processes
        except ValidationError:
            recorded = ()
        self._known = frozenset(recorded)

    def living(self) -> frozenset[ProcessIdentity]:
        """Return the known processes that are alive."""
        return frozenset(identity for identity in self._known if _is_alive(identity))

    def add(self, found: Iterable[ProcessIdentity]) -> frozenset[ProcessIdentity]:
        """Add processes, forget those that have ended, and return the rest."""
        known = self.living() | frozenset(found)
        if known != self._known:
            self._known = known
            record = {"processes": [identity.model_dump() for identity in known]}
            with contextlib.suppress(OSError):  # a full disk; not synced, since a power cut ends the processes, too
                write_atomic(self._file, json.dumps(record), sync=False)
        return known


def descendants(roots: Iterable[int]) -> frozenset[ProcessIdentity]:
    """Return the living descendants of some processes, without these.

    A process counts only if its parent is a root or a descendant at the moment in which its start time is read: its
    pid may have gone to a stranger meanwhile.
    """
    roots = set(roots)
    pids = {pid for root in roots for pid in list_tree(root)}
    boot = boot_id()
    found = set()
    for pid in pids - roots:
        try:
            fields = Path(f"/proc/{pid}/stat").read_text(errors="replace").rpartition(")")[2].split()
        except OSError:
            continue  # it has ended
        if fields[0] not in "ZX" and int(fields[1]) in pids:
            found.add(ProcessIdentity(pid=pid, start_ticks=int(fields[19]), boot_id=boot))
    return frozenset(found)


def list_tree(root: int) -> list[int]:
    """Return the pids of a process and of all its descendants."""
    if not KERNEL_LISTS_CHILDREN:
        try:
            return [root, *(child.pid for child in psutil.Process(root).children(recursive=True))]
        except psutil.Error:
            return [root]
    found = [root]
    for pid in found:
        found.extend(_children(pid))
    return found


def _children(pid: int) -> Iterator[int]:
    """Yield the children of a process; the kernel lists them by the thread that created them."""
    try:
        for thread in os.listdir(f"/proc/{pid}/task"):  # noqa: PTH208 - Path.iterdir costs twice as much
            with open(f"/proc/{pid}/task/{thread}/children", "rb") as children:  # noqa: PTH123
                yield from map(int, children.read().split())
    except OSError:
        return  # it has ended


def _is_alive(identity: ProcessIdentity) -> bool:
    descriptor = identity.open()
    if descriptor is None:
        return False
    os.close(descriptor)
    return True

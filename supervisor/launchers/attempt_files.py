"""The files of an attempt: spec.json, process.json, stop.json and exit.json."""

from __future__ import annotations

import contextlib
import json
import os
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from ..files import read_object, write_atomic
from ..session.events import Exit
from .process_identity import ProcessIdentity
from .shim_files import boot_id

READINGS, READING_INTERVAL_S = 20, 0.001  # of process.json, until it is complete
ATTEMPT_VARIABLE = "PMSSM_SUPERVISE_ATTEMPT"  # names the attempt's folder in the environment of all its processes


@dataclass(frozen=True)
class AttemptSpec:
    """Contents of spec.json: what the shim starts.

    Attributes:
        command: Program and arguments.
        cwd: Working directory of the command.
        env: The whole environment of the command.
        log: Path of the run's log, to which the command's output is appended.
        header: First line of the attempt in the log, with its newline.
        stop_grace_s: Seconds between SIGTERM and SIGKILL.
    """

    command: tuple[str, ...]
    cwd: str
    env: Mapping[str, str]
    log: str
    header: str
    stop_grace_s: float


@dataclass(frozen=True)
class CommandProcess:
    """The process of an attempt's command."""

    identity: ProcessIdentity
    started: float  # unix time, s


class StopRecord(BaseModel):
    """Contents of stop.json: a gentle stop that has begun.

    Attributes:
        kill_at: Monotonic time at which SIGKILL is due, s.
        signalled: Processes that have had their SIGTERM.
        boot_id: Boot in which both are valid.
    """

    model_config = ConfigDict(frozen=True)

    kill_at: float
    signalled: tuple[ProcessIdentity, ...] = ()
    boot_id: str

    def write(self, folder: Path) -> None:
        """Write the record into the attempt's folder.

        Raises:
            OSError: It cannot be written.
        """
        # Not synced: after a power cut there is no process that this file could be about.
        write_atomic(folder / "stop.json", self.model_dump_json(), sync=False)


def read_stop_record(folder: Path) -> StopRecord | None:
    """Return the contents of stop.json, or None where no stop has begun in this boot."""
    try:
        record = StopRecord.model_validate(read_object(folder / "stop.json"))
    except ValidationError:
        return None
    return record if record.boot_id == boot_id() else None


def claim_if_unclaimed(folder: Path) -> None:
    """Make sure that a shim which has not claimed its attempt yet never will.

    Raises:
        OSError: The folder cannot be written.
    """
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    if not (folder / "process.json").exists():
        with contextlib.suppress(FileExistsError):  # the shim was faster
            write_atomic(folder / "process.json", json.dumps({"void": True}), place=os.link)


def read_process_record(folder: Path) -> dict[str, object] | None:
    """Return the contents of process.json, or None where there is no such file, or it is damaged.

    The shim replaces them by one call, in the middle of which they may be read.
    """
    path = folder / "process.json"
    for _ in range(READINGS):
        record = read_object(path)
        if record is not None or not path.exists():
            return record
        time.sleep(READING_INTERVAL_S)
    return None


def read_identity(record: Mapping[str, object] | None, key: str) -> ProcessIdentity | None:
    """Return the identity of a process in process.json.

    Args:
        record: Contents of process.json.
        key: `shim` or `command`.

    Returns:
        None where the record does not contain it, or it is damaged.
    """
    try:
        return ProcessIdentity.model_validate(record[key]) if record and key in record else None
    except ValidationError:
        return None


def read_exit_record(folder: Path) -> Exit | None:
    """Return the contents of exit.json, or None where there is no valid record.

    A shim that was killed before its last step leaves the record under a temporary name, which is read, too.
    """
    identity = read_identity(read_process_record(folder), "shim")
    record = read_object(folder / "exit.json")
    if not record and identity is not None:
        record = read_object(folder / f"exit.json.{identity.pid}")
    try:
        return Exit.model_validate(record) if record is not None else None
    except ValidationError:
        return None

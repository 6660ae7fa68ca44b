"""The files of an attempt: spec.json, process.json, stop.json and exit.json; and the fence of its run."""

from __future__ import annotations

import contextlib
import json
import os
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from ..files import read_object, write_atomic
from ..session.events import Exit
from .process_identity import ProcessIdentity, seconds_since_start
from .shim_files import boot_id

READINGS, READING_INTERVAL_S = 20, 0.001  # of process.json, until it is complete
ATTEMPT_VARIABLE = "PMSSM_SUPERVISE_ATTEMPT"  # names the attempt's folder in the environment of all its processes
FENCE_VARIABLE = "PMSSM_ATTEMPT_FENCE"  # PATH:NUMBER, the run's fence and the attempt's own number
FENCE_FILE = "newest_attempt"  # in the run's folder


@dataclass(frozen=True)
class AttemptSpec:
    """What a launcher starts; a part of it is the content of spec.json.

    Attributes:
        command: Program and arguments.
        cwd: Working directory of the command.
        given: Variables that the plan and the supervisor set. They reach the command wherever it runs.
        log: Path of the run's log, to which the command's output is appended.
        header: First line of the attempt in the log, with its newline.
        stop_grace_s: Seconds between SIGTERM and SIGKILL.
        inherited: Variables of the shell that created the session, which may mean little on another machine.
        run: Name of the run.
        session: Token of the session, 12 hexadecimal digits.
        attempt: Number of the attempt, from 1.
        follows: Folders of the attempts that must succeed before the command starts.
        cpus: Cores that the command uses; None if that is not known.
        gpus: GPUs that the command uses.
        slurm: The run's settings for Slurm, by the keys of `[slurm]`; for the Slurm launcher alone.
        node: Another node of the allocation of Slurm; for the srun launcher alone.
        granted: Position of its GPU among those that Slurm has granted there, and their number; None for the CPU.
    """

    command: tuple[str, ...]
    cwd: str
    given: Mapping[str, str]
    log: str
    header: str
    stop_grace_s: float
    inherited: Mapping[str, str] = field(default_factory=dict)
    run: str = ""
    session: str = ""
    attempt: int = 1
    follows: tuple[Path, ...] = ()
    cpus: int | None = None
    gpus: int = 0
    slurm: Mapping[str, object] = field(default_factory=dict)
    node: str = ""
    granted: tuple[int, int] | None = None

    @property
    def env(self) -> dict[str, str]:
        """The whole environment of the command on this machine."""
        return {**self.inherited, **self.given}

    def record(self, env: Mapping[str, str]) -> dict[str, object]:
        """Return the content of spec.json for the shim, with that environment."""
        return {
            "command": self.command,
            "cwd": self.cwd,
            "env": env,
            "log": self.log,
            "header": self.header,
            "stop_grace_s": self.stop_grace_s,
            "run": self.run,
            "session": self.session,
            "attempt": self.attempt,
        }


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


def fence_path(folder: Path) -> Path:
    """Return the fence of the run to which an attempt's folder belongs."""
    return folder.parent / FENCE_FILE


def fence_older_attempts(folder: Path, attempt: int) -> None:
    """Forbid all older attempts of the run to write results: the trainers compare their number with this one.

    Args:
        folder: Folder of the attempt.
        attempt: Its number.

    Raises:
        OSError: The run's folder cannot be written.
    """
    write_atomic(fence_path(folder), f"{attempt}\n")


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


def unseen_exit(folder: Path, command: CommandProcess | None) -> Exit:
    """Return an exit without status, for an attempt whose end nobody has seen.

    After a reboot, its time is that of the last write to the log.

    Args:
        folder: Folder of the attempt.
        command: Process of its command; None if that is unknown.
    """
    identity = read_identity(read_process_record(folder), "shim")
    if identity is None or identity.boot_id == boot_id():
        return Exit(ended=time.time(), duration_s=seconds_since_start(command.identity) if command else None)
    spec = read_object(folder / "spec.json") or {}
    try:
        ended = Path(str(spec.get("log"))).stat().st_mtime
    except OSError:
        ended = time.time()
    return Exit(ended=ended, unseen="the machine was restarted while it ran")

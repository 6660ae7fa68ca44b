"""The folder of a Slurm attempt: what the job reads, what it writes, and the note of its number.

The folder lies on a disk that the nodes share. Over NFS a client may believe for a minute that a new file does not
exist. Opening the folder makes it ask the server again, so `read_files` lists the folder before it reads anything.
"""

from __future__ import annotations

import contextlib
import json
import os
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

from ...files import read_object, write_atomic
from ...logs.sanitize import sanitize_line
from ...session.events import Exit, StopKind
from .. import shim
from ..attempt_files import ATTEMPT_VARIABLE, AttemptSpec, read_exit_record, read_identity
from ..base import CommandStart
from . import job_shim
from .batch_script import ENVIRONMENT, NODE_DECIDES, WARNING_S, JobRequest, environment_file
from .bundle_runner import OUTPUT, STOP_REQUEST
from .bundles import multiplied
from .job_shim import NOTE
from .samples import SAMPLES
from .settings import SlurmSettings
from .tokens import JobToken

SUBMISSION = "submission.json"
MAX_OUTPUT_TAIL = 4096  # bytes of the job's own output that are searched for its last line


class Submission(BaseModel):
    """Contents of submission.json, which is written before sbatch is called, and again with its answer.

    Attributes:
        token: What the job is found by.
        job_id: Its number; None while sbatch has not answered.
        at: When sbatch was called, unix time, s.
        attempts: How many attempts share the job.
        output: The job's own output, relative to the attempt's folder: it lies in that of the first attempt.
    """

    model_config = ConfigDict(frozen=True)

    token: str
    job_id: int | None = None
    at: float
    attempts: int = 1
    output: str = OUTPUT

    def write(self, folder: Path) -> None:
        """Write the note into the attempt's folder.

        Raises:
            OSError: It cannot be written.
        """
        write_atomic(folder / SUBMISSION, self.model_dump_json())

    @classmethod
    def read(cls, folder: Path) -> Submission | None:
        """Return the note, or None where sbatch was never called."""
        try:
            return cls.model_validate(read_object(folder / SUBMISSION))
        except ValidationError:
            return None


@dataclass(frozen=True)
class Files:
    """What the job has written so far.

    Attributes:
        is_claimed: Whether a shim has begun to carry out the attempt.
        is_void: Whether an engine has made sure that none ever does.
        is_stopping: Whether the shim has passed a stop on to the command.
        started: The start of the command.
        node: Where the shim runs.
        job_id: The job that it runs in.
        step_id: The step that it is; "" for a batch script.
        exit: How the command ended.
        heartbeat: Time of the sampler's newest file by the clock of the disk, ns; 0 without one.
    """

    is_claimed: bool = False
    is_void: bool = False
    is_stopping: bool = False
    started: CommandStart | None = None
    node: str = ""
    job_id: int | None = None
    step_id: str = ""
    exit: Exit | None = None
    heartbeat: int = 0


def prepare_folder(folder: Path, spec: AttemptSpec, python: Path) -> JobRequest:
    """Write what the job reads, and return what to ask of Slurm.

    Args:
        folder: Folder of the attempt.
        spec: What to start.
        python: Interpreter on the nodes.

    Raises:
        OSError: The folder cannot be written.
        ValueError: A path, name or variable cannot be given to Slurm.
    """
    settings = SlurmSettings.model_validate(dict(spec.slurm))
    if settings.cpus is None:
        settings = settings.model_copy(update={"cpus": spec.cpus})
    multiplied(settings, settings.bundle or 1, takes_gpu=spec.gpus > 0)  # a complaint now, not when it is submitted
    environment = environment_file(spec.inherited)
    request = JobRequest(
        token=JobToken(spec.session, spec.run, spec.attempt),
        folder=folder.absolute(),
        python=python,
        job_shim=Path(job_shim.__file__).resolve(),
        settings=settings,
        warning_s=WARNING_S if settings.signal_s is None else settings.signal_s,
        takes_gpu=spec.gpus > 0,
        environment=environment,
    )
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    _write_private(folder / ENVIRONMENT, environment)
    write_spec(folder, spec, kept=NODE_DECIDES)
    return request


def write_spec(folder: Path, spec: AttemptSpec, **more: object) -> None:
    """Write spec.json for job_shim, with more of its keys.

    Raises:
        OSError: It cannot be written.
    """
    record = {
        **spec.record({**spec.given, ATTEMPT_VARIABLE: str(folder)}),
        "cwd": os.path.abspath(spec.cwd),  # noqa: PTH100 - relative to our folder, which is not the job's
        "log": os.path.abspath(spec.log),  # noqa: PTH100
        "shim": str(Path(shim.__file__).resolve()),
        "follows": [os.path.abspath(other) for other in spec.follows],  # noqa: PTH100
        **more,
    }
    write_atomic(folder / "spec.json", json.dumps(record))


def submission_of(job: JobRequest, folder: Path) -> Submission:
    """Return the note that an attempt is submitted.

    Args:
        job: Its job.
        folder: The attempt's folder.
    """
    output = os.path.relpath(job.folder / OUTPUT, folder.absolute())
    return Submission(token=str(job.token), at=time.time(), attempts=len(job.folders), output=output)


def request_stop(folder: Path, kind: StopKind) -> None:
    """Ask the batch process of a job with several attempts to stop one of them, or the process of a step to stop.

    Raises:
        OSError: The folder cannot be written.
    """
    write_atomic(folder / STOP_REQUEST, json.dumps({"kind": kind}), sync=False)


def read_follows(folder: Path) -> tuple[Path, ...]:
    """Return the folders of the attempts before the one that was prepared in a folder."""
    follows = (read_object(folder / "spec.json") or {}).get("follows")
    return tuple(Path(other) for other in follows if isinstance(other, str)) if isinstance(follows, list) else ()


def read_files(folder: Path, known: Files) -> Files:
    """Read what the job has written so far.

    Args:
        folder: Folder of the attempt.
        known: What was read before; what cannot change any more is not read again.
    """
    try:
        names = frozenset(os.listdir(folder))  # noqa: PTH208 - the names alone
    except OSError:
        return known
    changes = Files(
        is_stopping="stop.json" in names,
        exit=read_exit_record(folder) if "exit.json" in names else None,
        heartbeat=_changed_at(folder / SAMPLES) if SAMPLES in names else 0,
    )
    if known.started is not None and known.started.node is not None:
        return replace(known, is_stopping=changes.is_stopping, exit=changes.exit, heartbeat=changes.heartbeat)
    process = read_object(folder / "process.json") if "process.json" in names else None
    note = (read_object(folder / NOTE) if NOTE in names else None) or {}
    node, job_id, step_id = note.get("node"), note.get("job_id"), str(note.get("step_id"))
    node = sanitize_line(node.encode("utf-8", "replace"))[:200] if isinstance(node, str) else ""
    return replace(
        changes,
        is_claimed=process is not None and "shim" in process,
        is_void=process is not None and bool(process.get("void")),
        started=_command_start(process, node),
        node=node,
        job_id=job_id if isinstance(job_id, int) and job_id > 0 else None,
        step_id=step_id if step_id.isascii() and step_id.isdigit() else "",
    )


def output_tail(folder: Path, containing: str = "") -> str:
    """Return the last line that the job itself wrote: a failed setup line, or what kept the shim from starting.

    Args:
        folder: Folder of the attempt.
        containing: A text without which lines do not count.
    """
    submission = Submission.read(folder)
    output = OUTPUT if submission is None else submission.output
    try:
        with (folder / output).open("rb") as file:
            file.seek(max(0, file.seek(0, os.SEEK_END) - MAX_OUTPUT_TAIL))
            lines = [line for line in file.read(MAX_OUTPUT_TAIL).splitlines() if line.strip()]
            lines = [line for line in lines if containing.encode() in line]
    except OSError:
        return ""
    return sanitize_line(lines[-1])[:300] if lines else ""


def _write_private(path: Path, content: bytes) -> None:
    temporary = path.with_name(f".{path.name}")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
    temporary.replace(path)


def _command_start(process: Mapping[str, Any] | None, node: str) -> CommandStart | None:
    identity = read_identity(process, "command")
    if process is None or identity is None:
        return None
    started = process.get("started")
    return CommandStart(identity.pid, started if isinstance(started, float) else time.time(), node or None)


def _changed_at(path: Path) -> int:
    with contextlib.suppress(OSError):
        return path.stat().st_mtime_ns
    return 0

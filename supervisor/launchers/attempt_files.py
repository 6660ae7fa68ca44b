"""The files of an attempt: spec.json, process.json and exit.json."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from pydantic import ValidationError

from ..files import read_object, write_atomic
from ..session.events import Exit
from .process_identity import ProcessIdentity

ATTEMPT_VARIABLE = "PMSSM_SUPERVISE_ATTEMPT"  # names the attempt's folder in the environment of all its processes


@dataclass(frozen=True)
class AttemptSpec:
    """What the shim is told to start."""

    command: tuple[str, ...]
    cwd: str
    env: Mapping[str, str]
    log: str
    header: str
    stop_grace_s: float


@dataclass(frozen=True)
class CommandProcess:
    """The command's own process."""

    identity: ProcessIdentity
    started: float  # unix time, s


def claim_if_unclaimed(folder: Path) -> None:
    """Makes sure that a shim which has not claimed its attempt by now never will."""
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    if not (folder / "process.json").exists():
        with contextlib.suppress(FileExistsError):  # the shim was quicker
            write_atomic(folder / "process.json", json.dumps({"void": True}), place=os.link)


def read_identity(record: Mapping[str, object] | None, who: str) -> ProcessIdentity | None:
    try:
        return ProcessIdentity.model_validate(record[who]) if record and who in record else None
    except ValidationError:
        return None


def read_exit_record(folder: Path) -> Exit | None:
    """What the shim wrote down; before it died, it may have found no way to put that in its place."""
    who = read_identity(read_object(folder / "process.json"), "shim")
    record = read_object(folder / "exit.json") or (read_object(folder / f"exit.json.{who.pid}") if who else None)
    try:
        return Exit.model_validate(record) if record is not None else None
    except ValidationError:
        return None

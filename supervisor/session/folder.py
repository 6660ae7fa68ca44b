"""Sessions on disk: their folders, their files, and how a new one comes to be."""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from ..files import sync_folder, write_atomic
from ..plan.schema import Placeholders, Plan, PlanError, dump_plan, expand_plan, load_plan

_SESSION_FOLDER = re.compile(r"session_(\d{8}_\d{6})", re.ASCII)
_STAMP = "%Y%m%d_%H%M%S"


class SessionError(ValueError):
    """A session that can't be made or read; the message says which and what to do."""


class SessionSettings(BaseModel):
    """What a session needs to go on from another shell, days later."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    parallel: bool
    gpus: str | None  # --gpus as given
    share_gpu: bool = False  # several runs on one GPU, while their expected memory fits
    stall_restarts: int = 0  # how often a run that has stalled is restarted
    on_finish: str | None = None  # a shell command for when a run has failed or the session has finished
    threads: int | None  # per run; None divides the cores between the slots
    owner: int | None = None  # uid of who began the session; of files on a network disk it may be somebody else's
    environment: dict[str, str]  # of the shell that began the session


@dataclass(frozen=True)
class SessionFolder:
    """Where each file of a session lies. The layout is described in README's table of log files."""

    logs: Path
    stamp: str

    @property
    def path(self) -> Path:
        return self.logs / f"session_{self.stamp}"

    @property
    def log(self) -> Path:
        return self.logs / f"training_{self.stamp}.log"

    @property
    def plan(self) -> Path:
        return self.path / "plan.toml"

    @property
    def settings(self) -> Path:
        return self.path / "settings.json"

    @property
    def journal(self) -> Path:
        return self.path / "journal.jsonl"

    @property
    def summary(self) -> Path:
        return self.path / "summary.json"

    @property
    def engine_output(self) -> Path:
        """What a detached engine wrote to its standard error; empty unless something went wrong."""
        return self.path / "engine.log"

    def run_log(self, run: str) -> Path:
        return self.logs / f"{run}_{self.stamp}.log"

    def run_folder(self, run: str) -> Path:
        return self.path / run

    def attempt_folder(self, run: str, attempt: int) -> Path:
        return self.run_folder(run) / f"attempt_{attempt}"

    def load_plan(self) -> Plan:
        """The plan as it was resolved at the session's beginning.

        Raises:
            SessionError: it cannot be read any more.
        """
        try:
            return load_plan(self.plan)
        except PlanError as error:
            raise SessionError(str(error)) from None

    def load_settings(self) -> SessionSettings:
        """The settings of the session's beginning.

        Raises:
            SessionError: they cannot be read any more.
        """
        try:
            return SessionSettings.model_validate(json.loads(self.settings.read_bytes()))
        except OSError as error:
            raise SessionError(f"{self.settings}: cannot read the session's settings: {error.strerror}") from None
        except ValidationError as error:
            raise SessionError(f"{self.settings}: damaged: {error.errors()[0]['msg']}") from None
        except ValueError as error:
            raise SessionError(f"{self.settings}: damaged: {error}") from None


def list_sessions(logs: Path) -> list[SessionFolder]:
    """The sessions of a logs folder, oldest first."""
    try:
        names = sorted(entry.name for entry in logs.iterdir())
    except OSError:
        return []
    stamps = [match[1] for name in names if (match := _SESSION_FOLDER.fullmatch(name))]
    return [SessionFolder(logs, stamp) for stamp in stamps if _moment(stamp) is not None]


def latest_session(logs: Path) -> SessionFolder | None:
    """The newest session of a logs folder."""
    sessions = list_sessions(logs)
    return sessions[-1] if sessions else None


def next_session(logs: Path) -> SessionFolder:
    """Where the next session would lie; its stamp is later than that of every other session there."""
    moment = datetime.now()
    latest = latest_session(logs)
    newest = _moment(latest.stamp) if latest is not None else None
    if newest is not None:
        moment = max(moment, newest + timedelta(seconds=1))
    return SessionFolder(logs, moment.strftime(_STAMP))


def _moment(stamp: str) -> datetime | None:
    """When a session began; None for a stamp that is no date."""
    try:
        return datetime.strptime(stamp, _STAMP)
    except ValueError:
        return None


def resolve_plan(folder: SessionFolder, plan: Plan, options: Placeholders, *, source: str) -> Plan:
    """The plan as the session will run it from the present folder; `source` names it in errors.

    Raises:
        PlanError: a placeholder that means nothing.
    """
    return expand_plan(plan, *_placeholders(folder, plan, options), cwd=Path.cwd(), source=source)


def create_session(folder: SessionFolder, plan: Plan, settings: SessionSettings) -> None:
    """Puts a new session with its resolved plan on disk, complete or not at all.

    Raises:
        SessionError: the logs folder cannot be written.
    """
    temporary = folder.logs / f".{folder.path.name}.new"
    try:
        shutil.rmtree(temporary, ignore_errors=True)
        temporary.mkdir(mode=0o700)
        for name in plan.runs:
            (temporary / name).mkdir(mode=0o700)
        _check_links(temporary)
        write_atomic(temporary / folder.plan.name, dump_plan(plan))
        # Not pydantic's JSON: a variable of the environment need not be UTF-8.
        write_atomic(temporary / folder.settings.name, json.dumps(settings.model_dump()))
        temporary.rename(folder.path)
        sync_folder(folder.logs)
    except UnicodeEncodeError:
        shutil.rmtree(temporary, ignore_errors=True)
        raise SessionError(f"{str(folder.logs)!a}: a path that is not UTF-8; use folders whose names are") from None
    except OSError as error:
        shutil.rmtree(temporary, ignore_errors=True)
        where = error.filename or folder.logs
        raise SessionError(
            f"{where}: cannot write there: {error.strerror}; choose another folder with --logs"
        ) from None


def _check_links(folder: Path) -> None:
    """Attempts are claimed by a hard link, which some file systems lack; each would fail, with less to say."""
    (folder / ".file").touch()
    try:
        (folder / ".link").hardlink_to(folder / ".file")
    except OSError:
        shutil.rmtree(folder, ignore_errors=True)
        message = f"{folder.parent}: its file system has no hard links; choose a folder on another one with --logs"
        raise SessionError(message) from None
    (folder / ".link").unlink()
    (folder / ".file").unlink()


def _placeholders(
    folder: SessionFolder, plan: Plan, options: Placeholders
) -> tuple[Placeholders, Mapping[str, Placeholders]]:
    common = {
        **options,
        "python": sys.executable,
        "logs": str(folder.logs),
        "session": str(folder.path),
        "stamp": folder.stamp,
    }
    per_run = {name: {"run": name, "output": str(folder.run_folder(name))} for name in plan.runs}
    return common, per_run


def folder_size(folder: Path) -> int:
    """Bytes of all files below a folder; links are not followed, and what vanishes meanwhile does not count."""
    total = 0
    for where, _, names in os.walk(folder):
        for name in names:
            with contextlib.suppress(OSError):
                total += os.lstat(os.path.join(where, name)).st_size  # noqa: PTH118 (thousands of files)
    return total


Level = Literal["info", "warning", "error"]


def log_line(name: str, text: str, level: Level = "info", at: float | None = None) -> str:
    """One line in the format that trainers and supervisor share."""
    moment = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(at))
    return f"{moment} [{level:<9}] {name:<20} | {text}"


class SessionLog:
    """The session's decisions, one line each, in training_<stamp>.log."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def write(self, text: str, level: Level = "info") -> None:
        """Appends a line; a full disk costs the line, never the session."""
        try:
            # Somebody may have put a FIFO there: it must not block us.
            flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NONBLOCK
            descriptor = os.open(self._path, flags, 0o600)
            try:
                os.write(descriptor, (log_line("supervisor", text, level) + "\n").encode("utf-8", "backslashreplace"))
            finally:
                os.close(descriptor)
        except OSError:
            pass

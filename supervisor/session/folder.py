"""Files and settings of a session on disk; the sessions of a logs folder."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from ..errors import UserError
from ..ownership import denial
from ..plan.errors import PlanError
from ..plan.loader import load_plan
from ..plan.schema import Plan

_SESSION_FOLDER = re.compile(r"session_(\d{8}_\d{6})", re.ASCII)
_STAMP = re.compile(r"(\d{4})(\d{2})(\d{2})_(\d{2})(\d{2})(\d{2})", re.ASCII)
MAX_JOBS = 64
STAMP_FORMAT = "%Y%m%d_%H%M%S"


class SessionError(UserError):
    """A session that cannot be created or read; the message names it and the remedy."""


class SessionSettings(BaseModel):
    """The settings of a session, with which it is resumed from another shell, even days later.

    Attributes:
        parallel: Whether several runs may train at once.
        gpus: `--gpus` as given; None if absent.
        share_gpu: Whether several runs share a GPU while their expected memory fits.
        cpu_slots: How many slots the CPU becomes, instead of any GPU; None if that was not asked for.
        max_jobs: Most jobs that are submitted to a batch system at one time.
        stall_restarts: How often a stalled run is restarted.
        on_finish: Shell command for a failed run or the end of the session.
        threads: CPU threads of each run; None divides the cores between the slots.
        owner: uid of the user who created the session, who may not own its files on a network disk.
        environment: Environment variables of the shell that created the session.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    parallel: bool
    gpus: str | None
    share_gpu: bool = False
    cpu_slots: int | None = None
    max_jobs: int = MAX_JOBS
    stall_restarts: int = 0
    on_finish: str | None = None
    threads: int | None
    owner: int | None = None
    environment: dict[str, str]


@dataclass(frozen=True)
class SessionFolder:
    """The paths of a session.

    Attributes:
        logs: The logs folder, which holds all sessions.
        stamp: Date and time of its creation, as in `20260122_153100`.
    """

    logs: Path
    stamp: str

    @cached_property
    def path(self) -> Path:
        """The session folder."""
        return self.logs / f"session_{self.stamp}"

    @property
    def token(self) -> str:
        """12 hexadecimal digits that stand for the session folder's real path, by which its jobs are found."""
        return hashlib.sha256(os.fsencode(os.path.realpath(self.path))).hexdigest()[:12]

    @property
    def log(self) -> Path:
        """The log of the session itself: the decisions of the supervisor."""
        return self.logs / f"training_{self.stamp}.log"

    @property
    def plan(self) -> Path:
        """The plan with all placeholders filled."""
        return self.path / "plan.toml"

    @property
    def settings(self) -> Path:
        """The `SessionSettings`, as JSON."""
        return self.path / "settings.json"

    @property
    def journal(self) -> Path:
        """All events, as JSON lines."""
        return self.path / "journal.jsonl"

    @property
    def summary(self) -> Path:
        """States and results of all runs, as JSON."""
        return self.path / "summary.json"

    @property
    def engine_output(self) -> Path:
        """The standard error of a detached engine; empty unless something went wrong."""
        return self.path / "engine.log"

    @property
    def is_incomplete(self) -> bool:
        """True for a folder in which no session was ever started: it lacks a plan or settings, and has no journal."""
        try:
            return not (self.plan.is_file() and self.settings.is_file()) and not self.journal.exists()
        except PermissionError:  # that of another user; its reader reports it
            return False

    @property
    def remedy(self) -> str:
        """What a user can do about a session that cannot be read."""
        return f"to go on without this session, move {self.path.name} out of {self.logs}"

    def run_log(self, run: str) -> Path:
        """Return the log of a run, which all its attempts append to."""
        return self.logs / f"{run}_{self.stamp}.log"

    def run_folder(self, run: str) -> Path:
        """Return the output folder of a run."""
        return self.path / run

    def attempt_folder(self, run: str, attempt: int) -> Path:
        """Return the folder with the records of an attempt."""
        return self.run_folder(run) / f"attempt_{attempt}"

    def load_plan(self) -> Plan:
        """Load the plan with all placeholders filled.

        Raises:
            SessionError: It cannot be read.
        """
        try:
            self.plan.open("rb").close()
        except PermissionError:
            raise SessionError(denial(self.path)) from None
        except OSError:
            pass  # `load_plan` says more
        try:
            return load_plan(self.plan)
        except PlanError as error:
            raise SessionError(f"{error}; {self.remedy}") from None

    def load_settings(self) -> SessionSettings:
        """Load the settings with which the session was created.

        Raises:
            SessionError: They cannot be read.
        """
        try:
            return SessionSettings.model_validate(json.loads(self.settings.read_bytes()))
        except OSError as error:
            raise SessionError(
                f"{self.settings}: cannot read the session's settings: {error.strerror}; {self.remedy}"
            ) from None
        except ValidationError as error:
            raise SessionError(f"{self.settings}: damaged: {error.errors()[0]['msg']}; {self.remedy}") from None
        except ValueError as error:
            raise SessionError(f"{self.settings}: damaged: {error}; {self.remedy}") from None


def list_sessions(logs: Path) -> list[SessionFolder]:
    """Return the sessions of a logs folder, oldest first.

    Raises:
        SessionError: The folder belongs to another user, who does not let us read it.
    """
    try:
        names = sorted(entry.name for entry in logs.iterdir())
    except PermissionError:
        raise SessionError(denial(logs)) from None
    except OSError:
        return []
    stamps = [match[1] for name in names if (match := _SESSION_FOLDER.fullmatch(name))]
    return [SessionFolder(logs, stamp) for stamp in stamps if parse_stamp(stamp) is not None]


def latest_session(logs: Path) -> SessionFolder | None:
    """Return the newest session of a logs folder; None if it has none."""
    sessions = list_sessions(logs)
    return sessions[-1] if sessions else None


def parse_stamp(stamp: str) -> datetime | None:
    """Return when a session was created; None for a stamp that is no date."""
    fields = _STAMP.fullmatch(stamp)
    if fields is None:
        return None
    year, month, day, hour, minute, second = map(int, fields.groups())
    try:
        return datetime(year, month, day, hour, minute, second)  # not strptime, whose import is slow
    except ValueError:
        return None


def folder_size(folder: Path) -> int:
    """Return the size of all files in a folder, bytes; links are not followed, vanished files do not count."""
    total = 0
    for parent, _, names in os.walk(folder):
        for name in names:
            with contextlib.suppress(OSError):
                total += os.lstat(os.path.join(parent, name)).st_size  # noqa: PTH118 (thousands of files)
    return total

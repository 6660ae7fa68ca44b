"""Sessions on disk: their folders, their files, and how a new one comes to be."""

from __future__ import annotations

import contextlib
import json
import os
import re
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from ..errors import UserError
from ..plan.errors import PlanError
from ..plan.loader import load_plan
from ..plan.schema import Plan

_SESSION_FOLDER = re.compile(r"session_(\d{8}_\d{6})", re.ASCII)
STAMP_FORMAT = "%Y%m%d_%H%M%S"


class SessionError(UserError, ValueError):
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
    return [SessionFolder(logs, stamp) for stamp in stamps if parse_stamp(stamp) is not None]


def latest_session(logs: Path) -> SessionFolder | None:
    """The newest session of a logs folder."""
    sessions = list_sessions(logs)
    return sessions[-1] if sessions else None


def parse_stamp(stamp: str) -> datetime | None:
    """When a session began; None for a stamp that is no date."""
    try:
        return datetime.strptime(stamp, STAMP_FORMAT)
    except ValueError:
        return None


def folder_size(folder: Path) -> int:
    """Bytes of all files below a folder; links are not followed, and what vanishes meanwhile does not count."""
    total = 0
    for where, _, names in os.walk(folder):
        for name in names:
            with contextlib.suppress(OSError):
                total += os.lstat(os.path.join(where, name)).st_size  # noqa: PTH118 (thousands of files)
    return total

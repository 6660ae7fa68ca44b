"""Creation of a session folder, complete or not at all."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Mapping
from datetime import datetime, timedelta
from pathlib import Path

from ..files import sync_folder, write_atomic
from ..plan.loader import dump_plan
from ..plan.placeholders import Placeholders
from ..plan.resolve import fill_placeholders
from ..plan.schema import Plan
from .folder import STAMP_FORMAT, SessionError, SessionFolder, SessionSettings, latest_session, parse_stamp


def next_session(logs: Path) -> SessionFolder:
    """Return the folder of a new session; its stamp is later than that of every other session there.

    Raises:
        SessionError: There is a session of the last second of the calendar.
    """
    created = datetime.now()
    latest = latest_session(logs)
    newest = parse_stamp(latest.stamp) if latest is not None else None
    if latest is not None and newest is not None:
        try:
            created = max(created, newest + timedelta(seconds=1))
        except OverflowError:
            raise SessionError(f"{latest.path}: no session can be newer; {latest.remedy}") from None
    return SessionFolder(logs, created.strftime(STAMP_FORMAT))


def resolve_plan(folder: SessionFolder, plan: Plan, options: Placeholders, *, source: str) -> Plan:
    """Fill all placeholders of a plan, for a session that is started in the current folder.

    Args:
        folder: The session.
        plan: The plan as loaded.
        options: Placeholders for the options of the command line.
        source: Name of the plan in errors.

    Raises:
        PlanError: The plan has an unknown placeholder.
    """
    return fill_placeholders(plan, *_placeholders(folder, plan, options), cwd=Path.cwd(), source=source)


def write_session(folder: SessionFolder, plan: Plan, settings: SessionSettings) -> None:
    """Write a new session folder, complete or not at all.

    Args:
        folder: The session.
        plan: Its plan, with all placeholders filled.
        settings: Its settings.

    Raises:
        SessionError: The logs folder cannot be written, or is not suitable.
    """
    temporary = folder.logs / f".{folder.path.name}.new"
    try:
        shutil.rmtree(temporary, ignore_errors=True)
        temporary.mkdir(mode=0o700)
        for name in plan.runs:
            (temporary / name).mkdir(mode=0o700)
        _check_links(temporary)
        write_atomic(temporary / folder.plan.name, dump_plan(plan))
        # Not pydantic's JSON: an environment variable need not be UTF-8.
        write_atomic(temporary / folder.settings.name, json.dumps(settings.model_dump()))
        temporary.rename(folder.path)
        sync_folder(folder.logs)
    except UnicodeEncodeError:
        shutil.rmtree(temporary, ignore_errors=True)
        raise SessionError(f"{str(folder.logs)!a}: this path is not UTF-8; use folders with UTF-8 names") from None
    except OSError as error:
        shutil.rmtree(temporary, ignore_errors=True)
        path = error.filename or folder.logs
        raise SessionError(f"{path}: cannot write there: {error.strerror}; choose another folder with --logs") from None


def _check_links(folder: Path) -> None:
    """Raise SessionError if the file system lacks hard links, by which attempts are claimed."""
    (folder / ".file").touch()
    try:
        (folder / ".link").hardlink_to(folder / ".file")
    except OSError:
        shutil.rmtree(folder, ignore_errors=True)
        message = f"{folder.parent}: its file system has no hard links; choose another folder with --logs"
        raise SessionError(message) from None
    (folder / ".link").unlink()
    (folder / ".file").unlink()


def _placeholders(
    folder: SessionFolder, plan: Plan, options: Placeholders
) -> tuple[Placeholders, Mapping[str, Placeholders]]:
    """Return the placeholders of all runs, and those of each run."""
    common = {
        **options,
        "python": sys.executable,
        "logs": str(folder.logs),
        "session": str(folder.path),
        "stamp": folder.stamp,
    }
    per_run = {name: {"run": name, "output": str(folder.run_folder(name))} for name in plan.runs}
    return common, per_run

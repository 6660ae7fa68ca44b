"""Write a new session folder, complete or not at all."""

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
    """Where the next session would lie; its stamp is later than that of every other session there."""
    moment = datetime.now()
    latest = latest_session(logs)
    newest = parse_stamp(latest.stamp) if latest is not None else None
    if newest is not None:
        moment = max(moment, newest + timedelta(seconds=1))
    return SessionFolder(logs, moment.strftime(STAMP_FORMAT))


def resolve_plan(folder: SessionFolder, plan: Plan, options: Placeholders, *, source: str) -> Plan:
    """The plan as the session will run it from the present folder; `source` names it in errors.

    Raises:
        PlanError: a placeholder that means nothing.
    """
    return fill_placeholders(plan, *_placeholders(folder, plan, options), cwd=Path.cwd(), source=source)


def write_session(folder: SessionFolder, plan: Plan, settings: SessionSettings) -> None:
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

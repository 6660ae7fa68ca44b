"""Values that the shell completes: names of runs and stamps of sessions.

They are read from the files alone, without an engine and without pydantic: a user waits for them at every press of
the Tab key. Whatever cannot be read is not offered.
"""

from __future__ import annotations

import re
from pathlib import Path

import click
from click.core import ParameterSource

_SESSION_FOLDER = re.compile(r"session_(\d{8}_\d{6})", re.ASCII)  # as session.folder has it, which imports pydantic


def complete_run(context: click.Context, _parameter: click.Parameter, incomplete: str) -> list[str]:
    """Return the runs of the session given by --session, or of the newest, that begin with `incomplete`."""
    import tomllib  # noqa: PLC0415 - only here; this module is imported by every command

    try:
        logs = _logs_folder(context)
        stamp = context.params.get("stamp") or max(_stamps(logs))
        plan = tomllib.loads((logs / f"session_{stamp}" / "plan.toml").read_text(encoding="utf-8"))
        return [name for name in plan["runs"] if name.startswith(incomplete)]
    except (OSError, ValueError, KeyError, TypeError):
        return []


def complete_stamp(context: click.Context, _parameter: click.Parameter, incomplete: str) -> list[str]:
    """Return the stamps of the sessions that begin with `incomplete`, newest first."""
    try:
        stamps = _stamps(_logs_folder(context))
    except (OSError, ValueError):
        return []
    return sorted((stamp for stamp in stamps if stamp.startswith(incomplete)), reverse=True)


def _logs_folder(context: click.Context) -> Path:
    """Return the folder given by --logs after the verb, or else before it, or else the usual one."""
    given: click.Context | None = context
    while given is not None:
        if given.get_parameter_source("logs") is ParameterSource.COMMANDLINE and given.params.get("logs"):
            return Path(given.params["logs"]).expanduser()
        given = given.parent
    return Path("logs")


def _stamps(logs: Path) -> list[str]:
    return [match[1] for entry in logs.iterdir() if (match := _SESSION_FOLDER.fullmatch(entry.name))]

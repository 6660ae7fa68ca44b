"""Options and arguments that several verbs share."""

from __future__ import annotations

import os
from collections.abc import Callable
from os import PathLike
from pathlib import Path
from typing import Any, TypeVar

import click

from ..ownership import denial
from .command import CommandError, option
from .completion import complete_run, complete_stamp
from .session_options import SESSION_GROUP

F = TypeVar("F", bound=Callable[..., Any])


def _absolute(context: click.Context, _option: click.Parameter, value: Path | None) -> Path:
    try:
        folder: Path = (value or context.obj or Path("logs")).absolute()
    except FileNotFoundError:
        raise CommandError("the present folder was deleted; go to another one") from None
    try:
        folder.stat()
    except (FileNotFoundError, ValueError):
        pass  # a folder that is not there yet
    except OSError as error:  # a circle of links, a name that is too long, a folder that we may not enter
        raise CommandError(f"{folder}: cannot be used: {error.strerror}; choose another folder with --logs") from None
    else:
        if not os.access(folder, os.R_OK | os.X_OK):
            raise CommandError(denial(folder))
    return folder


class _Folder(click.Path):
    """A folder. An empty name, as an unset variable gives, is an error: `Path("")` would be the present folder."""

    def convert(
        self, value: str | PathLike[str], param: click.Parameter | None, ctx: click.Context | None
    ) -> str | bytes | PathLike[str]:
        if not value:
            raise CommandError("--logs: the folder's name is empty; give one, or leave the option out for ./logs")
        return super().convert(value, param, ctx)


def logs_option(function: F) -> F:
    """Add --logs, which may be given before or after the verb; its value is absolute."""
    return option(
        "--logs",
        group=SESSION_GROUP,
        type=_Folder(file_okay=False, readable=False, path_type=Path),
        callback=_absolute,
        help="Folder of logs and sessions. [default: logs]",
    )(function)


def session_option(function: F) -> F:
    """Add --session, the session that a verb concerns."""
    return option(
        "--session",
        "stamp",
        group=SESSION_GROUP,
        metavar="STAMP",
        shell_complete=complete_stamp,
        help="An earlier session, as `sessions` lists it. [default: the newest]",
    )(function)


def run_argument(*, required: bool = True) -> Callable[[F], F]:
    """Return the decorator that adds the argument RUN."""
    return click.argument("run", required=required, shell_complete=complete_run)

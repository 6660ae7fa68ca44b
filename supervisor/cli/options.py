"""What several verbs of the command line have in common: options, and the way they refuse."""

from __future__ import annotations

from collections.abc import Callable
from os import PathLike
from pathlib import Path
from typing import IO, Any, TypeVar

import click

F = TypeVar("F", bound=Callable[..., Any])


class CommandError(click.ClickException):
    """One clear line, exit code 2."""

    exit_code = 2

    def show(self, file: IO[str] | None = None) -> None:
        """Prints the line."""
        click.echo(f"pmssm-supervise: {self.message}", err=True, file=file)


def _absolute(context: click.Context, _option: click.Parameter, value: Path | None) -> Path:
    try:
        return (value or context.obj or Path("logs")).absolute()
    except FileNotFoundError:
        raise CommandError("the present folder was deleted; go to another one") from None


class _Folder(click.Path):
    """A folder. Nothing, as an unset variable gives, is none: `Path("")` would be the present one."""

    def convert(
        self, value: str | PathLike[str], param: click.Parameter | None, ctx: click.Context | None
    ) -> str | bytes | PathLike[str]:
        if not value:
            raise CommandError("--logs: the folder's name is empty; give one, or leave the option out for ./logs")
        return super().convert(value, param, ctx)


def logs_option(function: F) -> F:
    """--logs, before or after the verb; always absolute."""
    return click.option(
        "--logs",
        type=_Folder(file_okay=False, path_type=Path),
        callback=_absolute,
        help="Folder of logs and sessions. [default: logs]",
    )(function)


def session_option(function: F) -> F:
    """--session: which session a verb is about."""
    return click.option(
        "--session", "stamp", metavar="STAMP", help="An earlier session, as `sessions` lists it. [default: the newest]"
    )(function)


def slot_options(function: F) -> F:
    """The options that decide which run gets which GPU."""
    for option in (
        click.option(
            "--plan",
            "plan_file",
            type=click.Path(path_type=Path),
            help="TOML file of what to run. [default: the built-in pMSSM plan]",
        ),
        click.option("--gpus", metavar="LIST", help="GPUs to use: indices, UUIDs or MIG UUIDs, as in 1,2; or none."),
        click.option("--no-parallel", is_flag=True, help="One run at a time, even with several GPUs."),
        click.option("--share-gpu", is_flag=True, help="Several runs on one GPU, while their expected memory fits."),
    ):
        function = option(function)
    return function


def display_options(function: F) -> F:
    """The options that decide how the dashboard looks."""
    for option in (
        click.option("--ascii", "ascii_only", is_flag=True, help="Dashboard: nothing but ASCII on the screen."),
        click.option("--theme", type=click.Choice(["dark", "light", "high-contrast"]), help="Dashboard: its colours."),
    ):
        function = option(function)
    return function

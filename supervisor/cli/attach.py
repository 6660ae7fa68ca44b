"""The dashboard, in this terminal or in a browser."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from ..ipc.connection import session_to_serve
from .command import CommandError
from .output import echo, warn_of_incomplete_session
from .session_options import DisplayOptions

if TYPE_CHECKING:
    from ..dashboard.config import DashboardConfig


def attach_dashboard(logs: Path, stamp: str | None, display: DisplayOptions, *, read_only: bool) -> None:
    """Show the dashboard of a session, running or finished, until the user leaves it.

    Raises:
        CommandError: There is no terminal.
        UserError: There is no such session.
    """
    warn_of_incomplete_session(logs)
    session_to_serve(logs, reopen=True, stamp=stamp)
    if not has_terminal():
        raise CommandError("there is no terminal for the dashboard here; use `status` or `logs`")
    show_dashboard(logs, stamp, dashboard_config(display), read_only=read_only)


def serve_dashboard(logs: Path, stamp: str | None, display: DisplayOptions, port: int, *, control: bool) -> None:
    """Serve the dashboard to browsers of this machine until SIGINT or SIGTERM.

    Raises:
        UserError: There is no such session, a package is missing, or the port cannot be used.
    """
    from ..web import run_web, tab_command  # noqa: PLC0415 - `attach` does without

    warn_of_incomplete_session(logs)
    session_to_serve(logs, reopen=True, stamp=stamp)
    command = tab_command(logs, stamp, dashboard_config(display).model_dump_json(), control=control)
    run_web(command, port, control=control, write=echo)


def has_terminal() -> bool:
    """Return whether a user sits at both standard input and standard output."""
    return sys.stdin.isatty() and sys.stdout.isatty()


def dashboard_config(display: DisplayOptions) -> DashboardConfig:
    """Return the user's dashboard.toml, overridden by the options that were given."""
    from ..dashboard.config import config_path, load_config  # noqa: PLC0415 - a session without dashboard does without

    given: dict[str, object] = {"ascii": True} if display.ascii_only else {}
    if display.theme is not None:
        given["theme"] = display.theme
    return load_config(config_path()).model_copy(update=given)


def show_dashboard(logs: Path, stamp: str | None, config: DashboardConfig, *, read_only: bool = False) -> None:
    """Run the dashboard in this terminal."""
    from ..dashboard import run_dashboard  # noqa: PLC0415 - textual, which costs 350 ms: not before the checks

    run_dashboard(logs, stamp, config, read_only=read_only)

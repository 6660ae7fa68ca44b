"""Start of a new session: in the foreground, in the background, or with the dashboard."""

from __future__ import annotations

import asyncio
from pathlib import Path

from .attach import dashboard_config, has_terminal, show_dashboard
from .command import CommandError
from .engine_requests import fetch_snapshot
from .new_session import create_session
from .printing import echo
from .session_options import DisplayOptions, ForegroundOptions, SessionOptions


def start_session(logs: Path, options: SessionOptions, foreground: ForegroundOptions, display: DisplayOptions) -> int:
    """Create the session and start its engine.

    Returns:
        Exit code; with --headless that of `run_headless`.

    Raises:
        CommandError: Options that exclude each other, or no terminal for the dashboard.
        UserError: The session cannot be created; nothing was written.
    """
    _check(foreground)
    in_background = foreground.headless or foreground.detach
    config = None if in_background else dashboard_config(display)
    folder, lock = create_session(logs, options)
    if foreground.headless:
        from .headless import run_headless  # noqa: PLC0415 - the engine, which here no other start needs

        return run_headless(folder, lock, as_json=foreground.as_json)
    lock.release()
    if config is not None:
        show_dashboard(logs, None, config)
        return 0
    snapshot = asyncio.run(fetch_snapshot(logs))
    echo(f"session {snapshot.session} runs in the background; `pmssm-supervise attach` shows it")
    return 0


def _check(foreground: ForegroundOptions) -> None:
    if foreground.headless and foreground.detach:
        raise CommandError("--headless stays in the foreground and --detach does not; give one of them")
    if foreground.as_json and not foreground.headless:
        raise CommandError("--json needs --headless; for a session in the background use `status --json`")
    if not (foreground.headless or foreground.detach or has_terminal()):
        raise CommandError("there is no terminal for the dashboard here; add --headless or --detach")

"""Start of a new session: in the foreground, in the background, or with the dashboard."""

from __future__ import annotations

import asyncio
from pathlib import Path

from .attach import dashboard_config, has_terminal, show_dashboard
from .command import INTERRUPTED, CommandError
from .continued_session import continue_session
from .engine_requests import fetch_snapshot
from .new_session import create_session
from .output import echo, echo_error
from .session_options import DisplayOptions, ForegroundOptions, SessionOptions


def start_session(logs: Path, options: SessionOptions, foreground: ForegroundOptions, display: DisplayOptions) -> int:
    """Create the session, or continue one, and start its engine.

    Returns:
        Exit code; with --headless that of `run_headless`.

    Raises:
        CommandError: Options that exclude each other, or no terminal for the dashboard.
        UserError: The session cannot be created; nothing was written.
    """
    _check(foreground)
    if foreground.headless:
        from .headless import run_headless  # noqa: PLC0415 - the engine, which here no other start needs
        from .reporters import make_reporter  # noqa: PLC0415

        reporter = make_reporter(
            as_json=foreground.as_json
        )  # before the session, which it must not leave without engine
        existing = continue_session(logs) if foreground.resume else None
        return run_headless(*(existing or create_session(logs, options)), reporter, resume=existing is not None)
    config = None if foreground.detach else dashboard_config(display)
    folder, lock = create_session(logs, options)
    lock.release()
    try:
        if config is not None:
            show_dashboard(logs, None, config)
            return 0
        snapshot = asyncio.run(fetch_snapshot(logs))
    except KeyboardInterrupt:  # before the dashboard, which takes Ctrl-C for a key
        echo_error(
            f"pmssm-supervise: session {folder.stamp} is not ended by Ctrl-C; "
            "`pmssm-supervise attach` shows it, `down` ends it"
        )
        return INTERRUPTED
    echo(f"session {snapshot.session} runs in the background; `pmssm-supervise attach` shows it")
    return 0


def _check(foreground: ForegroundOptions) -> None:
    if foreground.headless and foreground.detach:
        raise CommandError("--headless stays in the foreground and --detach does not; give one of them")
    if foreground.as_json and not foreground.headless:
        raise CommandError("--json needs --headless; for a session in the background use `status --json`")
    if foreground.resume and not foreground.headless:
        raise CommandError("--continue needs --headless; `pmssm-supervise start` continues in the background")
    if not (foreground.headless or foreground.detach or has_terminal()):
        raise CommandError("there is no terminal for the dashboard here; add --headless or --detach")

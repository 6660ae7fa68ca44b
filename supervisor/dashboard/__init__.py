"""Terminal dashboard of a session, made with Textual."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

from ..formatting import printable
from .config import DashboardConfig


def run_dashboard(logs: Path, stamp: str | None, settings: DashboardConfig, *, read_only: bool = False) -> None:
    """Show a session until the user leaves; the runs continue.

    Args:
        logs: The logs folder.
        stamp: Stamp of the session; None for the current one.
        settings: The user's settings.
        read_only: Reject every command.

    Raises:
        SystemExit: The app failed; the code is its return code.
    """
    from .app import Dashboard  # noqa: PLC0415 - Textual costs 350 ms, which `--help` need not pay
    from .data.session_source import EngineSource  # noqa: PLC0415

    signal.signal(signal.SIGHUP, signal.SIG_DFL)  # ignored, as under nohup, it would keep us without a terminal
    for name in ("COLUMNS", "LINES"):  # exported by some shells; Textual would never notice a resize
        os.environ.pop(name, None)
    app = Dashboard(EngineSource(logs, stamp), settings=settings, read_only=read_only)
    exit_message = app.run()
    if exit_message:
        sys.stdout.write(f"{printable(exit_message)}\n")
    if app.return_code:
        raise SystemExit(app.return_code)

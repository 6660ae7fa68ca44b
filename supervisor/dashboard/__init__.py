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
        SystemExit: The app failed, or the terminal is gone; the code is not 0.
    """
    from .app import Dashboard  # noqa: PLC0415 - Textual costs 350 ms, which `--help` need not pay
    from .data.session_source import EngineSource  # noqa: PLC0415
    from .rendering.ascii_filter import is_limited  # noqa: PLC0415
    from .terminal_driver import TerminalDriver  # noqa: PLC0415

    signal.signal(signal.SIGHUP, signal.SIG_DFL)  # ignored, as under nohup, it would keep us without a terminal
    for name in ("COLUMNS", "LINES"):  # exported by some shells; Textual would never notice a resize
        os.environ.pop(name, None)
    if is_limited(getattr(sys.__stderr__, "encoding", None)):  # Textual draws there
        settings = settings.model_copy(update={"ascii": True})
    app = Dashboard(EngineSource(logs, stamp), settings=settings, read_only=read_only)
    app.driver_class = TerminalDriver
    exit_message = app.run()
    if exit_message is None:  # the user has not left; Textual's return code is 0 for some of its crashes
        raise SystemExit(app.return_code or 1)
    sys.stdout.write(f"{printable(exit_message)}\n")

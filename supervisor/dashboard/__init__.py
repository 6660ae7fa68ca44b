"""The Textual face of a session."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

from .config import DashboardConfig


def run_dashboard(logs: Path, stamp: str | None, settings: DashboardConfig, *, read_only: bool = False) -> None:
    """Shows the session with that stamp, or the current one, until the user leaves; the runs go on."""
    from .app import Dashboard  # noqa: PLC0415 - Textual costs 350 ms, which `--help` need not pay
    from .data.session_source import EngineSource  # noqa: PLC0415

    signal.signal(signal.SIGHUP, signal.SIG_DFL)  # ignored, as under nohup, it would keep us without a terminal
    for name in ("COLUMNS", "LINES"):  # some shells export them; Textual would believe them for ever
        os.environ.pop(name, None)
    app = Dashboard(EngineSource(logs, stamp), settings=settings, read_only=read_only)
    farewell = app.run()
    if farewell:
        sys.stdout.write(f"{farewell}\n")
    if app.return_code:
        raise SystemExit(app.return_code)

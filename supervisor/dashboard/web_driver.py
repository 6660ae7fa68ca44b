"""The dashboard of one browser tab: the same application, which talks to the web server through pipes."""

from __future__ import annotations

import argparse
import signal
from pathlib import Path

from textual.drivers.web_driver import WebDriver
from textual.messages import ExitApp

from .app import Dashboard
from .config import DashboardConfig
from .data.session_source import EngineSource


class TabDriver(WebDriver):
    """Ends the application when the web server does not listen any more, however that came about."""

    def run_input_thread(self) -> None:
        """Reads keys until there can be no more of them."""
        super().run_input_thread()
        self._app.post_message(ExitApp())


def main() -> None:
    """Shows the dashboard until the tab or the server is gone; the server alone starts this, with these arguments."""
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)  # without a server there is nobody to complain to
    parser = argparse.ArgumentParser()
    parser.add_argument("logs", type=Path)
    parser.add_argument("settings", type=DashboardConfig.model_validate_json)
    parser.add_argument("--session")
    parser.add_argument("--control", action="store_true")
    given = parser.parse_args()
    app = Dashboard(EngineSource(given.logs, given.session), settings=given.settings, read_only=not given.control)
    app.driver_class = TabDriver
    app.run()


if __name__ == "__main__":
    main()

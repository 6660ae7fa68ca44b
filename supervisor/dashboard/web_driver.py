"""Dashboard in a browser tab: the same app, connected to the web server by pipes."""

from __future__ import annotations

import argparse
import signal
from codecs import getincrementaldecoder
from pathlib import Path

from textual.drivers._byte_stream import ByteStream
from textual.drivers.web_driver import WebDriver
from textual.messages import ExitApp

from .app import Dashboard
from .config import DashboardConfig
from .data.session_source import EngineSource
from .terminal_input import InputParser


class TabDriver(WebDriver):
    """Driver that survives any input, and ends the app when the web server closes the connection."""

    def run_input_thread(self) -> None:
        """Read keys until the end of the input, then end the app."""
        parser, packets = InputParser(), ByteStream()
        decode = getincrementaldecoder("utf-8")("replace").decode
        try:
            for data in self._input_reader:
                for kind, payload in packets.feed(data) if data else ():
                    if kind == "D":
                        for message in parser.feed(decode(payload)):
                            self.process_message(message)
                    else:
                        self._on_meta(kind, payload)
                for message in parser.tick():
                    self.process_message(message)
        finally:
            self._app.post_message(ExitApp())


def main() -> None:
    """Show the dashboard until tab or server is closed; only the server starts this, with these arguments."""
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)  # end quietly when the server is gone
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

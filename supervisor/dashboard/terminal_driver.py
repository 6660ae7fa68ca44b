"""Textual's driver for a terminal, with our parser of its input and a bounded size."""

from __future__ import annotations

import contextlib
import os
import select
from codecs import getincrementaldecoder

from textual.drivers.linux_driver import LinuxDriver
from textual.messages import ExitApp

from .terminal_input import InputParser

POLL_S = 0.05
READ = 4096  # bytes
MAX_COLUMNS, MAX_LINES = 1000, 300  # a screen of 65,535 x 65,535 would keep the dashboard busy for hours


class TerminalDriver(LinuxDriver):
    """Driver that survives any input."""

    def run_input_thread(self) -> None:
        """Read keys until the driver stops; end the app if the terminal is gone."""
        parser = InputParser()
        decode = getincrementaldecoder("utf-8")("replace").decode
        while not self.exit_event.is_set():
            if select.select([self.fileno], [], [], POLL_S)[0]:
                data = b""
                with contextlib.suppress(OSError):
                    data = os.read(self.fileno, READ)
                if not data:
                    self._app.post_message(ExitApp())
                    return
                for message in parser.feed(decode(data)):
                    self.process_message(message)
            for message in parser.tick():
                self.process_message(message)

    def _query_in_band_window_resize(self) -> None:
        """Ask for no reports of the size: the kernel reports it, and the parser drops any others."""

    def _get_terminal_size(self) -> tuple[int, int]:
        """Return columns and lines of the terminal, or the largest that are drawn."""
        width, height = super()._get_terminal_size()
        return min(width, MAX_COLUMNS), min(height, MAX_LINES)

"""Textual's driver for a terminal, with our parser of its input, a bounded size, and job control."""

from __future__ import annotations

import contextlib
import os
import select
import signal
from codecs import getincrementaldecoder

from textual.drivers.linux_driver import LinuxDriver
from textual.messages import ExitApp

from .terminal_input import InputParser

POLL_S = 0.05
READ = 4096  # bytes
MAX_COLUMNS, MAX_LINES = 1000, 300  # a screen of 65,535 x 65,535 would keep the dashboard busy for hours


class TerminalDriver(LinuxDriver):
    """Driver that survives any input, and that Ctrl+Z stops together with the rest of its job."""

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

    def _sigtstp_application(self, *_: object) -> None:
        """Give the terminal back, stop, and draw again once a shell continues the job.

        The signal goes to the whole process group: a wrapper that waits for us, such as `uv run`, has to stop too, or
        the shell would not notice. Its action is the default one, so that the kernel ignores it if no shell could
        continue us, as in `xterm -e pmssm-supervise attach`.
        """
        self.suspend_application_mode()
        for number in (signal.SIGTSTP, signal.SIGCONT):
            signal.signal(number, signal.SIG_DFL)
        os.kill(0, signal.SIGTSTP)
        signal.signal(signal.SIGTSTP, self._sigtstp_application)
        signal.signal(signal.SIGCONT, self._sigcont_application)
        self._sigcont_application()

    def _sigcont_application(self, *_: object) -> None:
        """Take the terminal again, also after a SIGSTOP, which gave no chance to give it back."""
        if self._key_thread is not None and self._key_thread.is_alive():
            self.suspend_application_mode()
        self._must_signal_resume = True
        self.resume_application_mode()

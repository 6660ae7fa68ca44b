"""Failed requests, as lines for the terminal of the server."""

from __future__ import annotations

import logging
from collections.abc import Callable

from aiohttp.http_exceptions import HttpProcessingError


class RequestErrorHandler(logging.Handler):
    """Handler of the HTTP server's log: one line for each kind of failure, without a traceback.

    Any user of this machine can send malformed requests. Those are answered with 400 and not printed.

    Args:
        write: Receives a line.
    """

    def __init__(self, write: Callable[[str], None]) -> None:
        super().__init__(logging.ERROR)
        self._write = write
        self._written: set[str] = set()

    def emit(self, record: logging.LogRecord) -> None:
        """Write the line for a failure, unless it was written before."""
        error = record.exc_info[1] if record.exc_info else None
        if isinstance(error, HttpProcessingError):
            return
        line = record.getMessage() if error is None else f"a request failed: {type(error).__name__} at {_place(error)}"
        if line not in self._written:
            self._written.add(line)
            self._write(line)


def _place(error: BaseException) -> str:
    """Return the file and line where an error was raised."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    return "unknown" if trace is None else f"{trace.tb_frame.f_code.co_filename}:{trace.tb_lineno}"


def server_logger(write: Callable[[str], None]) -> logging.Logger:
    """Return a logger for the HTTP server that writes to `write` alone."""
    logger = logging.Logger(__name__)  # of its own: no handler of the root logger sees its records
    logger.addHandler(RequestErrorHandler(write))
    return logger

"""Dashboard process of one tab, and the packets between it and the browser.

The format is that of Textual's web driver and of the script of textual-serve: a letter, the payload's length in four
bytes (big-endian), the payload. `D` is terminal input or output, `M` a JSON object about the terminal.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator, Sequence
from typing import Any

EXIT_DEADLINE_S = 3.0  # for a dashboard to exit by itself
MAX_CELLS = 1000  # columns or lines of a screen
_FIRST_LINE = b"__GANGLION__\n"
_TERMINAL_VARIABLES = ("TMUX", "VTE_VERSION")  # of the server's terminal, which is not that of the tab


class Tab:
    """Running dashboard process of one browser tab."""

    def __init__(self, process: Process) -> None:
        self._process = process

    @classmethod
    @contextlib.asynccontextmanager
    async def open(cls, command: Sequence[str], columns: int, lines: int) -> AsyncIterator[Tab]:
        """Start a dashboard of that size; leaving the context ends it."""
        own = {name: value for name, value in os.environ.items() if name not in _TERMINAL_VARIABLES}
        size = {"COLUMNS": str(_cells(columns)), "ROWS": str(_cells(lines))}
        terminal = {"TERM": "xterm-256color", "TEXTUAL_COLOR_SYSTEM": "truecolor"}
        process = await asyncio.create_subprocess_exec(
            *command,
            stdin=PIPE,
            stdout=PIPE,
            env={**own, **size, **terminal},
            start_new_session=True,  # Ctrl-C reaches the server only, which ends the dashboard
        )
        tab = cls(process)
        try:
            yield tab
        finally:
            await tab._stop()

    async def output(self) -> AsyncIterator[bytes]:
        """Yield output for the terminal until the dashboard exits."""
        stdout = self._process.stdout
        assert stdout is not None
        with contextlib.suppress(asyncio.IncompleteReadError):
            await stdout.readuntil(_FIRST_LINE)
            while True:
                kind, length = await stdout.readexactly(1), await stdout.readexactly(4)
                payload = await stdout.readexactly(int.from_bytes(length, "big"))
                if kind == b"D":
                    yield payload
                elif kind == b"M" and json.loads(payload).get("type") == "exit":
                    return  # other requests, such as opening a page or saving a file, are ignored

    async def send(self, message: bytes) -> None:
        """Send a packet to the dashboard, unless it is exiting."""
        stdin = self._process.stdin
        assert stdin is not None
        with contextlib.suppress(ConnectionError):
            stdin.write(message)
            await stdin.drain()

    async def _stop(self) -> None:
        """Ask the dashboard to exit, and kill it if it does not. No data are lost."""
        try:
            async with asyncio.timeout(EXIT_DEADLINE_S):
                await self._process.communicate(packet(b"M", b'{"type": "quit"}'))
        except TimeoutError:
            pass
        finally:
            with contextlib.suppress(ProcessLookupError):
                self._process.kill()
            await self._process.wait()


def packet(kind: bytes, payload: bytes) -> bytes:
    """Return a payload as it is sent through the pipe."""
    return kind + len(payload).to_bytes(4, "big") + payload


def for_dashboard(message: Any) -> bytes | None:  # noqa: ANN401 - any JSON
    """Return the packet for a browser's message; None if it is not for the dashboard, or not understood."""
    match message:
        case ["stdin", str(keys)]:
            return packet(b"D", keys.encode("utf-8", "replace"))
        case ["resize", {"width": int(width), "height": int(height)}]:
            size = {"type": "resize", "width": _cells(width), "height": _cells(height)}
            return packet(b"M", json.dumps(size).encode())
        case ["focus" | "blur" as kind]:
            return packet(b"M", json.dumps({"type": kind}).encode())
        case _:
            return None


def _cells(number: int) -> int:
    return min(max(number, 1), MAX_CELLS)

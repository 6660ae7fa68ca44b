"""One tab's dashboard: its process, and the packets between that and the browser.

Textual's web driver and the script in the page (of the package textual-serve) fix the format: a letter, the payload's
length in four bytes, the payload. `D` is what goes to or comes from the terminal, `M` a JSON object about it.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator, Sequence
from typing import Any

END_S = 3.0  # for a dashboard to leave by itself
MAX_CELLS = 1000  # columns or lines of a screen
_FIRST_LINE = b"__GANGLION__\n"
_FOR_TERMINALS = ("TMUX", "VTE_VERSION")  # of the terminal where the server runs, which is not the tab's


class Tab:
    """A dashboard that runs."""

    def __init__(self, process: Process) -> None:
        self._process = process

    @classmethod
    @contextlib.asynccontextmanager
    async def open(cls, command: Sequence[str], columns: int, lines: int) -> AsyncIterator[Tab]:
        """A new dashboard of that size; it has ended when the context has."""
        own = {name: value for name, value in os.environ.items() if name not in _FOR_TERMINALS}
        size = {"COLUMNS": str(_cells(columns)), "ROWS": str(_cells(lines))}
        looks = {"TERM": "xterm-256color", "TEXTUAL_COLOR_SYSTEM": "truecolor"}
        process = await asyncio.create_subprocess_exec(
            *command,
            stdin=PIPE,
            stdout=PIPE,
            env={**own, **size, **looks},
            start_new_session=True,  # Ctrl-C is for the server, which ends us in order
        )
        tab = cls(process)
        try:
            yield tab
        finally:
            await tab._end()

    async def output(self) -> AsyncIterator[bytes]:
        """What the terminal is to show, until the dashboard leaves."""
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
                    return  # any other wish, such as to open a page or to save a file, is not granted

    async def send(self, message: bytes) -> None:
        """Hands a packet to the dashboard; one that is leaving does not get it."""
        stdin = self._process.stdin
        assert stdin is not None
        with contextlib.suppress(ConnectionError):
            stdin.write(message)
            await stdin.drain()

    async def _end(self) -> None:
        """Asks the dashboard to leave, and kills one that does not. Nothing is lost with it."""
        try:
            await asyncio.wait_for(self._process.communicate(packet(b"M", b'{"type": "quit"}')), END_S)
        except TimeoutError:
            pass
        finally:
            with contextlib.suppress(ProcessLookupError):
                self._process.kill()
            await self._process.wait()


def packet(kind: bytes, payload: bytes) -> bytes:
    """A payload as it goes through the pipe."""
    return kind + len(payload).to_bytes(4, "big") + payload


def for_dashboard(message: Any) -> bytes | None:  # noqa: ANN401 - any JSON
    """The packet that a browser's message becomes; None for one that is not for the dashboard, or not understood."""
    match message:
        case ["stdin", str(keys)]:
            return packet(b"D", keys.encode("utf-8", "replace"))
        case ["resize", {"width": int(width), "height": int(height)}]:
            about = {"type": "resize", "width": _cells(width), "height": _cells(height)}
            return packet(b"M", json.dumps(about).encode())
        case ["focus" | "blur" as kind]:
            return packet(b"M", json.dumps({"type": kind}).encode())
        case _:
            return None


def _cells(number: int) -> int:
    return min(max(number, 1), MAX_CELLS)

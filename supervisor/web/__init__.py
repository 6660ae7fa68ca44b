"""The dashboard in a browser: a web server for this machine only, and a dashboard process for each tab."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from .errors import WebError


def tab_command(logs: Path, stamp: str | None, settings: str, *, control: bool) -> list[str]:
    """Return the command that runs the dashboard of one tab.

    `-P` keeps Python from importing a random.py or queue.py of the user's present folder.

    Args:
        logs: The logs folder.
        stamp: The session; None for the current one.
        settings: The dashboard's configuration as JSON.
        control: Whether keys may start, stop and end runs.
    """
    session = ["--session", stamp] if stamp is not None else []
    module = [sys.executable, "-P", "-m", "pmssm.supervisor.dashboard.web_driver"]
    return [*module, str(logs), settings, *session, *(["--control"] if control else [])]


def run_web(command: Sequence[str], port: int, *, control: bool, write: Callable[[str], None]) -> None:
    """Serve the dashboard until SIGINT or SIGTERM.

    Args:
        command: The dashboard of one tab, as `tab_command` returns it.
        port: TCP port on 127.0.0.1; 0 for any free one.
        control: Whether the tabs control the runs.
        write: Receives the lines to print, with the address.

    Raises:
        WebError: A package is missing, or the port cannot be used.
    """
    import asyncio  # noqa: PLC0415

    try:
        from .server import serve  # noqa: PLC0415 - aiohttp, which is an extra, and costs 200 ms
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] not in ("aiohttp", "textual_serve"):
            raise
        raise WebError(f"{error.name} is not installed: `web` needs `pip install aiohttp textual-serve`") from None
    asyncio.run(serve(command, port, control=control, write=write))

"""The dashboard in a browser: a web server for this machine alone, and a dashboard process for each tab."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from .errors import WebError


def tab_command(logs: Path, stamp: str | None, settings: str, *, control: bool) -> list[str]:
    """The command that shows the dashboard in a tab; `settings` are the dashboard's, as JSON.

    `-P`: a random.py or queue.py in the folder where the user happens to be is not for us to import.
    """
    session = ["--session", stamp] if stamp is not None else []
    module = [sys.executable, "-P", "-m", "pmssm.supervisor.dashboard.web_driver"]
    return [*module, str(logs), settings, *session, *(["--control"] if control else [])]


def run_web(command: Sequence[str], port: int, *, control: bool, write: Callable[[str], None]) -> None:
    """Serves until SIGINT or SIGTERM; tells `write` the address.

    Raises:
        WebError: the packages for it are missing, or the port can't be had.
    """
    import asyncio  # noqa: PLC0415

    try:
        from .server import serve  # noqa: PLC0415 - aiohttp, which is an extra, and costs 200 ms
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] not in ("aiohttp", "textual_serve"):
            raise
        raise WebError(f"{error.name} is not here: `web` needs `pip install aiohttp textual-serve`") from None
    asyncio.run(serve(command, port, control=control, write=write))

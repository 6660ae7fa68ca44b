"""The web server: one page, the files it needs, and a WebSocket for each tab."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import html
import json
import signal
import socket
from collections.abc import Awaitable, Callable, Sequence
from importlib.resources import files
from pathlib import Path
from string import Template

import textual_serve
from aiohttp import WSCloseCode, WSMsgType, web

from .errors import WebError
from .security import content_policy, is_allowed_host, is_allowed_origin, is_valid_token, new_token
from .tab_process import Tab, for_dashboard

MAX_TABS = 8  # each is a process of some 50 MB
HEARTBEAT_S = 15.0  # a browser that does not answer is gone, as behind a lid that was closed
SHUTDOWN_S = 10.0
_PAGE = files(__package__) / "static"
_THEIRS = Path(textual_serve.__file__).parent / "static"  # the terminal that Textual's own server shows
_STATIC = {
    "page.css": Path(str(_PAGE / "page.css")),
    "page.js": Path(str(_PAGE / "page.js")),
    "textual.js": _THEIRS / "js" / "textual.js",
    "xterm.css": _THEIRS / "css" / "xterm.css",
    "font.ttf": _THEIRS / "fonts" / "RobotoMono-VariableFont_wght.ttf",
}


class Server:
    """Serves the dashboard to browsers that know the token."""

    def __init__(self, command: Sequence[str], *, control: bool) -> None:
        self.token = new_token()
        self._command = command
        self._control = control
        self._page = Template((_PAGE / "page.html").read_text())
        self._sockets: set[web.WebSocketResponse] = set()

    def application(self) -> web.Application:
        """What aiohttp runs."""
        application = web.Application(middlewares=[_check_access])
        application.router.add_get("/", self._show_page)
        application.router.add_get("/static/{name}", _file_handler)
        application.router.add_get("/ws/{token}", self._serve_tab)
        application.on_response_prepare.append(_add_headers)
        application.on_shutdown.append(self._close)
        return application

    async def _show_page(self, request: web.Request) -> web.Response:
        self._check(request.query.get("token", ""))
        about = {
            "socket": f"ws://{request.host}/ws/{self.token}",
            "host": html.escape(socket.gethostname()),
            "mode": "" if self._control else " (read-only)",
        }
        return web.Response(text=self._page.substitute(about), content_type="text/html")

    def _check(self, token: str) -> None:
        if not is_valid_token(token, self.token):
            raise web.HTTPForbidden(text="The token is wrong. Use the address that `pmssm-supervise web` has printed.")
        if len(self._sockets) >= MAX_TABS:
            raise web.HTTPServiceUnavailable(text=f"{MAX_TABS} tabs show the dashboard already; close one of them.")

    async def _serve_tab(self, request: web.Request) -> web.WebSocketResponse:
        if not is_allowed_origin(request.headers.get("Origin"), request.host):
            raise web.HTTPForbidden(text="Not for pages of others.")
        self._check(request.match_info["token"])
        browser = web.WebSocketResponse(heartbeat=HEARTBEAT_S)
        self._sockets.add(browser)
        try:
            await browser.prepare(request)
            size = [_number(request.query.get(name), usual) for name, usual in (("width", 80), ("height", 24))]
            async with Tab.open(self._command, *size) as tab:
                showing = asyncio.create_task(_page_handler(browser, tab))
                try:
                    await _listen(browser, tab)
                finally:
                    showing.cancel()
                    with contextlib.suppress(asyncio.CancelledError):
                        await showing
        finally:
            self._sockets.discard(browser)
        return browser

    async def _close(self, _application: web.Application) -> None:
        for browser in list(self._sockets):
            await browser.close(code=WSCloseCode.GOING_AWAY)


async def _page_handler(browser: web.WebSocketResponse, tab: Tab) -> None:
    """Hands the dashboard's output to the browser until one of them leaves."""
    with contextlib.suppress(ConnectionError):
        async for data in tab.output():
            await browser.send_bytes(data)
        await browser.close()


async def _listen(browser: web.WebSocketResponse, tab: Tab) -> None:
    """Hands the browser's keys to the dashboard until one of them leaves."""
    async for sent in browser:
        if sent.type is not WSMsgType.TEXT:
            continue
        try:
            message = json.loads(sent.data)
        except (ValueError, RecursionError):
            continue
        match message:
            case ["ping", str(when)]:
                with contextlib.suppress(ConnectionError):
                    await browser.send_json(["pong", when])
            case _ if (packet := for_dashboard(message)) is not None:
                await tab.send(packet)


@web.middleware
async def _check_access(
    request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
) -> web.StreamResponse:
    if not is_allowed_host(request.host):  # a name of somebody else's that points here: DNS rebinding
        raise web.HTTPForbidden(text="Not under this name; use 127.0.0.1 or localhost.")
    return await handler(request)


async def _add_headers(request: web.Request, response: web.StreamResponse) -> None:
    if is_allowed_host(request.host):
        response.headers["Content-Security-Policy"] = content_policy(request.host)
    response.headers["Referrer-Policy"] = "no-referrer"
    response.headers["X-Content-Type-Options"] = "nosniff"
    response.headers["Cross-Origin-Resource-Policy"] = "same-origin"
    response.headers["Cache-Control"] = "no-store" if request.path == "/" else "no-cache"


async def _file_handler(request: web.Request) -> web.FileResponse:
    if (path := _STATIC.get(request.match_info["name"])) is None:
        raise web.HTTPNotFound
    return web.FileResponse(path)


def _number(text: str | None, usual: int) -> int:
    return int(text) if text is not None and text.isascii() and text.isdigit() and len(text) < 6 else usual


async def serve(command: Sequence[str], port: int, *, control: bool, write: Callable[[str], None]) -> None:
    """Serves the dashboard that `command` shows until SIGINT or SIGTERM; tells `write` the address.

    Raises:
        WebError: the port can't be had.
    """
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    server = Server(command, control=control)
    runner = web.AppRunner(server.application(), access_log=None, shutdown_timeout=SHUTDOWN_S)
    await runner.setup()
    try:
        try:
            await web.TCPSite(runner, "127.0.0.1", port).start()
        except OSError as error:
            why = "is taken" if error.errno == errno.EADDRINUSE else f"can't be had ({error.strerror})"
            raise WebError(f"port {port} {why}; choose another with --port, or any free one with --port 0") from None
        port = runner.addresses[0][1]
        mode = "with control of the runs" if control else "read-only"
        write(f"The dashboard, {mode}: http://127.0.0.1:{port}/?token={server.token}")
        write(f"From another machine first: ssh -L {port}:127.0.0.1:{port} {socket.gethostname()}")
        write("Ctrl-C ends this; the runs go on.")
        await stop.wait()
    finally:
        await runner.cleanup()

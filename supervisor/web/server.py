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
from .request_errors import server_logger
from .security import content_policy, is_allowed_host, is_allowed_origin, is_valid_token, new_token
from .tab_process import Tab, for_dashboard

MAX_TABS = 8  # each is a process of about 50 MB
HEARTBEAT_S = 15.0  # a browser that does not answer is gone, such as that of a suspended laptop
SHUTDOWN_S = 10.0
_PAGE = files(__package__) / "static"
_TEXTUAL = Path(textual_serve.__file__).parent / "static"  # the terminal of Textual's own server
_STATIC = {
    "page.css": Path(str(_PAGE / "page.css")),
    "page.js": Path(str(_PAGE / "page.js")),
    "textual.js": _TEXTUAL / "js" / "textual.js",
    "xterm.css": _TEXTUAL / "css" / "xterm.css",
    "font.ttf": _TEXTUAL / "fonts" / "RobotoMono-VariableFont_wght.ttf",
}


class Server:
    """Web server that shows the dashboard to browsers with the token.

    Attributes:
        token: The secret in the address.
    """

    def __init__(self, command: Sequence[str], *, control: bool) -> None:
        self.token = new_token()
        self._command = command
        self._control = control
        self._page = Template((_PAGE / "page.html").read_text(encoding="utf-8"))
        self._sockets: set[web.WebSocketResponse] = set()

    def application(self) -> web.Application:
        """Return the application for aiohttp."""
        application = web.Application(middlewares=[_check_access])
        application.router.add_get("/", self._show_page)
        application.router.add_get("/static/{name}", _file_handler)
        application.router.add_get("/ws/{token}", self._serve_tab)
        application.on_response_prepare.append(_add_headers)
        application.on_shutdown.append(self._close)
        return application

    async def _show_page(self, request: web.Request) -> web.Response:
        self._check(request.query.get("token", ""))
        values = {
            "socket": f"ws://{request.host}/ws/{self.token}",
            "host": html.escape(socket.gethostname()),
            "mode": "" if self._control else " (read-only)",
        }
        return web.Response(text=self._page.substitute(values), content_type="text/html")

    def _check(self, token: str) -> None:
        if not is_valid_token(token, self.token):
            raise web.HTTPForbidden(text="The token is wrong. Use the address that `pmssm-supervise web` has printed.")
        if len(self._sockets) >= MAX_TABS:
            raise web.HTTPServiceUnavailable(text=f"{MAX_TABS} tabs are open already; close one of them.")

    async def _serve_tab(self, request: web.Request) -> web.WebSocketResponse:
        if not is_allowed_origin(request.headers.get("Origin"), request.host):
            raise web.HTTPForbidden(text="Only for pages of this server.")
        self._check(request.match_info["token"])
        browser = web.WebSocketResponse(heartbeat=HEARTBEAT_S)
        self._sockets.add(browser)
        try:
            await browser.prepare(request)
            size = [_number(request.query.get(name), default) for name, default in (("width", 80), ("height", 24))]
            async with Tab.open(self._command, *size) as tab:
                sending = asyncio.create_task(_send_output(browser, tab))
                try:
                    await _receive_keys(browser, tab)
                finally:
                    sending.cancel()
                    with contextlib.suppress(asyncio.CancelledError):
                        await sending
        finally:
            self._sockets.discard(browser)
        return browser

    async def _close(self, _application: web.Application) -> None:
        for browser in list(self._sockets):
            await browser.close(code=WSCloseCode.GOING_AWAY)


async def _send_output(browser: web.WebSocketResponse, tab: Tab) -> None:
    """Send the dashboard's output to the browser until one of them exits."""
    with contextlib.suppress(ConnectionError):
        async for data in tab.output():
            await browser.send_bytes(data)
        await browser.close()


async def _receive_keys(browser: web.WebSocketResponse, tab: Tab) -> None:
    """Send the browser's keys to the dashboard until one of them exits."""
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
    if not is_allowed_host(request.host):  # DNS rebinding: a foreign name that resolves to us
        raise web.HTTPForbidden(text="Wrong host name; use 127.0.0.1 or localhost.")
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


def _number(text: str | None, default: int) -> int:
    return int(text) if text is not None and text.isascii() and text.isdigit() and len(text) < 6 else default


async def serve(command: Sequence[str], port: int, *, control: bool, write: Callable[[str], None]) -> None:
    """Serve the dashboard until SIGINT or SIGTERM; see `run_web`.

    Raises:
        WebError: The port cannot be used.
    """
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    server = Server(command, control=control)
    logger = server_logger(write)
    runner = web.AppRunner(server.application(), access_log=None, logger=logger, shutdown_timeout=SHUTDOWN_S)
    await runner.setup()
    try:
        try:
            await web.TCPSite(runner, "127.0.0.1", port).start()
        except OSError as error:
            problem = "is taken" if error.errno == errno.EADDRINUSE else f"cannot be used ({error.strerror})"
            raise WebError(
                f"port {port} {problem}; choose another with --port, or any free one with --port 0"
            ) from None
        port = runner.addresses[0][1]
        mode = "with control of the runs" if control else "read-only"
        write(f"The dashboard, {mode}: http://127.0.0.1:{port}/?token={server.token}")
        write(f"From another machine first: ssh -L {port}:127.0.0.1:{port} {socket.gethostname()}")
        write("Ctrl-C stops the server; the runs go on.")
        await stop.wait()
    finally:
        await runner.cleanup()

"""A real browser without a window, driven through its DevTools protocol."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import os
import shutil
import signal
import time
from asyncio.subprocess import DEVNULL, Process
from collections.abc import AsyncIterator
from itertools import count
from pathlib import Path
from typing import Any

import aiohttp

DEADLINE_S = 60.0
FLAGS = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync"),
    *("--disable-background-networking", "--disable-component-update", "--disable-dev-shm-usage"),
    *("--remote-debugging-port=0", "--window-size=1200,800"),
)
# The page draws its terminal into a canvas and exports no reference to it; this catches the object at its creation.
_FIND_TERMINAL = """
Object.defineProperty(Object.prototype, "_core", {
  configurable: true,
  set(core) {
    Object.defineProperty(this, "_core", { value: core, writable: true, configurable: true });
    if (this.loadAddon) window.terminal = this;
  },
});
"""
_SCREEN = """
(() => {
  const buffer = window.terminal?.buffer?.active;
  if (!buffer) return "";
  const lines = Array.from({ length: window.terminal.rows }, (_, row) => buffer.getLine(row)?.translateToString(true));
  return lines.join("\\n");
})()
"""


class Page:
    """Page in the browser.

    Attributes:
        requested: Addresses that it requested.
        complaints: Errors of the console, and what the page's policy forbade.
    """

    def __init__(self, devtools: aiohttp.ClientWebSocketResponse) -> None:
        self._devtools = devtools
        self._numbers = count(1)
        self._target: dict[str, str] = {}
        self.requested: list[str] = []
        self.complaints: list[str] = []

    async def open(self) -> None:
        """Create the page, and record its network requests and its console."""
        target = await self.call("Target.createTarget", url="about:blank")
        attached = await self.call("Target.attachToTarget", targetId=target["targetId"], flatten=True)
        self._target = {"sessionId": attached["sessionId"]}
        for domain in ("Page", "Runtime", "Network", "Log"):
            await self.call(f"{domain}.enable")
        await self.call("Page.addScriptToEvaluateOnNewDocument", source=_FIND_TERMINAL)

    async def call(self, method: str, **parameters: Any) -> dict[str, Any]:  # noqa: ANN401 - any JSON
        """Send a command of the DevTools protocol and return its result."""
        number = next(self._numbers)
        await self._devtools.send_json({"id": number, "method": method, "params": parameters, **self._target})
        while True:
            message = await self._devtools.receive_json(timeout=DEADLINE_S)
            if message.get("id") == number:
                assert "error" not in message, message
                result: dict[str, Any] = message["result"]
                return result
            self._record(message.get("method", ""), message.get("params", {}))

    def _record(self, event: str, details: dict[str, Any]) -> None:
        if event == "Network.requestWillBeSent":
            self.requested.append(details["request"]["url"])
        elif event == "Network.webSocketCreated":
            self.requested.append(details["url"])
        elif event == "Log.entryAdded":
            self.complaints.append(details["entry"]["text"])
        elif event == "Runtime.exceptionThrown":
            self.complaints.append(str(details["exceptionDetails"]))

    async def evaluate(self, expression: str) -> Any:  # noqa: ANN401 - any JSON
        """Return the value of an expression in the page, or of the promise that it returns."""
        options = {"returnByValue": True, "awaitPromise": True}
        done = await self.call("Runtime.evaluate", expression=expression, **options)
        return done["result"].get("value")

    async def until(self, *texts: str) -> str:
        """Wait until the page's terminal shows all these texts; return what it shows."""
        deadline = time.monotonic() + DEADLINE_S
        while True:
            screen = str(await self.evaluate(_SCREEN))
            if all(text in screen for text in texts):
                return screen
            assert time.monotonic() < deadline, f"no {texts} on the screen:\n{screen}\n{self.complaints}"
            await asyncio.sleep(0.1)

    async def until_true(self, expression: str) -> None:
        """Wait until the expression is true in the page."""
        deadline = time.monotonic() + DEADLINE_S
        while not await self.evaluate(expression):
            assert time.monotonic() < deadline, f"never so: {expression}"
            await asyncio.sleep(0.1)

    async def press(self, key: str) -> None:
        """Press a key, wherever the focus is."""
        text = "\r" if key == "Enter" else key
        await self.call("Input.dispatchKeyEvent", type="keyDown", key=key, text=text)
        await self.call("Input.dispatchKeyEvent", type="keyUp", key=key)

    async def screenshot(self) -> bytes:
        """Return the page as PNG data."""
        return base64.b64decode((await self.call("Page.captureScreenshot"))["data"])


@contextlib.asynccontextmanager
async def browser_page(folder: Path) -> AsyncIterator[Page]:
    """Open an empty page of a new Chromium, which keeps its files in `folder` and ends with the context."""
    program = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    assert program, "no Chromium here; tests/run.sh installs it"
    flags = [*FLAGS, f"--user-data-dir={folder}"]
    process = await asyncio.create_subprocess_exec(
        program, *flags, stdin=DEVNULL, stdout=DEVNULL, stderr=DEVNULL, start_new_session=True
    )
    try:
        port, path = await _devtools_address(folder, process)
        async with (
            aiohttp.ClientSession() as client,
            client.ws_connect(f"http://127.0.0.1:{port}{path}", max_msg_size=0) as devtools,
        ):
            page = Page(devtools)
            await page.open()
            yield page
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)  # its child processes are in its group
        await process.wait()


async def _devtools_address(folder: Path, process: Process) -> tuple[str, str]:
    """Return port and path where the browser listens; it writes them into a file."""
    deadline = time.monotonic() + DEADLINE_S
    while True:
        with contextlib.suppress(FileNotFoundError, ValueError):
            port, path = (folder / "DevToolsActivePort").read_text().split()
            return port, path
        assert process.returncode is None, f"Chromium ended with {process.returncode}"
        assert time.monotonic() < deadline, "Chromium does not start"
        await asyncio.sleep(0.05)

"""`pmssm-supervise web`: who gets in, what a tab may do, and what a real browser shows of it."""

import asyncio
import contextlib
import io
import os
import re
import signal
import subprocess
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path

import aiohttp
import pytest
from PIL import Image
from support.chromium import browser_page
from support.cli_sandbox import CliSandbox

DEADLINE_S = 30.0
PLAN = '[session]\nname = "dummies"\n[runs.alpha]\ncommand = ["sleep", "1000"]\n'


@dataclass(frozen=True)
class Web:
    """A server that serves."""

    process: subprocess.Popen[str]
    client: aiohttp.ClientSession
    site: str  # http://127.0.0.1:PORT
    token: str

    async def answer(self, path: str, **headers: str) -> tuple[int, str, str]:
        """Status, text and content policy of what a path gives."""
        async with self.client.get(f"{self.site}{path}", headers=headers) as response:
            return response.status, await response.text(), response.headers.get("Content-Security-Policy", "")

    def tab(self, *, token: str | None = None, **headers: str) -> aiohttp.client._WSRequestContextManager:
        """A tab's connection, as the page opens it."""
        address = f"{self.site}/ws/{token or self.token}?width=100&height=30"
        return self.client.ws_connect(address, headers={"Origin": self.site} | headers)

    async def status_of_tab(self, *, token: str | None = None, **headers: str) -> int:
        """With what the server refuses a tab."""
        with pytest.raises(aiohttp.WSServerHandshakeError) as refusal:
            async with self.tab(token=token, **headers):
                pass
        return refusal.value.status

    def dashboards(self) -> list[int]:
        """The processes of the tabs."""
        return [
            int(pid) for pid in Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text().split()
        ]

    async def until(self, condition: Callable[[], object]) -> None:
        """Returns as soon as the condition holds."""
        deadline = time.monotonic() + DEADLINE_S
        while not condition():
            assert time.monotonic() < deadline
            await asyncio.sleep(0.05)


def serve(box: CliSandbox, *options: str) -> tuple[subprocess.Popen[str], str, str]:
    """The server of the box's session, its site and its token."""
    box.ok("--detach", "--plan", box.plan(PLAN))
    process = box.start("web", "--port", "0", *options)
    assert process.stdout is not None
    line = process.stdout.readline()
    address = re.search(r"(http://127\.0\.0\.1:\d+)/\?token=(\S+)$", line)
    assert address, line
    return process, address[1], address[2]


@pytest.fixture
async def web(box: CliSandbox) -> AsyncIterator[Web]:
    """A server that is read-only."""
    process, site, token = await asyncio.to_thread(serve, box)
    async with aiohttp.ClientSession() as client:
        yield Web(process, client, site, token)


async def until_shown(tab: aiohttp.ClientWebSocketResponse, text: str) -> None:
    """Read until the terminal has received a text."""
    shown = b""
    async with asyncio.timeout(DEADLINE_S):
        while text.encode() not in shown:
            message = await tab.receive()
            assert message.type in (aiohttp.WSMsgType.BINARY, aiohttp.WSMsgType.TEXT), (message, shown)
            shown += message.data if isinstance(message.data, bytes) else b""


async def test_only_the_token_under_our_own_name_and_from_our_own_page_gets_in(web: Web) -> None:
    status, page, policy = await web.answer(f"/?token={web.token}")
    assert status == 200 and "Opening the dashboard" in page
    ours = web.site.removeprefix("http://")
    assert set(re.findall(r"\w+://([^/\s;]+)", page + policy)) == {ours}
    for path in ("/", "/?token=", "/?token=wrong", "/?token=%C3%A4", f"/?token={web.token}x"):
        assert (await web.answer(path))[0] == 403, path
    for host in ("evil.example", ours.replace("127.0.0.1", "127.0.0.1.evil.example"), "127.0.0.1:1@evil.example"):
        assert (await web.answer(f"/?token={web.token}", Host=host))[0] == 403, host
    assert (await web.answer(f"/?token={web.token}", Host="localhost:9000"))[0] == 200  # the other end of `ssh -L`
    for name in ("textual.js", "page.js", "page.css", "xterm.css", "font.ttf"):
        async with web.client.get(f"{web.site}/static/{name}") as response:
            assert response.status == 200, name
    assert (await web.answer("/static/..%2f__init__.py"))[0] == 404
    assert await web.status_of_tab(token="wrong") == 403
    for origin in ("http://evil.example", "http://127.0.0.1:1", "null", web.site.replace("http", "https")):
        assert await web.status_of_tab(Origin=origin) == 403, origin
    assert web.dashboards() == []


async def test_a_tab_looks_but_does_not_touch_and_its_dashboard_ends_with_it(web: Web, box: CliSandbox) -> None:
    async with web.tab() as tab:
        await until_shown(tab, "alpha")
        (dashboard,) = web.dashboards()
        for nonsense in ("", "[", "[" * 100_000, '["resize", {"width": "x"}]', '["stdin", 1]', "7"):
            await tab.send_str(nonsense)
        await tab.send_json(["resize", {"width": 10**9, "height": 24}])
        for key in "xXsrRQ":
            await tab.send_json(["stdin", key])
            await until_shown(tab, "read-only view; use `attach`")
            await tab.send_json(["stdin", "T"])  # another message in between
            await until_shown(tab, "theme: ")
    await web.until(lambda: web.dashboards() == [])
    assert not Path(f"/proc/{dashboard}").exists()
    assert [event["kind"] for event in box.journal() if "requested" in event["kind"]] == []


async def test_ctrl_c_ends_the_server_and_all_its_dashboards(web: Web, box: CliSandbox) -> None:
    async with web.tab() as one, web.tab() as other:
        await until_shown(one, "alpha")
        await until_shown(other, "alpha")
        dashboards = web.dashboards()
        web.process.send_signal(signal.SIGINT)
        assert await asyncio.to_thread(web.process.wait, DEADLINE_S) == 0
    assert len(dashboards) == 2 and not any(Path(f"/proc/{pid}").exists() for pid in dashboards)
    assert box.states() == {"alpha": "running"}


async def test_a_killed_server_leaves_no_dashboard(web: Web) -> None:
    async with web.tab() as tab:
        await until_shown(tab, "alpha")
        (dashboard,) = web.dashboards()
        os.kill(web.process.pid, signal.SIGKILL)
        await web.until(lambda: not Path(f"/proc/{dashboard}").exists())


async def test_eight_tabs_are_enough(web: Web) -> None:
    tabs = [await web.tab() for _ in range(8)]
    assert await web.status_of_tab() == 503
    assert (await web.answer(f"/?token={web.token}"))[:2] == (
        503,
        "8 tabs are open already; close one of them.",
    )
    await asyncio.gather(*(tab.close() for tab in tabs))
    await web.until(lambda: web.dashboards() == [])


MALFORMED = (
    "GET / HTTP/1.1\r\nHost:\r\n\r\n",
    "GET / HTTP/1.1\r\nHost: localhost\r\nContent-Length: -1\r\n\r\n",
    "GET / HTTP/1.1\r\nHost: localhost\r\nX: " + "a" * 20_000 + "\r\n\r\n",
    "\x16\x03\x01\r\n\r\n",
    "GET http://[::1 HTTP/1.1\r\nHost: localhost\r\n\r\n",
)


async def test_malformed_requests_are_refused_and_print_nothing_in_the_servers_terminal(web: Web) -> None:
    for request in MALFORMED:
        reader, writer = await asyncio.open_connection("127.0.0.1", int(web.site.rpartition(":")[2]))
        writer.write(request.encode())
        assert b" 40" in await asyncio.wait_for(reader.readline(), DEADLINE_S), request
        writer.close()
    web.process.send_signal(signal.SIGINT)
    assert web.process.stdout is not None
    # Not communicate(): it does not see the lines that came with the first one into the buffer.
    printed = await asyncio.wait_for(asyncio.to_thread(web.process.stdout.read), DEADLINE_S)
    assert [line.split()[0] for line in printed.splitlines()] == ["From", "Ctrl-C"], printed


def test_what_hinders_the_server_is_said_in_one_line(box: CliSandbox) -> None:
    _, site, _ = serve(box)
    port = site.rpartition(":")[2]
    taken = box.run("web", "--port", port)
    assert (taken.returncode, taken.stderr.count("\n")) == (2, 1) and f"port {port} is taken" in taken.stderr
    (box.folder / "absent").mkdir()
    (box.folder / "absent" / "aiohttp.py").write_text("raise ModuleNotFoundError('no', name='aiohttp')\n")
    box.env["PYTHONPATH"] = str(box.folder / "absent")  # as if the extra were not installed
    absent = box.run("web")
    assert (absent.returncode, absent.stderr.count("\n")) == (2, 1) and "pip install aiohttp" in absent.stderr


@contextlib.asynccontextmanager
async def foreign_page() -> AsyncIterator[str]:
    """Serve a page of a foreign site; yields its address."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 7\r\n\r\nforeign")
        await writer.drain()
        writer.close()

    async with await asyncio.start_server(answer, "127.0.0.1", 0) as server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/"


async def test_a_real_browser_refuses_a_wrong_token_and_a_foreign_page(web: Web, tmp_path: Path) -> None:
    open_socket = (
        f"new Promise(done => {{ const socket = new WebSocket('{web.site.replace('http', 'ws')}/ws/{web.token}');"
        "socket.onopen = () => done('open'); socket.onerror = () => done('refused'); })"
    )
    async with foreign_page() as foreign, browser_page(tmp_path / "chromium") as page:
        await page.call("Page.navigate", url=f"{web.site}/?token=wrong")
        await page.until_true("document.body?.innerText.includes('token is wrong')")
        await page.call("Page.navigate", url=foreign)
        await page.until_true("document.body?.innerText === 'foreign'")
        assert await page.evaluate(open_socket) == "refused"
        await page.call("Page.navigate", url=f"{web.site}/?token={web.token}")
        await page.until("alpha")
        assert await page.evaluate(open_socket) == "open"  # so that it was the page that made the difference


async def test_a_real_browser_shows_the_dashboard_obeys_keys_and_asks_nobody_else(
    box: CliSandbox, tmp_path: Path
) -> None:
    _, site, token = await asyncio.to_thread(serve, box, "--control")
    async with browser_page(tmp_path / "chromium") as page:
        await page.call("Page.navigate", url=f"{site}/?token={token}")
        await page.until("dummies", "alpha", "▶ running", "x stop")
        colours = Image.open(io.BytesIO(await page.screenshot())).convert("RGB").getcolors(1 << 20)
        assert colours is not None and len(colours) > 50  # it is drawn, too
        await page.press("?")
        await page.until("keys (Esc closes")
        await page.press("?")
        await page.press("x")
        await page.until("Stop alpha?")
        await page.press("y")
        await page.until("■ stopped")
        await page.press("q")
        await page.until_true("document.activeElement.id === 'again'")
        await page.press("Enter")
        await page.until("dummies", "alpha")
        assert len(page.requested) > 10
        assert {re.sub(r"^\w+://", "", address).partition("/")[0] for address in page.requested} == {site[7:]}
        assert not [text for text in page.complaints if "Content Security Policy" in text], page.complaints
    assert box.states() == {"alpha": "stopped"}

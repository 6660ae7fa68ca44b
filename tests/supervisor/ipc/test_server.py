"""Engine and clients over a real unix socket: requests, replies, and misbehaving clients, which do no harm."""

import asyncio
import contextlib
import json
import os
import socket
import stat
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pmssm.supervisor.ipc import server as wire
from pmssm.supervisor.ipc.client import Client, EngineUnavailable
from pmssm.supervisor.ipc.engine_lock import EngineLock
from pmssm.supervisor.ipc.messages import Command, Down, Reply, Restart, Start, Stop
from pmssm.supervisor.ipc.server import MAX_REQUEST, Server, is_authorized
from pmssm.supervisor.session.snapshot import RunView, Snapshot
from pmssm.supervisor.session.state import RunState

DEADLINE_S = 20.0


class Engine:
    """The engine's side, with a snapshot that tests change and a record of all commands."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.epoch = 0
        self.padding = ""
        self.commands: list[Command] = []
        self.server = Server(self.snapshot, self.handle, EngineLock(path.parent))

    def snapshot(self) -> Snapshot:
        run = RunView(state=RunState.RUNNING, progress={"epoch": self.epoch}, reason=self.padding)
        return Snapshot(
            session="20260101_000000",
            name="test",
            state="running",
            mode="parallel",
            logs="/logs",
            folder="/logs/session",
            engine_pid=1,
            taken_at=0,
            runs={"a": run},
        )

    async def handle(self, command: Command) -> Reply:
        self.commands.append(command)
        return Reply(ok=True, message=f"{command.verb} it is")

    async def show(self, epoch: int) -> None:
        self.epoch = epoch
        await self.server.push()


@pytest.fixture
async def engine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Engine]:
    monkeypatch.setattr(wire, "PUSH_INTERVAL_S", 0.01)
    engine = Engine(tmp_path / "s")
    await engine.server.listen(engine.path)
    yield engine
    await engine.server.close()


async def until(condition: object, what: str = "") -> None:
    """Wait until `condition()` is true."""
    async with asyncio.timeout(DEADLINE_S):
        while not condition():  # type: ignore[operator]
            await asyncio.sleep(0.005)
    assert condition(), what  # type: ignore[operator]


def epoch_of(snapshot: Snapshot) -> float:
    return snapshot.runs["a"].progress["epoch"]


async def raw(engine: Engine, data: bytes, *, end: bool = True) -> bytes:
    """Return all that the engine sends in reply to `data`, until it closes the connection."""
    reader, writer = await asyncio.open_unix_connection(engine.path, limit=1 << 26)
    try:
        with contextlib.suppress(ConnectionError):
            writer.write(data)
            await writer.drain()
            if end:
                writer.write_eof()
        with contextlib.suppress(ConnectionError):
            return await asyncio.wait_for(reader.read(), DEADLINE_S)
        return b""
    finally:
        writer.close()


async def still_answers(engine: Engine) -> bool:
    async with Client.connect(engine.path) as client:
        return await asyncio.wait_for(client.snapshot(), DEADLINE_S) == engine.snapshot()


# Requests and replies


async def test_a_snapshot_arrives_whole(engine: Engine) -> None:
    assert await still_answers(engine)


@pytest.mark.parametrize(
    "command",
    [
        Stop(run="a"),
        Stop(run="a", how="kill"),
        Restart(run="a", fresh=True),
        Start(run="a"),
        Down(),
        Stop(run='odd "name" \n é \u2028 \x1b'),
    ],
)
async def test_a_command_arrives_as_it_was_sent_and_is_answered(engine: Engine, command: Command) -> None:
    async with Client.connect(engine.path) as client:
        reply = await client.command(command)
    assert engine.commands == [command]
    assert reply == Reply(ok=True, message=f"{command.verb} it is")


async def test_one_connection_carries_many_requests(engine: Engine) -> None:
    async with Client.connect(engine.path) as client:
        for epoch in range(5):
            engine.epoch = epoch
            assert epoch_of(await client.snapshot()) == epoch
            await client.command(Down())
    assert len(engine.commands) == 5


@pytest.mark.parametrize("steps", range(8))
async def test_a_server_that_closes_just_after_a_push_ends_its_subscriptions(engine: Engine, steps: int) -> None:
    async with Client.connect(engine.path) as client:
        snapshots = client.snapshots()
        await anext(snapshots)
        await asyncio.sleep(10 * wire.PUSH_INTERVAL_S)  # the subscription waits for the next change
        await engine.show(1)
        for _ in range(steps):  # at each step of the event loop, another task is about to resume
            await asyncio.sleep(0)
        async with asyncio.timeout(DEADLINE_S):
            await engine.server.close()
        assert engine.server.subscribers == 0
        await snapshots.aclose()


async def test_a_snapshot_larger_than_a_request_arrives_whole(engine: Engine) -> None:
    engine.padding = "x" * (20 * MAX_REQUEST)
    assert await still_answers(engine)


async def test_without_a_listener_the_error_names_the_socket(tmp_path: Path) -> None:
    with pytest.raises(EngineUnavailable, match="no engine listens on"):
        async with Client.connect(tmp_path / "nothing"):
            pass


async def test_a_socket_left_by_a_dead_engine_is_unavailable_and_is_replaced(tmp_path: Path) -> None:
    path = tmp_path / "s"
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(path))
        dead.listen()
    with pytest.raises(EngineUnavailable):
        async with Client.connect(path):
            pass
    engine = Engine(path)
    await engine.server.listen(path)
    assert await still_answers(engine)
    await engine.server.close()


async def test_the_socket_is_private(engine: Engine) -> None:
    assert stat.S_IMODE(engine.path.stat().st_mode) == 0o600
    mask = os.umask(0o22)
    os.umask(mask)
    assert mask != 0o177  # what listening needed is not left behind


async def test_an_engine_that_ends_is_noticed(engine: Engine) -> None:
    async with Client.connect(engine.path) as client:
        await client.snapshot()
        await engine.server.close()
        with pytest.raises(EngineUnavailable):
            await client.snapshot()


# Subscriptions


async def test_a_subscriber_gets_a_snapshot_at_once_and_at_every_change(engine: Engine) -> None:
    async with Client.connect(engine.path) as client:
        snapshots = client.snapshots()
        async with asyncio.timeout(DEADLINE_S):
            assert epoch_of(await anext(snapshots)) == 0
            for epoch in (1, 2, 3):
                await engine.show(epoch)
                assert epoch_of(await anext(snapshots)) == epoch


async def test_a_change_during_the_pause_is_not_lost(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wire, "PUSH_INTERVAL_S", 0.2)
    async with Client.connect(engine.path) as client, asyncio.timeout(DEADLINE_S):
        snapshots = client.snapshots()
        await anext(snapshots)
        for epoch in range(1, 20):
            await engine.show(epoch)
        while epoch_of(await anext(snapshots)) != 19:
            pass


async def test_without_a_change_nothing_is_pushed(engine: Engine) -> None:
    async with Client.connect(engine.path) as client:
        snapshots = client.snapshots()
        await anext(snapshots)
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(anext(snapshots), 0.3)


async def test_the_end_of_the_engine_ends_a_subscription(engine: Engine) -> None:
    async with Client.connect(engine.path) as client:
        snapshots = client.snapshots()
        await anext(snapshots)
        await engine.server.close()
        with pytest.raises(EngineUnavailable):
            await asyncio.wait_for(anext(snapshots), DEADLINE_S)


async def test_a_subscriber_that_hangs_up_is_forgotten_although_nothing_changes(engine: Engine) -> None:
    async with Client.connect(engine.path) as client:
        snapshots = client.snapshots()
        await anext(snapshots)
        assert engine.server.subscribers == 1
        await snapshots.aclose()  # type: ignore[attr-defined]
    await until(lambda: engine.server.subscribers == 0)


async def test_subscribers_are_counted(engine: Engine) -> None:
    async with contextlib.AsyncExitStack() as stack:
        for count in (1, 2, 3):
            client = await stack.enter_async_context(Client.connect(engine.path))
            await anext(client.snapshots())
            assert engine.server.subscribers == count
    await until(lambda: engine.server.subscribers == 0)


# Misbehaving clients


@pytest.mark.parametrize(
    "garbage",
    [
        b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
        b"\n",
        b"\0\xff\xfe\n",
        b"{}\n",
        b"[]\n",
        b'"look"\n',
        b'{"verb": "explode"}\n',
        b'{"verb": "stop"}\n',
        b'{"verb": "stop", "run": 3}\n',
        b'{"verb": "stop", "run": "a", "how": "softly"}\n',
        b'{"verb": "look", "extra": 1}\n',
        b"[" * 60_000 + b"\n",
        b'{"verb": "look"',
    ],
)
async def test_garbage_gets_an_error_and_its_connection_is_closed(engine: Engine, garbage: bytes) -> None:
    reply = Reply.model_validate_json(await raw(engine, garbage))
    assert not reply.ok
    assert reply.message.startswith("not a request: ")
    assert engine.commands == []
    assert await still_answers(engine)


@given(garbage=st.binary(max_size=200).filter(lambda data: b"verb" not in data))
def test_no_garbage_is_a_command(garbage: bytes, tmp_path_factory: pytest.TempPathFactory) -> None:
    async def scenario() -> None:
        engine = Engine(tmp_path_factory.mktemp("w") / "s")
        await engine.server.listen(engine.path)
        try:
            answer = await raw(engine, garbage)
            assert answer.count(b"\n") == (1 if garbage else 0)
            assert engine.commands == []
            assert await still_answers(engine)
        finally:
            await engine.server.close()

    asyncio.run(scenario())


@pytest.mark.parametrize("data", [b"x" * 10_000_000, b'{"verb": "stop", "run": "' + b"a" * 10_000_000 + b'"}\n'])
async def test_the_connection_is_closed_on_ten_megabytes(engine: Engine, data: bytes) -> None:
    assert await raw(engine, data) == b""
    assert engine.commands == []
    assert await still_answers(engine)


async def test_a_silent_client_does_not_disturb_others(engine: Engine) -> None:
    _, writer = await asyncio.open_unix_connection(engine.path)
    assert await still_answers(engine)
    assert await raw(engine, b"") == b""
    writer.close()


async def test_an_incomplete_message_is_no_command(engine: Engine) -> None:
    whole = b'{"verb": "down"}'
    for length in range(1, len(whole)):
        _, writer = await asyncio.open_unix_connection(engine.path)
        writer.write(whole[:length])
        writer.close()
    assert await still_answers(engine)
    assert engine.commands == []


async def test_a_client_that_leaves_before_the_answer_disturbs_nobody(engine: Engine) -> None:
    engine.padding = "x" * 1_000_000
    _, writer = await asyncio.open_unix_connection(engine.path)
    writer.write(b'{"verb": "look"}\n{"verb": "down"}\n')
    await writer.drain()
    writer.transport.abort()
    assert await still_answers(engine)


async def test_two_hundred_clients_at_once_are_all_answered(engine: Engine) -> None:
    async def one(number: int) -> bool:
        async with Client.connect(engine.path) as client:
            if number % 2:
                return epoch_of(await anext(client.snapshots())) == 0
            return (await client.command(Stop(run=str(number)))).ok

    async with asyncio.timeout(DEADLINE_S):
        assert all(await asyncio.gather(*(one(number) for number in range(200))))
    assert len(engine.commands) == 100
    await until(lambda: engine.server.subscribers == 0)


async def test_clients_that_come_while_the_engine_is_busy_wait_their_turn(engine: Engine) -> None:
    with contextlib.ExitStack() as stack:
        for _ in range(200):  # without the loop, so that nobody is accepted meanwhile
            client = stack.enter_context(socket.socket(socket.AF_UNIX))
            client.setblocking(False)
            client.connect(str(engine.path))
        assert await still_answers(engine)


async def test_a_subscriber_that_never_reads_does_not_hold_up_others(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(wire, "REQUEST_DEADLINE_S", 0.3)
    engine.padding = "x" * 2_000_000
    with socket.socket(socket.AF_UNIX) as stuck:
        stuck.connect(str(engine.path))
        stuck.sendall(b'{"verb":"subscribe"}\n')
        await until(lambda: engine.server.subscribers == 1)
        async with Client.connect(engine.path) as client, asyncio.timeout(DEADLINE_S):
            snapshots = client.snapshots()
            for epoch in range(5):
                await engine.show(epoch)
                while epoch_of(await anext(snapshots)) != epoch:
                    pass
        await until(lambda: engine.server.subscribers == 0)  # its connection was closed
        stuck.settimeout(DEADLINE_S)
        with contextlib.suppress(ConnectionResetError):
            while stuck.recv(1 << 20):
                pass  # the rest ends


# Other users


def test_only_the_user_and_root_are_authorized() -> None:
    assert is_authorized(os.getuid())
    assert is_authorized(0)
    assert not is_authorized(os.getuid() + 1)
    assert not is_authorized(65534)


STRANGER = """
import os, socket, sys
os.setgid(65534)
os.setuid(65534)
client = socket.socket(socket.AF_UNIX)
client.settimeout(20)
client.connect(sys.argv[1])
try:
    client.sendall(b'{"verb":"down"}\\n')
    print(client.recv(1000))
except ConnectionError:
    print(b"")
"""


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder that other users can enter."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        yield Path(folder)


@pytest.mark.skipif(os.getuid() != 0, reason="only root can become somebody else")
async def test_the_connection_of_another_user_is_closed(open_folder: Path) -> None:
    engine = Engine(open_folder / "s")
    await engine.server.listen(engine.path)
    engine.path.chmod(0o777)  # as if the folder's and the socket's modes did not protect it
    stranger = await asyncio.create_subprocess_exec(
        sys.executable, "-c", STRANGER, str(engine.path), stdout=subprocess.PIPE
    )
    output, _ = await asyncio.wait_for(stranger.communicate(), DEADLINE_S)
    assert (stranger.returncode, output) == (0, b"b''\n")
    assert engine.commands == []
    assert await still_answers(engine)
    await engine.server.close()


def test_messages_are_single_lines_of_json() -> None:
    line = Stop(run="a\nb\r\u2028").model_dump_json()
    assert "\n" not in line
    assert json.loads(line) == {"verb": "stop", "run": "a\nb\r\u2028", "how": "stop"}

"""The engine is killed: between decisions, in the middle of a command or of a journal line, and 200 times at random."""

import contextlib
import json
import os
import random
import signal
import socket
import time
from collections import Counter
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from support.cli_sandbox import CliSandbox
from support.engine_server import EngineServer
from support.process_table import (
    LONG_S,
    POLITE,
    UNTIL_GO,
    engine_of,
    events,
    exit_of,
    is_alive,
    kill_engine,
    pid_of,
    shell_run,
    stopped,
    wait_until_gone,
    wait_until_printed,
)
from support.waiting import wait_until

PAIR = (
    shell_run("transformer", UNTIL_GO)
    + shell_run("tabular", UNTIL_GO)
    + shell_run("mlp", "echo mlp >> mlp.ran", after=["transformer", "tabular"])
)


EPOCHS = """
[runs.a]
command = ["sh", "-c", "for i in 1 2 3; do echo epoch $i/100; until test -e go$i; do sleep 0.02; done; done"]
progress = 'epoch (?P<epoch>\\d+)/(?P<epochs>\\d+)'
"""


def journal_of(box: CliSandbox) -> Path:
    (path,) = box.logs.glob("session_*/journal.jsonl")
    return path


def leave_in_journal(box: CliSandbox, event: Mapping[str, Any]) -> None:
    """What an engine leaves that dies after noting a decision and before carrying it out."""
    with journal_of(box).open("a") as journal:
        journal.write(json.dumps({"at": time.time(), **event}) + "\n")


def mlp_ran_once(box: CliSandbox) -> None:
    for run in ("transformer", "tabular", "mlp"):
        assert exit_of(box, run)["exit_code"] == 0
        assert len(events(box, "attempt_starting", run)) == 1
    assert (box.folder / "mlp.ran").read_text() == "mlp\n"


def test_the_next_engine_does_not_estimate_the_time_to_go_from_an_epoch_whose_start_it_has_not_seen(
    box: CliSandbox,
) -> None:
    def progress(epoch: int) -> Mapping[str, Any]:
        return dict(box.wait(lambda status: status["runs"]["a"]["progress"].get("epoch") == epoch)["runs"]["a"])

    box.ok("--detach", "--plan", box.plan(EPOCHS))
    progress(1)
    kill_engine(box)
    assert progress(1)["eta_s"] is None
    (box.folder / "go1").touch()
    assert progress(2)["eta_s"] is None  # epoch 2 took longer than from the start of the engine
    (box.folder / "go2").touch()
    assert progress(3)["eta_s"] > 0
    (box.folder / "go3").touch()
    assert exit_of(box, "a")["exit_code"] == 0


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGQUIT, signal.SIGUSR1, signal.SIGUSR2, signal.SIGXCPU])
def test_a_signal_ends_a_detached_engine_alone_and_its_runs_go_on(box: CliSandbox, number: signal.Signals) -> None:
    box.ok("--detach", "--plan", box.plan(shell_run("a", UNTIL_GO)))
    pid, engine = pid_of(box, "a"), engine_of(box)
    os.kill(engine, number)
    wait_until_gone(engine)
    assert is_alive(pid)
    assert box.status()["runs"]["a"]["pid"] == pid  # of the next engine
    (box.folder / "go").touch()
    assert exit_of(box, "a")["exit_code"] == 0


def test_killed_between_the_end_of_both_transformers_and_the_start_of_the_mlp(box: CliSandbox) -> None:
    box.ok("--detach", "--plan", box.plan(PAIR))
    pids = [pid_of(box, "transformer"), pid_of(box, "tabular")]
    engine = engine_of(box)
    with stopped(engine):
        (box.folder / "go").touch()
        wait_until(lambda: len(list(box.logs.glob("session_*/*/attempt_1/exit.json"))) == 2, LONG_S, "both to end")
        os.kill(engine, signal.SIGKILL)
        wait_until_gone(engine)
    for pid in pids:
        wait_until_gone(pid)
    assert events(box, "attempt_ended") == []
    assert box.status()["runs"]["transformer"]["state"] == "succeeded"  # at the first look of the new engine
    mlp_ran_once(box)


def test_killed_after_deciding_to_start_the_mlp_and_before_doing_it(box: CliSandbox) -> None:
    box.ok("--detach", "--plan", box.plan(PAIR))
    pid_of(box, "transformer"), pid_of(box, "tabular")
    engine = engine_of(box)
    with stopped(engine):
        (box.folder / "go").touch()
        wait_until(lambda: len(list(box.logs.glob("session_*/*/attempt_1/exit.json"))) == 2, LONG_S, "both to end")
        os.kill(engine, signal.SIGKILL)
        wait_until_gone(engine)
    for run in ("transformer", "tabular"):
        end = {"kind": "attempt_ended", "run": run, "attempt": 1, "exit": {"ended": time.time(), "exit_code": 0}}
        leave_in_journal(box, end)
    start = {"kind": "attempt_starting", "run": "mlp", "attempt": 1, "fresh": False, "log_offset": 0}
    leave_in_journal(box, start)
    box.ok("status")
    assert exit_of(box, "mlp", attempt=2)["exit_code"] == 0
    assert [event["attempt"] for event in events(box, "attempt_voided", "mlp")] == [1]
    assert (box.folder / "mlp.ran").read_text() == "mlp\n"


@pytest.mark.parametrize(
    ("event", "expected"),
    [
        ({"kind": "stop_requested", "how": "stop"}, 143),
        ({"kind": "stop_requested", "how": "kill"}, None),
        ({"kind": "restart_requested", "fresh": False}, 143),
    ],
    ids=["stop", "kill", "restart"],
)
def test_killed_after_promising_a_command_and_before_carrying_it_out(
    box: CliSandbox, event: dict[str, Any], expected: int | None
) -> None:
    box.ok("--detach", "--plan", box.plan(shell_run("a", POLITE)))
    pid_of(box, "a")
    wait_until_printed(box, "a", "ready")
    kill_engine(box)
    leave_in_journal(box, {"run": "a", **event})
    box.ok("status")
    assert exit_of(box, "a").get("exit_code") == expected
    if event["kind"] == "restart_requested":
        pid_of(box, "a", attempt=2)
    else:
        assert box.states() == {"a": "stopped"}


@pytest.mark.parametrize("words", [("stop", "a"), ("restart", "a"), ("start", "b"), ("down",)], ids=" ".join)
def test_killed_while_a_command_arrives_the_client_reports_it_and_nothing_is_half_done(
    box: CliSandbox, words: tuple[str, ...]
) -> None:
    box.ok("--detach", "--plan", box.plan(shell_run("a", POLITE) + shell_run("b", "true", after=["a"])))
    pid = pid_of(box, "a")
    engine = engine_of(box)
    with stopped(engine):
        client = box.start(*words)
        wait_until(lambda: is_connected(client.pid), LONG_S, "the client to ask")
        os.kill(engine, signal.SIGKILL)
        output, _ = client.communicate(timeout=60)
    assert client.returncode == 2 and len(output.splitlines()) == 1, output
    assert "the engine closed the connection" in output and "`status` shows whether" in output
    status = box.status()
    assert (status["runs"]["a"]["state"], status["runs"]["a"]["pid"]) == ("running", pid)
    box.ok(*(words if words[0] != "start" else ("stop", "a")))
    exit_of(box, "a")


def is_connected(pid: int) -> bool:
    """Whether a process holds a socket that is connected to an engine's."""
    with contextlib.suppress(OSError):
        held = {os.readlink(entry) for entry in Path(f"/proc/{pid}/fd").iterdir()}  # noqa: PTH115 - not a path
        inodes = {name[8:-1] for name in held if name.startswith("socket:")}
        rows = [line.split() for line in Path("/proc/net/unix").read_text().splitlines()[1:]]
        # A client's end has no name; with a pair of the event loop's own, four would be usual for one connection.
        return sum(row[6] in inodes and row[5] == "03" and len(row) == 7 for row in rows) >= 3
    return False


def test_a_status_whose_engine_dies_while_answering_queries_the_next_one(box: CliSandbox) -> None:
    box.ok("--detach", "--plan", box.plan(shell_run("a", POLITE)))
    pid_of(box, "a")
    engine = engine_of(box)
    with stopped(engine):
        client = box.start("status", "--json")
        wait_until(lambda: is_connected(client.pid), LONG_S, "the client to ask")
        os.kill(engine, signal.SIGKILL)
        output, _ = client.communicate(timeout=60)
    assert client.returncode == 0, output
    assert json.loads(output)["engine_pid"] == engine_of(box) != engine


# Torn lines


@pytest.mark.parametrize("rest", [1, 10, 0.5, -1], ids=["one byte", "ten bytes", "half a line", "all but the newline"])
def test_killed_in_the_middle_of_a_journal_line(box: CliSandbox, rest: float) -> None:
    box.ok("--detach", "--plan", box.plan(PAIR))
    pid_of(box, "transformer"), pid_of(box, "tabular")
    kill_engine(box)
    line = json.dumps({"kind": "stop_requested", "at": time.time(), "run": "transformer", "how": "kill"})
    torn = line[: int(len(line) * rest)] if isinstance(rest, float) else line[:rest] if rest > 0 else line
    with journal_of(box).open("a") as journal:
        journal.write(torn)
    assert box.status()["runs"]["transformer"]["state"] == "running"
    (box.folder / "go").touch()
    mlp_ran_once(box)


def test_a_journal_that_lost_its_last_lines_starts_nothing_twice(box: CliSandbox) -> None:
    """As after a power cut on a disk that lies about its cache: the runs' own records are older and safe."""
    box.ok("--detach", "--plan", box.plan(PAIR))
    pids = [pid_of(box, "transformer"), pid_of(box, "tabular")]
    kill_engine(box)
    lines = journal_of(box).read_text().splitlines(keepends=True)
    kept = [line for line in lines if json.loads(line)["kind"] in ("engine_started", "slots_chosen")]
    journal_of(box).write_text("".join(kept))
    box.ok("status")
    assert [pid_of(box, "transformer"), pid_of(box, "tabular")] == pids
    (box.folder / "go").touch()
    mlp_ran_once(box)


# 200 random moments

WORLDS, KILLS = 4, 50  # at the same time; in each
LAYERS, WIDTH = 15, 2
LADDER = "echo start $PMSSM_SUPERVISE_ATTEMPT >> {run}.ran; sleep {seconds}; echo end >> {run}.ran; exit {code}"
VICTIM = (
    "exec 9>> {run}.lock; flock -n 9 || echo OVERLAP >> {run}.ran; echo start $PMSSM_SUPERVISE_ATTEMPT >> {run}.ran; "
    "trap 'echo term >> {run}.ran; exit 143' TERM; exec 8<> {run}.fifo; while :; do read -r _ <&8; done"
)
VICTIMS = ("v0", "v1")
COMMANDS: tuple[dict[str, str], ...] = (
    {"verb": "stop"},
    {"verb": "stop", "how": "kill"},
    {"verb": "restart"},
    {"verb": "start"},
)


class World:
    """A session whose engine is killed again and again while commands come in."""

    def __init__(self, box: CliSandbox, seed: int) -> None:
        self.box, self.seed, self.rng = box, seed, random.Random(seed)
        self.codes: dict[str, int] = {}
        self.kills = 0
        plan, before = "", list[str]()
        for victim in VICTIMS:
            os.mkfifo(box.folder / f"{victim}.fifo")  # waiting for a line of it costs nothing, unlike `sleep` in a loop
            plan += shell_run(victim, VICTIM.format(run=victim), stop_grace_s=5)
        for layer in range(LAYERS):
            names = [f"r{layer}_{column}" for column in range(WIDTH)]
            for name in names:
                self.codes[name] = 7 if layer == LAYERS - 1 and name == names[0] else 0
                seconds = round(self.rng.uniform(0, 0.1), 2)
                script = LADDER.format(run=name, seconds=seconds, code=self.codes[name])
                plan += shell_run(name, script, after=before)
            before = names
        box.ok("--detach", "--plan", box.plan(plan))

    def live(self) -> None:
        """All the kills, then peace, then the end."""
        with EngineServer(self.box.logs, self.box.env, self.box.folder) as self.server:
            while self.kills < KILLS:
                self._kill_after_a_while(self._bring_back())
                self._tear_journal()
        self.box.ok("status")
        wait_until(lambda: len(self._ended()) == len(self.codes), 120, f"the ladder of world {self.seed}")
        self.box.ok("down")
        self._check()

    def _bring_back(self) -> int:
        """A new engine: by a client's command, or at once."""
        if self.rng.random() < 0.1 or self.kills == 0:
            self.box.ok("restart", VICTIMS[0])  # unlike `status` also on a session that has finished meanwhile
            return int(self._holder()["pid"])
        (session,) = self.box.logs.glob("session_*")
        engine = self.server.start(session.name.removeprefix("session_"))
        if self.rng.random() < 0.85:  # else it is killed while it starts up
            wait_until(lambda: self._holder().get("pid") == engine or not is_alive(engine), LONG_S, "an engine")
        return engine

    def _kill_after_a_while(self, engine: int) -> None:
        for _ in range(self.rng.choice((0, 0, 1, 2))):
            self._send({**self.rng.choice(COMMANDS), "run": self.rng.choice(VICTIMS)})
        time.sleep(self.rng.choice((0.0, 0.01, 0.2)) * self.rng.random())  # the random moment
        with contextlib.suppress(ProcessLookupError):
            os.kill(engine, signal.SIGKILL)
            self.kills += 1
        wait_until_gone(engine)

    def _send(self, command: dict[str, str]) -> None:
        """Says it and does not wait to hear whether it was done."""
        with contextlib.suppress(OSError, ValueError), socket.socket(socket.AF_UNIX) as client:
            client.connect(self._holder().get("socket", ""))
            client.sendall(json.dumps(command).encode() + b"\n")
            client.settimeout(self.rng.choice((0.001, 0.02)))
            client.recv(1)

    def _tear_journal(self) -> None:
        journal = journal_of(self.box)
        data = journal.read_bytes()
        last = data.splitlines(keepends=True)[-1]
        chance = self.rng.random()
        if chance < 0.2:  # it died while it wrote
            journal.write_bytes(data + last[: self.rng.randrange(1, len(last))])
        elif chance < 0.3:  # the disk had promised the last line and did not keep it
            journal.write_bytes(data[: -self.rng.randrange(1, len(last))])

    def _holder(self) -> dict[str, Any]:
        """What the engine that listens, or listened last, says of itself."""
        with contextlib.suppress(OSError, ValueError):
            return dict(json.loads((self.box.logs / ".engine.lock").read_text()))
        return {}

    def _ended(self) -> set[str]:
        return {event["run"] for event in events(self.box, "attempt_ended")} & set(self.codes)

    def _check(self) -> None:
        context = f"seed {self.seed}"
        status = self.box.status()
        assert {name: status["runs"][name]["exit_code"] for name in self.codes} == self.codes, context
        for name in self.codes:
            ran = [line.split()[0] for line in (self.box.folder / f"{name}.ran").read_text().splitlines()]
            assert ran == ["start", "end"], (name, ran, context)
        ends = Counter((event["run"], event["attempt"]) for event in events(self.box, "attempt_ended"))
        assert set(ends.values()) == {1}, (ends, context)
        exits = {(event["run"], event["attempt"]): event["exit"] for event in events(self.box, "attempt_ended")}
        for victim in VICTIMS:
            self._check_victim(victim, {attempt: end for (run, attempt), end in exits.items() if run == victim})
        assert self.box.living() == [], context

    def _check_victim(self, run: str, exits: dict[int, dict[str, Any]]) -> None:
        """What the victim wrote of itself against what the journal says of it."""
        lines = (self.box.folder / f"{run}.ran").read_text().splitlines()
        context = (run, f"seed {self.seed}", lines, exits)
        assert "OVERLAP" not in lines, context
        starts = [line.rpartition("attempt_")[2] for line in lines if line.startswith("start")]
        assert len(starts) == len(set(starts)), context
        for at, line in enumerate(lines):
            if line.startswith("start"):
                said_term = lines[at + 1 : at + 2] == ["term"]
                end = exits[int(line.rpartition("attempt_")[2])]
                assert (end.get("exit_code"), end.get("signal")) in (
                    [(143, None)] if said_term else [(None, signal.SIGKILL), (None, signal.SIGTERM)]
                ), context


@pytest.mark.long(60)
@pytest.mark.timeout(400)
def test_killed_at_200_random_moments_it_loses_no_run_starts_none_twice_and_knows_every_end(
    make_box: Callable[[Mapping[str, str]], CliSandbox], env_without_nvml: Mapping[str, str]
) -> None:
    worlds = [
        World(make_box({**os.environ, **env_without_nvml}), seed) for seed in range(20_260_122, 20_260_122 + WORLDS)
    ]
    with ThreadPoolExecutor(WORLDS) as pool:
        for future in [pool.submit(world.live) for world in worlds]:
            future.result()
    assert sum(world.kills for world in worlds) >= 200

"""The installed command in a real terminal, with a real engine and real processes."""

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pexpect
import pyte
import pytest

COMMAND = str(Path(sys.executable).with_name("pmssm-supervise"))
DEADLINE_S = 30.0
PLAN = r"""
[session]
name = "dummies"
[runs.alpha]
command = ["sh", "-c", "for i in $(seq 1 10000); do echo \"Epoch $i/10000 | train 0.5 | val 0.$i\"; sleep 0.1; done"]
stop_grace_s = 5
progress = 'Epoch (?P<epoch>\d+)/(?P<epochs>\d+) \| train (?P<train_loss>\S+) \| val (?P<val_loss>\S+)'
[runs.beta]
command = ["sh", "-c", "printf 'evil \\033]0;title\\007[/x] \\033[2J line\\n'; exit 3"]
slot = "none"
[runs.gamma]
command = ["true"]
after = ["beta"]
"""


class Terminal:
    """A program in a pseudo-terminal, and the screen of that terminal."""

    def __init__(self, arguments: list[str], env: dict[str, str], columns: int = 80, lines: int = 24) -> None:
        self._screen = pyte.Screen(columns, lines)
        self._stream = pyte.ByteStream(self._screen)
        self.received = b""
        self.process = pexpect.spawn(COMMAND, arguments, dimensions=(lines, columns), env=env, timeout=DEADLINE_S)

    @property
    def text(self) -> str:
        return "\n".join(line.rstrip() for line in self._screen.display)

    def press(self, key: str) -> None:
        self.process.send(key)

    def resize(self, columns: int, lines: int) -> None:
        self._screen.resize(lines, columns)
        self.process.setwinsize(lines, columns)

    def until(self, *patterns: str) -> str:
        """Return the screen as soon as all the patterns are on it."""
        deadline = time.monotonic() + DEADLINE_S
        while not all(re.search(pattern, self.text) for pattern in patterns):
            assert time.monotonic() < deadline, f"no {patterns} on the screen:\n{self.text}"
            self._read()
        return self.text

    def until_left(self) -> str:
        """Return the screen after the program has ended."""
        deadline = time.monotonic() + DEADLINE_S
        while self.process.isalive():
            assert time.monotonic() < deadline, f"still there:\n{self.text}"
            self._read()
        self._read()
        return self.text

    def _read(self) -> None:
        try:
            data = self.process.read_nonblocking(1 << 16, timeout=0.1)
        except (pexpect.TIMEOUT, pexpect.EOF):
            return
        self.received += data
        self._stream.feed(data)


class Session:
    """A session of dummy commands in a folder of its own."""

    def __init__(self, folder: Path, env: dict[str, str]) -> None:
        self.env = {**os.environ, **env, "XDG_RUNTIME_DIR": str(folder), "TERM": "xterm-256color"}
        self.logs = folder / "logs"
        self.plan = folder / "plan.toml"
        self.plan.write_text(PLAN)

    def start(self) -> Terminal:
        return Terminal(["--plan", str(self.plan), "--logs", str(self.logs)], self.env)

    def attach(self, columns: int = 80, lines: int = 24) -> Terminal:
        return Terminal(["attach", "--logs", str(self.logs)], self.env, columns, lines)

    def run_command(self, *arguments: str) -> str:
        result = subprocess.run(
            [COMMAND, *arguments, "--logs", str(self.logs)], env=self.env, capture_output=True, text=True, check=False
        )
        return result.stdout + result.stderr


@pytest.fixture
def session(env_without_nvml: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Session]:
    made = Session(tmp_path_factory.mktemp("s"), env_without_nvml)
    yield made
    made.run_command("down")


def test_a_session_is_started_stopped_restarted_left_and_attached_again(session: Session) -> None:
    screen = session.start()
    screen.until(r"alpha +▶ running", r"beta +✗ failed", r"gamma +⊘ blocked", r"Epoch \d+/10000")
    screen.press("/x.*Epoch|val\r")  # all at once, as over a slow line; none of it may run a command
    screen.until(r"match \d+/\d+ for 'x.\*Epoch\|val'")
    screen.press("x")
    screen.until("Stop alpha", "up to 5 s, then")
    screen.press("y")
    screen.until(r"alpha +■ stopped")
    screen.press("r")
    screen.until(r"alpha +▶ running", r"attempt 2")
    screen.press("\tj")  # the search has left the keys that scroll to the log
    screen.until(r"beta: ✗ failed · exit code 3", r"evil \[/x\]  line")
    assert b"\x1b]0;title" not in screen.received
    screen.press("j")
    screen.until(r"gamma: ⊘ blocked · blocked by beta \(exit code 3\)")
    screen.press("q")
    assert "Detached; the runs continue." in screen.until_left()
    assert screen.process.exitstatus == 0

    again = session.attach()
    again.until(r"alpha: ▶ running", r"attempt 2")
    again.resize(140, 40)
    again.until("trend", "GPU mem")
    again.resize(60, 20)
    again.until(r"alpha +▶ running")
    again.press("Q")
    again.until("End the session?", r"up to 5 s, then")
    again.press("y")
    again.until("The session has finished", r"alpha +■ stopped")
    again.press("q")
    assert "The session has finished." in again.until_left()


def test_dashboard_and_runs_survive_the_death_of_the_engine(session: Session) -> None:
    screen = session.start()
    screen.until(r"alpha +▶ running", r"pid \d+")
    before = re.search(r"pid (\d+)", screen.text)
    engine = re.search(r'"engine_pid": *(\d+)', session.run_command("status", "--json"))
    assert before is not None
    assert engine is not None
    os.kill(int(engine[1]), signal.SIGKILL)
    screen.until("engine unreachable, reconnecting…")
    deadline = time.monotonic() + DEADLINE_S
    while "reconnecting" in screen.text:
        assert time.monotonic() < deadline, screen.text
        screen._read()
    screen.until(r"alpha +▶ running", rf"pid {before[1]}\b", "reconnected to the engine")
    screen.process.kill(signal.SIGKILL)  # as a lost connection would
    assert re.search(rf'"pid": *{before[1]}\b', session.run_command("status", "--json"))


def test_a_finished_session_can_be_viewed_and_resumed(session: Session) -> None:
    session.start().until(r"alpha +▶ running", r"beta +✗ failed")
    session.run_command("down")
    screen = session.attach(120, 40)
    screen.until("The session has finished", r"alpha +■ stopped", "r restarts a run")
    screen.press("kkk")
    screen.until("alpha: ■ stopped")
    screen.press("r")
    screen.until(r"alpha +▶ running", "attempt 2")

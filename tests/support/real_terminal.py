"""A program in a pseudo-terminal, and sessions of dummy commands to show there."""

import contextlib
import os
import re
import subprocess
import sys
import time
from pathlib import Path

import pexpect
import pyte

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

    def __init__(
        self, arguments: list[str], env: dict[str, str], columns: int = 80, lines: int = 24, *, program: str = COMMAND
    ) -> None:
        self._screen = pyte.Screen(columns, lines)
        self._stream = pyte.ByteStream(self._screen)
        self.received = b""
        self.process = pexpect.spawn(program, arguments, dimensions=(lines, columns), env=env, timeout=DEADLINE_S)

    @property
    def text(self) -> str:
        return "\n".join(line.rstrip() for line in self._screen.display)

    def press(self, key: str) -> None:
        self.process.send(key)

    def clear(self) -> None:
        """Forget what is on the screen, as the other screen of a real terminal does when the dashboard leaves it."""
        self._screen.reset()

    def resize(self, columns: int, lines: int) -> None:
        self._screen.resize(lines, columns)
        self.process.setwinsize(lines, columns)

    def until(self, *patterns: str) -> str:
        """Return the screen as soon as all the patterns are on it."""
        deadline = time.monotonic() + DEADLINE_S
        while not all(re.search(pattern, self.text) for pattern in patterns):
            assert time.monotonic() < deadline, f"no {patterns} on the screen:\n{self.text}"
            self.read()
        return self.text

    def until_left(self) -> str:
        """Return the screen after the program has ended."""
        deadline = time.monotonic() + DEADLINE_S
        while self.process.isalive():
            assert time.monotonic() < deadline, f"still there:\n{self.text}"
            self.read()
        self.read()
        return self.text

    def read_for(self, seconds: float) -> None:
        """Show what the program sends within that time."""
        end = time.monotonic() + seconds
        while time.monotonic() < end and self.process.isalive():
            self.read()

    def read_rest(self) -> None:
        """Show what a program that has ended has sent last."""
        before = -1
        while len(self.received) > before:
            before = len(self.received)
            self.read()

    def skip_for(self, seconds: float) -> None:
        """Read without showing what the program sends within that time: far more than pyte can follow."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            with contextlib.suppress(pexpect.TIMEOUT, pexpect.EOF):
                self.process.read_nonblocking(1 << 16, timeout=0.1)

    def read(self) -> None:
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

    def shell(self) -> Terminal:
        """Return an interactive shell with job control."""
        env = {**self.env, "PS1": "shell> ", "PATH": f"{Path(COMMAND).parent}:{self.env['PATH']}"}
        return Terminal(["--norc", "--noprofile", "-i"], env, program="bash")

    def run_command(self, *arguments: str) -> str:
        result = subprocess.run(
            [COMMAND, *arguments, "--logs", str(self.logs)], env=self.env, capture_output=True, text=True, check=False
        )
        return result.stdout + result.stderr

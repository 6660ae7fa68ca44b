"""A process from which engines are forked, in which their modules are imported already.

These imports are most of what the start of an engine costs. Run as a program, it reads stamps of sessions from
standard input, and answers each with the pid of a new engine.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Self


class EngineServer:
    """Starts engines for the sessions of one logs folder; a context manager, which ends the server.

    Args:
        logs: The logs folder.
        env: Environment of the engines.
        folder: Their working directory.
    """

    def __init__(self, logs: Path, env: Mapping[str, str], folder: Path) -> None:
        # The module's name makes `CliSandbox.engines` find the server and its engines.
        words = [sys.executable, "-P", __file__, "pmssm.supervisor.engine", str(logs)]
        self._process = subprocess.Popen(
            words, env=env, cwd=folder, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        assert self._process.stdin is not None and self._process.stdout is not None
        self._process.stdin.close()
        self._process.wait(60)
        self._process.stdout.close()

    def start(self, stamp: str) -> int:
        """Start an engine and return its pid. The server reaps it when it ends."""
        assert self._process.stdin is not None and self._process.stdout is not None
        self._process.stdin.write(f"{stamp}\n")
        self._process.stdin.flush()
        return int(self._process.stdout.readline())


def main(logs: str) -> int:
    """Serve until standard input is closed; in an engine, return its exit code."""
    from pmssm.supervisor.engine.__main__ import main as run_engine

    signal.signal(signal.SIGCHLD, _reap)
    while stamp := sys.stdin.readline().strip():
        pid = os.fork()
        if pid == 0:
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            null = os.open(os.devnull, os.O_RDWR)
            os.dup2(null, 0)
            os.dup2(null, 1)
            sys.argv = [sys.argv[0], logs, stamp]
            return run_engine()
        print(pid, flush=True)
    return 0


def _reap(*_: object) -> None:
    try:
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
    except ChildProcessError:
        pass


if __name__ == "__main__":
    sys.exit(main(sys.argv[2]))

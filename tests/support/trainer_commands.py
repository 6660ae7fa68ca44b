"""Trainers' commands as processes that are forked from a server, in which the slow libraries are imported already.

The import of PyTorch takes 2 s of CPU time, more than most commands need for the rest. What depends on the start of
the interpreter itself, such as signals during imports or the encoding of the streams, is tested with a process that
is started as users do it.
"""

from __future__ import annotations

import multiprocessing
import os
import runpy
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from multiprocessing import forkserver
from multiprocessing.context import ForkServerContext
from multiprocessing.process import BaseProcess
from pathlib import Path

import pytest

TIMEOUT_S = 100.0


def make_server() -> ForkServerContext:
    """Return a context whose server ends with this process."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["support.trainer_imports"])
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(Path(__file__).parents[1]))  # the server has no other way to find the module
        forkserver.ensure_running()
    return context


def run_command(
    server: ForkServerContext, arguments: Sequence[object], cwd: Path | None
) -> subprocess.CompletedProcess[str]:
    """Run `python -m pmssm.trainers …` to its end, with the present environment.

    Args:
        server: Result of `make_server()`.
        arguments: Command and options.
        cwd: Working directory; None for that of this process.

    Returns:
        Exit code and output.

    Raises:
        subprocess.TimeoutExpired: The command did not end within `TIMEOUT_S`; it was killed.
    """
    words = [str(argument) for argument in arguments]
    with tempfile.TemporaryDirectory() as folder:
        out, err = Path(folder) / "out", Path(folder) / "err"
        process = server.Process(target=_command, args=(words, dict(os.environ), cwd or Path.cwd(), out, err))
        process.start()
        _wait(process, words)
        return subprocess.CompletedProcess(words, process.exitcode or 0, out.read_text(), err.read_text())


class StartedCommand:
    """A command that is running, with the part of the interface of `subprocess.Popen` that tests need.

    Attributes:
        stdout: Its output and errors.
        pid: Its pid.
    """

    def __init__(self, server: ForkServerContext, arguments: Sequence[object], folder: Path) -> None:
        pipe = folder / "output"
        os.mkfifo(pipe)
        words = [str(argument) for argument in arguments]
        self._process = server.Process(target=_command, args=(words, dict(os.environ), Path.cwd(), pipe, pipe))
        self._process.start()
        self.stdout = pipe.open()
        assert self._process.pid is not None
        self.pid = self._process.pid

    @property
    def returncode(self) -> int | None:
        """The exit code, or the negative number of the signal that ended it; None while it is running."""
        return self._process.exitcode

    def send_signal(self, number: int) -> None:
        """Send a signal to it."""
        os.kill(self.pid, number)

    def communicate(self, timeout: float) -> tuple[str, None]:
        """Read the rest of the output and wait for the end, for at most `timeout` seconds after the output's end."""
        with self.stdout:
            rest = self.stdout.read()
        _wait(self._process, [], timeout)
        return rest, None


def _wait(process: BaseProcess, words: list[str], timeout: float = TIMEOUT_S) -> None:
    process.join(timeout)
    if process.exitcode is None:
        process.kill()
        process.join()
        raise subprocess.TimeoutExpired(words, timeout)


def _command(words: list[str], env: Mapping[str, str], cwd: Path, out: Path, err: Path) -> None:
    for path, name in ((out, "stdout"), (err, "stderr")):
        stream, descriptor = getattr(sys, name), os.open(path, os.O_WRONLY | os.O_CREAT)
        os.dup2(descriptor, stream.fileno())
        os.close(descriptor)
        # Another object, since the server's has found out whether its file can seek.
        setattr(sys, name, open(stream.fileno(), "w", encoding=stream.encoding, closefd=False))  # noqa: SIM115
    os.environ.clear()
    os.environ.update(env)
    os.chdir(cwd)
    sys.argv = ["pmssm.trainers", *words]
    runpy.run_module("pmssm.trainers", run_name="__main__", alter_sys=True)

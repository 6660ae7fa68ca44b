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


def _wait(process: BaseProcess, words: list[str]) -> None:
    process.join(TIMEOUT_S)
    if process.exitcode is None:
        process.kill()
        process.join()
        raise subprocess.TimeoutExpired(words, TIMEOUT_S)


def _command(words: list[str], env: Mapping[str, str], cwd: Path, out: Path, err: Path) -> None:
    for path, stream in ((out, sys.stdout), (err, sys.stderr)):
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT)
        os.dup2(descriptor, stream.fileno())
        os.close(descriptor)
    os.environ.clear()
    os.environ.update(env)
    os.chdir(cwd)
    sys.argv = ["pmssm.trainers", *words]
    runpy.run_module("pmssm.trainers", run_name="__main__", alter_sys=True)

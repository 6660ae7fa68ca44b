"""Programs as processes that are forked from a server, in which the modules they need are imported already.

Imports are most of what a command costs. What depends on the start of the interpreter itself, such as the encoding of
the streams, is tested with a process that is started as users do it.
"""

from __future__ import annotations

import atexit
import gc
import importlib
import json
import os
import pkgutil
import runpy
import select
import signal
import socket
import subprocess
import sys
import threading
import time
import traceback
import weakref
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NoReturn

MAX_REQUEST = 1 << 17


class CommandServer:
    """Runs Python programs to their end. The server ends when nobody holds this object any more.

    Args:
        preload: Modules that the server imports; of a package that ends with `.*` all modules.
        env: Environment of the server: what the interpreter and the dynamic linker read at their start.
        prefix: Arguments before its command, such as `setpriv --reuid=1000`.
    """

    def __init__(self, preload: Sequence[str], env: Mapping[str, str], prefix: Sequence[str] = ()) -> None:
        self._socket, its = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with its:
            process = subprocess.Popen(
                [*prefix, sys.executable, "-P", __file__, str(its.fileno()), *preload],
                env=env,
                cwd="/",
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                pass_fds=[its.fileno()],
            )
        weakref.finalize(self, _end, self._socket, process)

    def run(
        self, program: Path, arguments: Sequence[str], cwd: Path, env: Mapping[str, str], timeout: float
    ) -> subprocess.CompletedProcess[str]:
        """Run a program, like `subprocess.run` with `capture_output` and `text`.

        Args:
            program: Python script, such as an installed command.
            arguments: Its arguments.
            cwd: Its working directory.
            env: Its environment.
            timeout: Seconds after which it is killed.

        Raises:
            subprocess.TimeoutExpired: It, or a process that holds its output, did not end in time.
        """
        words = [str(program), *arguments]
        request = json.dumps({"words": words, "cwd": str(cwd), "env": dict(env)})
        pipes = [os.pipe() for _ in range(3)]
        socket.send_fds(self._socket, [request.encode()], [written for _, written in pipes])
        for _, written in pipes:
            os.close(written)
        output, errors, report = readers = [_Reader(read) for read, _ in pipes]
        deadline = time.monotonic() + timeout
        if not all(reader.has_ended(deadline) for reader in readers):
            os.kill(int(report.text().split()[0]), signal.SIGKILL)
            raise subprocess.TimeoutExpired(words, timeout, output.text(), errors.text())
        _, code = report.text().split()
        return subprocess.CompletedProcess(words, int(code), output.text(), errors.text())


class _Reader:
    """Reads a pipe to its end, in a thread of its own."""

    def __init__(self, descriptor: int) -> None:
        self._data = b""
        self._thread = threading.Thread(target=self._read, args=[descriptor], daemon=True)
        self._thread.start()

    def _read(self, descriptor: int) -> None:
        with open(descriptor, "rb", buffering=0) as pipe:
            while data := pipe.read(1 << 16):
                self._data += data

    def has_ended(self, deadline: float) -> bool:
        self._thread.join(max(0.0, deadline - time.monotonic()))
        return not self._thread.is_alive()

    def text(self) -> str:
        return self._data.decode().replace("\r\n", "\n").replace("\r", "\n")


def _end(connection: socket.socket, process: subprocess.Popen[bytes]) -> None:
    connection.close()
    process.wait()


def main(descriptor: int, preload: Sequence[str]) -> None:
    """Serve until nobody holds the other end of the socket."""
    for name in preload:
        _import(name)
    gc.freeze()  # a collection in a child would copy all pages
    reports: dict[int, tuple[int, int]] = {}  # by descriptors of running programs: pids, and where their ends are told
    with socket.socket(fileno=descriptor) as requests:
        while True:
            ready, _, _ = select.select([requests, *reports], [], [])
            for each in ready:
                if each is not requests:
                    _report_end(each, *reports.pop(each))
                elif not _start_program(requests, reports):
                    return


def _start_program(requests: socket.socket, reports: dict[int, tuple[int, int]]) -> bool:
    """Fork the next program; return False if there will be none."""
    data, descriptors, _, _ = socket.recv_fds(requests, MAX_REQUEST, 3)
    if not data:
        return False
    out, err, report = descriptors
    pid = os.fork()
    if pid == 0:
        for each in (report, requests.fileno(), *reports, *(told for _, told in reports.values())):
            os.close(each)
        _redirect("stdout", out, 1)
        _redirect("stderr", err, 2)
        _run_program(**json.loads(data))
    os.close(out)
    os.close(err)
    os.write(report, f"{pid} ".encode())
    reports[os.pidfd_open(pid)] = pid, report
    return True


def _report_end(process: int, pid: int, report: int) -> None:
    _, status = os.waitpid(pid, 0)
    os.write(report, str(os.waitstatus_to_exitcode(status)).encode())
    os.close(report)
    os.close(process)


def _import(name: str) -> None:
    package = importlib.import_module(name.removesuffix(".*"))
    if name.endswith(".*"):
        for module in pkgutil.iter_modules(package.__path__, f"{package.__name__}."):
            importlib.import_module(module.name)


def _redirect(name: str, new: int, number: int) -> None:
    os.dup2(new, number)
    os.close(new)
    old = getattr(sys, name)
    # Another object, since the server's has found out whether its file can seek.
    stream = open(number, "w", encoding=old.encoding, errors=old.errors, closefd=False)  # noqa: SIM115
    stream.reconfigure(write_through=old.write_through, line_buffering=old.line_buffering)
    setattr(sys, name, stream)
    setattr(sys, f"__{name}__", stream)


def _run_program(words: list[str], cwd: str, env: dict[str, str]) -> NoReturn:
    os.environ.clear()
    os.environ.update(env)
    os.chdir(cwd)
    sys.argv = words
    sys.path.insert(0, str(Path(words[0]).parent))
    code: object = 1
    try:
        runpy.run_path(words[0], run_name="__main__")
        code = 0
    except SystemExit as error:
        code = error.code or 0
        if not isinstance(code, int):
            print(code, file=sys.stderr)
            code = 1
    except BaseException:
        traceback.print_exc()
    threading._shutdown()  # type: ignore[attr-defined]
    atexit._run_exitfuncs()  # type: ignore[attr-defined]
    sys.stdout.flush()
    os._exit(code)  # the end of an interpreter with many modules takes long


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2:])

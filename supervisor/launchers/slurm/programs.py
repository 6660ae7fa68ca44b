"""The only module that runs Slurm's programs.

Each call has a deadline and a limit on its output, and an environment in which no variable changes what the programs
do or print. The programs block for up to a minute where no controller answers, so they run beside the event loop.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import signal
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from .errors import SlurmNotInstalled, SlurmOutputError, SlurmUnavailable

MAX_OUTPUT = 64 << 20  # bytes
KILL_DEADLINE_S = 5.0

# The user's defaults for sbatch, which our options override. Everything else of Slurm's is dropped: inside a job,
# SLURM_* variables change what sbatch asks for, and SQUEUE_* and the like change the output.
_KEPT = ("SLURM_CONF", "SLURM_CLUSTERS", "SBATCH_ACCOUNT", "SBATCH_PARTITION", "SBATCH_QOS", "SBATCH_RESERVATION")
_FOREIGN = re.compile(r"(SLURM|SLURMD|SQUEUE|SBATCH|SACCT|SCANCEL|SINFO|SCONTROL|SALLOC|SRUN)_")


@dataclass(frozen=True)
class Answer:
    """What a program wrote before it ended."""

    returncode: int
    stdout: str
    stderr: str


def without_options(environment: Mapping[str, str]) -> dict[str, str]:
    """Return the environment without variables that change what Slurm's programs do."""
    return {name: text for name, text in environment.items() if name in _KEPT or not _FOREIGN.match(name)}


def clean_environment(environment: Mapping[str, str]) -> dict[str, str]:
    """Return the environment for Slurm's programs: English messages, times in UTC, no hidden options."""
    return {**without_options(environment), "LC_ALL": "C", "TZ": "UTC", "SLURM_TIME_FORMAT": "standard"}


async def run_program(command: Sequence[str], text: str, environment: Mapping[str, str], deadline_s: float) -> Answer:
    """Run one program, with `text` as its input, to its end or to the deadline.

    Raises:
        SlurmNotInstalled: There is no such program.
        SlurmUnavailable: The deadline passed.
        SlurmOutputError: It wrote more than MAX_OUTPUT.
    """
    pipe = asyncio.subprocess.PIPE
    try:
        process = await asyncio.create_subprocess_exec(
            *command, stdin=pipe, stdout=pipe, stderr=pipe, env=environment, start_new_session=True
        )
    except FileNotFoundError:
        remedy = "run on a login node of the cluster, or load the site's Slurm module first"
        raise SlurmNotInstalled(f"{command[0]}: no such program here; {remedy}") from None
    except OSError as error:
        raise SlurmUnavailable(f"cannot run {command[0]}: {error.strerror}") from None
    assert process.stdin and process.stdout and process.stderr
    outputs = _Output(process), _Output(process)
    try:
        async with asyncio.timeout(deadline_s):
            process.stdin.write(text.encode("utf-8", "surrogateescape"))
            with contextlib.suppress(ConnectionError):  # it ended without reading, and says why
                await process.stdin.drain()
            process.stdin.close()
            await asyncio.gather(outputs[0].read(process.stdout), outputs[1].read(process.stderr))
            await process.wait()
    except TimeoutError:
        raise SlurmUnavailable(f"{command[0]} has not answered for {deadline_s:g} s") from None
    finally:
        if process.returncode is None:
            _kill(process)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(KILL_DEADLINE_S):
                    # The pipes have to be read to their end, or wait() would never return.
                    await asyncio.gather(outputs[0].read(process.stdout), outputs[1].read(process.stderr))
                    await process.wait()
    if any(output.is_too_long for output in outputs):
        raise SlurmOutputError(f"{command[0]} wrote more than {MAX_OUTPUT >> 20} MiB")
    assert process.returncode is not None
    return Answer(process.returncode, outputs[0].text(), outputs[1].text())


class _Output:
    """What a program writes to one pipe, up to MAX_OUTPUT; a program that writes more is killed."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process
        self._chunks: list[bytes] = []
        self._size = 0

    @property
    def is_too_long(self) -> bool:
        return self._size > MAX_OUTPUT

    async def read(self, stream: asyncio.StreamReader) -> None:
        """Read to the end of the stream."""
        while chunk := await stream.read(1 << 16):
            self._size += len(chunk)
            if self.is_too_long:
                self._chunks.clear()
                _kill(self._process)
            else:
                self._chunks.append(chunk)

    def text(self) -> str:
        return b"".join(self._chunks).decode("utf-8", "replace")


def _kill(process: asyncio.subprocess.Process) -> None:
    """Kill a program and what it started, which may hold its pipes open."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)

"""Build the options of sbatch and the batch script of one attempt. Pure.

The script runs the setup lines and then becomes the shim (`exec`). So the shim is Slurm's batch process, the one that
`--signal=B:` and `scancel --batch` reach; the command below it hears of a stop from the shim alone.
"""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from pathlib import Path

from .settings import SlurmSettings
from .tokens import JobToken

SETUP_FAILED = 126  # exit code of a job whose setup line failed
OUTPUT = "job.log"  # in the attempt's folder: output of setup lines, and complaints of Slurm and shim
WARNING_S = 120  # before the time limit
MAX_WARNING_S = 65_535


class UnusablePath(ValueError):
    """A path holds a character that Slurm or a script cannot be given."""


@dataclass(frozen=True)
class JobRequest:
    """One attempt as a job.

    Attributes:
        token: What the job is found by.
        folder: The attempt's folder, absolute, which nodes see under the same path.
        python: Interpreter on the nodes.
        job_shim: Path of job_shim.py on the nodes.
        settings: What to ask of Slurm.
        warning_s: How long before the time limit the shim is told to stop, s; 0 sends no warning.
        after: Numbers of jobs that must end with exit code 0 before this one starts.
        takes_gpu: Whether one GPU is asked for where the settings name no `gres`.
    """

    token: JobToken
    folder: Path
    python: Path
    job_shim: Path
    settings: SlurmSettings
    warning_s: int = WARNING_S
    after: tuple[int, ...] = ()
    takes_gpu: bool = True

    def __post_init__(self) -> None:
        """Check paths and times.

        Raises:
            UnusablePath: A path is relative or holds a line break or NUL.
            ValueError: `warning_s` is out of range.
        """
        for path in (self.folder, self.python, self.job_shim):
            if not path.is_absolute() or any(char in str(path) for char in "\n\r\0"):
                raise UnusablePath(f"{str(path)!r}: must be an absolute path without line breaks")
        if not 0 <= self.warning_s <= MAX_WARNING_S:
            raise ValueError(f"warning_s must be 0 to {MAX_WARNING_S}, not {self.warning_s}")


def sbatch_options(request: JobRequest) -> tuple[str, ...]:
    """Return the options of sbatch, the user's own first, so that ours win."""
    settings = request.settings
    gres = settings.gres or ("gpu:1" if request.takes_gpu else None)
    asked = {
        "partition": settings.partition,
        "account": settings.account,
        "qos": settings.qos,
        "time": settings.time,
        "gres": None if gres == "none" else gres,
        "cpus-per-task": settings.cpus,
        "mem": settings.mem,
        "constraint": settings.constraint,
        "dependency": "afterok:" + ":".join(map(str, request.after)) if request.after else None,
        "signal": f"B:TERM@{request.warning_s}" if request.warning_s else None,
    }
    return (
        *settings.extra,
        *(f"--{name}={value}" for name, value in asked.items() if value is not None),
        f"--job-name={request.token}",
        f"--comment={request.token}",
        "--ntasks=1",
        "--nodes=1",
        "--no-requeue",
        "--open-mode=append",
        "--kill-on-invalid-dep=yes",
        "--export=NONE",
        "--input=/dev/null",
        f"--output={escape_pattern(request.folder / OUTPUT)}",
        f"--chdir={request.folder}",
    )


def escape_pattern(path: Path) -> str:
    """Return a path for --output, where Slurm replaces `%x`.

    In a path with a backslash Slurm replaces nothing, and takes two backslashes for one. In any other path it takes
    `%%` for `%`. Source: "filename pattern" in sbatch(1), and trials with 22.05.
    """
    text = str(path)
    return text.replace("\\", "\\\\") if "\\" in text else text.replace("%", "%%")


def batch_script(request: JobRequest) -> str:
    """Return the text of the batch script.

    Each setup line runs by `eval`, in the shell that becomes the shim: what it exports stays, and a line with a syntax
    error fails alone, with its number, instead of the whole script.
    """
    lines = ["#!/bin/bash -l"]
    for number, line in enumerate(request.settings.setup, 1):
        complaint = shlex.quote(f"setup line {number} failed: {line}")
        lines.append(f"eval {shlex.quote(line)} || {{ printf '%s\\n' {complaint} >&2; exit {SETUP_FAILED}; }}")
    command = [str(request.python), "-I", "-S", str(request.job_shim), str(request.folder)]
    return "\n".join([*lines, f"exec {shlex.join(command)}", ""])

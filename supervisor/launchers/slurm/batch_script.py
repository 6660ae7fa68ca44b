"""Build the options of sbatch and the batch script of one job. Pure.

The script runs the setup lines and then becomes the shim (`exec`). So the shim is Slurm's batch process, the one that
`--signal=B:` and `scancel --batch` reach; the command below it hears of a stop from the shim alone. A job of several
attempts becomes bundle_runner instead, which passes signals on to their shims.

The session's environment goes by a file (`--export-file`): a comma would cut a value in `--export`, and `--export=NONE`
replaces the user's PATH by that of a login shell. The setup lines see it and may change it. The plan's own variables
come last, see job_shim.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from .bundle_runner import DEVICES, OUTPUT
from .settings import SlurmSettings
from .tokens import JobToken

SETUP_FAILED = 126  # exit code of a job whose setup line failed
BUNDLE_RUNNER = "bundle_runner.py"
ENVIRONMENT = "environment"  # in the attempt's folder: NAME=value, each ended by NUL
WARNING_S = 120  # before the time limit
MAX_WARNING_S = 65_535
# Variables that the node or Slurm decides. A job without GPU has none of the first; it must not inherit them either.
NODE_DECIDES = (*DEVICES, "TMPDIR", "HOSTNAME", "XDG_RUNTIME_DIR", "DISPLAY")
_NOT_SENT = re.compile(r"(SLURM|SLURMD|SBATCH|SRUN|SALLOC|SQUEUE|SACCT|SINFO|PMI|PMIX)_|_$|(PWD|OLDPWD|SHLVL)$")


class UnusablePath(ValueError):
    """A path holds a character that Slurm or a script cannot be given."""


@dataclass(frozen=True)
class JobRequest:
    """One attempt as a job, or several.

    Attributes:
        token: What the job is found by: the token of its first attempt.
        folder: The first attempt's folder, absolute, which nodes see under the same path.
        python: Interpreter on the nodes.
        job_shim: Path of job_shim.py on the nodes, beside which bundle_runner.py lies.
        settings: What to ask of Slurm.
        warning_s: How long before the time limit the shim is told to stop, s; 0 sends no warning.
        after: Numbers of jobs that must end with exit code 0 before this one starts.
        takes_gpu: Whether one GPU is asked for where the settings name no `gres`.
        environment: Content of ENVIRONMENT, by which attempts are compared.
        others: Folders of the further attempts in the same job.
    """

    token: JobToken
    folder: Path
    python: Path
    job_shim: Path
    settings: SlurmSettings
    warning_s: int = WARNING_S
    after: tuple[int, ...] = ()
    takes_gpu: bool = True
    environment: bytes = field(default=b"", repr=False)
    others: tuple[Path, ...] = ()

    def __post_init__(self) -> None:
        """Check paths and times.

        Raises:
            UnusablePath: A path is relative or holds a line break or NUL.
            ValueError: `warning_s` is out of range.
        """
        for path in (*self.folders, self.python, self.job_shim):
            if not path.is_absolute() or any(char in str(path) for char in "\n\r\0"):
                raise UnusablePath(f"{str(path)!r}: must be an absolute path without line breaks")
        if not 0 <= self.warning_s <= MAX_WARNING_S:
            raise ValueError(f"warning_s must be 0 to {MAX_WARNING_S}, not {self.warning_s}")

    @property
    def folders(self) -> tuple[Path, ...]:
        """The folders of all attempts in the job."""
        return (self.folder, *self.others)


def sbatch_options(request: JobRequest) -> tuple[str, ...]:
    """Return the options of sbatch, the user's own first, so that ours win."""
    settings = request.settings
    gres = settings.gres or ("gpu:1" if request.takes_gpu else None)
    warning = warning_before(settings.time, request.warning_s)
    asked = {
        "partition": settings.partition,
        "account": settings.account,
        "qos": settings.qos,
        "time": settings.time,
        "gres": None if gres == "none" else gres,
        "ntasks": len(request.folders),
        "cpus-per-task": settings.cpus,
        "mem": settings.mem,
        "constraint": settings.constraint,
        "dependency": "afterok:" + ":".join(map(str, request.after)) if request.after else None,
        "signal": f"B:TERM@{warning}" if warning else None,
    }
    return (
        *settings.extra,
        *(f"--{name}={value}" for name, value in asked.items() if value is not None),
        f"--job-name={request.token}",
        f"--comment={request.token}",
        "--nodes=1",
        "--no-requeue",
        "--open-mode=append",
        "--kill-on-invalid-dep=yes",
        f"--export-file={request.folder / ENVIRONMENT}",
        "--input=/dev/null",
        f"--output={escape_pattern(request.folder / OUTPUT)}",
        f"--chdir={request.folder}",
    )


def warning_before(time: str | None, warning_s: int) -> int:
    """Return how long before the time limit the warning is sent, s: at most a quarter of a known limit.

    A warning that is longer than the limit comes at once, and nothing is computed at all.
    """
    minutes = time_limit_minutes(time)
    return warning_s if minutes is None else min(warning_s, round(minutes * 15))


def time_limit_minutes(time: str | None) -> float | None:
    """Return a time in Slurm's notation in minutes, or None if it is infinite or not given.

    The notations are M, M:S, H:M:S, D-H, D-H:M and D-H:M:S, see --time in sbatch(1).
    """
    if time is None or not re.fullmatch(r"[\d:-]+", time):
        return None
    days, dash, rest = time.rpartition("-")
    parts = [int(part) for part in rest.split(":")]
    if dash:
        hours, minutes, seconds = (*parts, 0, 0)[:3]
        return (int(days) * 24 + hours) * 60 + minutes + seconds / 60
    if len(parts) == 3:
        return parts[0] * 60 + parts[1] + parts[2] / 60
    return parts[0] + (parts[1] / 60 if len(parts) == 2 else 0)


def environment_file(environment: Mapping[str, str]) -> bytes:
    """Return the content of ENVIRONMENT: all variables but those that belong to the node or to Slurm.

    Raises:
        ValueError: A name or value cannot be an environment variable.
    """
    sent = {
        name: value for name, value in environment.items() if name not in NODE_DECIDES and not _NOT_SENT.match(name)
    }
    for name, value in sent.items():
        if not name or "=" in name or "\0" in name + value:
            raise ValueError(f"not an environment variable: {name!r}")
    return b"".join(f"{name}={value}".encode("utf-8", "surrogateescape") + b"\0" for name, value in sent.items())


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
    lines = ["#!/bin/bash"]
    for number, line in enumerate(request.settings.setup, 1):
        complaint = shlex.quote(f"setup line {number} failed: {line}")
        lines.append(f"eval {shlex.quote(line)} || {{ printf '%s\\n' {complaint} >&2; exit {SETUP_FAILED}; }}")
    program = request.job_shim.with_name(BUNDLE_RUNNER) if request.others else request.job_shim
    command = [str(request.python), "-I", "-S", str(program), *map(str, request.folders)]
    return "\n".join([*lines, f"exec {shlex.join(command)}", ""])

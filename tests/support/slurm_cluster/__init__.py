"""A real Slurm cluster on the loopback interface, for tests: two nodes with four pretended GPUs each.

`start.sh` and `stop.sh` do the work; here they get deadlines, and a guard that stops the cluster when the test process
is gone, however it ended.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Self

HERE = Path(__file__).parent
PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch", "squeue", "scontrol", "scancel")
START_DEADLINE_S = 120.0
STOP_DEADLINE_S = 90.0
CALL_DEADLINE_S = 30.0
SEARCH_PATH = f"{os.environ.get('PATH', os.defpath)}:/usr/sbin:/sbin"


def missing_reason() -> str | None:
    """Return why no cluster can be started here, or None."""
    if os.geteuid() != 0:
        return "a Slurm cluster needs root: slurmd starts jobs as their submitters"
    missing = [name for name in PROGRAMS if shutil.which(name, path=SEARCH_PATH) is None]
    if missing:
        return f"not installed: {', '.join(missing)}; install munge, slurmctld, slurmd and slurm-client"
    return None


class SlurmCluster:
    """A running cluster.

    Attributes:
        folder: Its configuration, state and logs.
        environment: Variables that lead Slurm's programs to it.
    """

    def __init__(self, folder: Path, guard: subprocess.Popen[bytes]) -> None:
        self.folder = folder
        self.environment = {"SLURM_CONF": str(folder / "etc" / "slurm.conf"), "PATH": SEARCH_PATH}
        self._guard = guard

    @classmethod
    def start(cls, *options: str) -> Self:
        """Start a cluster with further options of start.sh.

        Raises:
            RuntimeError: It did not come up; the message is the end of start.sh's output.
        """
        folder = Path(tempfile.mkdtemp(prefix="pmssm-slurm-"))
        # The guard waits for the end of its standard input, which comes when we close it, exit or are killed.
        guard = subprocess.Popen(
            ["/bin/sh", "-c", 'read -r _; exec "$0" --remove "$1"', HERE / "stop.sh", folder],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        cluster = cls(folder, guard)
        try:
            with _ports_lock():
                cluster._start(options)
        except BaseException:
            cluster.stop()
            raise
        return cluster

    def stop(self) -> None:
        """End all jobs and daemons, and remove the folder."""
        assert self._guard.stdin is not None
        self._guard.stdin.close()
        try:
            self._guard.wait(STOP_DEADLINE_S)
        finally:
            self._guard.kill()
            self._guard.wait()
        shutil.rmtree(self.folder, ignore_errors=True)  # start.sh failed before there was a cluster

    def repair(self) -> None:
        """Start daemons that have been killed, and put nodes back to work."""
        self._start(())

    def _start(self, options: Sequence[str]) -> None:
        result = subprocess.run(
            [HERE / "start.sh", "--no-install", *options, self.folder],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=START_DEADLINE_S,
            check=False,
        )
        if result.returncode != 0:
            raise RuntimeError(f"the Slurm cluster did not start: {result.stderr[-2000:]}")

    def run(self, *command: str | Path) -> str:
        """Run one of Slurm's programs and return its output."""
        result = subprocess.run(
            command,
            env={**self.environment, "TZ": "UTC", "LC_ALL": "C"},
            cwd="/tmp",
            capture_output=True,
            text=True,
            timeout=CALL_DEADLINE_S,
            check=False,
        )
        assert result.returncode == 0, f"{command}: {result.stderr}"
        return result.stdout

    def daemon_pid(self, name: str) -> int:
        """Return the process of "slurmctld" or, for instance, "slurmd.n1"."""
        return int((self.folder / "run" / f"{name}.pid").read_text())

    def state(self, job_id: int) -> str:
        """Return a job's state in Slurm's word."""
        return self.run("squeue", "-h", "-t", "all", "-j", str(job_id), "-o", "%T").strip()

    def wait_for(self, job_id: int, *states: str, deadline_s: float = 30.0) -> str:
        """Wait until a job is in one of the states."""
        deadline = time.monotonic() + deadline_s
        while (state := self.state(job_id)) not in states:
            assert time.monotonic() < deadline, f"job {job_id} is {state}, not {' or '.join(states)}"
            time.sleep(0.1)
        return state

    def reach_time_limit(self, job_id: int) -> None:
        """Let a running job's time end in about two seconds; Slurm looks every 30 s."""
        self.run("scontrol", "update", f"jobid={job_id}", "EndTime=now+2")

    def set_node(self, node: str, state: str) -> None:
        """Put a node into a state, such as "down", "drain" or "resume"."""
        reason = () if state == "resume" else ("reason=test",)
        self.run("scontrol", "update", f"nodename={node}", f"state={state}", *reason)

    def cancel_all(self) -> None:
        """End all jobs and wait until none is left."""
        self.run("scancel", "--user=root")
        deadline = time.monotonic() + CALL_DEADLINE_S
        while self.run("squeue", "-h"):
            assert time.monotonic() < deadline, "jobs do not end"
            time.sleep(0.1)


def read_json(path: Path) -> Any:  # noqa: ANN401
    """Return a file's JSON, or None while it is not there."""
    return json.loads(path.read_text()) if path.exists() else None


@contextlib.contextmanager
def _ports_lock() -> Iterator[None]:
    """Let clusters start one after the other: each looks for free ports before it takes them."""
    with (Path(tempfile.gettempdir()) / "pmssm-slurm-ports.lock").open("w") as lock:
        deadline = time.monotonic() + START_DEADLINE_S
        while True:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.05)
        yield

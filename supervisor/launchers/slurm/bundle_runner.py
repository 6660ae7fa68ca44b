"""Batch process of a job that holds several attempts: `python -I -S bundle_runner.py FOLDER FOLDER …`.

It starts one job_shim for each attempt folder, with its share of the job's GPUs, and ends when all of them have ended.
As `bundle_runner.py --share=K/N FOLDER` it is a step on another node of an allocation, with the GPUs of the K-th (from
0) of N shares; without `--share` with all.
Its exit code is 0 only if all commands have succeeded. It imports the standard library alone, as the shim does.

Slurm's signals reach this process. It passes the warnings (SIGTERM, SIGUSR1, SIGUSR2, SIGXCPU) and SIGQUIT on to all
shims. `scancel` cannot end one attempt alone, so an engine writes `stop_request.json` into the attempt's folder. This
process looks for it once a second and signals that shim. A shim that does not end in the promised time is killed.

A shim that was killed leaves its command behind. This process is the subreaper of all, and so finds what is left. It
ends that and records the end, so that the engine need not wait until the other attempts of the job have ended, too.
"""

from __future__ import annotations

import ctypes
import json
import os
import signal
import sys
import time

TYPE_CHECKING = False
if __package__ or TYPE_CHECKING:
    from ..shim_files import descendants, identity, quietly, read, write
else:  # run as a file
    sys.path.append(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    from shim_files import descendants, identity, quietly, read, write

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

PR_SET_CHILD_SUBREAPER = 36
WARNINGS = {signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2, signal.SIGXCPU}
HANDLED = WARNINGS | {signal.SIGCHLD, signal.SIGQUIT}
BLOCKED = HANDLED | {signal.SIGHUP, signal.SIGINT}
# Variables that name GPUs, and those of Slurm that count the tasks of the job.
DEVICES = (
    "CUDA_VISIBLE_DEVICES",
    "ROCR_VISIBLE_DEVICES",
    "HIP_VISIBLE_DEVICES",
    "GPU_DEVICE_ORDINAL",
    "ZE_AFFINITY_MASK",
)
TASK_COUNTS = ("SLURM_NTASKS", "SLURM_NPROCS", "SLURM_TASKS_PER_NODE")
STOP_REQUEST = "stop_request.json"
LOOK_S = 1.0  # between two looks for requests; opening a folder asks an NFS server again
AFTER_GRACE_S = 5.0  # after the promised time, until a shim that has not ended is killed
RESEND_S = 1.0  # a SIGKILL is repeated, since processes may have been forked meanwhile
NOT_OURS = 75  # exit code of job_shim where another process has claimed the attempt
OUTPUT = "job.log"
ATTEMPT_VARIABLE = "PMSSM_SUPERVISE_ATTEMPT"


def device_share(devices: str, index: int, count: int) -> str:
    """Return the part of a list of GPUs that one of `count` attempts gets; with too few GPUs, attempts share one."""
    names = [name for name in devices.split(",") if name]
    each = len(names) // count
    if each:
        return ",".join(names[index * each : (index + 1) * each])
    return names[index % len(names)] if names else devices


def attempt_environment(environment: Mapping[str, str], index: int, count: int) -> dict[str, str]:
    """Return the environment of one of `count` attempts: that of a job of its own.

    Args:
        environment: That of the job.
        index: Place of the attempt in the job, from 0.
        count: Number of attempts in the job.
    """
    counts = {name: "1" for name in TASK_COUNTS if name in environment}
    return {**environment, **device_variables(environment, index, count), **counts}


def device_variables(environment: Mapping[str, str], index: int, count: int) -> dict[str, str]:
    """Return the variables that limit a process to one of `count` shares of the GPUs that `environment` names."""
    own = {name: device_share(environment[name], index, count) for name in DEVICES if environment.get(name)}
    if "ROCR_VISIBLE_DEVICES" in own and "HIP_VISIBLE_DEVICES" in own:  # HIP counts within what ROCR leaves visible
        own["HIP_VISIBLE_DEVICES"] = ",".join(map(str, range(own["ROCR_VISIBLE_DEVICES"].count(",") + 1)))
    return own


class Member:
    """One attempt of the job, from the start of its shim to the record of its end."""

    def __init__(self, folder: str) -> None:
        self.folder = folder
        self.pid = 0  # of its shim
        self.code: int | None = None  # exit code of its shim, negative for a signal
        self.stop: str | None = None  # "stop" or "kill" once requested by a file
        self.kill_at: float | None = None  # monotonic time of the next SIGKILL
        self.is_over = False  # nothing of it is alive, and its end is recorded
        self.grace_s = 0.0
        self.marker = b""  # in the environment of all its processes

    def start(self, job_shim: str, environment: Mapping[str, str]) -> None:
        """Start the shim. Signals wait until it is ready for them; its output goes to the attempt's own file."""
        if os.path.exists(os.path.join(self.folder, "process.json")):
            self.code, self.is_over = NOT_OURS, True  # an engine has made sure that it never starts
            return
        log = os.path.join(self.folder, OUTPUT)
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND
        try:
            spec = json.loads(read(os.path.join(self.folder, "spec.json")))
            self.grace_s = float(spec["stop_grace_s"])
            self.marker = f"{ATTEMPT_VARIABLE}={spec['env'][ATTEMPT_VARIABLE]}\0".encode("utf-8", "surrogateescape")
            self.pid = os.posix_spawn(
                sys.executable,
                [sys.executable, "-I", "-S", job_shim, self.folder, str(os.getpid())],
                environment,
                file_actions=[(os.POSIX_SPAWN_OPEN, 1, log, flags, 0o600), (os.POSIX_SPAWN_DUP2, 1, 2)],
                setsigmask=BLOCKED,
            )
        except (OSError, ValueError, KeyError, TypeError) as error:
            self.code = 1
            self._record({"unseen": f"never started: {error}"})

    def send(self, number: int) -> None:
        """Send a signal to the shim, also to one that is stopped."""
        if self.code is None:
            quietly(os.kill, self.pid, number)
            quietly(os.kill, self.pid, signal.SIGCONT)

    def read_request(self) -> None:
        """Carry out the stop that an engine has requested by a file; a kill follows a stop, and not the reverse."""
        kind = _requested_stop(self.folder)
        if kind is None or self.stop in (kind, "kill"):
            return
        self.stop = kind
        self.send(signal.SIGTERM if kind == "stop" else signal.SIGQUIT)
        kill_at = time.monotonic() + AFTER_GRACE_S + (self.grace_s if kind == "stop" else 0.0)
        self.kill_at = kill_at if self.kill_at is None else min(kill_at, self.kill_at)

    def note_end(self, status: int) -> None:
        """Note the end of the shim; what a killed one has left behind gets SIGTERM and its grace period."""
        self.code = os.waitstatus_to_exitcode(status)
        if self.code == NOT_OURS or self._has_record():
            self.is_over = True
            return
        if self.kill_at is None:
            self.kill_at = time.monotonic() + self.grace_s
        for pid in self._survivors():
            quietly(os.kill, pid, signal.SIGTERM)
            quietly(os.kill, pid, signal.SIGCONT)

    def advance(self, now: float) -> None:
        """Kill what is overdue, and record the end once nothing is left."""
        is_due = self.kill_at is not None and now >= self.kill_at
        if is_due:
            self.kill_at = now + RESEND_S
        if self.code is None:
            if is_due:
                quietly(os.kill, self.pid, signal.SIGKILL)
            return
        survivors = self._survivors()
        for pid in survivors if is_due else ():
            quietly(os.kill, pid, signal.SIGKILL)
        if not survivors:
            self._record(self._unrecorded_end())

    def _unrecorded_end(self) -> dict[str, object]:
        """Return how an attempt has ended whose shim could not tell."""
        assert self.code is not None
        if self.stop is not None:
            return {"stop": self.stop, "error": "its shim did not react and was killed"}
        if self.code < 0:
            return {"unseen": f"its shim was killed by signal {-self.code}"}
        return {"exit_code": self.code or 1, "error": f"its shim failed; the reason is in {self.folder}/{OUTPUT}"}

    def _has_record(self) -> bool:
        """Return whether the shim has recorded the end, if only under the name that it has until it is complete."""
        if os.path.exists(os.path.join(self.folder, "exit.json")):
            return True
        reserved = os.path.join(self.folder, f"exit.json.{self.pid}")
        try:
            json.loads(read(reserved).strip("\0"))
            os.rename(reserved, os.path.join(self.folder, "exit.json"))
        except (OSError, ValueError):
            return False
        return True

    def _record(self, end: Mapping[str, object]) -> None:
        """Record the end, and claim the attempt where its shim did not come so far."""
        self.is_over = True
        claim = f"process.json.{os.getpid()}.claim"
        try:
            write(self.folder, "exit.json", {"ended": time.time(), **end})
            write(self.folder, claim, {"shim": identity(os.getpid())})
            os.link(os.path.join(self.folder, claim), os.path.join(self.folder, "process.json"))
        except FileExistsError:
            pass  # its shim had claimed it
        except OSError as error:
            os.write(2, f"{self.folder}: cannot record the end: {error.strerror}\n".encode())
        _remove(os.path.join(self.folder, claim))

    def _survivors(self) -> set[int]:
        """Return the living processes of the attempt: by their environment, by the session of the command, and below.

        The samplers of other attempts are our children, too, but they have neither.
        """
        try:
            command = int(json.loads(read(os.path.join(self.folder, "process.json")).strip("\0"))["command"]["pid"])
        except (OSError, ValueError, KeyError, TypeError):
            command = -1
        found = {pid for pid in descendants(os.getpid()) if _session_of(pid) == command or self._is_marked(pid)}
        for pid in tuple(found):
            found.update(descendants(pid))
        return found

    def _is_marked(self, pid: int) -> bool:
        try:
            with open(f"/proc/{pid}/environ", "rb") as file:
                return self.marker != b"" and self.marker in file.read()
        except OSError:
            return False


class Bundle:
    """All attempts of the job.

    Args:
        folders: Their folders.
        share: Number of the first one's share of the GPUs.
        shares: Number of shares, by default one for each attempt.
    """

    def __init__(self, folders: Sequence[str], share: int = 0, shares: int | None = None) -> None:
        self.members = [Member(folder) for folder in folders]
        self.share = share
        self.shares = shares or len(folders)

    def run(self) -> int:
        """Start all shims, wait for the end of all attempts, and return the exit code of the job."""
        signal.pthread_sigmask(signal.SIG_BLOCK, BLOCKED)
        ctypes.CDLL(None, use_errno=True).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
        job_shim = os.path.join(os.path.dirname(os.path.abspath(__file__)), "job_shim.py")
        for index, member in enumerate(self.members, self.share):
            member.start(job_shim, attempt_environment(os.environ, index, self.shares))
        look_at = 0.0
        while living := [member for member in self.members if not member.is_over]:
            now = time.monotonic()
            if now >= look_at:
                look_at = now + LOOK_S
                for member in living:
                    member.read_request()
                    member.advance(now)
            received = signal.sigtimedwait(HANDLED, max(0.0, look_at - time.monotonic()))
            if received is not None and received.si_signo != signal.SIGCHLD:
                for member in living:
                    member.send(received.si_signo)
            self._reap()
        codes = [member.code or 0 for member in self.members]
        return next((code if code > 0 else 128 - code for code in codes if code), 0)

    def _reap(self) -> None:
        by_pid = {member.pid: member for member in self.members}
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            if pid in by_pid and by_pid[pid].code is None:  # others are samplers, and what a killed shim has left
                by_pid[pid].note_end(status)


def _requested_stop(folder: str) -> str | None:
    try:
        if STOP_REQUEST not in os.listdir(folder):  # over NFS, a name that was asked for before may seem absent
            return None
        kind = json.loads(read(os.path.join(folder, STOP_REQUEST)))["kind"]
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return kind if kind in ("stop", "kill") else None


def _session_of(pid: int) -> int | None:
    try:
        return os.getsid(pid)
    except OSError:
        return None


def _remove(path: str) -> None:
    try:
        os.unlink(path)
    except OSError:
        pass


def main(arguments: Sequence[str]) -> int:
    """Carry out the attempts in the folders that the command line names, and return the exit code of the job."""
    if not arguments[0].startswith("--share="):
        return Bundle(arguments).run()
    share, _, shares = arguments[0].removeprefix("--share=").partition("/")
    return Bundle(arguments[1:], int(share), int(shares)).run()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

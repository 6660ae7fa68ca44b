"""What the launcher asks and tells Slurm, through Slurm's own programs."""

from __future__ import annotations

import asyncio
import os
import re
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Literal

from ...gpus.node_slots import NodeShare
from .call_budget import CallBudget, CallKind
from .cluster_info import PARTITION_FORMAT, Partition, PlannedStart, parse_partitions, parse_planned_start
from .errors import JobNotOurs, JobUnknown, SlurmError, SlurmOutputError, SlurmUnavailable
from .job_status import JobStatus
from .node_shares import parse_node_shares
from .programs import Answer, clean_environment, run_program
from .queue import (
    ACCOUNTING_FIELDS,
    FIELD_END,
    QUEUE_FORMAT,
    parse_accounting,
    parse_job,
    parse_queue,
    parse_queue_json,
)
from .refusals import refusal

DEADLINE_S = 30.0
SUBMIT_DEADLINE_S = 60.0  # an sbatch that is killed may have submitted the job: the token finds out
IDS_PER_CALL = 500  # job numbers on one command line
JSON_SINCE = (23, 2)  # before, `squeue --json` writes the whole queue of the cluster, whatever it is asked
JobSignal = Literal["TERM", "QUIT", "CONT"]

_NO_ANSWER = re.compile(
    r"Unable to contact slurm controller|Socket timed out|Connection (refused|timed out)|connect failure|"
    r"Zero Bytes were transmitted|Communication (connection )?failure|Unable to process configuration file|"
    r"Could not establish a configuration source|Protocol authentication error|Munge|controller in standby|SlurmDBD|"
    r"Unexpected message received",
    re.IGNORECASE,
)
_UNKNOWN_JOB = "Invalid job id specified"


class SlurmCommands:
    """Asks and tells Slurm, within the session's budget of calls.

    One call runs at a time.
    """

    def __init__(
        self,
        environment: Mapping[str, str] | None = None,
        *,
        budget: CallBudget | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Use `environment` (by default our own) for all calls."""
        self._environment = clean_environment(os.environ if environment is None else environment)
        self._budget = budget or CallBudget()
        self._clock = clock
        self._turn = asyncio.Lock()
        self._version: tuple[int, int] | None = None
        self._silent_since: float | None = None  # time on `clock` of the first call that was not answered
        self.answered_at: float | None = None  # unix time of the controller's last answer, s
        self.calls = 0

    def wait_s(self, kind: CallKind) -> float:
        """Return how long the next call of that kind has to wait for the budget, s."""
        return self._budget.wait_s(self._clock(), kind)

    @property
    def silence_s(self) -> float:
        """How long the controller has left calls unanswered, the present one included; 0 after an answer, s."""
        return 0.0 if self._silent_since is None else self._clock() - self._silent_since

    async def submit(self, options: Sequence[str], script: str) -> int:
        """Submit a batch script and return the job's number.

        Args:
            options: Options of sbatch, see batch_script.
            script: Text of the script, which goes to standard input.

        Raises:
            SubmissionRefused: Slurm does not accept the job.
            SlurmUnavailable: No answer in time; whether the job exists is then unknown.
            SlurmOutputError: The answer is no job number; whether the job exists is then unknown.
        """
        answer = await self._query(
            "sbatch", ["--parsable", *options], script, kind="submit", deadline_s=SUBMIT_DEADLINE_S
        )
        if answer.returncode != 0:
            raise refusal(answer.stderr)
        number = answer.stdout.strip().rpartition("\n")[2].partition(";")[0]  # "12;cluster"; wrappers print before it
        if not number.isascii() or not number.isdigit():
            raise SlurmOutputError(f"sbatch did not write a job number but: {answer.stdout[:200]}")
        return int(number)

    async def try_submission(self, options: Sequence[str], script: str) -> PlannedStart:
        """Ask whether Slurm would accept a batch script, and when it would start; submit nothing.

        Raises:
            SubmissionRefused: It would not.
            SlurmUnavailable: No answer in time.
        """
        answer = await self._query("sbatch", ["--test-only", *options], script, deadline_s=SUBMIT_DEADLINE_S)
        if answer.returncode != 0:
            raise refusal(answer.stderr)
        return parse_planned_start(answer.stderr)

    async def cluster_name(self) -> str:
        """Return the name of the cluster; empty if Slurm does not tell.

        Raises:
            SlurmUnavailable: No answer in time.
        """
        answer = await self._query("scontrol", ["show", "config"])
        match = re.search(r"^ClusterName\s*=\s*(\S+)", answer.stdout, re.MULTILINE)
        return match[1] if match else ""

    async def queue(self, *, kind: CallKind = "poll") -> tuple[JobStatus, ...]:
        """Return all jobs of this user, those included that ended in the last minutes.

        Args:
            kind: The part of the budget; a command where a user waits for the answer.

        Raises:
            SlurmUnavailable, SlurmOutputError: No answer, or none that can be read.
        """
        arguments = ["-h", "-r", "-a", "-t", "all", "-u", str(os.getuid())]
        if await self.version() >= JSON_SINCE:
            answer = await self._query("squeue", [*arguments, "--json"], kind=kind)
            _check(answer, "squeue")
            return parse_queue_json(answer.stdout)
        answer = await self._query("squeue", [*arguments, "-O", QUEUE_FORMAT], kind=kind)
        _check(answer, "squeue")
        return parse_queue(answer.stdout)

    async def job(self, job_id: int) -> JobStatus:
        """Return one job.

        Raises:
            JobUnknown: Slurm has no record of it.
            SlurmUnavailable, SlurmOutputError: No answer, or none that can be read.
        """
        return (await self.job_with_nodes(job_id))[0]

    async def job_with_nodes(self, job_id: int) -> tuple[JobStatus, tuple[NodeShare, ...]]:
        """Return one job, and what it has on each of its nodes.

        Raises:
            JobUnknown: Slurm has no record of it.
            SlurmUnavailable, SlurmOutputError: No answer, or none that can be read.
        """
        answer = await self._query("scontrol", ["-o", "-d", "show", "job", str(job_id)])
        _check(answer, "scontrol")
        jobs = parse_job(answer.stdout)
        if not jobs:
            raise JobUnknown(f"Slurm has no record of job {job_id}")
        return jobs[0], parse_node_shares(answer.stdout)

    async def accounting(self, job_ids: Sequence[int]) -> tuple[JobStatus, ...]:
        """Return ended jobs from the accounting database; empty where the site has none.

        Raises:
            SlurmUnavailable, SlurmOutputError: No answer, or none that can be read.
        """
        jobs: list[JobStatus] = []
        fields = ",".join(ACCOUNTING_FIELDS)
        for some in _portions(job_ids):
            options = ["-X", "-n", "-P", f"--delimiter={FIELD_END}", "-o", fields, "-j", some]
            answer = await self._query("sacct", options)
            if "accounting storage is disabled" in answer.stderr:
                return ()
            _check(answer, "sacct")
            jobs += parse_accounting(answer.stdout)
        return tuple(jobs)

    async def signal(self, job_ids: Sequence[int], job_signal: JobSignal) -> None:
        """Send a signal to the batch script of running jobs, which is our shim; others stay as they are.

        Raises:
            JobNotOurs: A job belongs to somebody else.
            SlurmUnavailable: No answer in time.
        """
        for some in _portions(job_ids, separator=" "):
            await self._scancel([f"--signal={job_signal}", "--batch", *some.split()])

    async def cancel(self, job_ids: Sequence[int], *, only_pending: bool = False) -> None:
        """Cancel jobs: pending ones never start, running ones get SIGTERM, and SIGKILL after the site's KillWait.

        Args:
            job_ids: Numbers of the jobs.
            only_pending: Whether jobs that have started go on.

        Raises:
            JobNotOurs: A job belongs to somebody else.
            SlurmUnavailable: No answer in time.
        """
        for some in _portions(job_ids, separator=" "):
            await self._scancel([*(["--state=PENDING"] if only_pending else []), *some.split()])

    async def partitions(self) -> tuple[Partition, ...]:
        """Return what sinfo says of all partitions.

        Raises:
            SlurmUnavailable, SlurmOutputError: No answer, or none that can be read.
        """
        answer = await self._query("sinfo", ["-h", "-e", "-o", PARTITION_FORMAT])
        _check(answer, "sinfo")
        return parse_partitions(answer.stdout)

    async def version(self) -> tuple[int, int]:
        """Return the version of Slurm's programs, such as (22, 5). Asks no controller.

        Raises:
            SlurmOutputError: The version cannot be read.
        """
        if self._version is None:
            answer = await run_program(["sinfo", "--version"], "", self._environment, DEADLINE_S)
            match = re.search(r"\b(\d{2})\.(\d{1,2})\b", answer.stdout)
            if match is None:
                raise SlurmOutputError(f"sinfo --version wrote: {(answer.stdout or answer.stderr)[:200]}")
            self._version = int(match[1]), int(match[2])
        return self._version

    async def _scancel(self, arguments: Sequence[str]) -> None:
        answer = await self._query("scancel", arguments)
        if "Access/permission denied" in answer.stderr:
            raise JobNotOurs(f"scancel {' '.join(arguments)}: the job belongs to somebody else")
        if answer.returncode != 0 and not _have_ended(answer.stderr):
            _check(answer, "scancel")

    async def _query(
        self,
        program: str,
        arguments: Sequence[str],
        text: str = "",
        *,
        kind: CallKind = "command",
        deadline_s: float = DEADLINE_S,
    ) -> Answer:
        """Run a program once the budget allows it. What waits for that does not keep others from their turn."""
        while True:
            async with self._turn:
                wait_s = self._budget.wait_s(self._clock(), kind)
                if wait_s <= 0:
                    return await self._call([program, *arguments], text, kind, deadline_s)
            await asyncio.sleep(wait_s)

    async def _call(self, command: Sequence[str], text: str, kind: CallKind, deadline_s: float) -> Answer:
        began = self._clock()
        self._budget.begin(began, kind)
        self.calls += 1
        answered = False
        self._silent_since = began if self._silent_since is None else self._silent_since
        try:
            answer = await run_program(command, text, self._environment, deadline_s)
            answered = answer.returncode == 0 or not _NO_ANSWER.search(answer.stderr)
        finally:
            now = self._clock()
            self._budget.end(now, took_s=now - began, answered=answered)
        if not answered:
            raise SlurmUnavailable(f"Slurm does not answer: {_last_line(answer.stderr)}")
        self._silent_since, self.answered_at = None, time.time()
        return answer


def _check(answer: Answer, program: str) -> None:
    if answer.returncode == 0:
        return
    message = _last_line(answer.stderr) or f"exit code {answer.returncode}"
    if _UNKNOWN_JOB in answer.stderr:
        raise JobUnknown(f"{program}: {message}")
    raise SlurmError(f"{program} failed: {message}")


def _have_ended(stderr: str) -> bool:
    """Return whether scancel only complains of jobs that have ended, have not started, or are unknown."""
    lines = [line for line in stderr.splitlines() if line.strip()]
    harmless = (_UNKNOWN_JOB, "Job/step already completing or completed", "Job is pending execution", "not running")
    return bool(lines) and all(any(text in line for text in harmless) for line in lines)


def _last_line(text: str) -> str:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1][:300] if lines else ""


def _portions(job_ids: Sequence[int], separator: str = ",") -> list[str]:
    starts = range(0, len(job_ids), IDS_PER_CALL)
    return [separator.join(str(job_id) for job_id in job_ids[start : start + IDS_PER_CALL]) for start in starts]

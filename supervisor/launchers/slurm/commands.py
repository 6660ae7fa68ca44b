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
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from .call_budget import CallBudget
from .errors import JobNotOurs, JobUnknown, SlurmError, SlurmNotInstalled, SlurmOutputError, SlurmUnavailable
from .job_status import JobStatus
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
KILL_DEADLINE_S = 5.0
SUBMIT_DEADLINE_S = 60.0  # an sbatch that is killed may have submitted the job: the token finds out
MAX_OUTPUT = 64 << 20  # bytes
IDS_PER_CALL = 500  # job numbers on one command line
JSON_SINCE = (23, 2)  # before, `squeue --json` writes the whole queue of the cluster, whatever it is asked
JobSignal = Literal["TERM", "QUIT", "CONT"]

# The user's defaults for sbatch, which our options override. Everything else of Slurm's is dropped: inside a job,
# SLURM_* variables change what sbatch asks for, and SQUEUE_* and the like change the output.
_KEPT = ("SLURM_CONF", "SLURM_CLUSTERS", "SBATCH_ACCOUNT", "SBATCH_PARTITION", "SBATCH_QOS", "SBATCH_RESERVATION")
_FOREIGN = re.compile(r"(SLURM|SLURMD|SQUEUE|SBATCH|SACCT|SCANCEL|SINFO|SCONTROL|SALLOC|SRUN)_")
_NO_ANSWER = re.compile(
    r"Unable to contact slurm controller|Socket timed out|Connection (refused|timed out)|connect failure|"
    r"Zero Bytes were transmitted|Communication (connection )?failure|Unable to process configuration file|"
    r"Could not establish a configuration source|Protocol authentication error|Munge|controller in standby|SlurmDBD|"
    r"Unexpected message received",
    re.IGNORECASE,
)
_UNKNOWN_JOB = "Invalid job id specified"


@dataclass(frozen=True)
class Answer:
    """What a program wrote before it ended."""

    returncode: int
    stdout: str
    stderr: str


@dataclass(frozen=True)
class Partition:
    """One line of sinfo: nodes of a partition that are alike.

    Attributes:
        name: Name of the partition.
        is_default: Whether jobs that name no partition go there.
        is_up: Whether it accepts and starts jobs.
        time_limit: As Slurm writes it, such as 1-00:00:00 or infinite.
        nodes: How many nodes.
        cpus: CPUs of a node.
        memory_mib: Memory of a node, MiB.
        gres: Generic resources of a node, such as gpu:4; empty if it has none.
    """

    name: str
    is_default: bool
    is_up: bool
    time_limit: str
    nodes: int
    cpus: int
    memory_mib: int
    gres: str


def clean_environment(environment: Mapping[str, str]) -> dict[str, str]:
    """Return the environment for Slurm's programs: English messages, times in UTC, no hidden options."""
    kept = {name: text for name, text in environment.items() if name in _KEPT or not _FOREIGN.match(name)}
    return {**kept, "LC_ALL": "C", "TZ": "UTC", "SLURM_TIME_FORMAT": "standard"}


class SlurmCommands:
    """Asks and tells Slurm, within the session's budget of calls.

    One call runs at a time, in the order in which they were asked for.
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
        self.last_answer: float | None = None  # time on `clock` of the controller's last answer
        self.calls = 0

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
        answer = await self._ask("sbatch", ["--parsable", *options], script, deadline_s=SUBMIT_DEADLINE_S)
        if answer.returncode != 0:
            raise refusal(answer.stderr)
        number = answer.stdout.strip().rpartition("\n")[2].partition(";")[0]  # "12;cluster"; wrappers print before it
        if not number.isascii() or not number.isdigit():
            raise SlurmOutputError(f"sbatch did not write a job number but: {answer.stdout[:200]}")
        return int(number)

    async def queue(self) -> tuple[JobStatus, ...]:
        """Return all jobs of this user, those included that ended in the last minutes.

        Raises:
            SlurmUnavailable, SlurmOutputError: No answer, or none that can be read.
        """
        arguments = ["-h", "-r", "-a", "-t", "all", "-u", str(os.getuid())]
        if await self.version() >= JSON_SINCE:
            answer = await self._ask("squeue", [*arguments, "--json"], poll=True)
            _check(answer, "squeue")
            return parse_queue_json(answer.stdout)
        answer = await self._ask("squeue", [*arguments, "-O", QUEUE_FORMAT], poll=True)
        _check(answer, "squeue")
        return parse_queue(answer.stdout)

    async def job(self, job_id: int) -> JobStatus:
        """Return one job.

        Raises:
            JobUnknown: Slurm has no record of it.
            SlurmUnavailable, SlurmOutputError: No answer, or none that can be read.
        """
        answer = await self._ask("scontrol", ["-o", "show", "job", str(job_id)])
        _check(answer, "scontrol")
        jobs = parse_job(answer.stdout)
        if not jobs:
            raise JobUnknown(f"Slurm has no record of job {job_id}")
        return jobs[0]

    async def accounting(self, job_ids: Sequence[int]) -> tuple[JobStatus, ...]:
        """Return ended jobs from the accounting database; empty where the site has none.

        Raises:
            SlurmUnavailable, SlurmOutputError: No answer, or none that can be read.
        """
        jobs: list[JobStatus] = []
        fields = ",".join(ACCOUNTING_FIELDS)
        for some in _portions(job_ids):
            options = ["-X", "-n", "-P", f"--delimiter={FIELD_END}", "-o", fields, "-j", some]
            answer = await self._ask("sacct", options)
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

    async def cancel(self, job_ids: Sequence[int]) -> None:
        """Cancel jobs: pending ones never start, running ones get SIGTERM, and SIGKILL after the site's KillWait.

        Raises:
            JobNotOurs: A job belongs to somebody else.
            SlurmUnavailable: No answer in time.
        """
        for some in _portions(job_ids, separator=" "):
            await self._scancel(some.split())

    async def partitions(self) -> tuple[Partition, ...]:
        """Return what sinfo says of all partitions.

        Raises:
            SlurmUnavailable, SlurmOutputError: No answer, or none that can be read.
        """
        columns = FIELD_END.join(("%P", "%a", "%l", "%D", "%c", "%m", "%G"))
        answer = await self._ask("sinfo", ["-h", "-e", "-o", columns])
        _check(answer, "sinfo")
        return tuple(_partition(line) for line in answer.stdout.split("\n") if line.strip())

    async def version(self) -> tuple[int, int]:
        """Return the version of Slurm's programs, such as (22, 5). Asks no controller.

        Raises:
            SlurmOutputError: The version cannot be read.
        """
        if self._version is None:
            answer = await _run(["sinfo", "--version"], "", self._environment, DEADLINE_S)
            match = re.search(r"\b(\d{2})\.(\d{1,2})\b", answer.stdout)
            if match is None:
                raise SlurmOutputError(f"sinfo --version wrote: {(answer.stdout or answer.stderr)[:200]}")
            self._version = int(match[1]), int(match[2])
        return self._version

    async def _scancel(self, arguments: Sequence[str]) -> None:
        answer = await self._ask("scancel", arguments)
        if "Access/permission denied" in answer.stderr:
            raise JobNotOurs(f"scancel {' '.join(arguments)}: the job belongs to somebody else")
        if answer.returncode != 0 and not _have_ended(answer.stderr):
            _check(answer, "scancel")

    async def _ask(
        self,
        program: str,
        arguments: Sequence[str],
        standard_input: str = "",
        *,
        poll: bool = False,
        deadline_s: float = DEADLINE_S,
    ) -> Answer:
        """Run a program once the budget allows it."""
        async with self._turn:
            while (wait := self._budget.wait_s(self._clock(), poll=poll)) > 0:
                await asyncio.sleep(wait)
            began = self._clock()
            self._budget.begin(began, poll=poll)
            self.calls += 1
            answered = False
            try:
                answer = await _run([program, *arguments], standard_input, self._environment, deadline_s)
                answered = answer.returncode == 0 or not _NO_ANSWER.search(answer.stderr)
            finally:
                now = self._clock()
                self._budget.end(now, took_s=now - began, answered=answered)
            if not answered:
                raise SlurmUnavailable(f"Slurm does not answer: {_last_line(answer.stderr)}")
            self.last_answer = now
            return answer


async def _run(command: Sequence[str], text: str, environment: Mapping[str, str], deadline_s: float) -> Answer:
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


def _partition(line: str) -> Partition:
    fields = line.split(FIELD_END)
    if len(fields) != 7:
        raise SlurmOutputError(f"sinfo: expected 7 fields, found {len(fields)}: {line[:200]}")
    name, available, limit, *numbers, gres = fields
    try:
        nodes, cpus, memory = (int(number.rstrip("+KMG")) for number in numbers)
    except ValueError:
        raise SlurmOutputError(f"sinfo: not a number in: {line[:200]}") from None
    return Partition(
        name=name.rstrip("*"),
        is_default=name.endswith("*"),
        is_up=available == "up",
        time_limit=limit,
        nodes=nodes,
        cpus=cpus,
        memory_mib=memory,
        gres="" if gres in ("(null)", "N/A") else gres,
    )

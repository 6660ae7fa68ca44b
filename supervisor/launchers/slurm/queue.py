"""Read the output of squeue, scontrol and sacct. Pure.

Three shapes are understood, since no single one works everywhere:

- `squeue -O`, text. All versions. Before 23.02 it is the only usable one: there `squeue --json` ignores every filter
  and writes the whole queue of the cluster, 4 kB a job.
- `squeue --json`, from 23.02 on. Numbers may be plain, null, or {"set", "infinite", "number"}; `job_state` is a string
  up to 23.02 and a list from 23.11 on; `exit_code` is a wait status, or from 23.11 on an object with `return_code` and
  `signal`.
- `scontrol -o show job` and `sacct -P` for single jobs.

Nothing here raises anything but SlurmOutputError, whatever the input. A job of somebody else whose name or comment
breaks the format is skipped, so that it cannot hide ours.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from .errors import SlurmOutputError
from .job_status import JobStatus
from .tokens import PREFIX
from .values import ABSENT, decode_pair, decode_status, exit_of, number_of, text_of, unix_time, utc_time

FIELD_END = "\x1f"
RECORD_END = "\x1e"
QUEUE_FIELDS = (
    "JobID",
    "State",
    "exit_code",
    "RestartCnt",
    "SubmitTime",
    "StartTime",
    "EndTime",
    "NodeList",
    "Partition",
    "Reason",
    "Name",
    "Comment",
)
QUEUE_FORMAT = f":{FIELD_END},".join(QUEUE_FIELDS) + f":{RECORD_END}"
ACCOUNTING_FIELDS = (
    "JobIDRaw",
    "State",
    "ExitCode",
    "Submit",
    "Start",
    "End",
    "NodeList",
    "Partition",
    "Reason",
    "JobName",
    "Comment",
)
ENDED_STATES = frozenset(
    ("COMPLETED", "CANCELLED", "FAILED", "TIMEOUT", "NODE_FAIL", "PREEMPTED", "BOOT_FAIL", "DEADLINE", "OUT_OF_MEMORY")
)
STARTED_STATES = frozenset(("RUNNING", "SUSPENDED"))
BASE_STATES = ENDED_STATES | STARTED_STATES | {"PENDING"}


def parse_queue(text: str) -> tuple[JobStatus, ...]:
    """Parse `squeue -h -O QUEUE_FORMAT`.

    Raises:
        SlurmOutputError: A record of ours is malformed.
    """
    return _records(text.split(RECORD_END), QUEUE_FIELDS, _from_queue)


def parse_queue_json(text: str) -> tuple[JobStatus, ...]:
    """Parse `squeue --json`.

    Raises:
        SlurmOutputError: No JSON, no list of jobs, or a job without number or state.
    """
    try:
        document = json.loads(text)
    except (ValueError, RecursionError):
        raise SlurmOutputError("squeue --json did not write JSON") from None
    jobs = document.get("jobs") if isinstance(document, dict) else None
    if not isinstance(jobs, list) or not all(isinstance(job, dict) for job in jobs):
        raise SlurmOutputError("the JSON of squeue has no list of jobs")
    return tuple(_from_json(job) for job in jobs)


def parse_job(text: str) -> tuple[JobStatus, ...]:
    """Parse `scontrol -o show job`.

    Raises:
        SlurmOutputError: A line is not a job.
    """
    lines = (line for line in text.split("\n") if line.strip() and line != "No jobs in the system")
    return tuple(_from_scontrol(line) for line in lines)


def parse_accounting(text: str) -> tuple[JobStatus, ...]:
    """Parse `sacct -X -n -P --delimiter=FIELD_END -o ACCOUNTING_FIELDS`.

    Raises:
        SlurmOutputError: A line of ours is malformed.
    """
    return _records(text.split("\n"), ACCOUNTING_FIELDS, _from_accounting)


def _records(
    records: Iterable[str], names: Sequence[str], convert: Callable[[Mapping[str, str]], JobStatus]
) -> tuple[JobStatus, ...]:
    jobs = []
    for record in filter(None, (each.strip("\n") for each in records)):
        values = record.split(FIELD_END, len(names) - 1)
        try:
            if len(values) != len(names):
                raise SlurmOutputError(f"expected {len(names)} fields of a job, found {len(values)}: {record[:200]}")
            jobs.append(convert(dict(zip(names, values, strict=True))))
        except SlurmOutputError:
            if f"{PREFIX}." in record:
                raise
    return tuple(jobs)


def _from_queue(words: Mapping[str, str]) -> JobStatus:
    exit_code, signal = decode_status(number_of(words["exit_code"]))
    return _status(
        job_id=number_of(words["JobID"]),
        states=words["State"].split(","),
        name=words["Name"],
        comment=words["Comment"],
        reason=words["Reason"],
        nodes=words["NodeList"],
        partition=words["Partition"],
        exit_code=exit_code,
        signal=signal,
        submitted=utc_time(words["SubmitTime"]),
        started=utc_time(words["StartTime"]),
        ended=utc_time(words["EndTime"]),
        restarts=number_of(words["RestartCnt"]),
    )


def _from_accounting(words: Mapping[str, str]) -> JobStatus:
    exit_code, signal = decode_pair(words["ExitCode"])
    return _status(
        job_id=number_of(words["JobIDRaw"]),
        states=words["State"].split()[:1],  # "CANCELLED by 1000"
        name=words["JobName"],
        comment=words["Comment"],
        reason=words["Reason"],
        nodes=words["NodeList"],
        partition=words["Partition"],
        exit_code=exit_code,
        signal=signal,
        submitted=utc_time(words["Submit"]),
        started=utc_time(words["Start"]),
        ended=utc_time(words["End"]),
        restarts=None,
    )


def _from_scontrol(line: str) -> JobStatus:
    # The name may hold spaces and '='; what Slurm writes itself comes after it.
    name = _between(line, "JobName=", " UserId=")
    rest = line.partition(f"JobName={name}")[2]
    exit_code, signal = decode_pair(_word(rest, "ExitCode"))
    return _status(
        job_id=number_of(_between(line, "JobId=", " ")),
        states=_word(rest, "JobState").split(","),
        name=name,
        comment=_between(rest, " Comment=", " StdErr=").rstrip(),
        reason=_between(rest, " Reason=", " Dependency="),
        nodes=_word(rest, "NodeList"),
        partition=_word(rest, "Partition"),
        exit_code=exit_code,
        signal=signal,
        submitted=utc_time(_word(rest, "SubmitTime")),
        started=utc_time(_word(rest, "StartTime")),
        ended=utc_time(_word(rest, "EndTime")),
        restarts=number_of(_word(rest, "Restarts")),
    )


def _between(line: str, start: str, end: str) -> str:
    _, found, rest = line.partition(start)
    return rest.partition(end)[0] if found else ""


def _word(line: str, key: str) -> str:
    return _between(line, f" {key}=", " ")


def _from_json(job: Mapping[str, Any]) -> JobStatus:
    states = job.get("job_state")
    exit_code, signal = exit_of(job.get("exit_code"))
    return _status(
        job_id=number_of(job.get("job_id")),
        states=states if isinstance(states, list) else [states],
        name=text_of(job.get("name")),
        comment=text_of(job.get("comment")),
        reason=text_of(job.get("state_reason")),
        nodes=text_of(job.get("nodes")),
        partition=text_of(job.get("partition")),
        exit_code=exit_code,
        signal=signal,
        submitted=unix_time(job.get("submit_time")),
        started=unix_time(job.get("start_time")),
        ended=unix_time(job.get("end_time")),
        restarts=number_of(job.get("restart_cnt")),
    )


def _status(
    *,
    job_id: int | None,
    states: Sequence[Any],
    name: str,
    comment: str,
    reason: str,
    nodes: str,
    partition: str,
    exit_code: int | None,
    signal: int | None,
    submitted: float | None,
    started: float | None,
    ended: float | None,
    restarts: int | None,
) -> JobStatus:
    words = [state.strip().upper() for state in states if isinstance(state, str) and state.strip()]
    if job_id is None or job_id <= 0:
        raise SlurmOutputError("Slurm reported a job without a number")
    if not words:
        raise SlurmOutputError(f"Slurm reported job {job_id} without a state")
    base = next((word for word in words if word in BASE_STATES), words[0])
    has_ended, is_pending = base in ENDED_STATES, base == "PENDING"
    return JobStatus(
        job_id=job_id,
        state=base,
        name=name,
        comment="" if comment in ABSENT else comment,
        flags=frozenset(words) - {base},
        reason="" if reason in ABSENT else reason,
        nodes="" if nodes in ABSENT else nodes,
        partition="" if partition in ABSENT else partition,
        exit_code=exit_code if has_ended else None,
        signal=signal if has_ended else None,
        submitted=submitted,
        started=None if is_pending else started,
        expected_start=started if is_pending else None,
        ended=ended if has_ended else None,
        must_end=ended if base in STARTED_STATES and "COMPLETING" not in words else None,
        restarts=restarts or 0,
    )

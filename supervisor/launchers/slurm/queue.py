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

import calendar
import json
import math
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from .errors import SlurmOutputError
from .job_status import JobStatus
from .tokens import PREFIX

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
BASE_STATES = ENDED_STATES | {"PENDING", "RUNNING", "SUSPENDED"}
_ABSENT = frozenset({"", "(null)", "N/A", "NONE", "None", "Unknown", "UNKNOWN", "Invalid"})
_NEVER = 1 << 40  # larger than any time or counter that can be meant


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
    exit_code, signal = _decode_status(_number(words["exit_code"]))
    return _status(
        job_id=_number(words["JobID"]),
        states=words["State"].split(","),
        name=words["Name"],
        comment=words["Comment"],
        reason=words["Reason"],
        nodes=words["NodeList"],
        partition=words["Partition"],
        exit_code=exit_code,
        signal=signal,
        submitted=_utc_time(words["SubmitTime"]),
        started=_utc_time(words["StartTime"]),
        ended=_utc_time(words["EndTime"]),
        restarts=_number(words["RestartCnt"]),
    )


def _from_accounting(words: Mapping[str, str]) -> JobStatus:
    exit_code, signal = _decode_pair(words["ExitCode"])
    return _status(
        job_id=_number(words["JobIDRaw"]),
        states=words["State"].split()[:1],  # "CANCELLED by 1000"
        name=words["JobName"],
        comment=words["Comment"],
        reason=words["Reason"],
        nodes=words["NodeList"],
        partition=words["Partition"],
        exit_code=exit_code,
        signal=signal,
        submitted=_utc_time(words["Submit"]),
        started=_utc_time(words["Start"]),
        ended=_utc_time(words["End"]),
        restarts=None,
    )


def _from_scontrol(line: str) -> JobStatus:
    # The name may hold spaces and '='; what Slurm writes itself comes after it.
    name = _between(line, "JobName=", " UserId=")
    rest = line.partition(f"JobName={name}")[2]
    exit_code, signal = _decode_pair(_word(rest, "ExitCode"))
    return _status(
        job_id=_number(_between(line, "JobId=", " ")),
        states=_word(rest, "JobState").split(","),
        name=name,
        comment=_between(rest, " Comment=", " StdErr=").rstrip(),
        reason=_between(rest, " Reason=", " Dependency="),
        nodes=_word(rest, "NodeList"),
        partition=_word(rest, "Partition"),
        exit_code=exit_code,
        signal=signal,
        submitted=_utc_time(_word(rest, "SubmitTime")),
        started=_utc_time(_word(rest, "StartTime")),
        ended=_utc_time(_word(rest, "EndTime")),
        restarts=_number(_word(rest, "Restarts")),
    )


def _between(line: str, start: str, end: str) -> str:
    _, found, rest = line.partition(start)
    return rest.partition(end)[0] if found else ""


def _word(line: str, key: str) -> str:
    return _between(line, f" {key}=", " ")


def _from_json(job: Mapping[str, Any]) -> JobStatus:
    states = job.get("job_state")
    exit_code, signal = _exit_of(job.get("exit_code"))
    return _status(
        job_id=_number(job.get("job_id")),
        states=states if isinstance(states, list) else [states],
        name=_text(job.get("name")),
        comment=_text(job.get("comment")),
        reason=_text(job.get("state_reason")),
        nodes=_text(job.get("nodes")),
        partition=_text(job.get("partition")),
        exit_code=exit_code,
        signal=signal,
        submitted=_unix_time(job.get("submit_time")),
        started=_unix_time(job.get("start_time")),
        ended=_unix_time(job.get("end_time")),
        restarts=_number(job.get("restart_cnt")),
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
        comment="" if comment in _ABSENT else comment,
        flags=frozenset(words) - {base},
        reason="" if reason in _ABSENT else reason,
        nodes="" if nodes in _ABSENT else nodes,
        partition="" if partition in _ABSENT else partition,
        exit_code=exit_code if has_ended else None,
        signal=signal if has_ended else None,
        submitted=submitted,
        started=None if is_pending else started,
        expected_start=started if is_pending else None,
        ended=ended if has_ended else None,  # before that it is the end of the time limit
        restarts=restarts or 0,
    )


def _exit_of(value: Any) -> tuple[int | None, int | None]:  # noqa: ANN401
    """Return exit code and signal of JSON's `exit_code` in any version."""
    if isinstance(value, dict) and ("return_code" in value or "signal" in value):
        signal = value.get("signal")
        number = _number(signal.get("id", signal.get("signal_id"))) if isinstance(signal, dict) else _number(signal)
        return (None, number) if number else (_number(value.get("return_code")), None)
    return _decode_status(_number(value))


def _decode_status(status: int | None) -> tuple[int | None, int | None]:
    """Return exit code and signal of a wait status, see waitpid(2)."""
    if status is None:
        return None, None
    signal = status & 0x7F
    return (None, signal) if signal else (status >> 8 & 0xFF, None)


def _decode_pair(text: str) -> tuple[int | None, int | None]:
    """Return exit code and signal of Slurm's `code:signal`."""
    code, _, signal = text.strip().partition(":")
    number = _number(signal)
    return (None, number) if number else (_number(code), None)


def _text(value: Any) -> str:  # noqa: ANN401
    if isinstance(value, dict):  # sacct's JSON: {"job": ..., "administrator": ..., "system": ...}
        value = value.get("job")
    return value if isinstance(value, str) and value not in _ABSENT else ""


def _number(value: Any) -> int | None:  # noqa: ANN401
    """Return a number in any of Slurm's spellings; None for null, unset, infinite or no number."""
    if isinstance(value, dict):
        if not value.get("set", True) or value.get("infinite"):
            return None
        value = value.get("number")
    if isinstance(value, str):
        value = int(value) if value.strip().isascii() and value.strip().isdigit() and len(value) < 20 else None
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        return None
    return int(value) if 0 <= value < _NEVER else None


def _unix_time(value: Any) -> float | None:  # noqa: ANN401
    number = _number(value)
    return float(number) if number else None


def _utc_time(text: str) -> float | None:
    """Return the unix time of Slurm's `2026-11-27T02:44:41`, which is UTC because our calls set TZ."""
    if text.strip() in _ABSENT:
        return None
    try:
        return float(calendar.timegm(time.strptime(text.strip(), "%Y-%m-%dT%H:%M:%S")))
    except ValueError:
        raise SlurmOutputError(f"Slurm wrote a time that cannot be read: {text[:60]}") from None

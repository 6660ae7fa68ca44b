"""Reading what squeue, scontrol and sacct write: recorded outputs of 22.05, and the JSON of later versions."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pmssm.supervisor.launchers.slurm.errors import SlurmOutputError
from pmssm.supervisor.launchers.slurm.job_status import JobStatus
from pmssm.supervisor.launchers.slurm.queue import (
    ACCOUNTING_FIELDS,
    FIELD_END,
    QUEUE_FIELDS,
    RECORD_END,
    parse_accounting,
    parse_job,
    parse_queue,
    parse_queue_json,
)
from pmssm.supervisor.launchers.slurm.tokens import JobToken

RECORDED = Path(__file__).parent / "recorded"
ODD = 55  # its name and comment hold what the formats use themselves
TOKEN = "mlp.pmssm.0123456789ab.3"


def recorded(name: str) -> str:
    return (RECORDED / name).read_bytes().decode()


@pytest.fixture(scope="module")
def jobs() -> dict[int, JobStatus]:
    return {job.job_id: job for job in parse_queue(recorded("squeue_22.05.txt"))}


def test_all_recorded_jobs_are_found(jobs: dict[int, JobStatus]) -> None:
    assert sorted(jobs) == list(range(40, 59))


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("pmssm.0123456789ab.1.done", ("COMPLETED", "", 0, None)),
        ("exit7", ("FAILED", "NonZeroExitCode", 7, None)),
        ("sig9", ("FAILED", "JobLaunchFailure", None, 9)),
        ("nofolder", ("FAILED", "JobLaunchFailure", None, 53)),
        ("cancelled", ("CANCELLED", "", None, 15)),
        ("cancelled-early", ("CANCELLED", "JobHeldUser", 0, None)),
        ("depkill", ("CANCELLED", "DependencyNeverSatisfied", 0, None)),
        ("timeout", ("TIMEOUT", "TimeLimit", None, 15)),
        ("victim", ("PREEMPTED", "", None, 15)),
        ("winner", ("NODE_FAIL", "NodeDown", None, 15)),
        ("toolong", ("FAILED", "BadConstraints", None, 1)),
        ("held", ("PENDING", "JobHeldUser", None, None)),
        ("later", ("PENDING", "BeginTime", None, None)),
        ("never", ("PENDING", "DependencyNeverSatisfied", None, None)),
        ("waits", ("PENDING", "Resources", None, None)),
        ("big", ("RUNNING", "", None, None)),
    ],
)
def test_state_reason_and_exit_of_each_kind_of_job(
    jobs: dict[int, JobStatus], name: str, expected: tuple[str, str, int | None, int | None]
) -> None:
    (job,) = (job for job in jobs.values() if job.name == name)
    assert (job.state, job.reason, job.exit_code, job.signal) == expected


def test_a_pending_job_has_an_expected_start_and_no_end(jobs: dict[int, JobStatus]) -> None:
    waiting = next(job for job in jobs.values() if job.name == "waits")
    assert waiting.expected_start == waiting.submitted + 3611  # type: ignore[operator]
    assert (waiting.started, waiting.ended) == (None, None)


def test_the_end_of_the_time_limit_is_no_end(jobs: dict[int, JobStatus]) -> None:
    running = next(job for job in jobs.values() if job.name == "big")
    assert running.started is not None
    assert running.ended is None


def test_the_token_is_read_from_the_name_and_the_comment(jobs: dict[int, JobStatus]) -> None:
    assert jobs[40].token == JobToken("0123456789ab", "done", 1)
    assert [job.job_id for job in jobs.values() if job.token] == [40]
    assert JobStatus(1, "RUNNING", name=TOKEN, comment="of the site").token == JobToken("0123456789ab", "mlp", 3)
    assert JobStatus(1, "RUNNING", name="renamed", comment=TOKEN).token == JobToken("0123456789ab", "mlp", 3)


@given(st.from_regex(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}", fullmatch=True), st.integers(1, 999_999_999))
def test_a_token_begins_with_the_run_and_is_read_back_also_in_its_old_form(run: str, attempt: int) -> None:
    token = JobToken("0123456789ab", run, attempt)
    assert str(token).startswith(f"{run}.")
    assert JobToken.parse(str(token)) == JobToken.parse(f"pmssm.0123456789ab.{attempt}.{run}") == token


@pytest.mark.parametrize(
    ("parse", "name"),
    [(parse_queue, "squeue_22.05.txt"), (parse_queue_json, "squeue_22.05.json"), (parse_job, "scontrol_22.05.txt")],
)
def test_the_run_comes_first_in_the_name_and_jobs_with_the_old_name_are_still_ours(parse: Any, name: str) -> None:  # noqa: ANN401
    old, new = recorded(name), recorded(name).replace("pmssm.0123456789ab.1.done", "done.pmssm.0123456789ab.1")
    assert old != new
    for text in (old, new):
        assert [job.token for job in parse(text) if job.token] == [JobToken("0123456789ab", "done", 1)]


@pytest.mark.parametrize(
    ("parse", "name"), [(parse_queue_json, "squeue_22.05.json"), (parse_job, "scontrol_22.05.txt")]
)
def test_json_and_scontrol_say_the_same_as_the_text(jobs: dict[int, JobStatus], parse: Any, name: str) -> None:  # noqa: ANN401
    others = {job.job_id: job for job in parse(recorded(name))}
    for job_id in sorted(jobs.keys() - {ODD}):
        assert replace(others[job_id], expected_start=None) == replace(jobs[job_id], expected_start=None)
    assert set(others) == set(jobs)


def test_a_strange_name_and_comment_stay_what_they_are(jobs: dict[int, JobStatus]) -> None:
    assert (jobs[ODD].name, jobs[ODD].state) == ("odd name, a=b|c UserId=x", "PENDING")
    (from_json,) = (job for job in parse_queue_json(recorded("squeue_22.05.json")) if job.job_id == ODD)
    assert from_json.comment == "JobState=RUNNING | , \x1f\x1e"


def number(value: float | None, *, infinite: bool = False) -> dict[str, Any]:
    return {"set": value is not None, "infinite": infinite, "number": value or 0}


NEWER: dict[str, dict[str, Any]] = {
    "23.02": {"job_state": "FAILED", "exit_code": number(1792), "start_time": 10, "end_time": 20, "submit_time": 5},
    "23.11": {
        "job_state": ["FAILED"],
        "exit_code": {"status": "ERROR", "return_code": number(7), "signal": {"signal_id": number(None), "name": ""}},
        "start_time": number(10),
        "end_time": number(20),
        "submit_time": number(5),
    },
    "24.05": {
        "job_state": ["FAILED"],
        "exit_code": {"status": ["ERROR"], "return_code": number(7), "signal": {"id": number(None), "name": ""}},
        "start_time": number(10),
        "end_time": number(20),
        "submit_time": number(5),
        "comment": TOKEN,
    },
}


@pytest.mark.parametrize("version", NEWER)
def test_json_of_later_versions_is_read(version: str) -> None:
    job = {
        **{"job_id": 12, "name": TOKEN, "nodes": "gpu[1-2]", "partition": "gpu", "state_reason": "NonZeroExitCode"},
        **{"restart_cnt": 1, "comment": TOKEN},
        **NEWER[version],
    }
    (read,) = parse_queue_json(json.dumps({"jobs": [job], "last_update": number(3), "warnings": [], "errors": []}))
    assert read == JobStatus(
        job_id=12,
        state="FAILED",
        name=TOKEN,
        comment=TOKEN,
        reason="NonZeroExitCode",
        nodes="gpu[1-2]",
        partition="gpu",
        exit_code=7,
        submitted=5.0,
        started=10.0,
        ended=20.0,
        restarts=1,
    )


def test_flags_of_later_versions_stand_beside_the_base_state() -> None:
    job = {"job_id": 1, "job_state": ["COMPLETING", "RUNNING"], "start_time": number(None), "restart_cnt": None}
    (read,) = parse_queue_json(json.dumps({"jobs": [job]}))
    assert (read.state, read.flags, read.started) == ("RUNNING", {"COMPLETING"}, None)


@pytest.mark.parametrize(
    ("states", "must_end"),
    [(["RUNNING"], 50.0), (["SUSPENDED"], 50.0), (["COMPLETING"], None), (["COMPLETING", "RUNNING"], None)],
)
def test_the_end_of_a_job_that_is_completing_is_not_that_of_its_time_limit(
    states: list[str], must_end: float | None
) -> None:
    job = {"job_id": 1, "job_state": states, "end_time": number(50)}
    (read,) = parse_queue_json(json.dumps({"jobs": [job]}))
    assert read.must_end == must_end


def test_a_signal_of_later_versions_takes_the_place_of_the_exit_code() -> None:
    status = {"status": ["SIGNALED"], "return_code": number(0), "signal": {"id": number(9), "name": "KILL"}}
    (read,) = parse_queue_json(json.dumps({"jobs": [{"job_id": 1, "job_state": ["FAILED"], "exit_code": status}]}))
    assert (read.exit_code, read.signal) == (None, 9)


def accounting_line(**values: str) -> str:
    record = dict.fromkeys(ACCOUNTING_FIELDS, "") | {"JobIDRaw": "5", "State": "COMPLETED", "ExitCode": "0:0"} | values
    return FIELD_END.join(record.values()) + "\n"


def test_accounting_names_who_cancelled_and_that_is_no_state() -> None:
    (job,) = parse_accounting(accounting_line(State="CANCELLED by 1000", ExitCode="0:15", JobName=TOKEN))
    assert (job.state, job.flags, job.signal, job.token) == ("CANCELLED", set(), 15, JobToken.parse(TOKEN))


def queue_record(**values: str) -> str:
    record = dict.fromkeys(QUEUE_FIELDS, "") | {"JobID": "5", "State": "RUNNING"} | values
    return FIELD_END.join(record.values()) + RECORD_END + "\n"


def test_a_broken_record_of_somebody_else_hides_none_of_ours() -> None:
    ours = queue_record(Name=TOKEN)
    foreign = queue_record(JobID="six", Name="other")
    assert [job.name for job in parse_queue(foreign + ours + "torn" + RECORD_END)] == [TOKEN]


def test_a_broken_record_of_ours_is_an_error() -> None:
    with pytest.raises(SlurmOutputError, match="without a number"):
        parse_queue(queue_record(JobID="six", Name=TOKEN))


def test_no_jobs_are_no_error() -> None:
    assert parse_queue("") == parse_queue("\n") == parse_accounting("") == ()
    assert parse_job("No jobs in the system\n") == ()


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"jobs": 1}', '{"jobs": [1]}', '{"jobs": [{}]}', "slurm: error"])
def test_json_that_is_no_queue_is_an_error(text: str) -> None:
    with pytest.raises(SlurmOutputError):
        parse_queue_json(text)


@pytest.mark.parametrize("job_id", ["1" + "0" * 400, "1e400", "NaN", "-1", "true", '{"set": true, "number": null}'])
def test_a_number_that_cannot_be_meant_is_an_error(job_id: str) -> None:
    with pytest.raises(SlurmOutputError, match="without a number"):
        parse_queue_json(f'{{"jobs": [{{"job_id": {job_id}, "job_state": "RUNNING"}}]}}')


def attempt(parse: Any, text: str) -> None:  # noqa: ANN401
    try:
        jobs = parse(text)
    except SlurmOutputError as error:
        assert str(error).isprintable()
    else:
        for job in jobs:
            assert job.job_id > 0
            assert job.state
            hash(job)


PARSERS = st.sampled_from([parse_queue, parse_queue_json, parse_job, parse_accounting])


@given(PARSERS, st.text())
def test_no_text_raises_anything_else(parse: Any, text: str) -> None:  # noqa: ANN401
    attempt(parse, text)


@given(PARSERS, st.sampled_from(["squeue_22.05.txt", "squeue_22.05.json", "scontrol_22.05.txt"]), st.data())
def test_no_damaged_output_raises_anything_else(parse: Any, name: str, data: st.DataObject) -> None:  # noqa: ANN401
    text = recorded(name)
    start = data.draw(st.integers(0, len(text)))
    end = data.draw(st.integers(start, len(text)))
    attempt(parse, text[:start] + data.draw(st.text(max_size=20)) + text[end:])


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["set", "infinite", "number", "id", "signal", "return_code"]), inner)
    ),
    max_leaves=8,
)
KEYS = (
    "job_id job_state name comment state_reason nodes partition exit_code submit_time start_time end_time restart_cnt"
)


@given(st.fixed_dictionaries({}, optional=dict.fromkeys(KEYS.split(), JSON)))
def test_no_json_of_a_job_raises_anything_else(job: dict[str, Any]) -> None:
    attempt(parse_queue_json, json.dumps({"jobs": [job]}))

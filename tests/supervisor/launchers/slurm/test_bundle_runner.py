"""The batch process of a job with several attempts, with real shims and commands and without Slurm."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pmssm.supervisor.launchers.attempt_files import ATTEMPT_VARIABLE, AttemptSpec, claim_if_unclaimed
from pmssm.supervisor.launchers.slurm import bundle_runner, job_shim
from pmssm.supervisor.launchers.slurm.attempt_folder import prepare_folder, request_stop
from pmssm.supervisor.launchers.slurm.bundle_runner import DEVICES, Member, attempt_environment, device_share
from support.slurm_cluster import read_json
from support.waiting import wait_until

# A trainer that writes its checkpoint when it is told to stop, and leaves with the exit code that says so.
TRAINER = "trap 'echo saved; exit 143' TERM; echo $CUDA_VISIBLE_DEVICES; while :; do sleep 60 & wait; done"
STUBBORN = "trap '' TERM; echo $CUDA_VISIBLE_DEVICES; while :; do sleep 1; done"


class Job:
    """A job that holds one attempt for each command."""

    def __init__(self, path: Path, *commands: str, grace_s: float = 10.0) -> None:
        self.folders = [self._prepare(path / f"r{number}", command, grace_s) for number, command in enumerate(commands)]
        self.process: subprocess.Popen[bytes] | None = None

    @staticmethod
    def _prepare(path: Path, command: str, grace_s: float) -> Path:
        folder = path / "attempt_1"
        spec = AttemptSpec(
            command=("/bin/sh", "-c", command),
            cwd="/",
            given={},
            log=str(path / "run.log"),
            header="",
            stop_grace_s=grace_s,
            run=path.name,
            session="0123456789ab",
        )
        prepare_folder(folder, spec, Path(sys.executable))
        return folder

    def start(self, **environment: str) -> None:
        """Start the batch process as the batch script does."""
        command = [sys.executable, "-I", "-S", bundle_runner.__file__, *map(str, self.folders)]
        self.process = subprocess.Popen(
            command, env={"PATH": os.environ["PATH"], **environment}, stdin=subprocess.DEVNULL, start_new_session=True
        )

    def wait(self, deadline_s: float = 20.0) -> int:
        assert self.process is not None
        return self.process.wait(deadline_s)

    def output(self, number: int) -> str:
        """Wait until a command has written a line, and return all that it has written."""
        log = self.folders[number].with_name("run.log")
        wait_until(lambda: log.exists() and "\n" in log.read_text())
        return log.read_text()

    def record(self, number: int, name: str = "exit.json") -> dict[str, Any] | None:
        return read_json(self.folders[number] / name)  # type: ignore[no-any-return]

    def pid(self, number: int, which: str) -> int:
        record = wait_until(lambda: (record := self.record(number, "process.json")) and which in record and record)
        return int(record[which]["pid"])

    def close(self) -> None:
        for number in range(len(self.folders)):
            for which in ("shim", "command"):
                with contextlib.suppress(ProcessLookupError, KeyError, TypeError):
                    os.kill(int(self.record(number, "process.json")[which]["pid"]), signal.SIGKILL)  # type: ignore[index]
        if self.process is not None:
            self.process.kill()
            self.process.wait()


@pytest.fixture
def jobs() -> Iterator[list[Job]]:
    started: list[Job] = []
    yield started
    for job in started:
        job.close()


def begin(jobs: list[Job], path: Path, *commands: str, grace_s: float = 10.0, **environment: str) -> Job:
    job = Job(path, *commands, grace_s=grace_s)
    jobs.append(job)
    job.start(**environment)
    return job


def test_each_attempt_has_its_own_gpus_log_record_and_end(tmp_path: Path, jobs: list[Job]) -> None:
    shown = "echo $CUDA_VISIBLE_DEVICES $ROCR_VISIBLE_DEVICES $HIP_VISIBLE_DEVICES $SLURM_NTASKS; exit {}"
    job = begin(
        jobs,
        tmp_path,
        *map(shown.format, (0, 7, 0)),
        CUDA_VISIBLE_DEVICES="0,1,2,3,4,5",
        ROCR_VISIBLE_DEVICES="0,1,2,3,4,5",
        HIP_VISIBLE_DEVICES="0,1,2,3,4,5",
        SLURM_NTASKS="3",
    )
    assert job.wait() == 7
    assert [job.output(number) for number in range(3)] == [
        "0,1 0,1 0,1 1\n",
        "2,3 2,3 0,1 1\n",
        "4,5 4,5 0,1 1\n",
    ]
    assert [job.record(number)["exit_code"] for number in range(3)] == [0, 7, 0]  # type: ignore[index]
    assert job.record(1, job_shim.NOTE)["gpus"] == "2,3"  # type: ignore[index]


def test_one_attempt_is_stopped_and_one_is_killed_while_the_others_go_on(tmp_path: Path, jobs: list[Job]) -> None:
    job = begin(jobs, tmp_path, TRAINER, STUBBORN, TRAINER, CUDA_VISIBLE_DEVICES="0,1,2")
    assert [job.output(number) for number in range(3)] == ["0\n", "1\n", "2\n"]
    request_stop(job.folders[0], "stop")
    request_stop(job.folders[1], "kill")
    stopped, killed = wait_until(lambda: job.record(0)), wait_until(lambda: job.record(1))
    assert (stopped["exit_code"], stopped["stop"]) == (143, "stop")
    assert (killed["signal"], killed["stop"]) == (signal.SIGKILL, "kill")
    assert "saved" in job.output(0)
    assert job.record(2) is None
    assert job.process is not None
    job.process.send_signal(signal.SIGUSR1)  # Slurm's warning reaches all that are left
    assert job.wait() == 143
    assert job.record(2)["stop"] == "stop"  # type: ignore[index]
    assert "saved" in job.output(2)


def test_what_a_killed_shim_leaves_behind_is_ended_and_its_attempt_is_lost(tmp_path: Path, jobs: list[Job]) -> None:
    job = begin(jobs, tmp_path, TRAINER, TRAINER, CUDA_VISIBLE_DEVICES="0,1")
    job.output(0)
    job.output(1)
    command = job.pid(0, "command")
    os.kill(job.pid(0, "shim"), signal.SIGKILL)
    record = wait_until(lambda: job.record(0))
    assert record["unseen"] == "its shim was killed by signal 9"
    assert record.get("exit_code") is None
    assert "saved" in job.output(0)
    with pytest.raises(ProcessLookupError):
        os.kill(command, 0)
    assert job.record(1) is None
    request_stop(job.folders[1], "stop")
    assert job.wait() == 128 + signal.SIGKILL
    assert job.record(1)["exit_code"] == 143  # type: ignore[index]


def test_no_attempt_goes_on_without_the_batch_process(tmp_path: Path, jobs: list[Job]) -> None:
    job = begin(jobs, tmp_path, TRAINER, TRAINER, CUDA_VISIBLE_DEVICES="0,1")
    job.output(0)
    job.output(1)
    assert job.process is not None
    job.process.kill()
    records = [wait_until(lambda number=number: job.record(number)) for number in range(2)]
    assert [(record["exit_code"], record["stop"]) for record in records] == [(143, "stop")] * 2


def test_a_shim_that_does_not_react_to_a_kill_is_killed_after_some_seconds(tmp_path: Path) -> None:
    (folder,) = Job(tmp_path, "true").folders
    shim = subprocess.Popen(["/bin/sh", "-c", "trap '' QUIT; echo; while :; do sleep 1; done"], stdout=subprocess.PIPE)
    with shim:
        assert shim.stdout is not None
        shim.stdout.readline()
        member = Member(folder=str(folder))
        member.pid = shim.pid
        request_stop(folder, "kill")
        member.read_request()
        assert member.kill_at is not None
        member.advance(member.kill_at - 0.1)
        assert shim.poll() is None
        member.advance(member.kill_at)
        _, status = os.waitpid(shim.pid, 0)
    member.note_end(status)
    member.advance(time.monotonic())
    record = read_json(folder / "exit.json")
    assert (member.is_over, record["stop"]) == (True, "kill")


def test_a_void_attempt_and_one_without_specification_do_not_keep_the_others_from_running(
    tmp_path: Path, jobs: list[Job]
) -> None:
    job = Job(tmp_path, "echo never", "echo never", "exit 0")
    jobs.append(job)
    claim_if_unclaimed(job.folders[0])
    (job.folders[1] / "spec.json").unlink()
    job.start()
    assert job.wait() == bundle_runner.NOT_OURS
    assert job.record(2)["exit_code"] == 0  # type: ignore[index]
    assert job.record(1)["unseen"].startswith("never started: ")  # type: ignore[index]
    assert job.record(0) is None
    assert not list(tmp_path.glob("r[01]/run.log"))


def test_a_shim_that_fails_says_where_the_reason_is(tmp_path: Path, jobs: list[Job]) -> None:
    job = Job(tmp_path, "true", "true")
    jobs.append(job)
    spec = json.loads((job.folders[0] / "spec.json").read_text())
    (job.folders[0] / "spec.json").write_text(json.dumps({**spec, "shim": "/gone/shim.py"}))
    job.start()
    assert job.wait() == 1
    assert job.record(0)["error"].endswith(f"{job.folders[0]}/job.log")  # type: ignore[index]
    assert "/gone/shim.py" in (job.folders[0] / "job.log").read_text()
    assert job.record(1)["exit_code"] == 0  # type: ignore[index]
    assert "shim" in job.record(0, "process.json")  # type: ignore[operator]


@given(st.lists(st.from_regex(r"[A-Za-z0-9-]{1,8}", fullmatch=True), unique=True, max_size=24), st.integers(1, 8))
def test_shares_are_disjoint_equal_and_as_large_as_possible(names: list[str], count: int) -> None:
    shares = [device_share(",".join(names), index, count).split(",") for index in range(count)]
    if len(names) >= count:
        taken = [name for share in shares for name in share]
        assert len(taken) == len(set(taken)) == len(names) // count * count
        assert len({len(share) for share in shares}) == 1
    elif names:
        assert all(share[0] in names and len(share) == 1 for share in shares)


@given(st.dictionaries(st.sampled_from((*DEVICES, "OTHER", "SLURM_NTASKS")), st.just("0,1,2,3")), st.integers(0, 3))
def test_no_variable_is_added_or_lost(environment: dict[str, str], index: int) -> None:
    own = attempt_environment(environment, index, 4)
    assert own.keys() == environment.keys()
    assert all(own[name] == ("1" if name == "SLURM_NTASKS" else own[name]) for name in own)
    assert own.get("CUDA_VISIBLE_DEVICES", str(index)) == str(index)
    assert own.get("OTHER", "0,1,2,3") == "0,1,2,3"


def test_names_that_exist_twice_are_the_same() -> None:
    """A file that runs without our package cannot import them."""
    assert bundle_runner.ATTEMPT_VARIABLE == ATTEMPT_VARIABLE
    assert bundle_runner.NOT_OURS == job_shim.NOT_OURS

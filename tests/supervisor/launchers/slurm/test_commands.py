"""Calls of Slurm's programs where these misbehave: programs of our own in their place, which a cluster cannot show."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from pmssm.supervisor.launchers.slurm import commands, programs
from pmssm.supervisor.launchers.slurm.call_budget import CallBudget
from pmssm.supervisor.launchers.slurm.commands import SlurmCommands
from pmssm.supervisor.launchers.slurm.errors import (
    JobNotOurs,
    RefusalKind,
    SlurmError,
    SlurmNotInstalled,
    SlurmOutputError,
    SlurmUnavailable,
    SubmissionRefused,
)
from pmssm.supervisor.launchers.slurm.programs import clean_environment

MakeSlurm = Callable[..., SlurmCommands]


@pytest.fixture
def slurm(tmp_path: Path) -> MakeSlurm:
    """Makes calls to given shell scripts: `slurm(squeue="exit 1")`."""

    def make(
        version: str = "slurm 22.05.8",
        clock: Callable[[], float] = time.monotonic,
        budget: CallBudget | None = None,
        **programs: str,
    ) -> SlurmCommands:
        for name, script in {"sinfo": f"echo {version}", **programs}.items():
            path = tmp_path / name
            path.write_text(f"#!/bin/sh\n{script}\n")
            path.chmod(0o755)
        environment = {"PATH": f"{tmp_path}:{os.environ['PATH']}", "HERE": str(tmp_path)}
        return SlurmCommands(environment, budget=budget or CallBudget(calls=1000, poll_s=0), clock=clock)

    return make


async def test_a_program_that_is_not_there_says_where_to_go(tmp_path: Path) -> None:
    with pytest.raises(SlurmNotInstalled, match="sbatch: no such program here; run on a login node"):
        await SlurmCommands({"PATH": str(tmp_path)}).submit((), "")


async def test_a_program_that_hangs_is_ended_at_its_deadline(
    slurm: MakeSlurm, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(commands, "SUBMIT_DEADLINE_S", 0.5)
    with pytest.raises(SlurmUnavailable, match=r"sbatch has not answered for 0\.5 s"):
        await slurm(sbatch='echo $$ > "$HERE/pid"; exec sleep 100').submit((), "")
    pid = int((tmp_path / "pid").read_text())
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


async def test_endless_output_is_cut_off(slurm: MakeSlurm, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(programs, "MAX_OUTPUT", 100_000)
    with pytest.raises(SlurmOutputError, match="wrote more than"):
        await slurm(squeue="yes").queue()


async def test_bytes_that_are_no_text_are_replaced(slurm: MakeSlurm) -> None:
    with pytest.raises(SubmissionRefused) as error:
        await slurm(sbatch=r"printf 'sbatch: error: Invalid qos specification \377\033[31m' >&2; exit 1").submit((), "")
    assert error.value.kind is RefusalKind.QOS
    assert str(error.value).isprintable()


@pytest.mark.parametrize("output", ["12", "12;cluster", "Notice of the site\\n12"])
async def test_the_job_number_is_found_in_each_shape(slurm: MakeSlurm, output: str) -> None:
    assert await slurm(sbatch=f"cat > /dev/null; printf '{output}\\n'").submit((), "script") == 12


async def test_an_answer_that_is_no_number_is_an_error(slurm: MakeSlurm) -> None:
    with pytest.raises(SlurmOutputError, match="did not write a job number"):
        await slurm(sbatch="echo welcome").submit((), "")


async def test_a_program_that_does_not_read_its_input_is_no_problem(slurm: MakeSlurm) -> None:
    with pytest.raises(SubmissionRefused):
        await slurm(sbatch="echo 'sbatch: error: Invalid qos specification' >&2; exit 1").submit((), "x" * 1_000_000)


@pytest.mark.parametrize(
    "stderr",
    [
        "squeue: error: Unable to contact slurm controller (connect failure)",
        "slurm_load_jobs error: Socket timed out on send/recv operation",
        "squeue: error: Unable to establish control: Zero Bytes were transmitted or received",
        "squeue: fatal: Could not establish a configuration source",
    ],
)
async def test_no_answer_is_told_from_a_refusal(slurm: MakeSlurm, stderr: str) -> None:
    with pytest.raises(SlurmUnavailable, match="Slurm does not answer"):
        await slurm(squeue=f"echo '{stderr}' >&2; exit 1").queue()


async def test_another_failure_is_passed_on_in_one_line(slurm: MakeSlurm) -> None:
    with pytest.raises(SlurmError, match="squeue failed: squeue: error: something new"):
        await slurm(squeue="echo 'squeue: error: something new' >&2; exit 3").queue()


async def test_the_job_of_somebody_else_is_told(slurm: MakeSlurm) -> None:
    stderr = "scancel: error: Kill job error on job id 5: Access/permission denied"
    with pytest.raises(JobNotOurs):
        await slurm(scancel=f"echo '{stderr}' >&2; exit 210").cancel([5])


async def test_json_is_used_from_23_02_on(slurm: MakeSlurm, tmp_path: Path) -> None:
    squeue = """echo "$*" > "$HERE/arguments"; echo '{"jobs": []}'"""
    assert await slurm("slurm 23.02.6", squeue=squeue).queue() == ()
    assert "--json" in (tmp_path / "arguments").read_text()


async def test_a_thousand_jobs_are_cancelled_in_two_calls(slurm: MakeSlurm, tmp_path: Path) -> None:
    await slurm(scancel='echo "$#" >> "$HERE/calls"').cancel(range(1, 1001))
    assert (tmp_path / "calls").read_text().split() == ["500", "500"]


async def test_many_submissions_and_polls_stay_within_12_calls_a_minute(
    slurm: MakeSlurm, monkeypatch: pytest.MonkeyPatch
) -> None:
    now, calls = 0.0, []

    async def sleep(seconds: float) -> None:
        nonlocal now
        now += seconds

    busy = slurm(sbatch="echo 1", squeue=":", clock=lambda: now, budget=CallBudget())
    monkeypatch.setattr(asyncio, "sleep", sleep)
    for number in range(40):
        await busy.submit((), "")
        calls.append(now)
        if number % 2:
            await busy.queue()
            calls.append(now)
    assert max(sum(at <= other < at + 59.9 for other in calls) for at in calls) <= 12
    assert now > 240


async def test_calls_run_one_after_the_other(slurm: MakeSlurm, tmp_path: Path) -> None:
    script = 'mkdir "$HERE/lock" || exit 1; sleep 0.1; rmdir "$HERE/lock"'
    busy = slurm(scancel=script)
    began = time.monotonic()
    await asyncio.gather(busy.cancel([1]), busy.cancel([2]), busy.cancel([3]))
    assert time.monotonic() - began >= 0.3
    assert not (tmp_path / "lock").exists()


def test_variables_that_change_slurms_programs_are_dropped() -> None:
    environment = {
        **{"SLURM_CONF": "/etc/x", "SBATCH_ACCOUNT": "susy", "PATH": "/bin", "TZ": "Asia/Tokyo", "LANG": "de_DE"},
        **{"SLURM_JOB_ID": "3", "SQUEUE_FORMAT": "%i", "SLURM_MEM_PER_CPU": "1", "SBATCH_EXPORT": "NONE"},
    }
    assert clean_environment(environment) == {
        **{"SLURM_CONF": "/etc/x", "SBATCH_ACCOUNT": "susy", "PATH": "/bin", "TZ": "UTC", "LANG": "de_DE"},
        **{"LC_ALL": "C", "SLURM_TIME_FORMAT": "standard"},
    }

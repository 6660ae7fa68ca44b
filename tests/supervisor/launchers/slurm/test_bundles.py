"""Which attempts share a job, and what that job asks for."""

from __future__ import annotations

import shlex
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pmssm.supervisor.launchers.slurm.attempt_folder import Submission, output_tail, submission_of
from pmssm.supervisor.launchers.slurm.batch_script import JobRequest, batch_script, sbatch_options
from pmssm.supervisor.launchers.slurm.bundles import NoBundle, bundled, multiplied, take_bundle
from pmssm.supervisor.launchers.slurm.errors import SettingsError
from pmssm.supervisor.launchers.slurm.settings import MAX_BUNDLE, SlurmSettings, settings_from_options
from pmssm.supervisor.launchers.slurm.tokens import JobToken

KINDS = (
    SlurmSettings(),
    SlurmSettings(bundle=1),
    SlurmSettings(bundle=2),
    SlurmSettings(bundle=4),
    SlurmSettings(bundle=4, time="5"),
)


def request(number: int, settings: SlurmSettings, **values: object) -> JobRequest:
    return JobRequest(
        token=JobToken("0123456789ab", f"r{number}", 1),
        folder=Path(f"/logs/r{number}/attempt_1"),
        python=Path("/usr/bin/python3"),
        job_shim=Path("/lib/job_shim.py"),
        settings=settings,
        **values,  # type: ignore[arg-type]
    )


def test_a_job_of_four_runs_asks_for_four_times_the_resources_of_one() -> None:
    settings = SlurmSettings(gres="gpu:a100:1,tmp:10G", cpus=8, mem="30G", time="5", bundle=4)
    job = bundled([request(number, settings) for number in range(4)])
    asked = dict(option.lstrip("-").split("=", 1) for option in sbatch_options(job) if "=" in option)
    assert (asked["gres"], asked["mem"]) == ("gpu:a100:4,tmp:40G", "120G")
    assert (asked["ntasks"], asked["cpus-per-task"], asked["nodes"], asked["time"]) == ("4", "8", "1", "5")
    assert (asked["job-name"], asked["chdir"]) == (str(job.token), "/logs/r0/attempt_1")
    command = shlex.split(batch_script(job).splitlines()[-1])
    assert command[1:] == [
        *("/usr/bin/python3", "-I", "-S", "/lib/bundle_runner.py"),
        *(f"/logs/r{number}/attempt_1" for number in range(4)),
    ]


def test_a_run_alone_is_the_same_job_with_and_without_a_bundle() -> None:
    alone, bundle = request(1, SlurmSettings()), request(1, SlurmSettings(bundle=4))
    (taken,) = take_bundle([bundle])
    assert sbatch_options(bundled([taken])) == sbatch_options(alone)
    assert batch_script(bundled([taken])) == batch_script(alone)


@pytest.mark.parametrize(
    ("gres", "three"),
    [
        ("gpu", "gpu:3"),
        ("gpu:2", "gpu:6"),
        ("gpu:a100", "gpu:a100:3"),
        ("gres/gpu=1", "gres/gpu=3"),
        ("gpu:1g.5gb:1,nvme:200G", "gpu:1g.5gb:3,nvme:600G"),
        ("none", "none"),
    ],
)
def test_generic_resources_are_counted_for_each_run(gres: str, three: str) -> None:
    assert multiplied(SlurmSettings(gres=gres), 3, takes_gpu=True).gres == three


def test_without_gres_each_run_that_uses_a_gpu_gets_one() -> None:
    assert multiplied(SlurmSettings(), 3, takes_gpu=True).gres == "gpu:3"
    assert multiplied(SlurmSettings(), 3, takes_gpu=False).gres is None


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (SlurmSettings(gres="shard:1"), "gres shard:1: a bundle gives each run whole GPUs"),
        (SlurmSettings(gres="gpu:1,mps:50"), "gres mps:50: a bundle gives each run whole GPUs"),
        (SlurmSettings(extra=("--gpus-per-node=1",)), "extra --gpus-per-node=1: a bundle cannot multiply it"),
        (SlurmSettings(extra=("-c8",)), "extra -c8: a bundle cannot multiply it"),
        (SlurmSettings(extra=("--mem=5G",)), "extra --mem=5G: a bundle cannot multiply it"),
    ],
)
def test_what_cannot_be_multiplied_is_named_with_a_remedy(settings: SlurmSettings, message: str) -> None:
    with pytest.raises(NoBundle) as error:
        multiplied(settings, 2, takes_gpu=True)
    assert str(error.value).startswith(message)
    assert multiplied(settings, 1, takes_gpu=True) == settings


def test_resources_of_a_core_a_gpu_or_a_task_need_no_multiplication() -> None:
    settings = SlurmSettings(extra=("--mem-per-gpu=30G", "--cpus-per-gpu=8", "--exclusive"))
    assert multiplied(settings, 4, takes_gpu=True).extra == settings.extra


@pytest.mark.parametrize("value", ["0", "-1", str(MAX_BUNDLE + 1), "four", "1.5"])
def test_a_bundle_is_a_number_of_runs(value: str) -> None:
    with pytest.raises(SettingsError, match=r"^--slurm bundle: must be"):
        settings_from_options([f"bundle={value}"])


@given(st.lists(st.tuples(st.sampled_from(KINDS), st.booleans(), st.sampled_from((b"A=1\0", b"A=2\0"))), max_size=30))
def test_every_attempt_is_in_one_job_with_its_like_and_no_job_could_be_spared(
    kinds: list[tuple[SlurmSettings, bool, bytes]],
) -> None:
    waiting = [
        request(number, settings, takes_gpu=takes_gpu, environment=environment)
        for number, (settings, takes_gpu, environment) in enumerate(kinds)
    ]
    submitted: list[list[JobRequest]] = []
    while remaining := [each for each in waiting if not any(each in job for job in submitted)]:
        submitted.append(take_bundle(remaining))
        assert submitted[-1][0] == remaining[0], "the one that waits longest comes first"
    assert sum(map(len, submitted)) == len(waiting)
    for job in submitted:
        assert len({(each.settings, each.takes_gpu, each.environment) for each in job}) == 1
        assert len(job) <= (job[0].settings.bundle or 1)
    needed = {kind: -(-kinds.count(kind) // (kind[0].bundle or 1)) for kind in kinds}
    assert len(submitted) == sum(needed.values())


def test_the_complaints_of_a_job_are_found_from_each_of_its_attempts(tmp_path: Path) -> None:
    folders = [tmp_path / f"r{number}" / "attempt_1" for number in range(2)]
    job = JobRequest(
        token=JobToken("0123456789ab", "r0", 1),
        folder=folders[0],
        others=(folders[1],),
        python=Path("/usr/bin/python3"),
        job_shim=Path("/lib/job_shim.py"),
        settings=SlurmSettings(),
    )
    for folder in folders:
        folder.mkdir(parents=True)
        submission_of(job, folder).write(folder)
    (folders[0] / "job.log").write_text("setup line 1 failed\n")
    assert [output_tail(folder) for folder in folders] == ["setup line 1 failed"] * 2
    assert [Submission.read(folder).token for folder in folders] == [str(job.token)] * 2  # type: ignore[union-attr]

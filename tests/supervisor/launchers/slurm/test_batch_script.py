"""The batch script and its options, as text and as a shell runs them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from pmssm.supervisor.launchers.slurm.batch_script import (
    SETUP_FAILED,
    JobRequest,
    UnusablePath,
    batch_script,
    environment_file,
    escape_pattern,
    sbatch_options,
    time_limit_minutes,
    warning_before,
)
from pmssm.supervisor.launchers.slurm.job_shim import NOT_OURS, exit_status, merged_environment
from pmssm.supervisor.launchers.slurm.settings import SlurmSettings
from pmssm.supervisor.launchers.slurm.tokens import JobToken

TOKEN = JobToken("0123456789ab", "mlp", 3)
PATHS = st.text(st.characters(exclude_characters="\0\n\r", exclude_categories=["Cs"]), min_size=1, max_size=40)
ARGUMENTS = "import json, sys; print(json.dumps(sys.argv[1:]))"


def request(folder: Path = Path("/logs/a"), settings: SlurmSettings | None = None, **values: object) -> JobRequest:
    return JobRequest(
        token=TOKEN,
        folder=folder,
        python=Path("/usr/bin/python3"),
        job_shim=Path("/lib/job_shim.py"),
        settings=settings or SlurmSettings(),
        **values,  # type: ignore[arg-type]
    )


def shell(script: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["/bin/bash"],
        input=script,
        env={"PATH": os.environ["PATH"], **environment},
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )


def with_listing_shim(folder: Path, *setup: str, at: Path) -> str:
    """A script whose "shim" prints the arguments that it gets."""
    shim = at / "job_shim.py"
    shim.write_text(ARGUMENTS)
    return batch_script(
        JobRequest(
            token=TOKEN,
            folder=folder,
            python=Path(sys.executable),
            job_shim=shim,
            settings=SlurmSettings(setup=setup),
        )
    )


@pytest.mark.parametrize(
    "name", ["plain", "with space", "quo'te\"s", "$HOME `id` $(id)", "back\\slash", "é*?[a]", "-n"]
)
def test_any_folder_reaches_the_shim_as_it_is(tmp_path: Path, name: str) -> None:
    result = shell(with_listing_shim(Path("/logs") / name, at=tmp_path))
    assert json.loads(result.stdout) == [f"/logs/{name}"]


def test_what_a_setup_line_exports_stays(tmp_path: Path) -> None:
    script = with_listing_shim(Path("/logs"), "export A='x y'", 'echo "$A" "$B" >&2', at=tmp_path)
    assert shell(script, B="from the session").stderr == "x y from the session\n"


@pytest.mark.parametrize("line", ["false", "module load nothing", "echo 'unbalanced", "fi", "exit 126"])
def test_a_setup_line_that_fails_ends_the_job(tmp_path: Path, line: str) -> None:
    result = shell(with_listing_shim(Path("/logs"), "true", line, "echo never", at=tmp_path))
    assert result.returncode == SETUP_FAILED
    assert result.stdout == ""
    assert line == "exit 126" or f"setup line 2 failed: {line}" in result.stderr


def test_the_options_hold_token_and_settings() -> None:
    settings = SlurmSettings(
        partition="gpu", account="susy", time="24:00:00", cpus=8, mem="16G", constraint="a100|h100"
    )
    options = sbatch_options(request(settings=settings, after=(5, 6)))
    assert {
        "--partition=gpu",
        "--account=susy",
        "--time=24:00:00",
        "--cpus-per-task=8",
        "--mem=16G",
        "--constraint=a100|h100",
        "--gres=gpu:1",
        "--dependency=afterok:5:6",
        "--signal=B:TERM@120",
        "--job-name=mlp.pmssm.0123456789ab.3",
        "--comment=mlp.pmssm.0123456789ab.3",
        "--no-requeue",
        "--open-mode=append",
        "--kill-on-invalid-dep=yes",
        "--export-file=/logs/a/environment",
        "--output=/logs/a/job.log",
        "--chdir=/logs/a",
    } <= set(options)


def test_options_of_the_user_come_before_ours() -> None:
    options = sbatch_options(request(settings=SlurmSettings(extra=("--exclusive",))))
    assert options[0] == "--exclusive"


def test_a_run_without_gpu_asks_for_none() -> None:
    assert not [each for each in sbatch_options(request(takes_gpu=False)) if each.startswith("--gres")]
    assert not [each for each in sbatch_options(request(settings=SlurmSettings(gres="none"))) if "gres" in each]


def test_no_warning_is_sent_where_none_is_wanted() -> None:
    assert not [each for each in sbatch_options(request(warning_s=0)) if each.startswith("--signal")]


@pytest.mark.parametrize(
    ("time", "minutes"),
    [("90", 90), ("90:30", 90.5), ("1:30:00", 90), ("1-0", 1440), ("1-1:30", 1530), ("0-0:1:30", 1.5)],
)
def test_times_of_slurm_in_minutes(time: str, minutes: float) -> None:
    assert time_limit_minutes(time) == minutes


def test_the_warning_never_takes_more_than_a_quarter_of_the_time() -> None:
    assert warning_before("24:00:00", 120) == 120
    assert warning_before("2", 120) == 30
    assert warning_before(None, 120) == warning_before("infinite", 120) == 120


@pytest.mark.parametrize("path", ["relative", "/a\nb", "/a\0b"])
def test_a_path_that_a_script_cannot_hold_is_refused(path: str) -> None:
    with pytest.raises(UnusablePath):
        request(Path(path))


def test_percent_and_backslash_are_escaped_in_output() -> None:
    assert escape_pattern(Path("/a%j/b")) == "/a%%j/b"
    assert escape_pattern(Path("/a%j\\b")) == "/a%j\\\\b"


@given(PATHS)
@example("$(touch /tmp/x)")
@example("'; exit 3 #")
def test_a_script_for_any_folder_is_valid_shell(name: str) -> None:
    script = batch_script(request(Path("/logs") / name))
    assert script.startswith("#!/bin/bash\n")
    assert script.count("\n") == 2


def test_the_environment_leaves_out_what_the_node_decides() -> None:
    content = environment_file(
        {"A": "1,2\n3", "CUDA_VISIBLE_DEVICES": "7", "SLURM_JOB_ID": "1", "PWD": "/x", "EMPTY": "", "É": "\udcff"}
    )
    assert content == "A=1,2\n3\0EMPTY=\0É=".encode() + b"\xff\0"


def test_an_impossible_environment_is_refused() -> None:
    with pytest.raises(ValueError, match="not an environment variable"):
        environment_file({"A=B": "1"})


def test_the_plan_wins_over_the_node_except_where_the_node_decides() -> None:
    node = {"PATH": "/module", "CUDA_VISIBLE_DEVICES": "3", "A": "node"}
    merged = merged_environment(node, {"A": "plan", "CUDA_VISIBLE_DEVICES": "0"}, frozenset({"CUDA_VISIBLE_DEVICES"}))
    assert merged == {"PATH": "/module", "CUDA_VISIBLE_DEVICES": "3", "A": "plan"}


def test_a_job_ends_as_its_command_did() -> None:
    assert exit_status({"exit_code": 7, "signal": None}) == 7
    assert exit_status({"exit_code": None, "signal": 15}) == 143
    assert exit_status(None) == NOT_OURS
    assert exit_status({}) == 1

"""Refused submissions: which part, and whether waiting helps."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pmssm.supervisor.launchers.slurm.errors import RefusalKind, SubmissionRefused
from pmssm.supervisor.launchers.slurm.refusals import refusal

FAILED = "sbatch: error: Batch job submission failed: "
POLICY = "Job violates accounting/QOS policy (job submit limit, user's size and/or time limits)"


@pytest.mark.parametrize(
    ("stderr", "kind"),
    [
        (  # this and the next ones as 22.05 wrote them
            f"sbatch: error: invalid partition specified: nope\n{FAILED}Invalid partition name specified",
            RefusalKind.PARTITION,
        ),
        (f"{FAILED}Requested node configuration is not available", RefusalKind.RESOURCES),
        ("sbatch: error: Invalid generic resource (gres) specification", RefusalKind.GRES),
        (
            f"sbatch: error: Memory specification can not be satisfied\n{FAILED}"
            "Requested node configuration is not available",
            RefusalKind.MEMORY,
        ),
        ("sbatch: error: Invalid --time specification", RefusalKind.TIME),
        (f"{FAILED}Invalid feature specification", RefusalKind.CONSTRAINT),
        ("sbatch: unrecognized option '--bogus'\nTry \"sbatch --help\" for more information", RefusalKind.OPTION),
        (f"{FAILED}Required partition not available (inactive or drain)", RefusalKind.BUSY),
        (f"{FAILED}Invalid account or account/partition combination specified", RefusalKind.ACCOUNT),
        (f"{FAILED}Invalid qos specification", RefusalKind.QOS),
        (f"{FAILED}Requested time limit is invalid (missing or exceeds some limit)", RefusalKind.TIME),
        (f"{FAILED}CPU count specification invalid", RefusalKind.CPUS),
        (f"{FAILED}{POLICY}", RefusalKind.POLICY),
        (f"sbatch: error: AssocMaxSubmitJobLimit\n{FAILED}{POLICY}", RefusalKind.LIMIT),
        (f"sbatch: error: QOSMaxSubmitJobPerUserLimit\n{FAILED}{POLICY}", RefusalKind.LIMIT),
        (f"sbatch: error: AssocGrpSubmitJobsLimit\n{FAILED}{POLICY}", RefusalKind.LIMIT),
        (f"sbatch: error: QOSMaxWallDurationPerJobLimit\n{FAILED}{POLICY}", RefusalKind.TIME),
        (f"sbatch: error: QOSMaxGRESPerUser\n{FAILED}{POLICY}", RefusalKind.POLICY),
        (f"{FAILED}Slurm temporarily unable to accept job, sleeping and retrying", RefusalKind.LIMIT),
        (f"{FAILED}Job dependency problem", RefusalKind.DEPENDENCY),
        ("sbatch: error: a site's own text", RefusalKind.OTHER),
    ],
)
def test_each_refusal_names_the_part_to_change(stderr: str, kind: RefusalKind) -> None:
    assert refusal(stderr).kind is kind


def test_only_limits_a_busy_cluster_and_jobs_that_have_just_ended_pass_by_themselves() -> None:
    passing = {kind for kind in RefusalKind if SubmissionRefused(kind, "text").passes}
    assert passing == {RefusalKind.LIMIT, RefusalKind.BUSY, RefusalKind.DEPENDENCY}


def test_a_refusal_that_passes_says_first_that_the_run_waits() -> None:
    limit = str(refusal(f"sbatch: error: AssocMaxSubmitJobLimit\n{FAILED}{POLICY}"))
    assert limit == "waits until one of your jobs has ended: Slurm accepts no more now (AssocMaxSubmitJobLimit)"
    assert "Job dependency problem" in str(refusal(f"{FAILED}Job dependency problem"))


def test_the_message_says_what_slurm_said_and_what_to_do() -> None:
    message = str(
        refusal(f"sbatch: error: invalid partition specified: nope\n{FAILED}Invalid partition name specified")
    )
    assert message.startswith("Slurm refused the job: invalid partition specified: nope; Batch job submission failed")
    assert "`sinfo`" in message


@given(st.text())
def test_any_text_gives_one_printable_line(stderr: str) -> None:
    assert str(refusal(stderr)).isprintable()

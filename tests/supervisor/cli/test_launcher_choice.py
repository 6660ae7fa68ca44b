"""Which launcher starts each run, and the settings of its job."""

from pathlib import Path

import pytest
from pmssm.supervisor.cli.launcher_choice import choose_launchers, describe_job, keep_inside
from pmssm.supervisor.cli.session_options import SessionOptions
from pmssm.supervisor.plan.errors import PlanError
from pmssm.supervisor.plan.loader import dump_plan, parse_plan
from pmssm.supervisor.plan.schema import Plan
from pmssm.supervisor.session.allocation import Allocation

PLAN = """
[slurm]
partition = "plan"
time = "10"
mem = "4G"
setup = ["module load cuda", "echo ${HOME}"]
[runs.prepare]
command = ["true"]
launcher = "local"
[runs.train]
command = ["true"]
slurm = { time = "20", cpus = 2 }
[runs.job]
command = ["true"]
launcher = "slurm"
"""
PROFILES = """
[raven]
partition = "profile"
account = "susy"
qos = "profile"
"""


@pytest.fixture(autouse=True)
def profiles(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    path = tmp_path / "pmssm-supervise" / "slurm.toml"
    path.parent.mkdir()
    path.write_text(PROFILES)
    return path


def choose(plan: str = PLAN, **options: object) -> Plan:
    return choose_launchers(parse_plan(plan, "plan.toml"), SessionOptions(**options), "plan.toml")  # type: ignore[arg-type]


def local_runs(plan: Plan) -> list[str]:
    return [name for name, run in plan.runs.items() if run.is_local]


@pytest.mark.parametrize(
    ("session", "option", "local"),
    [
        ("", None, ["prepare", "train"]),
        ("", "slurm", ["prepare"]),
        ("", "local", ["prepare", "train", "job"]),
        ('[session]\nlauncher = "slurm"\n', None, ["prepare"]),
        ('[session]\nlauncher = "slurm"\n', "local", ["prepare", "train", "job"]),
    ],
)
def test_each_run_has_the_launcher_that_plan_and_option_say(session: str, option: str | None, local: list[str]) -> None:
    assert local_runs(choose(session + PLAN, launcher=option)) == local


def test_settings_are_merged_from_profile_plan_run_and_option() -> None:
    plan = choose(launcher="slurm", slurm_profile="raven", slurm=("qos=option", "mem=8G", "extra=--exclusive"))
    common = {"account": "susy", "partition": "plan", "qos": "option", "mem": "8G", "extra": ["--exclusive"]}
    setup = {"setup": ["module load cuda", "echo ${HOME}"]}
    assert plan.runs["train"].slurm == {**common, **setup, "time": "20", "cpus": 2}
    assert plan.runs["job"].slurm == {**common, **setup, "time": "10"}
    assert plan.runs["prepare"].slurm == {} and plan.slurm == {}


def test_a_sessions_plan_keeps_launchers_and_settings() -> None:
    plan = choose(launcher="slurm")
    assert parse_plan(dump_plan(plan), "session") == plan


@pytest.mark.parametrize(
    ("plan", "options", "message"),
    [
        (PLAN.replace("mem =", "men ="), {}, "plan.toml: slurm.men: unknown key (did you mean 'mem'?)"),
        (PLAN.replace('"4G"', '"much"'), {}, 'plan.toml: slurm.mem: must be an amount of memory such as "16G"'),
        (PLAN.replace("cpus = 2", "cpus = true"), {}, "plan.toml: runs.train.slurm.cpus: must be a whole number"),
        (PLAN.replace('"20"', "20"), {}, "plan.toml: runs.train.slurm.time: must be a string, in quotes"),
        (PLAN, {"slurm": ("time",)}, "--slurm time: must be key=value, as in --slurm partition=gpu"),
        (PLAN, {"slurm": ("cpus=two",)}, "--slurm cpus: must be a whole number"),
        (PLAN, {"slurm_profile": "ravn"}, "slurm.toml: no profile named 'ravn' (did you mean 'raven'?)"),
        (
            PLAN,
            {"launcher": "local", "slurm": ("time=5",)},
            "--slurm time=5: no run is submitted to Slurm, so it would have no effect; add --launcher slurm",
        ),
        (
            '[runs.a]\ncommand = ["true"]\n',
            {"slurm_profile": "raven"},
            "--slurm-profile raven: no run is submitted to Slurm, so it would have no effect; add --launcher slurm",
        ),
        (
            '[runs.a]\ncommand = ["true"]\n',
            {"native_dependencies": True},
            "--native-dependencies: no run is submitted to Slurm, so it would have no effect; add --launcher slurm",
        ),
    ],
)
def test_an_error_is_one_line_with_its_place_and_remedy(plan: str, options: dict[str, object], message: str) -> None:
    with pytest.raises(PlanError) as caught:
        choose(plan, **options)
    assert str(caught.value).endswith(message)


def test_the_option_for_native_dependencies_is_kept_in_the_sessions_plan() -> None:
    assert not choose().session.native_dependencies
    plan = choose(native_dependencies=True)
    assert parse_plan(dump_plan(plan), "plan.toml").session.native_dependencies


def test_a_wrong_profile_is_named_by_its_file(profiles: Path) -> None:
    profiles.write_text("[raven]\ntime = 5\n")
    with pytest.raises(PlanError, match="must be a string, in quotes") as caught:
        choose(launcher="slurm", slurm_profile="raven")
    assert str(caught.value).startswith(f"{profiles}: raven.time: ")


def test_a_job_is_described_by_its_settings() -> None:
    assert describe_job({"partition": "gpu", "cpus": 2, "setup": ["x"]}) == "job of Slurm: partition gpu, cpus 2"
    assert describe_job({}) == "job of Slurm, with the site's defaults"


@pytest.mark.parametrize("inside", [True, False])
def test_a_session_without_jobs_stays_without_jobs_when_its_plan_is_read_again(inside: bool) -> None:
    plan = choose('[session]\nlauncher = "slurm"\n' + PLAN, launcher=None if inside else "local")
    if inside:
        plan, line = keep_inside(plan, Allocation("123", node="n1"))
        assert line.startswith(
            "inside allocation 123 nothing is submitted: all runs start on its nodes; to submit jobs from here"
        )
    assert local_runs(parse_plan(dump_plan(plan), "session")) == ["prepare", "train", "job"]


def test_of_the_settings_of_jobs_the_longest_warning_counts_inside_an_allocation() -> None:
    plan = choose(PLAN.replace("cpus = 2", "signal_s = 300"), launcher="slurm", slurm=())
    assert keep_inside(plan, Allocation("123", node="n1"))[0].slurm == {"signal_s": 300}
    assert keep_inside(choose(launcher="slurm"), Allocation("123", node="n1"))[0].slurm == {}


def test_outside_of_an_allocation_and_without_jobs_a_plan_stays_as_it_is() -> None:
    jobs, local = choose(launcher="slurm"), choose(launcher="local")
    assert keep_inside(jobs, None) == (jobs, "")
    assert keep_inside(local, Allocation("123")) == (local, "")


def test_a_login_node_with_an_allocation_elsewhere_is_refused() -> None:
    with pytest.raises(PlanError, match="inside allocation 123 nothing is submitted, and this machine is none of its"):
        keep_inside(choose(launcher="slurm"), Allocation("123"))

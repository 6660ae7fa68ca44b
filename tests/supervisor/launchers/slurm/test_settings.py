"""Settings of jobs: where they come from, which one wins, and what is said of a bad one."""

from __future__ import annotations

import string
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pmssm.supervisor.launchers.slurm.errors import SettingsError
from pmssm.supervisor.launchers.slurm.settings import (
    SlurmSettings,
    load_profile,
    merge,
    profiles_path,
    settings_from_options,
    settings_from_table,
)


def test_the_run_wins_over_the_command_line_the_profile_and_the_plan() -> None:
    plan = SlurmSettings(partition="plan", account="plan", qos="plan", time="1")
    profile = SlurmSettings(partition="profile", account="profile", qos="profile")
    line = SlurmSettings(partition="line", account="line")
    run = SlurmSettings(partition="run")
    merged = merge(plan, profile, line, run)
    assert (merged.partition, merged.account, merged.qos, merged.time) == ("run", "line", "profile", "1")


def test_a_list_replaces_the_list_below_it() -> None:
    assert merge(SlurmSettings(setup=("a",)), SlurmSettings(setup=("b",))).setup == ("b",)
    assert merge(SlurmSettings(setup=("a",)), SlurmSettings(cpus=2)).setup == ("a",)


def test_options_of_the_command_line_are_read() -> None:
    settings = settings_from_options(
        ["partition=gpu", "time=24:00:00", "cpus=8", "gres=gpu:a100:2", "extra=--exclusive", "extra=--nice=5"]
    )
    assert (settings.partition, settings.time, settings.cpus, settings.gres) == ("gpu", "24:00:00", 8, "gpu:a100:2")
    assert settings.extra == ("--exclusive", "--nice=5")


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ("partition", "--slurm partition: must be key=value"),
        ("partiton=gpu", "--slurm partiton: unknown key (did you mean 'partition'?)"),
        ("zzz=1", "--slurm zzz: unknown key; known are account, "),
        ("cpus=many", "--slurm cpus: must be a whole number"),
        ("cpus=0", "--slurm cpus: must be at least 1"),
        ("time=tomorrow", "--slurm time: must be a time such as 90 (minutes)"),
        ("mem=lots", '--slurm mem: must be an amount of memory such as "16G"'),
        ("gres=gpu 1", '--slurm gres: must be a resource and a number, such as "gpu:1"'),
        ("account=two words", "--slurm account: must be one word"),
        ("account=-A", "--slurm account: must be one word"),
        ("extra=exclusive", "--slurm extra.0: must be options of sbatch"),
        ("extra=--job-name=x", "--slurm extra.0: --job-name is set by the launcher; leave it out"),
        ("extra=--job-n=x", "--slurm extra.0: --job-n is set by the launcher; leave it out"),
        ("extra=-Jx", "--slurm extra.0: -Jx is set by the launcher; leave it out"),
        ("setup=a\nb", "--slurm setup.0: holds a line break"),
    ],
)
def test_a_bad_option_is_named_with_its_remedy(option: str, message: str) -> None:
    with pytest.raises(SettingsError) as error:
        settings_from_options([option])
    assert str(error.value).startswith(message)


@pytest.mark.parametrize("time", ["90", "90:30", "24:00:00", "1-0", "1-12:30", "7-00:00:00", "infinite", "UNLIMITED"])
def test_all_of_slurms_times_are_times(time: str) -> None:
    assert SlurmSettings(time=time).time == time


@pytest.mark.parametrize("gres", ["gpu", "gpu:1", "gpu:a100:2", "gpu:1,nvme:200", "none", "gres/gpu=1", "gres:gpu:1"])
def test_all_of_slurms_gres_are_gres(gres: str) -> None:
    assert SlurmSettings(gres=gres).gres == gres


def test_a_table_of_a_plan_is_named_in_its_errors() -> None:
    with pytest.raises(SettingsError, match=r"^plan.toml: runs.mlp.slurm.cpus: must be a whole number$"):
        settings_from_table({"cpus": "four"}, "plan.toml: runs.mlp.slurm.")
    with pytest.raises(SettingsError, match=r"^plan.toml: slurm: must be a table"):
        settings_from_table(7, "plan.toml: slurm.")


def test_a_profile_is_read_by_its_name(tmp_path: Path) -> None:
    path = tmp_path / "slurm.toml"
    path.write_text('[raven]\npartition = "gpu"\nsetup = ["module load cuda/12.6"]\n')
    assert load_profile("raven", path) == SlurmSettings(partition="gpu", setup=("module load cuda/12.6",))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("[raven]\ntime = 3\n", "raven.time: must be a string, in quotes"),
        ("raven = 3\n", "raven: must be a table"),
        ("[ravn]\n", "no profile named 'raven' (did you mean 'ravn'?)"),
        ("", "no profile named 'raven'; known are none"),
        ("[raven\n", "not valid TOML"),
        ("\xff", "not UTF-8 text"),
    ],
)
def test_a_bad_profile_is_named_with_its_file(tmp_path: Path, content: str, message: str) -> None:
    path = tmp_path / "slurm.toml"
    path.write_text(content, encoding="latin-1")
    with pytest.raises(SettingsError) as error:
        load_profile("raven", path)
    assert str(error.value).startswith(f"{path}: {message}")


def test_missing_profiles_are_one_line(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="No such file or directory; write one, or leave out --slurm-profile"):
        load_profile("raven", tmp_path / "slurm.toml")


def test_profiles_lie_where_the_other_settings_lie() -> None:
    assert profiles_path({"HOME": "/home/ada"}) == Path("/home/ada/.config/pmssm-supervise/slurm.toml")
    assert profiles_path({"HOME": "/home/ada", "XDG_CONFIG_HOME": "/cfg"}) == Path("/cfg/pmssm-supervise/slurm.toml")


KEYS = st.sampled_from([*SlurmSettings.model_fields, "partitoin", ""]) | st.text()
VALUES = st.text() | st.integers() | st.lists(st.text(), max_size=3) | st.text(string.digits + ":-", max_size=9)


@given(st.dictionaries(KEYS, VALUES, max_size=4))
def test_any_table_is_settings_or_one_line(table: dict[str, object]) -> None:
    try:
        settings_from_table(table, "plan.toml: slurm.")
    except SettingsError as error:
        assert str(error).isprintable()


@given(st.lists(st.text(), max_size=3))
def test_any_options_are_settings_or_one_line(options: list[str]) -> None:
    try:
        settings_from_options(options)
    except SettingsError as error:
        assert str(error).isprintable()

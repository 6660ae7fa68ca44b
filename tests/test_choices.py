"""Lists that exist twice, because supervisor and trainers import nothing of each other."""

from __future__ import annotations

from typing import get_args

import click
import pytest
from pmssm.supervisor.cli.main import main as supervise
from pmssm.supervisor.launchers.registry import LAUNCHERS, SRUN
from pmssm.supervisor.plan.schema import LauncherName
from pmssm.trainers.cli.main import commands as surrogate
from pmssm.trainers.data.reading import FORMATS
from pmssm.trainers.data.targets import TARGETS
from pmssm.trainers.training.adamw import FlatAdamW
from pmssm.trainers.training.registry import OPTIMIZERS, optimizer_class


def _option(command: click.Command, name: str) -> click.Option:
    (found,) = (param for param in command.params if name in param.opts)
    assert isinstance(found, click.Option)
    return found


def _choices(command: click.Command, name: str) -> list[str]:
    kind = _option(command, name).type
    assert isinstance(kind, click.Choice)
    return list(kind.choices)


@pytest.mark.parametrize(
    ("name", "command"),
    [("--loss", "mlp"), ("--precision", "mlp"), ("--y-transform", "prepare"), ("--features", "prepare")],
)
def test_the_supervisor_offers_what_the_trainers_take(name: str, command: str) -> None:
    assert _choices(supervise, name) == _choices(surrogate.commands[command], name)


def test_the_help_of_a_session_names_all_targets_and_data_formats() -> None:
    targets, data = (str(_option(supervise, name).help) for name in ("--target", "--data"))
    assert [name for name in TARGETS if name not in targets] == []
    assert [each.name for each in FORMATS if each.name.split()[0] not in data] == []


def test_plans_and_sessions_can_name_every_launcher() -> None:
    assert list(get_args(LauncherName)) == _choices(supervise, "--launcher")
    assert [*get_args(LauncherName), SRUN] == list(LAUNCHERS)


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_every_optimizer_can_be_imported(name: str) -> None:
    assert issubclass(optimizer_class(name), FlatAdamW)

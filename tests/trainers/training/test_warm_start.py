"""`--init-from`: a training that starts from the weights of another one."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from pmssm.trainers.errors import OptionError
from pmssm.trainers.inference.model_file import load_surrogate
from pmssm.trainers.models.recipes import RECIPES
from pmssm.trainers.training.warm_start import load_initial_weights

Run = Callable[..., "subprocess.CompletedProcess[str]"]


def test_the_weights_are_those_of_the_model(model: Path) -> None:
    models = [RECIPES["mlp"].build() for _ in range(2)]
    load_initial_weights(models, "mlp", model)
    for new, old in zip(models, load_surrogate(model).models, strict=True):
        for key, value in old.state_dict().items():
            assert torch.equal(new.state_dict()[key], value)


def test_a_training_starts_where_the_other_ended_and_resumes_only_from_the_same_start(
    model: Path, prepared: Path, tmp_path: Path, cli: Run
) -> None:
    arguments = ("mlp", "--data", prepared, "--output", tmp_path, "--threads", 1, "--ensemble", 2,
                 "--precision", "fp32", "--learning-rate", 1e-9)  # fmt: skip
    done = cli(*arguments, "--epochs", 1, "--init-from", model)
    assert done.returncode == 0, done.stderr
    assert f"Starting from the weights of {model}" in done.stdout
    old, new = (load_surrogate(path).models[1].state_dict() for path in (model, tmp_path / "model.pt"))
    for key, value in old.items():
        torch.testing.assert_close(new[key], value, rtol=0, atol=1e-6)
    again = cli(*arguments, "--epochs", 2)
    assert again.returncode == 2
    assert "belongs to a training with initial weights" in again.stderr


@pytest.mark.parametrize(
    ("name", "count", "width", "message"),
    [
        ("mlp_plr", 2, 19, "is a mlp, this training is a mlp_plr; use a model of the same kind"),
        ("mlp", 3, 19, "has 2 models; use --ensemble 2"),
        ("mlp", 2, 60, "has other inputs than this training; prepare the data with the same --features"),
    ],
)
def test_a_model_that_does_not_fit_is_refused(name: str, count: int, width: int, message: str, model: Path) -> None:
    models = [RECIPES[name].build(width) for _ in range(count)]
    with pytest.raises(OptionError, match=f"^--init-from {model}: {message}"):
        load_initial_weights(models, name, model)

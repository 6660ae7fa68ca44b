"""A trained model for all tests of its uses."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

Run = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture(scope="package")
def model(prepared: Path, tmp_path_factory: pytest.TempPathFactory, cli: Run) -> Path:
    """The model.pt of an ensemble of two perceptrons, trained for one epoch."""
    output = tmp_path_factory.mktemp("model")
    done = cli("mlp", "--data", prepared, "--output", output, "--epochs", 1, "--threads", 1, "--ensemble", 2)
    assert done.returncode == 0, done
    return output / "model.pt"

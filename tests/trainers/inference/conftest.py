"""A small model with physics features, a ratio target, intervals and the second head."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

Run = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture(scope="session")
def physics_data(tmp_path_factory: pytest.TempPathFactory, cli: Run) -> Path:
    """2,000 rows of the embedded sample with all features and the ratio target; 312 rows calibrate intervals."""
    folder = tmp_path_factory.mktemp("physics") / "data"
    done = cli("prepare", "--output", folder, "--testing", "--features", "physics", "--y-transform", "ratio",
               "--calibration", 0.2)  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "41 features join the 19 parameters" in done.stdout + done.stderr
    return folder


@pytest.fixture(scope="session")
def physics_model(physics_data: Path, tmp_path_factory: pytest.TempPathFactory, cli: Run) -> Path:
    """The model.pt of two small networks."""
    output = tmp_path_factory.mktemp("physics_model")
    done = cli("mlp_plr_small", "--data", physics_data, "--output", output, "--epochs", 6, "--threads", 1,
               "--loss", "l1", "--ensemble", 2)  # fmt: skip
    assert done.returncode == 0, done.stderr
    return output / "model.pt"

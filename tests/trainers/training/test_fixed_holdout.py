"""The fixed holdout: predicted at the end of a training, and unknown to it."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from pmssm.trainers.data.prepare import prepare
from pmssm.trainers.data.scan_files import ScanSelection
from pmssm.trainers.data.targets import find_target
from pmssm.trainers.inference.model_file import load_surrogate

Run = Callable[..., "subprocess.CompletedProcess[str]"]
Rows = NDArray[np.float64]


def test_the_values_of_the_holdout_are_those_that_the_model_file_predicts(
    tmp_path: Path, cli: Run, root_file: Callable[..., Path], make_rows: Callable[..., Rows]
) -> None:
    rows = make_rows(30, 9)
    selection = ScanSelection(
        target=find_target("relic_density", transform="ratio", above=None, below=None),
        fixed_holdout=(str(root_file(tmp_path / "holdout.root", rows)),),
    )
    prepare(tmp_path / "data", patterns=[str(root_file(tmp_path / "scan.root", make_rows(200)))], selection=selection)
    done = cli("mlp", "--data", tmp_path / "data", "--output", tmp_path / "mlp", "--epochs", 1, "--threads", 1)
    assert done.returncode == 0, done.stderr
    values, surrogate = np.load(tmp_path / "mlp" / "holdout.npz"), load_surrogate(tmp_path / "mlp" / "model.pt")
    order = np.argsort(values["true"])
    rows = rows[np.argsort(rows[:, -1])]
    np.testing.assert_allclose(values["true"][order], rows[:, -1], rtol=1e-5)
    predicted = surrogate.predict_members(rows[:, :19], warn=False)[0]
    np.testing.assert_allclose(values["predicted"][order], predicted, rtol=1e-3)
    result = json.loads((tmp_path / "mlp" / "result.json").read_text())
    error = np.median(np.abs(values["predicted"] / values["true"] - 1))
    assert result["holdout_points"] == 30
    assert result["holdout_median_relative_error"] == pytest.approx(float(error))
    assert result["holdout_median_relative_error"] != result["median_relative_error"]

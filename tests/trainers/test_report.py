"""`report`: all trainings of a session on one page."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from pmssm.trainers.report.figures import is_clear, measure

Run = Callable[..., "subprocess.CompletedProcess[str]"]


def test_figures_are_what_their_names_say() -> None:
    true = np.array([0.1, 0.12, 0.13, 0.5])
    figures = measure(true, np.array([0.105, 0.2, 0.13, 0.3]), np.array([1.0, 2.0, 3.0, 6.0]))
    assert (figures.points, figures.mse_normalised) == (4, 3.0)
    assert (figures.within_10, figures.within_20, figures.within_50) == (0.5, 0.5, 0.75)
    assert figures.planck == pytest.approx(2 / 3)
    assert figures.median_relative == pytest.approx((0.05 + 0.4) / 2)


def test_a_lead_is_clear_only_beyond_the_statistical_error() -> None:
    noise = np.random.default_rng(1).uniform(0, 1, 1000)
    assert is_clear(noise, noise + 0.1)
    assert not is_clear(noise, np.roll(noise, 1))


def test_the_report_ranks_models_and_baselines_and_names_what_did_not_finish(
    prepared: Path, tmp_path: Path, cli: Run
) -> None:
    trained = cli("mlp", "--data", prepared, "--output", tmp_path / "mlp", "--epochs", 1, "--threads", 1)
    assert trained.returncode == 0, trained
    (tmp_path / "tabm").mkdir()
    (tmp_path / "tabm" / "metrics.csv").write_text("epoch,train_mse,val_mse\n1,0.9,0.8\n")
    states = {"mlp": "succeeded", "tabm": "failed", "transformer": "blocked"}
    summary = {"runs": {name: {"state": state} for name, state in states.items()}}
    (tmp_path / "summary.json").write_text(json.dumps(summary))
    done = cli("report", tmp_path, "--data", prepared)
    assert done.returncode == 0, done
    page = (tmp_path / "report" / "report.html").read_text()
    assert "Use mlp: the smallest normalised error" in page
    assert "gradient boosting" in page and "mean of the training points" in page
    assert "tabm: failed, 1 epochs trained, no model" in page
    assert "transformer: blocked, 0 epochs trained, no model" in page
    pictures = sorted(path.name for path in (tmp_path / "report").glob("*.png"))
    assert pictures == ["loss_curves.png", "mlp_residuals.png", "mlp_true_vs_predicted.png"]

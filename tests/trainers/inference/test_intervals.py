"""Calibrated intervals: from the rows that prepare sets aside to the columns of predict."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from pmssm.trainers.data.columns import PARAMETERS, TREE
from pmssm.trainers.data.lsp import LSP_CLASSES
from pmssm.trainers.data.targets import find_target
from pmssm.trainers.errors import ModelError
from pmssm.trainers.evaluation.evaluate import evaluate_models
from pmssm.trainers.inference.intervals import LEVELS, calibrate, level_index
from pmssm.trainers.inference.learned_scale import learned_difference, shifted
from pmssm.trainers.inference.model_file import load_surrogate, read_model
from pmssm.trainers.inference.physical_model import IntervalModel
from pmssm.trainers.inference.predict_file import predict_file
from pmssm.trainers.inference.predicted_lsp import predict_lsp
from support.physics_points import point

Run = Callable[..., "subprocess.CompletedProcess[str]"]
Rows = NDArray[np.float64]
MakeRows = Callable[..., Rows]


@pytest.fixture(scope="module")
def calibrated(
    tmp_path_factory: pytest.TempPathFactory, cli: Run, root_file: Callable[..., Path], make_rows: MakeRows
) -> Path:
    """The model.pt of two perceptrons on 1000 rows, of which 400 calibrate."""
    folder = tmp_path_factory.mktemp("calibrated")
    scan = root_file(folder / "scan.root", make_rows(1000))
    prepared = cli("prepare", "--data", scan, "--calibration", 0.4, "--y-transform", "log", "--output", folder / "data")
    assert "500 to train, 100 to validate, 400 to calibrate intervals" in prepared.stdout
    done = cli("mlp", "--data", folder / "data", "--output", folder / "mlp", "--epochs", 2, "--threads", 1,
               "--ensemble", 2)  # fmt: skip
    assert done.returncode == 0, done
    return folder / "mlp" / "model.pt"


def test_intervals_cover_new_points_as_often_as_they_say(calibrated: Path, make_rows: MakeRows) -> None:
    surrogate, rows = load_surrogate(calibrated), make_rows(3000, seed=9)
    rows = rows[~surrogate.outside_training_range(rows[:, :-1]).any(axis=1)]
    found, true = surrogate.intervals(rows[:, :-1]), rows[:, -1]
    assert len(rows) > 2500
    assert np.mean((found.lower_68 <= true) & (true <= found.upper_68)) == pytest.approx(0.68, abs=0.06)
    assert np.mean((found.lower_95 <= true) & (true <= found.upper_95)) == pytest.approx(0.95, abs=0.03)
    prediction = surrogate(rows[:, :-1])
    assert (found.lower_95 <= found.lower_68).all() and (found.lower_68 <= prediction).all()
    assert (prediction <= found.upper_68).all() and (found.upper_68 <= found.upper_95).all()


def test_outside_the_training_range_there_is_no_interval(
    calibrated: Path, make_rows: MakeRows, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    points = np.clip(make_rows(50)[:, :-1], -1900, 1900)
    points[:, 4] = 4000
    points[7, 10], points[8, 3] = 9000, np.nan
    np.savez(tmp_path / "in.npz", **{name: points[:, i] for i, name in enumerate(PARAMETERS)})
    predict_file(calibrated, tmp_path / "in.npz", tmp_path / "out.npz", tree=TREE, branches=(), device="cpu")
    table = dict(np.load(tmp_path / "out.npz"))
    assert list(table) == ["relic_density", "relic_density_spread", "lower_68", "upper_68", "lower_95", "upper_95",
                           "outside_training_range"]  # fmt: skip
    for name in ("lower_68", "upper_68", "lower_95", "upper_95"):
        assert np.flatnonzero(np.isnan(table[name])).tolist() == [7, 8]
    assert "2 points (4.0 %) lie outside the training range" in caplog.text
    assert "they get no interval (no guarantee)" in caplog.text


def test_the_exported_module_gives_the_same_bounds(
    calibrated: Path, make_rows: MakeRows, monkeypatch: pytest.MonkeyPatch
) -> None:
    surrogate, points = load_surrogate(calibrated), make_rows(200)[:, :-1]
    points[5, 10], points[6, 3] = 9000, np.nan
    for transform in ("log", "none"):
        target = find_target("relic_density", transform=transform, above=None, below=None)
        monkeypatch.setattr(surrogate, "target", target)
        assert surrogate.calibrated is not None
        module = IntervalModel(surrogate.physical_model(), surrogate.scaling, surrogate.calibrated)
        with torch.no_grad():
            mean, *bounds = (one.numpy() for one in module(torch.from_numpy(points)))
        members = surrogate.predict_members(points, warn=False)
        np.testing.assert_allclose(mean, members.mean(axis=0), rtol=1e-10)
        for found, expected in zip(bounds, surrogate.intervals_of(points, members), strict=True):
            np.testing.assert_allclose(found, expected, rtol=1e-6)
            assert np.isnan(found[[5, 6]]).all()


def test_a_model_without_calibration_rows_says_how_to_get_intervals(model: Path) -> None:
    with pytest.raises(ValueError, match=r"prepare its data with --calibration 0\.1"):
        load_surrogate(model).intervals(np.zeros((1, 19)))
    assert "intervals" not in read_model(model)


def test_damaged_intervals_are_one_clear_error(calibrated: Path, tmp_path: Path) -> None:
    saved = torch.load(calibrated, weights_only=True)
    saved["intervals"]["quantiles"] = saved["intervals"]["quantiles"][:3]
    torch.save(saved, tmp_path / "model.pt")
    with pytest.raises(ModelError, match="the model is incomplete"):
        load_surrogate(tmp_path / "model.pt")


def test_evaluate_judges_the_intervals_instead_of_the_spread(
    calibrated: Path, make_rows: MakeRows, root_file: Callable[..., Path], tmp_path: Path
) -> None:
    holdout = root_file(tmp_path / "holdout.root", make_rows(1000, seed=9))
    tables = evaluate_models([calibrated], [str(holdout)], tmp_path / "out", tree=TREE, branches=())
    (row,) = tables[-1]["rows"]
    assert row["cells"][1] == "all"
    assert float(row["cells"][2].removesuffix(" %")) == pytest.approx(68, abs=7)
    assert float(row["cells"][4]) < 0.05  # the miscalibration area
    assert '"calibrated intervals"' in (tmp_path / "out" / "evaluation.json").read_text()


def test_widths_follow_the_difficulty_of_a_point(make_rows: MakeRows) -> None:
    random = np.random.default_rng(2)
    points = make_rows(4000)[:, :-1]
    spread = random.uniform(0.01, 1, 4000)
    found = calibrate(points, random.normal(0, spread), spread)
    widths = found.half_widths(points, spread)[level_index(0.95)]
    assert np.corrcoef(widths, spread)[0, 1] > 0.7
    assert found.counts.sum() == 4000
    constant = calibrate(points, random.normal(0, 0.3, 4000), None).half_widths(points, np.zeros(4000))
    assert constant.shape == (len(LEVELS), 4000)
    assert constant[level_index(0.68)].mean() == pytest.approx(0.3, rel=0.1)


def test_the_predicted_class_is_that_of_the_lightest_sparticle() -> None:
    points = {
        "bino": point(M_1=300.0),
        "wino": point(M_2=300.0),
        "higgsino": point(mu=300.0),
        "mixed": point(M_1=300.0, mu=300.0),
        "no neutralino": point(meR=100.0),
    }
    found = predict_lsp(np.concatenate([one.numpy() for one in points.values()]))
    assert [LSP_CLASSES[index] for index in found] == list(points)


def test_shifts_on_the_learned_scale_undo_differences() -> None:
    values, true = np.array([0.1, 0.2]), np.array([0.3, 0.05])
    for transform in ("none", "log"):
        target = find_target("relic_density", transform=transform, above=None, below=None)
        np.testing.assert_allclose(shifted(target, values, learned_difference(target, values, true)), true)
    target = find_target("relic_density", transform="none", above=None, below=None)
    assert shifted(target, values, np.array([-5.0, 0.0])).tolist() == [0.0, 0.2]  # Ωh² is not negative

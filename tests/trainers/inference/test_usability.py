"""The second head: which points are usable, and why the others are cut."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from pmssm.trainers.data.columns import PARAMETERS, TREE
from pmssm.trainers.data.cuts import apply_cuts
from pmssm.trainers.data.outcomes import OUTCOMES
from pmssm.trainers.data.prepared import load_prepared
from pmssm.trainers.data.scan import CALIBRATION, TRAIN, VAL
from pmssm.trainers.data.targets import TARGETS
from pmssm.trainers.errors import ModelError
from pmssm.trainers.inference.model_file import load_surrogate, read_model
from pmssm.trainers.inference.predict_file import predict_file
from pmssm.trainers.inference.scan_rows import scan_rows
from pmssm.trainers.training.usability import train_usability
from support.physics_points import point

Run = Callable[..., "subprocess.CompletedProcess[str]"]


def test_each_cut_has_an_outcome(make_rows: Callable[..., NDArray[np.float64]]) -> None:
    rows = make_rows(6)
    rows[:, -1] = [0.5, -1, np.nan, 1.0, 0.0, 0.5]
    not_light = np.array([False] * 5 + [True])
    found = apply_cuts(rows, TARGETS["relic_density"], violations={"not SP_m_h > 0": not_light}).outcomes
    assert [OUTCOMES[index] for index in found] == [
        "usable", "failed", "failed", "overclosed", "rejected", "rejected",
    ]  # fmt: skip


def test_cut_rows_are_split_like_usable_ones(physics_data: Path) -> None:
    prepared = load_prepared(physics_data)
    assert prepared.cut is not None
    counts = prepared.meta["counts"]
    assert len(prepared.cut.points) == counts["read"] - counts["usable"] > 300
    for part, usable in ((TRAIN, counts["train"]), (VAL, counts["val"]), (CALIBRATION, counts["calibration"])):
        points, outcomes = scan_rows(prepared, part)
        assert len(points) == len(outcomes)
        assert (outcomes == 0).sum() == usable
        assert (outcomes != 0).mean() == pytest.approx(1 - counts["usable"] / counts["read"], abs=0.01)


def test_the_head_tells_usable_points_from_the_others(physics_data: Path, physics_model: Path) -> None:
    surrogate = load_surrogate(physics_model)
    points, outcomes = scan_rows(load_prepared(physics_data), CALIBRATION)  # rows that no training has seen
    found = surrogate.outcomes(points)
    np.testing.assert_allclose(np.sum(found, axis=0), 1)
    assert (found.rejected == 0).all()
    for index, name in enumerate(OUTCOMES[:3]):
        assert found[index].mean() == pytest.approx((outcomes == index).mean(), abs=0.06), name
    assert found.usable[outcomes == 0].mean() > 0.85
    assert found.usable[outcomes != 0].mean() < 0.5
    assert found.overclosed[outcomes == 2].mean() > 0.6
    np.testing.assert_array_equal(surrogate.p_usable(points), found.usable)
    np.testing.assert_array_equal(surrogate.p_failed(points), found.failed)
    np.testing.assert_array_equal(surrogate.p_overclosed(points), found.overclosed)


def test_a_heavy_bino_overcloses_and_a_light_higgsino_does_not(physics_model: Path) -> None:
    scan = {"mtauL": 2000.0, "mtauR": 2000.0, "mA": 2000.0, "meL": 1900.0, "meR": 1900.0}
    bino, higgsino = (point(**scan, **one).numpy() for one in (
        {"M_1": 300.0, "M_2": 1800.0, "mu": 1900.0}, {"M_1": 1800.0, "M_2": 1900.0, "mu": 300.0},
    ))  # fmt: skip
    surrogate = load_surrogate(physics_model)
    assert surrogate.p_overclosed(bino)[0] > 0.9
    assert surrogate.p_overclosed(higgsino)[0] < 0.1


def test_predict_writes_the_probabilities(physics_model: Path, tmp_path: Path) -> None:
    points = point().numpy()
    np.savez(tmp_path / "in.npz", **{name: points[:, i] for i, name in enumerate(PARAMETERS)})
    predict_file(physics_model, tmp_path / "in.npz", tmp_path / "out.npz", tree=TREE, branches=(), device="cpu")
    table = dict(np.load(tmp_path / "out.npz"))
    assert list(table)[-4:] == ["p_usable", "p_failed", "p_overclosed", "outside_training_range"]
    assert table["p_usable"] == load_surrogate(physics_model).p_usable(points)


def test_a_scan_without_cut_rows_gives_no_head(model: Path) -> None:
    assert "usability" not in read_model(model)
    with pytest.raises(ValueError, match="its scan had too few cut rows"):
        load_surrogate(model).p_usable(np.zeros((1, 19)))


def test_the_head_is_the_same_again_with_the_same_seed(physics_data: Path) -> None:
    prepared = load_prepared(physics_data)
    first, second = (train_usability(prepared, seed=3, epochs=1) for _ in range(2))
    assert first is not None and second is not None
    points, _ = scan_rows(prepared, VAL)
    np.testing.assert_array_equal(first.probabilities(points), second.probabilities(points))


def test_rows_that_require_drops_are_rejected(tmp_path: Path, cli: Run) -> None:
    done = cli("prepare", "--output", tmp_path / "data", "--testing", "--require", "SP_LSP_mass > 500")
    assert done.returncode == 0, done.stderr
    prepared = load_prepared(tmp_path / "data")
    assert prepared.cut is not None
    assert set(prepared.cut.outcomes.tolist()) == {1, 2, 3}
    assert json.loads((tmp_path / "data" / "meta.json").read_text())["require"] == ["SP_LSP_mass > 500"]


def test_a_damaged_head_is_one_clear_error(physics_model: Path, tmp_path: Path) -> None:
    saved = torch.load(physics_model, weights_only=True)
    saved["usability"]["outcomes"] = ["usable", "unheard-of", "failed"]
    torch.save(saved, tmp_path / "model.pt")
    with pytest.raises(ModelError, match="the model is incomplete"):
        load_surrogate(tmp_path / "model.pt")

"""`evaluate`: models on points whose truth is known."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from pmssm.trainers.data.columns import COLUMNS, LSP_COLUMNS, TREE
from pmssm.trainers.errors import DataError, OptionError
from pmssm.trainers.evaluation.evaluate import evaluate_models
from pmssm.trainers.inference.fingerprints import fingerprints, is_known
from pmssm.trainers.inference.model_file import load_surrogate, read_model

Run = Callable[..., "subprocess.CompletedProcess[str]"]
Rows = NDArray[np.float64]
MakeRows = Callable[..., Rows]


@pytest.fixture(scope="module")
def holdout(tmp_path_factory: pytest.TempPathFactory, make_rows: MakeRows) -> Path:
    """70 rows with a lightest sparticle: 10 of the training, 60 new ones, of which one is overclosed."""
    rows = np.concatenate([make_rows(400)[:10], make_rows(60, seed=2)])
    rows[-1, -1] = 3.0
    lsp = np.zeros((70, 4))
    lsp[:, 0], lsp[:, 1] = 1, 0.95
    lsp[40:, 0], lsp[40:, 1] = 1000012, -1
    path = tmp_path_factory.mktemp("holdout") / "holdout.npz"
    np.savez(path, **{name: np.column_stack([rows, lsp])[:, i] for i, name in enumerate([*COLUMNS, *LSP_COLUMNS])})
    return path


def test_models_stand_side_by_side_with_warnings_figures_and_plots(
    model: Path, holdout: Path, tmp_path: Path, cli: Run
) -> None:
    (tmp_path / "other").mkdir()
    saved = torch.load(model, weights_only=True)
    del saved["fingerprints"]  # as in files of earlier versions
    torch.save({**saved, "weights": saved["weights"][:1]}, tmp_path / "other" / "model.pt")
    done = cli("evaluate", model, tmp_path / "other" / "model.pt", "--input", holdout, "--output", tmp_path / "out")
    assert done.returncode == 0, done
    name = model.parent.name
    assert f"{name}: 10 of the 69 points (14.5 %) were used in its training" in done.stdout
    assert "other: the model keeps no fingerprints of its training points" in done.stdout
    for word in ("false exclusion", "within 10 %", "rank correlation", "no neutralino"):
        assert word in done.stdout
    summary = json.loads((tmp_path / "out" / "evaluation.json").read_bytes())
    assert summary["points"] == 69 and summary["rows_read"] == 70
    first, second = summary["models"][name], summary["models"]["other"]
    assert {kind: one["scores"]["points"] for kind, one in first["classes"].items()} == {
        "all": 69, "bino": 40, "no neutralino": 29
    }  # fmt: skip
    assert (first["points_used_in_training"], second["points_used_in_training"]) == (10, None)
    assert first["stated_errors"] == "spread of the ensemble"
    assert second["classes"]["all"]["calibration"] is None
    verdicts = first["classes"]["all"]["verdicts"]
    assert verdicts["threshold"] == 0.12
    page = (tmp_path / "out" / "evaluation.html").read_text()
    assert page.count("data:image/png;base64,") == 5
    assert "14.5 %" in page and 'src="http' not in page


def test_figures_are_those_of_the_predictions(model: Path, holdout: Path, tmp_path: Path) -> None:
    evaluate_models([model], [str(holdout)], tmp_path, threshold=0.5, tree=TREE, branches=())
    with np.load(holdout) as file:
        rows = np.column_stack([file[name] for name in COLUMNS])[:-1]
    predicted = load_surrogate(model).predict_members(rows[:, :-1], warn=False).mean(axis=0)
    found = json.loads((tmp_path / "evaluation.json").read_bytes())["models"][model.parent.name]["classes"]["all"]
    assert found["scores"]["mae"] == pytest.approx(np.abs(predicted - rows[:, -1]).mean())
    assert found["verdicts"]["accuracy"] == pytest.approx(np.mean((predicted >= 0.5) == (rows[:, -1] >= 0.5)))


def test_a_point_is_known_if_the_training_used_it_in_any_part(model: Path, make_rows: MakeRows) -> None:
    saved = read_model(model)
    known = saved["fingerprints"].numpy()
    assert len(known) == 400  # training and validation
    scaling = load_surrogate(model).scaling
    assert is_known(known, scaling, make_rows(400)[:, :-1]).all()
    other = make_rows(400)[:, :-1]
    other[:, 3] += 0.01
    assert not is_known(known, scaling, other).any()


def test_fingerprints_do_not_depend_on_order_or_on_columns_after_the_parameters() -> None:
    rows = np.random.default_rng(1).normal(size=(50, 24)).astype(np.float32)
    assert (fingerprints([rows]) == fingerprints([rows[25:, :19], rows[:25, :19]])).all()


def test_models_of_different_targets_and_files_without_usable_rows_are_one_clear_error(
    model: Path, holdout: Path, tmp_path: Path
) -> None:
    saved = torch.load(model, weights_only=True)
    other = shutil.copytree(model.parent, tmp_path / "cls") / "model.pt"
    torch.save({**saved, "target": {**saved["target"], "branch": "Final__CLs"}}, other)
    with pytest.raises(OptionError, match=r"predicts Final__CLs, but .* predicts MO_Omega; evaluate them separately"):
        evaluate_models([model, other], [str(holdout)], tmp_path / "out", tree=TREE, branches=())
    with np.load(holdout) as file:
        np.savez(tmp_path / "closed.npz", **{**file, "MO_Omega": np.full(70, 2.0)})
    with pytest.raises(DataError, match=r"closed\.npz: none of the 70 rows is within 0 < Ωh² < 1; provide others"):
        evaluate_models([model], [str(tmp_path / "closed.npz")], tmp_path / "out", tree=TREE, branches=())
    assert not (tmp_path / "out").exists()

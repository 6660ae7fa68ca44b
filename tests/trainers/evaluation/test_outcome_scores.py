"""AUC and reliability of the second head, in cases with a known answer."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from pmssm.trainers.data.columns import TREE
from pmssm.trainers.evaluation.evaluate import evaluate_models
from pmssm.trainers.evaluation.outcome_scores import area_under_curve, reliability_curve, score_outcomes
from pmssm.trainers.inference.usability import OutcomeProbabilities


def test_the_area_under_the_curve_is_the_share_of_pairs_in_the_right_order() -> None:
    random = np.random.default_rng(1)
    probability, has_outcome = random.integers(0, 20, 200) / 20, random.random(200) < 0.3
    first, second = probability[has_outcome][:, None], probability[~has_outcome][None]
    expected = np.mean((first > second) + 0.5 * (first == second))
    assert area_under_curve(probability, has_outcome) == pytest.approx(expected)
    assert area_under_curve(np.arange(4.0), np.array([False, False, True, True])) == 1


def test_probabilities_that_hold_have_no_calibration_error_and_others_do() -> None:
    random = np.random.default_rng(2)
    usable = random.random(100_000)
    outcomes = np.where(random.random(100_000) < usable, 0, 1).astype(np.int8)
    nothing = np.zeros(100_000)
    scores = score_outcomes(OutcomeProbabilities(usable, 1 - usable, nothing, nothing), outcomes)
    assert set(scores) == {"usable", "failed"}
    assert scores["usable"].calibration_error < 0.01
    assert scores["usable"].brier == pytest.approx(1 / 6, abs=0.01)  # the mean of p (1 - p)
    assert scores["failed"].auc == pytest.approx(scores["usable"].auc)
    bold = np.where(usable > 0.5, 0.99, 0.01)
    assert score_outcomes(OutcomeProbabilities(bold, 1 - bold, nothing, nothing), outcomes)[
        "usable"
    ].calibration_error == pytest.approx(0.24, abs=0.01)


def test_rows_without_a_probability_do_not_count() -> None:
    usable = np.array([0.9, 0.2, np.nan])
    nothing = np.zeros(3)
    scores = score_outcomes(OutcomeProbabilities(usable, 1 - usable, nothing, nothing), np.array([0, 1, 1], np.int8))
    assert (scores["usable"].rows, scores["usable"].observed, scores["usable"].auc) == (1, 0.5, 1.0)
    assert [one.rows for one in reliability_curve(np.array([0.0, 1.0, 1.0]), np.array([False, True, True]))] == [1, 2]


def test_evaluate_scores_the_head_on_all_rows_with_the_cuts_of_each_model(physics_model: Path, tmp_path: Path) -> None:
    saved = torch.load(physics_model, weights_only=True)
    strict = shutil.copytree(physics_model.parent, tmp_path / "strict") / "model.pt"
    torch.save({**saved, "require": ["SP_LSP_mass > 300"]}, strict)
    sample = Path(__file__).parents[3] / "trainers" / "data" / "sample"
    file = sorted(sample.glob("*.root"))[-1]
    tables = evaluate_models([physics_model, strict], [str(file)], tmp_path / "out", tree=TREE, branches=())
    assert tables[-1]["title"] == "Usable points"
    found = json.loads((tmp_path / "out" / "evaluation.json").read_bytes())["models"]
    loose, strict_scores = (found[name]["outcomes"] for name in (physics_model.parent.name, "strict"))
    assert set(loose) == {"usable", "failed", "overclosed"}
    assert set(strict_scores) == {"usable", "failed", "overclosed", "rejected"}
    assert sum(one["rows"] for one in loose.values()) == sum(one["rows"] for one in strict_scores.values()) > 5000
    assert loose["overclosed"]["auc"] > 0.95
    assert loose["usable"]["auc"] > strict_scores["usable"]["auc"]
    assert found["strict"]["classes"]["all"]["scores"]["points"] == strict_scores["usable"]["rows"]
    assert (tmp_path / "out" / "model_1_reliability.png").exists()

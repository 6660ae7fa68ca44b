"""`report`: all trainings of a session on one page."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from pmssm.trainers.data.targets import find_target
from pmssm.trainers.evaluation.plots import true_against_predicted
from pmssm.trainers.evaluation.scores import PointScores, is_significant, score
from pmssm.trainers.evaluation.tables import HEADS
from pmssm.trainers.report.figures import ModelFigures
from pmssm.trainers.report.page import build_report, choose_model, recommendation
from pmssm.trainers.report.plots import residuals
from pmssm.trainers.report.tables import ranking, seed_table
from pmssm.trainers.report.trainings import TrainedRun

Run = Callable[..., "subprocess.CompletedProcess[str]"]


def test_each_score_is_what_its_name_promises() -> None:
    true = np.array([0.1, 0.12, 0.13, 0.5])
    scores = score(true, np.array([0.105, 0.2, 0.13, 0.3]), np.array([1.0, 2.0, 3.0, 6.0]))
    assert (scores.points, scores.mse_normalised) == (4, 3.0)
    assert (scores.within_10, scores.within_20, scores.within_50) == (0.5, 0.5, 0.75)
    assert scores.planck == pytest.approx(2 / 3)
    assert scores.median_relative == pytest.approx((0.05 + 0.4) / 2)


def test_a_lead_is_significant_only_beyond_the_statistical_error() -> None:
    noise = np.random.default_rng(1).uniform(0, 1, 1000)
    assert is_significant(noise, noise + 0.1)
    assert not is_significant(noise, np.roll(noise, 1))


def trainings(**kinds: str) -> tuple[list[TrainedRun], dict[str, PointScores], np.ndarray]:
    """Trainings of those names and kinds, the first the best, their scores, and the true values."""
    true = np.geomspace(1e-4, 0.9, 50)
    runs = [
        TrainedRun(name, true * (1.1 + 0.1 * number), np.full(50, 0.1 + 0.1 * number), kind=kind)
        for number, (name, kind) in enumerate(kinds.items())
    ]
    scores = {run.name: score(true, *(part for part in (run.predicted, run.squares) if part is not None))
               for run in runs}  # fmt: skip
    return runs, scores, true


def test_trainings_that_differ_in_their_seed_are_taken_together_under_the_name_of_their_group() -> None:
    runs, scores, _ = trainings(a="wide", b="wide", c="deep", d="deep", e="alone")
    (table,) = seed_table(runs, scores, {"a": "mlp-wide", "b": "mlp-wide", "c": "x", "d": "y"})
    assert [row["cells"][:3] for row in table["rows"]] == [
        ["mlp-wide", "2", "0.1500 ± 0.0707"],
        ["c, d", "2", "0.3500 ± 0.0707"],
    ]
    assert table["rows"][0]["cells"][4] == "15.0 ± 7.1 %"
    assert seed_table(runs[4:], scores, {}) == []


def test_if_the_logarithm_was_learned_the_report_names_the_learned_quantity() -> None:
    runs, scores, true = trainings(mlp="mlp")
    target = find_target("relic_density", transform="log", above=None, below=None)
    assert "the smallest normalised error of ln(Ωh² / 0.12) (0.1000)" in recommendation(runs, scores, target)
    note = ranking(runs, scores, HEADS, target)["note"]
    assert "ranking is by normalised MSE, of z-scores of ln(Ωh² / 0.12). By default, a training minimises it" in note
    for picture in (
        true_against_predicted(runs[0].name, true, true, target),
        residuals(runs[0], true, true[:, None], ["IN_mu"], target),
    ):
        assert picture.startswith(b"\x89PNG")


def test_the_planck_band_is_for_the_relic_density_alone() -> None:
    runs, scores, _ = trainings(mlp="mlp")
    target = find_target("cls", transform="none", above=None, below=None)
    table = ranking(runs, scores, HEADS[:-1], target)
    assert "0.12" not in " ".join(table["heads"]) + table["note"]
    assert len(table["rows"][0]["cells"]) == len(table["heads"])


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
    assert pictures == ["loss_curves.png", "mlp_confusion.png", "mlp_importance.png", "mlp_residuals.png",
                        "mlp_true_vs_predicted.png"]  # fmt: skip


def with_width(run: TrainedRun, width: float | None) -> TrainedRun:
    """The same training with intervals of this median half width."""
    return replace(run, figures=ModelFigures({}, width, {}, {}))


def test_of_equally_good_models_the_one_with_the_narrowest_intervals_is_recommended() -> None:
    noise = np.random.default_rng(1).uniform(0, 1, 50)
    runs, scores, _ = trainings(a="a", b="b", c="c")
    runs = [replace(runs[0], squares=noise), replace(runs[1], squares=np.roll(noise, 1)),
            replace(runs[2], squares=noise + 1)]  # fmt: skip
    target = find_target("relic_density", transform="log", above=None, below=None)
    chosen = [with_width(runs[0], 0.05), with_width(runs[1], 0.02), with_width(runs[2], 0.01)]
    assert choose_model(chosen).name == "b"
    sentence = recommendation(chosen, scores, target)
    assert sentence.startswith("Use b: its normalised error of ln(Ωh² / 0.12)")
    assert "is that of a within the statistical error, and its intervals are the narrowest" in sentence
    assert "68 % intervals of ± 2.0 % (median)." in sentence
    assert choose_model([with_width(runs[0], 0.05), with_width(runs[1], None)]).name == "a"


def test_the_report_judges_intervals_verdicts_and_the_second_head_and_names_the_inputs_that_matter(
    physics_data: Path, physics_model: Path, tmp_path: Path
) -> None:
    shutil.copytree(physics_model.parent, tmp_path / "small")
    build_report(tmp_path, physics_data, tmp_path / "report")
    page = (tmp_path / "report" / "report.html").read_text()
    for title in ("Verdicts", "Stated errors", "Usable points", "Which inputs matter", "Coverage of intervals"):
        assert f"<h2>{title}</h2>" in page, title
    assert "68 % intervals of ±" in page
    importance = page.partition("Which inputs matter")[2].partition("</section>")[0]
    assert "M_1" in importance and "M_2" in importance and "mu" in importance
    assert "mtauL" not in importance  # constant in this scan
    for name in ("coverage", "small_confusion", "small_reliability", "small_importance"):
        assert (tmp_path / "report" / f"{name}.png").exists(), name

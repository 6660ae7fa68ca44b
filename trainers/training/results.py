"""Results of a finished training: model, plots, result.json."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from ..data.prepared import PreparedData
from ..data.targets import Target
from ..data.writing import table_writer
from ..device import device_name
from ..files import write_atomic
from ..inference.model_file import calibrate_surrogate, from_saved, to_saved
from ..log import LOGGER
from .evaluation import Scores, evaluate
from .loop import Trainer
from .metrics import MetricsWriter
from .step import TrainingData
from .usability import train_usability

HOLDOUT = "holdout.npz"
RESULTS = ("result.json", "model.pt", "loss_curve.png", "true_vs_predicted.png", HOLDOUT)
"""Files that `write_results` writes besides the metrics."""


def write_results(output: Path, name: str, training: Trainer, prepared: PreparedData, metrics: MetricsWriter) -> None:
    """Write model, metrics and plots of the best weights, and result.json last.

    Args:
        output: Output folder of the training.
        name: Name of the recipe.
        training: Finished training with its best weights.
        prepared: Data that it was trained on.
        metrics: Metrics files of the training.
    """
    from .plots import loss_curve, true_vs_predicted  # noqa: PLC0415 (500 ms, only needed at the end)

    progress, models = training.progress, training.models
    if progress.epoch < training.settings.epochs:
        LOGGER.info("Early stopping: no better validation loss for %d epochs", progress.epoch - progress.best_epoch)
    for model in models:
        model.eval()
    scores = evaluate(models, training.data, prepared.scaling, prepared.target)
    holdout = _write_holdout(output / HOLDOUT, training, prepared)
    settings = {**asdict(training.settings), "precision": str(training.settings.precision)}
    saved = to_saved(name, models, prepared, settings)
    surrogate = from_saved(saved, output / "model.pt").to(training.data.train_inputs.device)
    if (calibrated := calibrate_surrogate(surrogate, prepared)) is not None:
        saved["intervals"] = calibrated.to_saved()
    if (usability := train_usability(prepared, seed=training.settings.seed, epochs=progress.epoch)) is not None:
        saved["usability"] = usability.to_saved()
    write_atomic(output / "model.pt", lambda file: torch.save(saved, file))
    metrics.rewrite(progress.rows)
    loss_curve(output / "loss_curve.png", model_title(training), progress.rows, progress.best_epoch, prepared.target)
    true_vs_predicted(output / "true_vs_predicted.png", model_title(training), scores, prepared.target)
    summary = json.dumps(result_summary(training, scores, prepared.target, holdout), indent=1) + "\n"
    write_atomic(output / "result.json", lambda file: file.write(summary.encode()))
    LOGGER.info("Best epoch %04d | Val MSE = %.6f (normalised), %.6e (%s) | R² = %s", progress.best_epoch,
                scores.mse_normalised, scores.mse, prepared.target.label,
                "n/a" if scores.r2 is None else f"{scores.r2:.4f}")  # fmt: skip
    LOGGER.info("Results in %s", output)


def model_title(training: Trainer) -> str:
    """Return the name of the model for logs and plots."""
    count = len(training.models)
    return type(training.models[0]).__name__ + (f" × {count}" if count > 1 else "")


def _write_holdout(path: Path, training: Trainer, prepared: PreparedData) -> Scores | None:
    """Write the true and predicted values of the fixed holdout, and return its scores; None without one."""
    if prepared.holdout_inputs is None or prepared.holdout_targets is None:
        return None
    arrays: list[NDArray[Any]] = [prepared.holdout_inputs, prepared.holdout_targets]
    if prepared.holdout_reference is not None:
        arrays.append(prepared.holdout_reference)
    train_rows, device = training.data[:2], training.data.train_inputs.device
    data = TrainingData(*train_rows, *(torch.from_numpy(np.array(array)).to(device) for array in arrays))
    scores = evaluate(training.models, data, prepared.scaling, prepared.target)
    with table_writer(path) as append:
        append({"true": scores.true, "predicted": scores.predicted})
    return scores


def result_summary(training: Trainer, scores: Scores, target: Target, holdout: Scores | None) -> dict[str, Any]:
    """Return the contents of result.json.

    Errors are those of the best weights on the validation part, and on the fixed holdout if there is one.
    """
    progress, model = training.progress, training.models[0]
    members = {"ensemble": len(training.models), "val_mse_normalised_std": scores.mse_normalised_std}
    return {
        "model": type(model).__name__,
        "parameters": sum(parameter.numel() for parameter in model.parameters()),
        "epochs": progress.epoch,
        "best_epoch": progress.best_epoch,
        "target": target.name,
        "y_transform": target.transform,
        "val_mse_normalised": scores.mse_normalised,
        **(members if len(training.models) > 1 else {}),
        "r2_normalised": scores.r2_normalised,
        "val_mse": scores.mse,
        "val_mae": scores.mae,
        "median_relative_error": scores.median_relative_error,
        "r2": scores.r2,
        **({} if holdout is None else _holdout_summary(holdout)),
        "wall_time_s": round(progress.seconds, 3),
        "peak_memory_mib": round(progress.peak_memory_mib, 1),
        "device": device_name(training.data.train_inputs.device),
        "precision": str(training.settings.precision),
    }


def _holdout_summary(scores: Scores) -> dict[str, Any]:
    return {
        "holdout_points": len(scores.true),
        "holdout_median_relative_error": scores.median_relative_error,
        "holdout_r2": scores.r2,
    }

"""Scores of trained models on the validation set."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from ..data.standardize import Standardizer
from ..data.targets import Target
from ..inference.batched import predict
from .step import TrainingData


class Scores(NamedTuple):
    """Scores on the validation set, in physical units except `*_normalised`.

    `*_normalised` are those of z-scores: of ln(y / y_ref) if the logarithm is learned. R² is None for a
    constant target.

    Attributes:
        true: True values, shape (n,).
        predicted: Predicted values, shape (n,).
        mse_normalised: Mean squared error of z-scores, mean over the models.
        mse_normalised_std: Its standard deviation over the models; 0 for one model.
        r2_normalised: R² of z-scores.
        mse: Mean squared error.
        mae: Mean absolute error.
        median_relative_error: Over the points whose true value is not 0; None if there are none.
        r2: R² of the physical values.
    """

    true: NDArray[np.float64]
    predicted: NDArray[np.float64]
    mse_normalised: float
    mse_normalised_std: float
    r2_normalised: float | None
    mse: float
    mae: float
    median_relative_error: float | None
    r2: float | None


def evaluate(models: Sequence[nn.Module], data: TrainingData, scaling: Standardizer, target: Target) -> Scores:
    """Score `models` on the validation part of `data`.

    The prediction is the mean of the physical values of the models. The normalised error is the mean of the
    errors of the single models, and their standard deviation goes with it.

    Args:
        models: Models trained together.
        data: z-scores.
        scaling: Standardizer of the 19 inputs and the target.
        target: Target that was learned.
    """
    predictions = torch.stack([predict(model, data.val_inputs) for model in models])
    scores, truth = predictions.double().cpu().numpy(), data.val_targets.double().cpu().numpy()
    mean, std = float(scaling.mean[-1]), float(scaling.std[-1])
    losses = np.square(scores - truth).mean(axis=1)  # (models,)
    reference = None if data.val_reference is None else data.val_reference.cpu().numpy()
    true, predicted = (target.backward(values * std + mean, reference) for values in (truth, scores))
    predicted = predicted.mean(axis=0)
    error, size = np.abs(predicted - true), np.abs(true)
    mse = float(np.mean(np.square(error)))
    return Scores(
        true=true,
        predicted=predicted,
        mse_normalised=float(losses.mean()),
        mse_normalised_std=float(losses.std()),
        r2_normalised=_r2(float(losses.mean()), truth),
        mse=mse,
        mae=float(np.mean(error)),
        median_relative_error=float(np.median(error[size > 0] / size[size > 0])) if size.any() else None,
        r2=_r2(mse, true),
    )


def _r2(mse: float, truth: NDArray[np.float64]) -> float | None:
    variance = float(np.var(truth))
    return 1 - mse / variance if variance > 0 else None


@dataclass(frozen=True)
class PhysicalMse:
    """Mean squared error in physical units, computed from z-scores on their device.

    Without fields it is the mean squared error of the z-scores themselves.

    Attributes:
        mean: Mean of the learned values.
        std: Standard deviation of the learned values.
        target: Converts learned to physical values.
        reference: Reference of the target, shape (n,); None: it has none.
    """

    mean: float = 0.0
    std: float = 1.0
    target: Target = field(default_factory=lambda: Target("y", "y", "y"))
    reference: Tensor | None = None

    @classmethod
    def of(cls, scaling: Standardizer, target: Target, reference: Tensor | None = None) -> PhysicalMse:
        """Return the error function of prepared data."""
        return cls(float(scaling.mean[-1]), float(scaling.std[-1]), target, reference)

    def __call__(self, predictions: Tensor, targets: Tensor) -> Tensor:
        """Return the error of z-scores of shape (n,) and (n,): a scalar, float64."""
        return (self._physical(predictions) - self._physical(targets)).square().mean()

    def _physical(self, scores: Tensor) -> Tensor:
        return self.target.backward_tensor(scores.double() * self.std + self.mean, self.reference)

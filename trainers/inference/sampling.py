"""What samplers need of a surrogate: the likelihood of a measurement, and derivatives."""

from __future__ import annotations

import math

import numpy as np
import torch
from numpy.typing import NDArray

from .physical_model import PhysicalModel
from .surrogate import Surrogate

Values = NDArray[np.float64]

GRADIENT_ROWS = 1024
"""Points per pass: autograd keeps all intermediate results."""


def log_likelihood(surrogate: Surrogate, points: Values, observed: float, sigma: float) -> Values:
    """Return the logarithm of the likelihood of a measured value, as `Surrogate.log_likelihood` describes it.

    Args:
        surrogate: Trained models.
        points: Physical parameters, shape (n, 19).
        observed: Measured value.
        sigma: Standard deviation of experiment and theory, positive.

    Returns:
        Shape (n,); -inf outside the training range.

    Raises:
        ValueError: `sigma` is not positive.
    """
    if not sigma > 0:
        raise ValueError(f"sigma must be positive, not {sigma:g}")
    result = np.full(len(points), -np.inf)
    inside = ~surrogate.outside_training_range(points).any(axis=1)
    if inside.any():
        members = surrogate.predict_members(points[inside], warn=False)
        error = _standard_deviation(surrogate, points[inside], members)
        result[inside] = gaussian_log_likelihood(members.mean(axis=0), error, observed, sigma)
    return result


def _standard_deviation(surrogate: Surrogate, points: Values, members: Values) -> Values:
    if surrogate.calibrated is None:
        return np.asarray(members.std(axis=0))
    intervals = surrogate.intervals_of(points, members)
    return (intervals.upper_68 - intervals.lower_68) / 2


def gaussian_log_likelihood(predicted: Values, model_error: Values, observed: float, sigma: float) -> Values:
    """Return ln p(observed | predicted) of a Gaussian with both errors in quadrature.

    Args:
        predicted: Predictions, shape (n,).
        model_error: Standard deviations of the predictions, shape (n,).
        observed: Measured value.
        sigma: Standard deviation of experiment and theory.
    """
    variance = sigma**2 + model_error**2
    return np.asarray(-0.5 * ((predicted - observed) ** 2 / variance + np.log(2 * math.pi * variance)))


def input_gradient(surrogate: Surrogate, points: Values) -> Values:
    """Return the derivatives of the prediction with respect to the parameters.

    Args:
        surrogate: Trained models.
        points: Physical parameters, shape (n, 19).

    Returns:
        Shape (n, 19), in the unit of the target per unit of the parameter.
    """
    device = next(surrogate.models[0].parameters()).device
    model = PhysicalModel(surrogate).to(device).eval()
    result = np.empty(points.shape)
    for start in range(0, len(points), GRADIENT_ROWS):
        span = slice(start, start + GRADIENT_ROWS)
        batch = torch.from_numpy(np.array(points[span])).to(device).requires_grad_()
        with torch.enable_grad():
            (derivative,) = torch.autograd.grad(model(batch).sum(), batch)
        result[span] = derivative.cpu().numpy()
    return result

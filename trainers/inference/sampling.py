"""What samplers need of a surrogate: the likelihood of a measurement, and derivatives."""

from __future__ import annotations

import math

import numpy as np
import torch
from numpy.typing import NDArray

from .physical_model import PhysicalModel

Values = NDArray[np.float64]

GRADIENT_ROWS = 1024
"""Points per pass: autograd keeps all intermediate results."""


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


def input_gradient(model: PhysicalModel, points: Values) -> Values:
    """Return the derivatives of the prediction with respect to the parameters.

    Args:
        model: Trained models.
        points: Physical parameters, shape (n, 19).

    Returns:
        Shape (n, 19), in the unit of the target per unit of the parameter.
    """
    device = next(model.models.parameters()).device
    model = model.to(device).eval()
    result = np.empty(points.shape)
    for start in range(0, len(points), GRADIENT_ROWS):
        span = slice(start, start + GRADIENT_ROWS)
        batch = torch.from_numpy(np.array(points[span])).to(device).requires_grad_()
        with torch.enable_grad():
            (derivative,) = torch.autograd.grad(model(batch).sum(), batch)
        result[span] = derivative.cpu().numpy()
    return result

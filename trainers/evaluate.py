"""Predictions in big batches, and the figures made of them."""

from __future__ import annotations

from contextlib import suppress
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from .data.scaling import Scaling
from .errors import TrainingError
from .log import LOGGER
from .signals import StopRequest

PREDICTION_ROWS = 8192


class Interrupted(Exception):
    """Somebody asked to stop, by the signal `signum`, while predictions were made."""

    def __init__(self, signum: int) -> None:
        super().__init__(signum)
        self.signum = signum


def predict(model: nn.Module, inputs: Tensor, *, stop: StopRequest | None = None) -> Tensor:
    """What `model` gives for `inputs` `(n, 19)`: `(n,)`, on the same device.

    Raises Interrupted after a signal that `stop` noted, TrainingError where not even one row fits into the memory.
    """
    result = inputs.new_empty(len(inputs))
    rows, start = PREDICTION_ROWS, 0
    with torch.no_grad():
        while start < len(inputs):
            if stop is not None and stop.signum is not None:
                raise Interrupted(stop.signum)
            with suppress(torch.OutOfMemoryError):  # whose traceback holds on to memory until this block is left
                result[start : start + rows] = model(inputs[start : start + rows])
                start += rows
                continue
            rows = smaller_batch(rows, "prediction batch")
    return result


def smaller_batch(rows: int, what: str) -> int:
    """Half of `rows`, said in the log. Raises TrainingError where there is no half."""
    if rows == 1:
        raise TrainingError("out of memory even with a single row; free the GPU or take another one")
    torch.cuda.empty_cache()
    LOGGER.warning("Out of memory: %s %d → %d rows", what, rows, rows // 2)
    return rows // 2


class Scores(NamedTuple):
    """Predicted and true Ωh² `(n,)` float64, their mean squared errors (normalised; in Ωh² units) and R²."""

    true: NDArray[np.float64]
    predicted: NDArray[np.float64]
    mse_normalised: float
    mse: float
    r2: float | None


def evaluate(model: nn.Module, inputs: Tensor, targets: Tensor, scaling: Scaling) -> Scores:
    """Scores of `model` on z-scored `inputs` `(n, 19)` and `targets` `(n,)`; R² is None for a constant target."""
    predictions = predict(model, inputs).double().cpu().numpy()
    truth = targets.double().cpu().numpy()
    mean, std = float(scaling.mean[-1]), float(scaling.std[-1])
    mse = float(np.mean(np.square(predictions - truth)))
    variance = float(np.var(truth))
    r2 = 1 - mse / variance if variance > 0 else None
    return Scores(truth * std + mean, predictions * std + mean, mse, mse * std**2, r2)

"""Forward passes in batches that fit into memory."""

from __future__ import annotations

from contextlib import suppress

import torch
from torch import Tensor, nn

from ..device import one_memory_error
from ..errors import TrainingError
from ..log import LOGGER
from ..signals import StopRequest

PREDICTION_ROWS = {"cpu": 256, "cuda": 8192}
"""Rows per forward pass: on a CPU about as many as its cache holds, on a GPU enough to use all of it."""


class Interrupted(Exception):
    """Interruption of predictions by a signal; not an error.

    Attributes:
        signum: Number of the signal.
    """

    def __init__(self, signum: int) -> None:
        super().__init__(signum)
        self.signum = signum


def predict(model: nn.Module, inputs: Tensor, *, stop: StopRequest | None = None) -> Tensor:
    """Apply `model` to `inputs`, batch by batch.

    Args:
        model: Model in evaluation mode.
        inputs: z-scores, shape (n, 19).
        stop: Receives signals.

    Returns:
        Predictions, shape (n,), on the device of `inputs`.

    Raises:
        Interrupted: `stop` received a signal.
        TrainingError: Not even one row fits into memory.
    """
    result = inputs.new_empty(len(inputs))
    rows, start = PREDICTION_ROWS[inputs.device.type], 0
    while start < len(inputs):
        if stop is not None and stop.signum is not None:
            raise Interrupted(stop.signum)
        # The traceback of the error keeps memory until this block ends.
        with torch.no_grad(), suppress(torch.OutOfMemoryError), one_memory_error():
            result[start : start + rows] = model(inputs[start : start + rows])
            start += rows
            continue
        rows = smaller_batch(rows, "prediction batch")
    return result


def smaller_batch(rows: int, what: str) -> int:
    """Return half of `rows` and log it.

    Raises:
        TrainingError: `rows` is 1.
    """
    if rows == 1:
        raise TrainingError("out of memory even with a single row; free GPU memory or use another GPU")
    torch.cuda.empty_cache()
    LOGGER.warning("Out of memory: %s %d → %d rows", what, rows, rows // 2)
    return rows // 2

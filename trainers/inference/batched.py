"""Forward passes in batches that fit into memory."""

from __future__ import annotations

from contextlib import suppress

import torch
from torch import Tensor, nn

from ..errors import TrainingError
from ..log import LOGGER
from ..signals import StopRequest

PREDICTION_ROWS = {"cpu": 256, "cuda": 8192}
"""That one pass takes: on a CPU about as many as stay in its cache, on a GPU enough to fill it."""


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
    rows, start = PREDICTION_ROWS[inputs.device.type], 0
    while start < len(inputs):
        if stop is not None and stop.signum is not None:
            raise Interrupted(stop.signum)
        with torch.no_grad(), suppress(torch.OutOfMemoryError):  # whose traceback holds on to memory in this block
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

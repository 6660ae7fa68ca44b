"""One optimizer step, as kernels that read and write nothing but buffers that stay: a CPU runs it, a GPU replays it."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from functools import partial
from typing import NamedTuple

import torch
from torch import Tensor

from .adamw import FlatAdamW


class TrainingData(NamedTuple):
    """z-scores on the device of the training: inputs `(n, 19)` and targets `(n,)`."""

    train_inputs: Tensor
    train_targets: Tensor
    val_inputs: Tensor
    val_targets: Tensor


LEAST_ROWS = 64
"""Of a part of a batch: with fewer, what a kernel costs by itself is no longer small against what it computes."""


class BatchSlice(NamedTuple):
    """Rows of a batch of `rows` that are passed through the models by themselves."""

    number: int
    begin: int
    end: int
    rows: int


class TrainingStep:
    """Trains models, each on its own order of the rows; `loss_sum`, `(models,)`, adds up their squared errors.

    `ahead`, `(batch_size,)`, are the places of the next rows in the order of the epoch. A batch is cut into up to
    `parts` parts of at least LEAST_ROWS, whose gradients are added up.
    """

    def __init__(self, data: TrainingData, optimizer: FlatAdamW, batch_size: int, parts: int = 1) -> None:
        self.data = data
        self.optimizer = optimizer
        self.parts = _batch_slices(batch_size, parts)
        self.forward: Callable[[Tensor], Tensor] = optimizer.weights.forward
        count, device = len(optimizer.weights.models), data.train_inputs.device
        self.order = torch.zeros(count, len(data.train_inputs), dtype=torch.int64, device=device)
        self.ahead = torch.arange(batch_size, device=device)
        self.loss_sum = torch.zeros(count, dtype=torch.float64, device=device)
        self._errors = data.train_targets.new_zeros(self.parts, count)
        others = [torch.zeros_like(optimizer.gradient) for _ in range(self.parts - 1)]
        self._gradients = [optimizer.gradient, *others]

    def compile(self) -> None:
        """Nothing; forward and backward passes are fused from the next step on, which takes a minute or two."""
        self.forward = torch.compile(self.optimizer.weights.forward, dynamic=False)

    @property
    def compiled(self) -> bool:
        """Whether the passes are fused kernels."""
        return self.forward != self.optimizer.weights.forward

    def give_up_compiling(self) -> bool:
        """Whether there was anything to give up; the passes are what they were before `compile`."""
        compiled, self.forward = self.compiled, self.optimizer.weights.forward
        return compiled

    def begin(self, seeds: Sequence[int], epoch: int, row: int) -> None:
        """Nothing; the next step takes the rows from `row` on in the order of this epoch."""
        for order, seed in zip(self.order, seeds, strict=True):
            order.copy_(epoch_order(len(order), seed, epoch, order.device))
        torch.arange(row, row + len(self.ahead), out=self.ahead)

    def __call__(self, rows: int) -> None:
        """Nothing; one update on the next `rows` rows."""
        for stage in self.stages(rows):
            for task in stage:
                task()

    def stages(self, rows: int) -> list[list[Callable[[], None]]]:
        """What an update on the next `rows` rows takes, stage after stage; a stage's tasks may run at the same time."""
        count = _batch_slices(rows, self.parts)
        parts = [BatchSlice(i, rows * i // count, rows * (i + 1) // count, rows) for i in range(count)]
        return [
            [self.optimizer.weights.refresh],
            [partial(self._pass, part) for part in parts],
            [partial(self._update, rows, count)],
        ]

    def _pass(self, part: BatchSlice) -> None:
        """Nothing; squared errors, summed up, and gradient of these rows are known."""
        chosen = self.order.index_select(1, self.ahead[part.begin : part.end])  # (models, rows of the part)
        inputs, targets = (_rows(table, chosen) for table in (self.data.train_inputs, self.data.train_targets))
        predictions = self.forward(inputs)  # (models, rows of the part), or (models, rows of the part, members)
        if predictions.ndim == 3:  # of TabM, whose members are trained each for itself
            targets = targets.unsqueeze(-1)
        residuals = predictions.detach() - targets
        # The gradient of the mean of the squares, by hand: on a CPU each of the ten kernels it takes by itself costs
        # as much as this one.
        shares = residuals * (2 / (part.rows * predictions[0, 0].numel()))
        self.optimizer.weights.differentiate(predictions, self._gradients[part.number], shares)
        squares = residuals.square()
        squares = squares.mean(dim=2) if squares.ndim == 3 else squares
        torch.sum(squares, dim=1, out=self._errors[part.number])

    def _update(self, rows: int, parts: int) -> None:
        for gradient in self._gradients[1:parts]:
            self.optimizer.gradient.add_(gradient)
        self.optimizer.step()
        for errors in self._errors[:parts]:
            self.loss_sum.add_(errors)
        self.ahead.add_(rows)

    def buffers(self) -> list[Tensor]:
        """Everything that a step changes and the next one needs."""
        return [*self.optimizer.state().values(), self.ahead, self.loss_sum]


def _batch_slices(rows: int, most: int) -> int:
    return max(1, min(most, rows // LEAST_ROWS))


def _rows(table: Tensor, chosen: Tensor) -> Tensor:
    """`table[chosen]`, by the kernel that is faster on a CPU: `(n, …)` and `(models, k)` give `(models, k, …)`."""
    return table.index_select(0, chosen.flatten()).view(*chosen.shape, *table.shape[1:])


GOLDEN, MIX = -0x61C8864680B583EB, ((30, -0x40A7B892E31B1A47), (27, -0x6B2FB644ECCEEE15))


def epoch_order(rows: int, seed: int, epoch: int, device: torch.device | str = "cpu") -> Tensor:
    """The order in which an epoch sees the rows, `(rows,)` int64; the same on every device and in every attempt.

    The rows sorted by a hash of their number: SplitMix64, Steele, Lea and Flood, doi:10.1145/2660193.2660195.
    """
    digest = hashlib.sha256(f"{seed} {epoch}".encode()).digest()
    key = torch.arange(rows, device=device) * GOLDEN + int.from_bytes(digest[:8], signed=True)
    for shift, factor in MIX:
        key = (key ^ _shift(key, shift)) * factor
    return torch.argsort(key ^ _shift(key, 31), stable=True)


def _shift(key: Tensor, bits: int) -> Tensor:
    return (key >> bits) & ((1 << (64 - bits)) - 1)  # as if unsigned

"""One optimizer step, as kernels that read and write nothing but buffers that stay: a CPU runs it, a GPU replays it."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from .optimizer import FlatAdamW


class Data(NamedTuple):
    """z-scores on the device of the training: inputs `(n, 19)` and targets `(n,)`."""

    train_inputs: Tensor
    train_targets: Tensor
    val_inputs: Tensor
    val_targets: Tensor


class Step:
    """Trains models, each on its own order of the rows; `loss_sum`, `(models,)`, adds up their squared errors.

    `ahead`, `(batch_size,)`, are the places of the next rows in the order of the epoch.
    """

    def __init__(self, data: Data, optimizer: FlatAdamW, batch_size: int) -> None:
        self.data = data
        self.optimizer = optimizer
        self.forward: Callable[[Tensor], Tensor] = optimizer.weights.forward
        count, device = len(optimizer.weights.models), data.train_inputs.device
        self.order = torch.zeros(count, len(data.train_inputs), dtype=torch.int64, device=device)
        self.ahead = torch.arange(batch_size, device=device)
        self.loss_sum = torch.zeros(count, dtype=torch.float64, device=device)

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
        self.loss_sum.add_(self.passes(rows))
        self.optimizer.step()
        self.ahead.add_(rows)

    def passes(self, rows: int) -> Tensor:
        """Squared errors of the next `rows` rows, summed up: `(models,)`; the optimizer has their gradient."""
        chosen = self.order.index_select(1, self.ahead[:rows])  # (models, rows)
        inputs, targets = (_rows(table, chosen) for table in (self.data.train_inputs, self.data.train_targets))
        self.optimizer.weights.refresh()
        predictions = self.forward(inputs)  # (models, rows), or (models, rows, members)
        if predictions.ndim == 3:  # of TabM, whose members are trained each for itself
            targets = targets.unsqueeze(-1)
        residuals = predictions.detach() - targets
        # The gradient of the mean of the squares, by hand: on a CPU each of the ten kernels it takes by itself costs
        # as much as this one.
        self.optimizer.take_gradient(predictions, residuals * (2 / residuals[0].numel()))
        squares = residuals.square()
        return (squares.mean(dim=2) if squares.ndim == 3 else squares).sum(dim=1)

    def buffers(self) -> list[Tensor]:
        """Everything that a step changes."""
        return [*self.optimizer.state().values(), self.ahead, self.loss_sum]


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
        key = (key ^ _shifted(key, shift)) * factor
    return torch.argsort(key ^ _shifted(key, 31), stable=True)


def _shifted(key: Tensor, bits: int) -> Tensor:
    return (key >> bits) & ((1 << (64 - bits)) - 1)  # as if unsigned

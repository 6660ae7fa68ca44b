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

    `cursor` is the number of rows of the epoch that lie behind.
    """

    def __init__(self, data: Data, optimizer: FlatAdamW) -> None:
        self.data = data
        self.optimizer = optimizer
        self.forward: Callable[[Tensor], Tensor] = optimizer.weights.forward
        count, device = len(optimizer.weights.models), data.train_inputs.device
        self.order = torch.zeros(count, len(data.train_inputs), dtype=torch.int64, device=device)
        self.cursor = torch.zeros((), dtype=torch.int64, device=device)
        self.loss_sum = torch.zeros(count, dtype=torch.float64, device=device)

    def compile(self) -> None:
        """Nothing; forward and backward passes are fused from the next step on, which takes a minute or two."""
        self.forward = torch.compile(self.optimizer.weights.forward, dynamic=False)

    def give_up_compiling(self) -> bool:
        """Whether there was anything to give up; the passes are what they were before `compile`."""
        compiled, self.forward = self.forward, self.optimizer.weights.forward
        return compiled != self.forward

    def begin(self, seeds: Sequence[int], epoch: int, row: int) -> None:
        """Nothing; the next step takes the rows from `row` on in the order of this epoch."""
        for order, seed in zip(self.order, seeds, strict=True):
            order.copy_(epoch_order(len(order), seed, epoch, order.device))
        self.cursor.fill_(row)

    def __call__(self, rows: int) -> None:
        """Nothing; one update on the next `rows` rows."""
        self.loss_sum.add_(self.passes(rows))
        self.optimizer.step()
        self.cursor.add_(rows)

    def passes(self, rows: int) -> Tensor:
        """Squared errors of the next `rows` rows, summed up: `(models,)`; the optimizer has their gradient."""
        next_rows = self.cursor + torch.arange(rows, device=self.order.device)
        chosen = self.order.index_select(1, next_rows)  # (models, rows)
        self.optimizer.weights.refresh()
        predictions = self.forward(self.data.train_inputs[chosen])  # (models, rows), or (models, rows, members)
        targets = self.data.train_targets[chosen]
        if predictions.ndim == 3:  # of TabM, whose members are trained each for itself
            errors = (predictions - targets.unsqueeze(-1)).square().mean(dim=2).sum(dim=1)
        else:
            errors = (predictions - targets).square().sum(dim=1)
        self.optimizer.take_gradient(errors.sum() / rows)
        return errors.detach()

    def buffers(self) -> list[Tensor]:
        """Everything that a step changes."""
        return [*self.optimizer.state().values(), self.cursor, self.loss_sum]


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

"""One optimizer step on static buffers, so that it can be captured and replayed."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from functools import partial
from typing import NamedTuple

import torch
from torch import Tensor

from .adamw import FlatAdamW
from .losses import MSE, Loss


class TrainingData(NamedTuple):
    """z-scores on the device of the training.

    Attributes:
        train_inputs: Shape (n, features).
        train_targets: Shape (n,).
        val_inputs: Shape (m, features).
        val_targets: Shape (m,).
        val_reference: Reference of the target, shape (m,), float64; None: it has none.
    """

    train_inputs: Tensor
    train_targets: Tensor
    val_inputs: Tensor
    val_targets: Tensor
    val_reference: Tensor | None = None


MIN_SLICE_ROWS = 64
"""Rows of a slice, at least: with fewer, the fixed cost of a kernel is no longer small."""


class BatchSlice(NamedTuple):
    """Rows of a batch that pass through the models together.

    Attributes:
        number: Index of the slice.
        start: First row in the batch.
        end: Row after the last one.
        rows: Rows of the whole batch.
    """

    number: int
    start: int
    end: int
    rows: int


class TrainingStep:
    """One update of all models, each with its own order of the rows.

    A batch is divided into up to `slices` slices of at least MIN_SLICE_ROWS rows, whose gradients are added.

    Args:
        data: z-scores; also an attribute.
        optimizer: Holds the parameters; also an attribute.
        batch_size: Largest number of rows of a step.
        slices: Largest number of slices per batch; also an attribute, limited by `batch_size`.
        loss: Loss function.

    Attributes:
        forward: Maps inputs (models, k, features) to predictions (models, k).
        order: Order of the rows in this epoch, shape (models, n), int64.
        next_positions: Positions of the next batch in `order`, shape (batch_size,).
        loss_sum: Sum of the squared errors since it was last zeroed, shape (models,), float64.
    """

    def __init__(
        self, data: TrainingData, optimizer: FlatAdamW, batch_size: int, slices: int = 1, loss: Loss = MSE
    ) -> None:
        self.data = data
        self.optimizer = optimizer
        self._loss = loss
        self.slices = _slice_count(batch_size, slices)
        self.forward: Callable[[Tensor], Tensor] = optimizer.weights.forward
        count, device = len(optimizer.weights.models), data.train_inputs.device
        self.order = torch.zeros(count, len(data.train_inputs), dtype=torch.int64, device=device)
        self.next_positions = torch.arange(batch_size, device=device)
        self.loss_sum = torch.zeros(count, dtype=torch.float64, device=device)
        self._errors = data.train_targets.new_zeros(self.slices, count)
        others = [torch.zeros_like(optimizer.gradient) for _ in range(self.slices - 1)]
        self._gradients = [optimizer.gradient, *others]

    def compile(self) -> None:
        """Fuse the kernels of both passes from the next step on, which takes a minute or two."""
        self.forward = torch.compile(self.optimizer.weights.forward, dynamic=False)

    @property
    def compiled(self) -> bool:
        """Whether the kernels of the passes are fused."""
        return self.forward != self.optimizer.weights.forward

    def revert_compile(self) -> bool:
        """Use the plain passes again; return whether they were fused before."""
        compiled, self.forward = self.compiled, self.optimizer.weights.forward
        return compiled

    def start_epoch(self, seeds: Sequence[int], epoch: int, row: int) -> None:
        """Set the order of the rows for an epoch.

        Args:
            seeds: One seed per model.
            epoch: Number of the epoch.
            row: First row of the next step, in the order of the epoch.
        """
        for order, seed in zip(self.order, seeds, strict=True):
            order.copy_(epoch_order(len(order), seed, epoch, order.device))
        torch.arange(row, row + len(self.next_positions), out=self.next_positions)

    def __call__(self, rows: int) -> None:
        """Make one update with the next `rows` rows."""
        for stage in self.stages(rows):
            for task in stage:
                task()

    def stages(self, rows: int) -> list[list[Callable[[], None]]]:
        """Return the stages of an update with the next `rows` rows.

        The stages run one after another; the tasks of one stage may run at the same time.
        """
        count = _slice_count(rows, self.slices)
        slices = [BatchSlice(i, rows * i // count, rows * (i + 1) // count, rows) for i in range(count)]
        return [
            [self.optimizer.weights.update_bf16_copy],
            [partial(self._forward_backward, batch_slice) for batch_slice in slices],
            [partial(self._update, rows, count)],
        ]

    def _forward_backward(self, batch_slice: BatchSlice) -> None:
        """Compute squared errors and gradient of one slice."""
        chosen = self.order.index_select(
            1, self.next_positions[batch_slice.start : batch_slice.end]
        )  # (models, rows of the slice)
        inputs, targets = (_gather_rows(table, chosen) for table in (self.data.train_inputs, self.data.train_targets))
        predictions = self.forward(inputs)  # (models, rows of the slice[, members])
        if predictions.ndim == 3:  # TabM trains each member on its own error
            targets = targets.unsqueeze(-1)
        residuals = predictions.detach() - targets
        # Gradient of the mean loss. Autograd would need ten kernels, each as slow on a CPU as this one.
        grad_output = self._loss.slope(residuals) * (1 / (batch_slice.rows * predictions[0, 0].numel()))
        self.optimizer.weights.backward_into(self._gradients[batch_slice.number], predictions, grad_output)
        squares = residuals.square()
        squares = squares.mean(dim=2) if squares.ndim == 3 else squares
        torch.sum(squares, dim=1, out=self._errors[batch_slice.number])

    def _update(self, rows: int, slices: int) -> None:
        for gradient in self._gradients[1:slices]:
            self.optimizer.gradient.add_(gradient)
        self.optimizer.step()
        for errors in self._errors[:slices]:
            self.loss_sum.add_(errors)
        self.next_positions.add_(rows)

    def buffers(self) -> list[Tensor]:
        """Return all tensors that a step changes and the next one needs."""
        return [*self.optimizer.state().values(), self.next_positions, self.loss_sum]


def _slice_count(rows: int, limit: int) -> int:
    return max(1, min(limit, rows // MIN_SLICE_ROWS))


def _gather_rows(table: Tensor, chosen: Tensor) -> Tensor:
    """Return `table[chosen]`, by the kernel that is faster on a CPU.

    Shapes (n, …) and (models, k) give (models, k, …).
    """
    return table.index_select(0, chosen.flatten()).view(*chosen.shape, *table.shape[1:])


GOLDEN, MIX = -0x61C8864680B583EB, ((30, -0x40A7B892E31B1A47), (27, -0x6B2FB644ECCEEE15))


def epoch_order(rows: int, seed: int, epoch: int, device: torch.device | str = "cpu") -> Tensor:
    """Return the order of the rows in an epoch, equal on every device and in every attempt.

    The rows are sorted by a hash of their number: SplitMix64, Steele, Lea and Flood,
    doi:10.1145/2660193.2660195.

    Returns:
        Shape (rows,), int64.
    """
    digest = hashlib.sha256(f"{seed} {epoch}".encode()).digest()
    key = torch.arange(rows, device=device) * GOLDEN + int.from_bytes(digest[:8], signed=True)
    for shift, factor in MIX:
        key = (key ^ _shift(key, shift)) * factor
    return torch.argsort(key ^ _shift(key, 31), stable=True)


def _shift(key: Tensor, bits: int) -> Tensor:
    return (key >> bits) & ((1 << (64 - bits)) - 1)  # as if unsigned

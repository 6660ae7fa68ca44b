"""One optimizer step, as kernels that read and write nothing but buffers that stay: a CPU runs it, a GPU replays it."""

from __future__ import annotations

import copy
import hashlib
from collections.abc import Callable, Sequence
from typing import NamedTuple, cast

import torch
from torch import Tensor, nn

from .optimizer import FlatAdamW
from .precision import Precision
from .workers import split

Forward = Callable[[Tensor], Tensor]


class Data(NamedTuple):
    """z-scores on the device of the training: inputs `(n, 19)` and targets `(n,)`."""

    train_inputs: Tensor
    train_targets: Tensor
    val_inputs: Tensor
    val_targets: Tensor


class Step:
    """Trains `models`, each on its own order of the rows; `loss_sum`, `(models,)`, adds up their squared errors.

    `cursor` is the number of rows of the epoch that lie behind; `largest` is how many rows one pass takes.
    """

    def __init__(
        self,
        models: Sequence[nn.Module],
        data: Data,
        optimizer: FlatAdamW,
        precision: Precision,
        *,
        largest: int | None = None,
    ) -> None:
        self.forwards = [forward_of(models, optimizer.parameters) for _ in range(optimizer.workers.count)]
        self._eager = self.forwards
        self.data = data
        self.optimizer = optimizer
        self.precision = precision
        self.largest = largest
        device = data.train_inputs.device
        self.order = torch.zeros(len(models), len(data.train_inputs), dtype=torch.int64, device=device)
        self.cursor = torch.zeros((), dtype=torch.int64, device=device)
        self.loss_sum = torch.zeros(len(models), dtype=torch.float64, device=device)

    def compile(self) -> None:
        """Nothing; forward and backward passes are fused from the next step on, which takes a minute or two."""
        self._eager = self.forwards
        self.forwards = [torch.compile(forward, dynamic=False) for forward in self._eager]

    def give_up_compiling(self) -> bool:
        """Whether there was anything to give up; the passes are what they were before `compile`."""
        compiled, self.forwards = self.forwards is not self._eager, self._eager
        return compiled

    def begin(self, seeds: Sequence[int], epoch: int, row: int) -> None:
        """Nothing; the next step takes the rows from `row` on in the order of this epoch."""
        for order, seed in zip(self.order, seeds, strict=True):
            order.copy_(epoch_order(len(order), seed, epoch, order.device))
        self.cursor.fill_(row)

    def __call__(self, rows: int) -> None:
        """Nothing; one update on the next `rows` rows."""
        errors = self.passes(rows)
        self.optimizer.step()
        for part in errors:
            self.loss_sum.add_(part)
        self.cursor.add_(rows)

    def passes(self, rows: int) -> list[Tensor]:
        """Squared errors, `(models,)` for each worker, of the next `rows` rows; the optimizer has their gradient."""
        batch = self.order.index_select(1, self.cursor + torch.arange(rows, device=self.order.device))
        shares = split(rows, self.optimizer.workers.count, self.largest)

        def work(worker: int) -> Tensor:
            errors = torch.zeros_like(self.loss_sum)
            for number, part in enumerate(shares[worker]):
                errors += self._gradient(batch[:, part], rows, worker, add=number > 0)
            if not shares[worker]:
                self.optimizer.gradients[worker].zero_()
            return errors

        return self.optimizer.workers.each(work)

    def _gradient(self, chosen: Tensor, rows: int, worker: int, *, add: bool) -> Tensor:
        """Squared errors `(models,)` of the rows `chosen`, `(models, k)`; their part of the gradient is taken."""
        with self.precision.applied(chosen.device):
            predictions = self.forwards[worker](self.data.train_inputs[chosen])  # (models, k), or (models, k, members)
        targets = self.data.train_targets[chosen]
        if predictions.ndim == 3:  # of TabM, whose members are trained each for itself
            errors = (predictions - targets.unsqueeze(-1)).square().mean(dim=2).sum(dim=1)
        else:
            errors = (predictions - targets).square().sum(dim=1)
        self.optimizer.take_gradient(errors.sum() / rows, worker=worker, add=add)
        return errors.detach()

    def buffers(self) -> list[Tensor]:
        """Everything that a step changes."""
        return [*self.optimizer.state().values(), self.cursor, self.loss_sum]


def forward_of(models: Sequence[nn.Module], parameters: Sequence[Tensor]) -> Forward:
    """A function that gives `(models, k)` for `(models, k, features)`; several models are computed as one.

    `parameters` are those of the models, stacked.
    """
    first = models[0]
    if len(models) == 1:
        return lambda inputs: first(inputs[0]).unsqueeze(0)
    form = copy.deepcopy(first).to("meta")  # weights are lent to it while it computes, so each thread needs its own
    names = [name for name, _ in form.named_parameters()]

    def one(weights: dict[str, Tensor], inputs: Tensor) -> Tensor:
        return cast(Tensor, torch.func.functional_call(form, weights, (inputs,)))

    every = torch.func.vmap(one)
    return lambda inputs: every(dict(zip(names, parameters, strict=True)), inputs)


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

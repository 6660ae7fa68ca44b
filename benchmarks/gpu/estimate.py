"""What a captured step should cost on an H100, from counting its operators: `python benchmarks/gpu/estimate.py`.

A step runs on the device `meta`, which computes nothing; of every operator that is dispatched the kernels, the bytes
and the FLOPs are counted. A kernel takes the longest of three times: its launch within a graph, its bytes at the rate
of the memory, its arithmetic at the rate of the matrix units that its tiles fill. No figure here was measured.
"""

from __future__ import annotations

import argparse
import json
from collections import defaultdict
from dataclasses import asdict, dataclass
from math import ceil, prod
from pathlib import Path
from typing import Any

import torch
from pmssm.trainers.models.recipes import RECIPES
from pmssm.trainers.precision import Precision
from pmssm.trainers.signals import StopRequest
from pmssm.trainers.training.loop import Trainer, TrainingConfig
from pmssm.trainers.training.step import TrainingData
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import flop_registry

BATCH, POINTS, STEPS_PER_EPOCH, EPOCHS = 256, 2_100_000, 8204, 2000
# H100 SXM5: NVIDIA's data sheet, dense. A kernel's launch in a graph: the 2 µs that short kernels follow each other at.
PEAK = {Precision.BF16: 989e12, Precision.TF32: 495e12, Precision.FP32: 67e12}
BANDWIDTH, LAUNCH, SMS, TILE = 3.35e12, 2e-6, 132, 64
aten = torch.ops.aten
FREE = {aten._unsafe_view.default, aten.lift_fresh.default}
"""Views that their schema does not show as such; operators that only make memory are known by their name."""
KERNELS = {aten.native_layer_norm_backward.default: 3}
"""Of operators that are more than one: gradients of the input, and of gain and shift in two passes."""
FOREACH_TENSORS = 48
"""That one kernel of a `_foreach` operator on two lists takes, about."""


@dataclass
class Cost:
    """Of an operator, a group of them or a step: kernels, FLOPs, bytes, seconds."""

    kernels: int = 0
    flops: float = 0.0
    bytes: float = 0.0
    seconds: float = 0.0
    launch_seconds: float = 0.0
    """Of `seconds`, what is spent in kernels that are over before the next one can begin."""

    def add(self, other: Cost) -> None:
        """Add another cost to this one."""
        for name, value in vars(other).items():
            setattr(self, name, getattr(self, name) + value)


class CostCounter(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Adds up the costs of all operators that are dispatched, by their names."""

    def __init__(self, precision: Precision) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.precision = precision
        self.by_name: dict[str, Cost] = defaultdict(Cost)

    def __torch_dispatch__(
        self, operator: Any, types: Any, args: Any = (), kwargs: Any = None  # noqa: ANN401
    ) -> Any:  # noqa: ANN401  # fmt: skip
        kwargs = kwargs or {}
        # The fused AdamW has no kernel for `meta`; it changes its arguments in place and returns nothing.
        result = None if operator is aten._fused_adamw_.tensor_lr else operator(*args, **kwargs)
        has_tensors = any(isinstance(leaf, Tensor) for leaf in tree_leaves((args, kwargs, result)))
        if has_tensors and not is_free(operator):
            self.by_name[name_of(operator)].add(self._cost(operator, args, kwargs, result))
        return result

    def _cost(self, operator: Any, args: Any, kwargs: Any, result: Any) -> Cost:  # noqa: ANN401
        read = [leaf for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, Tensor)]
        written = [leaf for leaf in tree_leaves(result) if isinstance(leaf, Tensor)]
        if not written:  # in place, on lists: what is written is the first argument, or several of them
            written = read[: 3 if operator is aten._fused_adamw_.tensor_lr else len(args[0])]
        if operator is aten.index_select.default:
            read = [args[2], *written]  # of the table, the chosen rows alone
        moved = sum(map(size_of, read)) + sum(map(size_of, written))
        kernels = KERNELS.get(operator, 1)
        if "_foreach" in str(operator):
            kernels = ceil(len(args[0]) / FOREACH_TENSORS)
        flops, arithmetic = 0.0, 0.0
        if operator._overloadpacket in flop_registry:
            flops = flop_registry[operator._overloadpacket](*args, **kwargs, out_val=result)
            arithmetic = flops / (self._peak(read) * filled(result.shape))
        seconds = max(kernels * LAUNCH, moved / BANDWIDTH, arithmetic)
        return Cost(kernels, flops, moved, seconds, seconds if seconds == kernels * LAUNCH else 0.0)

    def _peak(self, operands: list[Tensor]) -> float:
        if operands[-1].dtype is torch.bfloat16:
            return PEAK[Precision.BF16]
        return PEAK[Precision.FP32 if self.precision is Precision.FP32 else Precision.TF32]

    def total(self) -> Cost:
        """Return the cost of everything."""
        total = Cost()
        for cost in self.by_name.values():
            total.add(cost)
        return total


def is_free(operator: Any) -> bool:  # noqa: ANN401
    """Tell whether an operator launches nothing: it makes a view, or memory that nobody fills."""
    views = [value.alias_info for value in operator._schema.returns]
    is_view = any(alias is not None and not alias.is_write for alias in views)
    return is_view or operator in FREE or "empty" in operator._schema.name


def name_of(operator: Any) -> str:  # noqa: ANN401
    """Return an operator's name without namespace and overload."""
    return str(operator._schema.name.partition("::")[2])


def size_of(tensor: Tensor) -> int:
    """Return the bytes behind a tensor; of an expanded one, those that are there."""
    shown = [size for size, stride in zip(tensor.shape, tensor.stride(), strict=True) if stride]
    return prod(shown) * tensor.element_size()


def filled(shape: torch.Size) -> float:
    """Return the share of the multiprocessors that the tiles of a product of this shape keep busy."""
    tiles = prod(shape[:-2]) * ceil(shape[-2] / TILE) * ceil(shape[-1] / TILE)
    return tiles / (ceil(tiles / SMS) * SMS)


def count(name: str, precision: Precision, models: int) -> tuple[CostCounter, int]:
    """Return the costs of one step, and the bytes of parameters, gradients and moments that it cannot but move."""
    recipe = RECIPES[name]
    settings = TrainingConfig(
        learning_rate=recipe.learning_rate, weight_decay=recipe.weight_decay, cosine=recipe.cosine,
        clip_norm=recipe.clip_norm, batch_size=BATCH, ensemble=models, precision=precision,
    )  # fmt: skip
    inputs, targets = torch.empty(POINTS, 19, device="meta"), torch.empty(POINTS, device="meta")
    built = [recipe.build().to("meta") for _ in range(models)]
    trainer = Trainer(built, TrainingData(inputs, targets, inputs, targets), settings, stop=StopRequest())
    with CostCounter(precision) as counter:
        trainer.step(BATCH)
    flat = trainer.optimizer.flat
    return counter, 7 * flat.numel() * flat.element_size()  # four are read, three are written


def lever(total: Cost, floor: float) -> str:
    """Return what would shorten the step most, as far as the counts tell."""
    if total.launch_seconds > total.seconds / 2:
        return "fewer kernels: compile, larger fused ones, several steps or models in one"
    if total.bytes / BANDWIDTH > total.flops / PEAK[Precision.TF32]:
        return "fewer bytes: fuse what is element-wise, bf16"
    return "products: bf16, larger tiles" if total.seconds > 2 * floor else "at its floor"


def main() -> None:
    """Count, print, write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--models", nargs="+", default=["mlp", "transformer", "transformer_tabular"])
    parser.add_argument("--precisions", nargs="+", type=Precision, default=[Precision.TF32, Precision.BF16])
    parser.add_argument("--ensembles", nargs="+", type=int, default=[1, 16])
    parser.add_argument("--output", type=Path, help="writes this JSON file")
    options = parser.parse_args()
    torch.set_num_threads(1)  # a GPU computes a batch as a whole; elsewhere each thread may have a part of it
    print("| model | K | precision | kernels | GFLOP | MB | floor µs | estimate µs | of it launches | largest | "
          "2000 epochs h | next lever |")  # fmt: skip
    print("|" + " --- |" * 12)
    rows = []
    for name in options.models:
        for models in options.ensembles:
            for precision in options.precisions:
                counter, least_bytes = count(name, precision, models)
                total = counter.total()
                floor = max(total.flops / PEAK[precision], least_bytes / BANDWIDTH)
                largest = sorted(counter.by_name.items(), key=lambda item: -item[1].seconds)
                names = ", ".join(f"{key} {1e6 * cost.seconds:.0f}" for key, cost in largest[:4])
                hours = total.seconds * STEPS_PER_EPOCH * EPOCHS / 3600
                print(
                    f"| {name} | {models} | {precision} | {total.kernels} | {total.flops / 1e9:.2f} "
                    f"| {total.bytes / 1e6:.0f} | {1e6 * floor:.0f} | {1e6 * total.seconds:.0f} "
                    f"| {total.launch_seconds / total.seconds:.0%} | {names} | {hours:.2f} | {lever(total, floor)} |"
                )
                rows.append({
                    "model": name, "ensemble": models, "precision": str(precision), "floor_s": floor,
                    "total": asdict(total), "operators": {key: asdict(cost) for key, cost in largest},
                })  # fmt: skip
    if options.output:
        options.output.write_text(json.dumps(rows, indent=1) + "\n")


if __name__ == "__main__":
    main()

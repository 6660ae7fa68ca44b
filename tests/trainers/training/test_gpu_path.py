"""What of the way to a GPU can be walked without one: steps on the device `meta`, graph rules, tracing, addresses."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from itertools import cycle
from pathlib import Path
from typing import Any

import pytest
import torch
from pmssm.trainers.data.columns import PARAMETERS
from pmssm.trainers.device import one_memory_error
from pmssm.trainers.errors import TrainingError
from pmssm.trainers.models.recipes import RECIPES
from pmssm.trainers.physics import FEATURES
from pmssm.trainers.precision import Precision
from pmssm.trainers.signals import StopRequest
from pmssm.trainers.training.checkpoint import Checkpoints
from pmssm.trainers.training.cuda_graph import WARM_UPS, warm_up
from pmssm.trainers.training.loop import Trainer, TrainingConfig
from pmssm.trainers.training.registry import LOSSES
from pmssm.trainers.training.step import TrainingData, TrainingStep
from pmssm.trainers.training.train import one_line_memory_errors
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

META = torch.device("meta")
aten = torch.ops.aten
READS_VALUES = {
    aten._local_scalar_dense.default,
    aten.nonzero.default,
    aten.masked_select.default,
    aten.is_nonzero.default,
    aten.equal.default,
    aten.repeat_interleave.Tensor,
}
"""Operators whose result the host waits for; no CUDA graph can hold one."""
ENSEMBLES = [(name, count) for name, recipe in RECIPES.items() for count in ((1, 3) if recipe.stackable else (1,))]


class HostAccess(Exception):
    """A step did what a CUDA graph cannot replay."""


class CaptureStandIn(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Lets operators on `meta` pass, notes them, and raises HostAccess for what a capture would forbid or freeze."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.launched: list[tuple[str, list[torch.Size]]] = []

    def __torch_dispatch__(
        self, operator: Any, types: Any, args: Any = (), kwargs: Any = None  # noqa: ANN401
    ) -> Any:  # noqa: ANN401  # fmt: skip
        arguments = [leaf for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, Tensor)]
        if operator in READS_VALUES:
            raise HostAccess(f"{operator} reads a tensor on the host")
        result = None if operator is aten._fused_adamw_.tensor_lr else operator(*args, **(kwargs or {}))
        tensors = [*arguments, *(leaf for leaf in tree_leaves(result) if isinstance(leaf, Tensor))]
        if any(tensor.device != META for tensor in tensors):
            raise HostAccess(f"{operator} has tensors on {sorted({str(tensor.device) for tensor in tensors})}")
        self.launched.append((str(operator), [tensor.shape for tensor in tensors]))
        return result


def settings(name: str, **changes: Any) -> TrainingConfig:  # noqa: ANN401
    recipe = RECIPES[name]
    basis = TrainingConfig(
        learning_rate=1e-3, weight_decay=recipe.weight_decay, cosine=recipe.cosine, clip_norm=1.0,
        batch_size=32, epochs=2, checkpoint_seconds=1e9,
    )  # fmt: skip
    return replace(basis, **changes)


def training_on(device: torch.device, name: str, how: TrainingConfig, features: int = 19) -> Trainer:
    generator = torch.Generator().manual_seed(1)
    inputs, targets = torch.randn(90, features, generator=generator), torch.randn(90, generator=generator)
    parts = (inputs[:70], targets[:70], inputs[70:], targets[70:])
    models = []
    for seed in range(how.ensemble):
        torch.manual_seed(seed)
        models.append(RECIPES[name].build(features).to(device))
    return Trainer(models, TrainingData(*(part.to(device) for part in parts)), how, stop=StopRequest())


@pytest.mark.parametrize(
    ("optimizer", "precision"), [("adamw", Precision.FP32), ("adamw", Precision.BF16), ("muon", Precision.FP32)]
)
@pytest.mark.parametrize(("name", "count"), ENSEMBLES)
def test_a_step_makes_and_reads_no_tensor_on_the_host(
    name: str, count: int, optimizer: str, precision: Precision
) -> None:
    how = settings(name, ensemble=count, precision=precision, optimizer=optimizer, ema=0.99)
    training = training_on(META, name, how)
    for rows in (32, 6):
        with CaptureStandIn() as capture:
            training.step(rows)
        assert sum("_fused_adamw_" in operator for operator, _ in capture.launched) == 1
        assert any("linalg_vector_norm" in operator for operator, _ in capture.launched)


@pytest.mark.parametrize(("name", "loss"), list(zip(RECIPES, cycle(LOSSES), strict=False)))
def test_nor_does_a_step_with_physics_features_and_another_loss(name: str, loss: str) -> None:
    features = len(PARAMETERS) + len(FEATURES)
    training = training_on(META, name, settings(name, loss=loss), features)
    with CaptureStandIn() as capture:
        training.step(32)
    assert any(torch.Size([32, features]) in shapes for _, shapes in capture.launched)


@pytest.mark.parametrize(
    "forbidden",
    [
        lambda on_gpu: on_gpu.sum().item(),
        lambda on_gpu: on_gpu.nonzero(),
        lambda on_gpu: on_gpu + torch.tensor(1.0),
        lambda on_gpu: torch.arange(len(on_gpu)),
        lambda on_gpu: on_gpu[torch.tensor([0, 1])],
        lambda on_gpu: torch.empty(3).copy_(on_gpu),
    ],
)
def test_the_stand_in_for_a_capture_sees_host_tensors_and_values_read_on_the_host(
    forbidden: Callable[[Tensor], object],
) -> None:
    on_gpu = torch.ones(3, device=META)
    with CaptureStandIn(), pytest.raises(HostAccess):
        forbidden(on_gpu)


@pytest.mark.parametrize(("name", "count"), ENSEMBLES)
def test_every_step_after_the_warm_up_launches_the_same_kernels(name: str, count: int) -> None:
    step = training_on(META, name, settings(name, ensemble=count)).step
    launched = []
    for _ in range(WARM_UPS + 1):
        with CaptureStandIn() as capture:
            step(32)
        launched.append(capture.launched)
    assert all(one == launched[WARM_UPS] for one in launched)


@pytest.mark.parametrize("precision", [Precision.FP32, Precision.BF16])
@pytest.mark.parametrize(("name", "count"), ENSEMBLES)
def test_forward_and_backward_have_the_shapes_and_types_of_the_contract_on_meta(
    name: str, count: int, precision: Precision
) -> None:
    training = training_on(META, name, settings(name, ensemble=count, precision=precision))
    weights, gradient = training.optimizer.weights, training.optimizer.gradient
    weights.update_bf16_copy()
    predictions = weights.forward(torch.empty(count, 32, 19, device=META))
    assert predictions.shape[:2] == (count, 32)
    assert (predictions.device, predictions.dtype) == (META, torch.float32)
    grads = torch.autograd.grad(predictions.sum(), weights.parameters)
    for grad, parameter in zip(grads, weights.parameters, strict=True):
        assert (grad.shape, grad.dtype, grad.device) == (parameter.shape, parameter.dtype, META)
    halves = [parameter for parameter in weights.parameters if parameter.dtype == torch.bfloat16]
    assert bool(halves) == (precision is Precision.BF16 and hasattr(RECIPES[name].build(), "body"))
    assert (gradient.shape, gradient.dtype) == (training.optimizer.flat.shape, torch.float32)


@pytest.mark.parametrize(("name", "count"), [("transformer", 1), ("transformer_tabular", 1), ("mlp", 1), ("mlp", 2)])
def test_nothing_between_two_steps_moves_memory_that_a_graph_has_the_address_of(
    name: str, count: int, tmp_path: Path
) -> None:
    how = settings(name, ensemble=count, precision=Precision.BF16, ema=0.9)
    training = training_on(torch.device("cpu"), name, how)
    checkpoints = Checkpoints(tmp_path, {})
    before = addresses(training)
    training.epoch(checkpoints)
    checkpoints.save(training.state())
    state = checkpoints.load()
    assert state is not None
    training.load(state)
    training.epoch(checkpoints)
    training.use_best()
    assert addresses(training) == before


def addresses(training: Trainer) -> dict[str, int]:
    """Where everything lies that a step reads or writes and that outlives it."""
    step, optimizer = training.step, training.optimizer
    tensors = {
        **optimizer.state(), "rate": optimizer.learning_rate, "gradient": optimizer.gradient, "order": step.order,
        "next_positions": step.next_positions, "loss_sum": step.loss_sum, "progress": training.progress.loss_sum,
    }  # fmt: skip
    tensors |= {f"data {index}": tensor for index, tensor in enumerate(step.data) if tensor is not None}
    tensors |= {f"parameter {index}": tensor for index, tensor in enumerate(optimizer.weights.parameters)}
    return {name: tensor.data_ptr() for name, tensor in tensors.items()}


@pytest.mark.parametrize(("name", "count"), [*((name, 1) for name in RECIPES), ("mlp", 2)])
def test_a_model_traces_as_one_graph_whose_steps_are_those_of_the_plain_model(name: str, count: int) -> None:
    losses = []
    for traced in (False, True):
        step = training_on(torch.device("cpu"), name, settings(name, ensemble=count)).step
        if traced:
            step.forward = torch.compile(
                step.optimizer.weights.forward, backend="aot_eager", dynamic=False, fullgraph=True
            )
        losses.append(losses_of(step))
    torch._dynamo.reset()
    torch.testing.assert_close(losses[1], losses[0], rtol=1e-5, atol=1e-6)


def losses_of(step: TrainingStep) -> Tensor:
    """The sums of squared errors after each of three steps, `(3, models)`; the warm-up does not count."""
    step.start_epoch(range(len(step.loss_sum)), epoch=0, row=0)
    warm_up(step, 32)
    sums = []
    for _ in range(3):
        step.next_positions.remainder_(38)  # 70 rows are two steps of 32 and a rest
        step(32)
        sums.append(step.loss_sum.clone())
    return torch.stack(sums)


@pytest.mark.parametrize(
    "message",
    [
        "CUDA error: out of memory\nCompile with `TORCH_USE_CUDA_DSA`",
        "CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasLtMatmul`",
        "CUDA error: CUBLAS_STATUS_NOT_INITIALIZED when calling `cublasCreate(handle)`",
    ],
)
def test_memory_that_cuda_or_cublas_lack_is_out_of_memory_like_pytorchs_own(message: str) -> None:
    with pytest.raises(torch.OutOfMemoryError), one_memory_error():
        raise RuntimeError(message)


def test_a_gpu_without_room_for_its_own_start_is_one_line() -> None:
    message = "do not fit into GPU memory: CUDA error: out of memory; free"
    with pytest.raises(TrainingError, match=message), one_line_memory_errors():
        raise RuntimeError("CUDA error: out of memory\nCUDA kernel errors might be reported asynchronously")


def test_an_error_while_a_capture_without_memory_ends_does_not_hide_the_reason() -> None:
    with pytest.raises(torch.OutOfMemoryError), one_memory_error():
        try:
            raise torch.OutOfMemoryError("tried to allocate 2 GiB")
        finally:
            raise RuntimeError("CUDA error: operation failed due to a previous error during capture")


def test_other_errors_of_cuda_stay_what_they_are() -> None:
    with pytest.raises(RuntimeError, match="illegal memory access") as caught, one_memory_error():
        raise RuntimeError("CUDA error: an illegal memory access was encountered")
    assert not isinstance(caught.value, torch.OutOfMemoryError)

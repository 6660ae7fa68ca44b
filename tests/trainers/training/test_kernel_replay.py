from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from itertools import product

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from pmssm.trainers.models.recipes import RECIPES
from pmssm.trainers.precision import Precision
from pmssm.trainers.signals import StopRequest
from pmssm.trainers.training.kernel_replay import ReplayedStep, StoragePool, record
from pmssm.trainers.training.loop import Trainer
from pmssm.trainers.training.state import TrainingConfig
from pmssm.trainers.training.step import TrainingData
from pmssm.trainers.training.train import build_models
from torch import Tensor

PLAIN = TrainingConfig(learning_rate=1e-3, weight_decay=1e-4, cosine=True, clip_norm=1.0, batch_size=24)
LAB = ("transformer", "transformer_tabular", "mlp")
CASES = [
    *((name, {}) for name in RECIPES),
    *((name, {"precision": Precision.BF16}) for name in RECIPES if name != "tabm"),
    *((name, {"precision": how, "ensemble": 2}) for name, how in product(LAB, (Precision.FP32, Precision.BF16))),
    ("mlp_plr_small", {"optimizer": "muon", "ema": 0.9}),
    ("transformer", {"optimizer": "muon", "clip_norm": None, "ensemble": 2}),
]


def trainings(name: str, how: TrainingConfig, rows: int = 52) -> tuple[Trainer, Trainer]:
    """Two that are alike: one replays its steps, the other computes them."""
    inputs = torch.randn(rows + 20, 19, generator=torch.Generator().manual_seed(1))
    points = TrainingData(inputs[:rows], inputs[:rows, 0], inputs[rows:], inputs[rows:, 0])
    models = (build_models(name, how, torch.device("cpu")) for _ in range(2))
    replayed, computed = (Trainer(each, points, how, stop=StopRequest()) for each in models)
    computed.take_step = computed.step
    for training in (replayed, computed):
        training.step.start_epoch(range(how.ensemble), epoch=0, row=0)
    return replayed, computed


@pytest.mark.parametrize(("name", "changes"), CASES)
def test_replayed_steps_change_every_buffer_to_the_bits_that_computed_ones_do(
    name: str, changes: dict[str, object]
) -> None:
    replayed, computed = trainings(name, replace(PLAIN, **changes))  # type: ignore[arg-type]
    assert isinstance(replayed.take_step, ReplayedStep)
    for epoch in range(2):
        for training in (replayed, computed):
            training.optimizer.learning_rate.fill_(1e-3 / (1 + epoch))
            training.step.start_epoch(range(training.settings.ensemble), epoch, row=0)
            for rows in (24, 24, 4):
                training.take_step(rows)
    for ours, theirs in zip(replayed.step.buffers(), computed.step.buffers(), strict=True):
        assert torch.equal(ours, theirs)
    assert torch.isfinite(replayed.optimizer.flat).all()


@contextmanager
def threads(count: int) -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def train(training: Trainer, *batches: int) -> None:
    training.step.start_epoch(range(training.settings.ensemble), epoch=0, row=0)
    for rows in batches:
        training.take_step(rows)


@pytest.mark.parametrize(
    ("name", "changes"),
    [
        *product(LAB[:2], ({}, {"precision": Precision.BF16}, {"ensemble": 2})),
        ("tabm", {}),
        ("transformer_plr", {"optimizer": "muon", "ema": 0.9}),
    ],
)
def test_threads_that_share_the_rows_change_every_buffer_to_the_bits_that_one_part_after_the_other_does(
    name: str, changes: dict[str, object], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pmssm.trainers.training.step.MIN_SLICE_ROWS", 16)
    how = replace(PLAIN, batch_size=50, **changes)  # type: ignore[arg-type]

    def compute(rows: int) -> None:
        for stage in computed.step.stages(rows):
            with threads(3 // len(stage)):
                for task in stage:
                    task()

    with threads(3):
        replayed, computed = trainings(name, how, rows=75)
        computed.take_step = compute
        assert replayed.step.slices == 3
        for training in (replayed, computed):
            train(training, 50, 25)
            train(training, 50, 25)
    for ours, theirs in zip(replayed.step.buffers(), computed.step.buffers(), strict=True):
        assert torch.equal(ours, theirs)


def test_what_goes_wrong_in_one_of_the_threads_is_not_lost() -> None:
    with threads(2):
        replayed, _ = trainings("transformer", replace(PLAIN, batch_size=128), rows=700)
        train(replayed, 128)
        replayed.step.next_positions.fill_(0)
        replayed.step.next_positions[-1] = 700  # of the second part, and no row
        with pytest.raises((RuntimeError, IndexError), match="out of"):
            replayed.take_step(128)
        assert torch.get_num_threads() == 2


def test_a_replay_goes_on_from_whatever_was_loaded_meanwhile() -> None:
    replayed, computed = trainings("mlp", PLAIN)
    replayed.take_step(24)
    replayed.take_step(24)
    state = {name: tensor.clone() for name, tensor in computed.optimizer.state().items()}
    replayed.optimizer.load(state)
    replayed.step.start_epoch([0], epoch=0, row=0)
    for training in (replayed, computed):
        training.take_step(24)
    assert torch.equal(replayed.optimizer.flat, computed.optimizer.flat)


OPERATIONS = {
    "add": lambda a, b: a + b,
    "product": lambda a, b: a @ b.t(),
    "softmax": lambda a, b: torch.softmax(a, -1) * b,
    "norm, which has no kernel that writes into given memory": lambda a, b: torch.layer_norm(a, a.shape[1:]) + b,
    "views": lambda a, b: a.t().reshape(2, 8, 4).flatten(0, 1).unbind(1)[3].expand(8, 16).t()[:8, :8] + b,
    "stack": lambda a, b: torch.stack([a, b])[1] - a,
    "in place": lambda a, b: (a + 1).mul_(b).relu_(),
    "shape in place": lambda a, b: (a * b).unsqueeze_(0).squeeze_(0).t_().sub_(a),
    "other digits": lambda a, b: (a.to(torch.bfloat16) @ b.to(torch.bfloat16)).float(),
    "sort": lambda a, b: torch.sort(a, dim=1).values + b.argsort(dim=0),
    "several at once": lambda a, b: torch._foreach_mul([a, b], [b, a])[1] + torch._foreach_sqrt([a * a])[0],
    "split": lambda a, b: torch.cat(a.split(3, dim=1), dim=1) + b.clone(),
}


@settings(deadline=None)
@given(st.lists(st.tuples(st.sampled_from(sorted(OPERATIONS)), st.integers(0, 9), st.integers(0, 9)), max_size=20))
def test_whatever_was_recorded_gives_the_same_for_other_numbers(steps: list[tuple[str, int, int]]) -> None:
    def compute(start: Tensor, result: Tensor) -> None:
        values = [start, start.flip(1)]
        for name, left, right in steps:
            values.append(OPERATIONS[name](values[left % len(values)], values[right % len(values)]).reshape(8, 8))
        result.copy_(values[-1])

    start, result, expected = torch.randn(8, 8), torch.zeros(8, 8), torch.zeros(8, 8)
    tape = record(lambda: compute(start, result), StoragePool())
    for _ in range(3):
        start.copy_(torch.randn(8, 8))
        tape.play()
        compute(start, expected)
        assert torch.equal(result.nan_to_num(7.0), expected.nan_to_num(7.0))


def test_memory_is_used_again_by_later_kernels_and_by_other_tapes() -> None:
    start, pool = torch.randn(64, 64), StoragePool()

    def compute() -> None:
        value = start
        for _ in range(50):
            value = value + 1
        start.copy_(value)

    used = []
    for _ in range(2):
        record(compute, pool)
        used.append({storage.data_ptr() for storage in pool.free})
    assert used[0] == used[1]
    assert len(used[0]) == 2


def test_no_training_imports_the_compiler_or_sympy_which_take_a_second() -> None:
    code = (
        "import sys, numpy, torch\n"
        "from pmssm.trainers.precision import Precision\n"
        "from pmssm.trainers.training import train\n"
        "from pmssm.trainers.training.flat_parameters import FlatParameters\n"
        "weights = FlatParameters([torch.nn.Linear(3, 2)], Precision.FP32)\n"
        "gradient = torch.zeros_like(weights.flat)\n"
        "weights.backward_into(gradient, weights.forward(torch.ones(1, 4, 3)), torch.ones(1, 4, 2))\n"
        "assert gradient.sum() == 32, gradient\n"
        "assert 'scipy.optimize' not in sys.modules\n"
        "from pmssm.trainers.training.kernel_recorder import KernelRecorder\n"
        "with KernelRecorder() as recorder:\n"
        "    torch.ones(3) + 1\n"
        "assert len(recorder.calls) == 2\n"
        "from pmssm.trainers.inference.usability import OutcomeClassifier\n"
        "from pmssm.trainers.training.usability import fit_classifier\n"
        "labels = torch.arange(64) % 2\n"
        "fit_classifier(OutcomeClassifier(19, 2), torch.ones(64, 19), labels, numpy.random.default_rng(1), epochs=1)\n"
        "assert not {'sympy', 'torch._dynamo'} & set(sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=120)

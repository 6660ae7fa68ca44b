"""The order of streams, graphs and memory around a capture, on a stand-in for torch.cuda that keeps a record."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import torch
from pmssm.trainers.training.cuda_graph import WARM_UPS, CudaGraphStep
from torch import Tensor

DEFAULT = "default"


class FakeStream:
    def __init__(self, cuda: FakeCuda, name: str) -> None:
        self.cuda, self.name = cuda, name

    def wait_stream(self, other: FakeStream) -> None:
        self.cuda.record.append(f"{self.name} waits for {other.name}")


class FakeCuda:
    """What CudaGraphStep uses of torch.cuda; `end_capture` fails like a real one as long as `broken` is set."""

    def __init__(self) -> None:
        self.record: list[str] = []
        self.broken = False
        self.streams = [FakeStream(self, DEFAULT)]
        self.made = 0

    def new_stream(self) -> FakeStream:
        self.made += 1
        return FakeStream(self, f"side {self.made}")

    def current_stream(self) -> FakeStream:
        return self.streams[-1]

    @contextmanager
    def stream(self, stream: FakeStream) -> Iterator[None]:
        self.streams.append(stream)
        before = len(self.streams) - 1
        try:
            yield
        finally:
            del self.streams[before:]

    def new_graph(self) -> FakeGraph:
        return FakeGraph(self)

    @contextmanager
    def graph(self, _graph: FakeGraph, *, pool: str | None, stream: FakeStream) -> Iterator[None]:
        self.streams.append(stream)
        self.record.append(f"capture on {stream.name}, pool {pool}")
        yield
        if self.broken:  # as in torch.cuda.graph, the stream is then still in use
            raise RuntimeError("CUDA error: out of memory")
        self.streams.pop()


class FakeGraph:
    def __init__(self, cuda: FakeCuda) -> None:
        self.cuda = cuda

    def pool(self) -> str:
        return "shared"

    def replay(self) -> None:
        self.cuda.record.append(f"replay on {self.cuda.current_stream().name}")


class CountingStep:
    """A step of one buffer; the warm-up of `too_many` rows runs out of memory."""

    def __init__(self, cuda: FakeCuda) -> None:
        self.cuda = cuda
        self.total = torch.zeros(())
        self.too_many = 1000

    def buffers(self) -> list[Tensor]:
        return [self.total]

    def __call__(self, rows: int) -> None:
        self.total += rows
        self.cuda.record.append(f"step on {self.cuda.current_stream().name}")
        if rows >= self.too_many:
            raise torch.OutOfMemoryError("tried to allocate 2 GiB")


Setup = tuple[FakeCuda, CountingStep, Callable[[int], None]]


@pytest.fixture
def setup(monkeypatch: pytest.MonkeyPatch) -> Setup:
    cuda = FakeCuda()
    changes: dict[str, Any] = {
        "Stream": cuda.new_stream, "stream": cuda.stream, "current_stream": cuda.current_stream,
        "CUDAGraph": cuda.new_graph, "graph": cuda.graph,
    }  # fmt: skip
    for name, value in changes.items():
        monkeypatch.setattr(torch.cuda, name, value)
    step = CountingStep(cuda)
    return cuda, step, CudaGraphStep(step)  # type: ignore[arg-type]


def test_warm_ups_and_captures_use_one_stream_and_one_pool(setup: Setup) -> None:
    cuda, step, captured = setup
    for rows in (256, 77, 256):
        captured(rows)
    warm_up = ["side 1 waits for default", *["step on side 1"] * WARM_UPS, "default waits for side 1"]
    assert cuda.record == [
        *warm_up, "capture on side 1, pool None", "step on side 1", "replay on default",
        *warm_up, "capture on side 1, pool shared", "step on side 1", "replay on default",
        "replay on default",
    ]  # fmt: skip
    assert step.total == 256 + 77  # of both captures, which here compute, unlike real ones: warm-ups leave no trace


def test_a_warm_up_without_memory_restores_the_buffers_and_the_order_of_the_streams(setup: Setup) -> None:
    cuda, step, captured = setup
    with pytest.raises(torch.OutOfMemoryError):
        captured(1024)
    assert cuda.record == ["side 1 waits for default", "step on side 1", "default waits for side 1"]
    assert (cuda.current_stream().name, float(step.total)) == (DEFAULT, 0.0)


def test_a_capture_that_cannot_be_ended_does_not_leave_its_stream_in_use(setup: Setup) -> None:
    cuda, _, captured = setup
    cuda.broken = True
    with pytest.raises(torch.OutOfMemoryError):
        captured(256)
    assert cuda.current_stream().name == DEFAULT
    cuda.broken = False
    captured(128)
    assert cuda.record[-1] == "replay on default"


def test_without_memory_all_graphs_are_given_up_since_smaller_batches_need_others(setup: Setup) -> None:
    cuda, _, captured = setup
    captured(256)
    with pytest.raises(torch.OutOfMemoryError):
        captured(1024)
    cuda.record.clear()
    captured(128)
    assert "capture on side 1, pool None" in cuda.record


def test_two_trainings_share_no_stream(setup: Setup) -> None:
    cuda, step, captured = setup
    captured(256)
    CudaGraphStep(step)(256)  # type: ignore[arg-type]
    assert "capture on side 2, pool None" in cuda.record

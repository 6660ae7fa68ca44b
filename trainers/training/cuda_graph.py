"""Steps as CUDA graphs: one call from the host per step, whatever the number of kernels."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property

import torch

from ..log import LOGGER
from .step import TrainingStep

WARM_UPS = 3


class CudaGraphStep:
    """A step that is captured once per number of rows and then replayed.

    Args:
        step: Step to capture.
    """

    def __init__(self, step: TrainingStep) -> None:
        self.step = step
        self._graphs: dict[int, torch.cuda.CUDAGraph] = {}

    def __call__(self, rows: int) -> None:
        """Make one update with the next `rows` rows.

        Raises:
            torch.OutOfMemoryError: The rows do not fit into the memory of the GPU.
        """
        with one_memory_error():
            if rows not in self._graphs:
                self._graphs[rows] = self._capture(rows)
            self._graphs[rows].replay()

    @cached_property
    def _side_stream(self) -> torch.cuda.Stream:
        """The stream of all warm-ups: cuBLAS keeps a workspace of its own, 32 MiB on an H100, for each stream."""
        return torch.cuda.Stream()  # type: ignore[no-untyped-call]

    def _capture(self, rows: int) -> torch.cuda.CUDAGraph:
        side_stream = self._side_stream
        side_stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(side_stream):
            self._warm_up(rows)
        torch.cuda.current_stream().wait_stream(side_stream)
        graph = torch.cuda.CUDAGraph()
        pool = next((other.pool() for other in self._graphs.values()), None)
        with torch.cuda.graph(graph, pool=pool):  # records the kernels, runs none
            self.step(rows)
        return graph

    def _warm_up(self, rows: int) -> None:
        try:
            with one_memory_error():
                warm_up(self.step, rows)
        except torch.OutOfMemoryError:
            raise
        except Exception as error:  # such as no C compiler, no Triton for this GPU: any class
            if not self.step.revert_compile():
                raise
            LOGGER.warning("Not compiled, training is slower: %s", str(error).strip().partition("\n")[0][:200])
            warm_up(self.step, rows)


def warm_up(step: TrainingStep, rows: int) -> None:
    """Run the step a few times and restore all buffers.

    This loads libraries and compiles kernels, neither of which can be captured.
    """
    kept = [buffer.clone() for buffer in step.buffers()]
    for _ in range(WARM_UPS):
        try:
            step(rows)
        finally:
            for buffer, value in zip(step.buffers(), kept, strict=True):
                buffer.copy_(value)


NO_MEMORY = ("CUDA error: out of memory", "CUBLAS_STATUS_ALLOC_FAILED", "cublasCreate")
"""How CUDA (loading a kernel, making a graph of a capture) and cuBLAS say so, which don't go through PyTorch."""


@contextmanager
def one_memory_error() -> Iterator[None]:
    """Raise torch.OutOfMemoryError for any lack of GPU memory in the block, whoever reports it."""
    try:
        yield
    except torch.OutOfMemoryError:
        raise
    except RuntimeError as error:
        # Ending a capture that ran out of memory can fail, too, which hides the reason.
        is_hidden = isinstance(error.__context__, torch.OutOfMemoryError)
        if is_hidden or any(words in str(error) for words in NO_MEMORY):
            raise torch.OutOfMemoryError(str(error)) from error
        raise

"""Steps as CUDA graphs: one call from the host per step, whatever the number of kernels."""

from __future__ import annotations

from functools import cached_property

import torch

from ..device import one_memory_error
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
        try:
            with one_memory_error():
                if rows not in self._graphs:
                    self._graphs[rows] = self._capture(rows)
                self._graphs[rows].replay()
        except torch.OutOfMemoryError:
            self._graphs.clear()  # their memory is needed, and the next batches have fewer rows
            raise

    @cached_property
    def _side_stream(self) -> torch.cuda.Stream:
        """The stream of all warm-ups and captures.

        cuBLAS keeps a workspace, 32 MiB on an H100, for each stream. PyTorch after 2.11 frees it with any of the graphs
        that were captured on the stream, so the graphs of two trainings must not share one.
        """
        return torch.cuda.Stream()  # type: ignore[no-untyped-call]

    def _capture(self, rows: int) -> torch.cuda.CUDAGraph:
        stream, current = self._side_stream, torch.cuda.current_stream()
        stream.wait_stream(current)
        try:
            with torch.cuda.stream(stream):
                self._warm_up(rows)
        finally:
            current.wait_stream(stream)  # also after an error, which the training may survive
        graph = torch.cuda.CUDAGraph()
        pool = next((other.pool() for other in self._graphs.values()), None)
        # A capture that cannot be ended leaves its stream in use; the first block does not.
        with torch.cuda.stream(current), torch.cuda.graph(graph, pool=pool, stream=stream):
            self.step(rows)  # records the kernels, runs none
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

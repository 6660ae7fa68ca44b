"""Replay of a training step on the CPU as a list of kernels, like a CUDA graph.

A step of a small model calls hundreds of kernels that take some microseconds each. Python, autograd and the
allocator take about as long between two kernels. Meanwhile the threads that could help with the second
kernel fall asleep.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import contextmanager
from functools import cache, partial
from typing import Any, NamedTuple

import torch
from torch import Tensor, UntypedStorage
from torch._ops import OpOverload

from .kernel_recorder import KernelCall, KernelRecorder, TensorLocation, replace_each, tensor_locations
from .step import TrainingStep


class ReplayedStep:
    """A step that is recorded once per number of rows, then replayed to the same bits.

    Only kernel calls are recorded; Python control flow runs once, while recording. If a batch is divided
    into slices, each slice has its own thread and its share of the cores. Threads that share every kernel
    wait for each other hundreds of times per step, and for any other process on the machine; threads with
    their own rows wait once.

    Args:
        step: Step to record; also an attribute.
    """

    def __init__(self, step: TrainingStep) -> None:
        self.step = step
        self._pools = [StoragePool() for _ in range(step.slices)]
        self._tapes: dict[int, list[list[KernelTape]]] = {}
        self._cores = torch.get_num_threads()
        self._threads_per_slice = max(1, self._cores // step.slices)
        self._executor = ThreadPoolExecutor(
            max(1, step.slices - 1), "slice", torch.set_num_threads, (self._threads_per_slice,)
        )

    def __call__(self, rows: int) -> None:
        """Make one update with the next `rows` rows."""
        if self.step.compiled:  # a recorder does not see compiled kernels
            self.step(rows)
        elif rows in self._tapes:
            for tapes in self._tapes[rows]:
                with self._divided_cores(len(tapes)):
                    self._play(*tapes)
        else:
            self._tapes[rows] = [self._record(stage) for stage in self.step.stages(rows)]

    def _record(self, stage: Sequence[Callable[[], None]]) -> list[KernelTape]:
        with self._divided_cores(len(stage)):
            return [record(task, pool) for task, pool in zip(stage, self._pools, strict=False)]

    def _play(self, first: KernelTape, *others: KernelTape) -> None:
        futures = [self._executor.submit(tape.play) for tape in others]
        try:
            first.play()
        finally:
            wait(futures)
        for future in futures:
            future.result()

    @contextmanager
    def _divided_cores(self, tasks: int) -> Iterator[None]:
        """Divide the cores among `tasks` concurrent tasks while the block runs.

        All threads of MKL use the same number.
        """
        if tasks == 1:
            yield
            return
        torch.set_num_threads(self._threads_per_slice)
        try:
            yield
        finally:
            torch.set_num_threads(self._cores)


def record(task: Callable[[], object], pool: StoragePool) -> KernelTape:
    """Run `task` once and record it.

    Args:
        task: Function without arguments; it may only change memory that exists before.
        pool: Provides memory for the intermediate results of the tape.
    """
    with KernelRecorder() as recorder:
        task()
    return KernelTape(recorder, pool)


class StoragePool:
    """Memory that several tapes use in turn.

    Attributes:
        free: Storages that no tape uses; the last one was used last.
    """

    def __init__(self) -> None:
        self.free: list[UntypedStorage] = []

    def take(self, size: int) -> UntypedStorage:
        """Return a storage of at least `size` bytes.

        Of the free storages that fit without much waste, the smallest is taken; among equals, the one used
        last.
        """
        fitting = [storage for storage in reversed(self.free) if size <= storage.nbytes() <= 4 * size]
        if not fitting:
            return torch.empty(size, dtype=torch.uint8).untyped_storage()
        best = min(fitting, key=UntypedStorage.nbytes)
        self.free = [storage for storage in self.free if storage is not best]
        return best

    def release(self, storage: UntypedStorage) -> None:
        """Make `storage` available to the next user."""
        self.free.append(storage)


class TensorTable:
    """Tensors of a tape by location.

    Args:
        recorder: Recorder of the step.

    Attributes:
        storages: Memory by the number of the recorder; tapes add their own storages.
    """

    def __init__(self, recorder: KernelRecorder) -> None:
        self.storages = dict(recorder.external_storages)
        self._tensors: dict[TensorLocation, Tensor] = {}
        self._locations: dict[int, list[TensorLocation]] = defaultdict(list)
        for location in dict.fromkeys(
            tensor_locations([(call.args, call.kwargs, call.result) for call in recorder.calls])
        ):
            self._locations[location.storage].append(location)

    def resolve(self, tree: Any) -> Any:  # noqa: ANN401 (any argument of a kernel)
        """Replace all locations in `tree` by tensors.

        A tensor is empty while its storage is not among `storages`.
        """
        return replace_each(TensorLocation, self._tensor, tree)

    def sharing_storage(self, location: TensorLocation | None) -> list[tuple[Tensor, TensorLocation]]:
        """Return all tensors in the storage of `location`, with their locations.

        The list is empty for None, which some kernels return in place of a result.
        """
        return [(self._tensor(each), each) for each in self._locations[location.storage]] if location else []

    def _tensor(self, location: TensorLocation) -> Tensor:
        if location not in self._tensors:
            tensor = self._tensors[location] = torch.empty(0, dtype=location.dtype)
            if location.storage in self.storages:
                tensor.set_(self.storages[location.storage], location.offset, location.size, location.stride)
        return self._tensors[location]


class KernelTape:
    """Recorded kernel calls with their own tensors.

    Tensors that are never needed at the same time may share memory.

    Args:
        recorder: Recorder of the step.
        pool: Provides memory for intermediate results.
    """

    def __init__(self, recorder: KernelRecorder, pool: StoragePool) -> None:
        tensors = TensorTable(recorder)
        calls = [call for call in recorder.calls if call.computes]
        uses = Counter(number for call in calls for number in call.read_storages | call.new_storages)
        self._kernels: list[Callable[[], object]] = []
        taken: set[int] = set()
        for call in calls:
            variant = out_variant(call.kernel)
            given = call.new_storages if variant else set()
            tensors.storages |= {number: pool.take(recorder.storage_sizes[number]) for number in given}
            self._kernels.append(_bind(call, variant, tensors))
            taken |= given
            uses.subtract(call.read_storages | call.new_storages)
            for number in [number for number in taken if not uses[number]]:
                pool.release(tensors.storages[number])
                taken.remove(number)

    def play(self) -> None:
        """Run all kernels again on the current contents of the external memory."""
        with torch.no_grad():
            for kernel in self._kernels:
                kernel()


class OutVariant(NamedTuple):
    """Variant of a kernel that writes its results into given tensors.

    Attributes:
        kernel: The variant.
        names: Names of the arguments for the results.
    """

    kernel: Callable[..., object]
    names: Sequence[str]


@cache
def out_variant(kernel: OpOverload) -> OutVariant | None:
    """Return the variant of `kernel` that writes into given memory.

    Returns:
        None if the CPU has no such variant.
    """
    if kernel in (torch.ops.aten._to_copy.default, torch.ops.aten.clone.default):
        return OutVariant(_copy, ["out"])
    types = [str(argument.type) for argument in kernel._schema.arguments]
    for name in kernel.overloadpacket.overloads():
        other = getattr(kernel.overloadpacket, name)
        given = [argument.name for argument in other._schema.arguments if argument.is_out]
        taken = [str(argument.type) for argument in other._schema.arguments if not argument.is_out]
        # Variants without their own CPU kernel call `kernel` and copy its result.
        if given and taken == types and torch._C._dispatch_has_kernel_for_dispatch_key(other._name, "CPU"):
            return OutVariant(other, given)
    return None


def _bind(call: KernelCall, variant: OutVariant | None, tensors: TensorTable) -> Callable[[], object]:
    args, kwargs = tensors.resolve((call.args, call.kwargs))
    if not call.new_storages:
        return partial(call.kernel, *args, **kwargs)
    if variant is not None:
        results = call.result if isinstance(call.result, tuple) else (call.result,)
        return partial(
            variant.kernel, *args, **kwargs, **dict(zip(variant.names, tensors.resolve(results), strict=True))
        )
    locations = call.result if isinstance(call.result, tuple | list) else (call.result,)
    return partial(
        _rebind_views,
        partial(call.kernel, *args, **kwargs),
        [tensors.sharing_storage(location) for location in locations],
    )


def _copy(source: Tensor, *, out: Tensor, **_: object) -> None:
    out.copy_(source)


def _rebind_views(kernel: Callable[[], Any], views: Sequence[Sequence[tuple[Tensor, TensorLocation]]]) -> None:
    """Run `kernel`, then point the views of each old result to the memory of the new one."""
    results = kernel()
    for result, tensors in zip(results if isinstance(results, tuple | list) else (results,), views, strict=True):
        for tensor, location in tensors:
            tensor.set_(result.untyped_storage(), location.offset, location.size, location.stride)

"""Steps on a CPU as a list of kernels that is made once: what CUDA graphs are to a GPU.

A step of a small model is hundreds of kernels of some microseconds. Between two of them Python, autograd and the
allocator take about as long, and then the threads that were to help with the second one have fallen asleep.
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
from torch.utils._pytree import tree_map_only

from .kernel_recorder import KernelCall, KernelRecorder, TensorLocation, tensor_locations
from .step import TrainingStep


class ReplayedStep:
    """`step`, recorded the first time that a number of rows is asked for, and replayed from then on, to the same bits.

    Recorded is what reaches PyTorch's kernels: what Python decides is decided once. Where a batch is cut into parts,
    each has a thread of its own with its share of the cores. Threads that share each kernel wait for each other
    hundreds of times a step, and for whatever else the machine does meanwhile; these wait once.
    """

    def __init__(self, step: TrainingStep) -> None:
        self.step = step
        self._memories = [StoragePool() for _ in range(step.parts)]
        self._tapes: dict[int, list[list[KernelTape]]] = {}
        self._cores = torch.get_num_threads()
        self._share = max(1, self._cores // step.parts)
        self._helpers = ThreadPoolExecutor(max(1, step.parts - 1), "part", torch.set_num_threads, (self._share,))

    def __call__(self, rows: int) -> None:
        """Nothing; one update on the next `rows` rows."""
        if self.step.compiled:  # into kernels that a recorder does not see
            self.step(rows)
        elif rows in self._tapes:
            for tapes in self._tapes[rows]:
                with self._threads(len(tapes)):
                    self._play(*tapes)
        else:
            self._tapes[rows] = [self._record(stage) for stage in self.step.stages(rows)]

    def _record(self, stage: Sequence[Callable[[], None]]) -> list[KernelTape]:
        with self._threads(len(stage)):
            return [record(task, memory) for task, memory in zip(stage, self._memories, strict=False)]

    def _play(self, first: KernelTape, *others: KernelTape) -> None:
        helpers = [self._helpers.submit(tape.play) for tape in others]
        try:
            first.play()
        finally:
            wait(helpers)
        for helper in helpers:
            helper.result()

    @contextmanager
    def _threads(self, tasks: int) -> Iterator[None]:
        """A block in which so many tasks, at the same time, share the cores; all threads of MKL go by one number."""
        if tasks == 1:
            yield
            return
        torch.set_num_threads(self._share)
        try:
            yield
        finally:
            torch.set_num_threads(self._cores)


def record(task: Callable[[], object], memory: StoragePool) -> KernelTape:
    """`task`, done once and recorded; the tape's own tensors lie in `memory`."""
    with KernelRecorder() as recorder:
        task()
    return KernelTape(recorder, memory)


class StoragePool:
    """Pieces of memory that several tapes use in turn."""

    def __init__(self) -> None:
        self.free: list[UntypedStorage] = []

    def take(self, size: int) -> UntypedStorage:
        """A piece of at least `size` bytes: of those that fit without waste, the one that was used last."""
        fitting = [piece for piece in reversed(self.free) if size <= piece.nbytes() <= 4 * size]
        if not fitting:
            return torch.empty(size, dtype=torch.uint8).untyped_storage()
        best = min(fitting, key=UntypedStorage.nbytes)
        self.free = [piece for piece in self.free if piece is not best]
        return best

    def give_back(self, piece: UntypedStorage) -> None:
        """Nothing; the next may have it."""
        self.free.append(piece)


class TensorTable:
    """The tensors of a tape by their places."""

    def __init__(self, recorder: KernelRecorder) -> None:
        self.storages = dict(recorder.outside)
        self._tensors: dict[TensorLocation, Tensor] = {}
        self._places: dict[int, list[TensorLocation]] = defaultdict(list)
        for place in dict.fromkeys(
            tensor_locations([(call.args, call.kwargs, call.result) for call in recorder.calls])
        ):
            self._places[place.memory].append(place)

    def of(self, tree: Any) -> Any:  # noqa: ANN401 (whatever a kernel takes)
        """`tree` with tensors for places; they are empty where their memory is not among `storages`."""
        return tree_map_only(TensorLocation, self._tensor, tree)

    def beside(self, place: TensorLocation | None) -> list[tuple[Tensor, TensorLocation]]:
        """All tensors in the memory of `place`; none for None, which some kernels give instead of a result."""
        return [(self._tensor(each), each) for each in self._places[place.memory]] if place else []

    def _tensor(self, place: TensorLocation) -> Tensor:
        if place not in self._tensors:
            tensor = self._tensors[place] = torch.empty(0, dtype=place.dtype)
            if place.memory in self.storages:
                tensor.set_(self.storages[place.memory], place.offset, place.size, place.stride)
        return self._tensors[place]


class KernelTape:
    """Recorded calls with tensors of its own; those that are never needed together may share their memory."""

    def __init__(self, recorder: KernelRecorder, memory: StoragePool) -> None:
        tensors = TensorTable(recorder)
        calls = [call for call in recorder.calls if call.computes]
        uses = Counter(number for call in calls for number in call.read | call.made)
        self._kernels: list[Callable[[], object]] = []
        lent: set[int] = set()
        for call in calls:
            into = out_variant(call.kernel)
            given = call.made if into else set()
            tensors.storages |= {number: memory.take(recorder.sizes[number]) for number in given}
            self._kernels.append(_bound(call, into, tensors))
            lent |= given
            uses.subtract(call.read | call.made)
            for number in [number for number in lent if not uses[number]]:
                memory.give_back(tensors.storages[number])
                lent.remove(number)

    def play(self) -> None:
        """Nothing; everything is computed again, from what the memory outside holds now."""
        with torch.no_grad():
            for kernel in self._kernels:
                kernel()


class OutVariant(NamedTuple):
    """A kernel that writes its results into tensors that it is given by these names."""

    kernel: Callable[..., object]
    names: Sequence[str]


@cache
def out_variant(kernel: OpOverload) -> OutVariant | None:
    """What computes the same as `kernel` into given memory, where a CPU has such a kernel."""
    if kernel in (torch.ops.aten._to_copy.default, torch.ops.aten.clone.default):
        return OutVariant(_copy, ["out"])
    types = [str(argument.type) for argument in kernel._schema.arguments]
    for name in kernel.overloadpacket.overloads():
        other = getattr(kernel.overloadpacket, name)
        given = [argument.name for argument in other._schema.arguments if argument.is_out]
        taken = [str(argument.type) for argument in other._schema.arguments if not argument.is_out]
        # Those that are not a CPU's own are made of `kernel` itself and a copy.
        if given and taken == types and torch._C._dispatch_has_kernel_for_dispatch_key(other._name, "CPU"):
            return OutVariant(other, given)
    return None


def _bound(call: KernelCall, into: OutVariant | None, tensors: TensorTable) -> Callable[[], object]:
    args, kwargs = tensors.of((call.args, call.kwargs))
    if not call.made:
        return partial(call.kernel, *args, **kwargs)
    if into is not None:
        results = call.result if isinstance(call.result, tuple) else (call.result,)
        return partial(into.kernel, *args, **kwargs, **dict(zip(into.names, tensors.of(results), strict=True)))
    places = call.result if isinstance(call.result, tuple | list) else (call.result,)
    return partial(_follow, partial(call.kernel, *args, **kwargs), [tensors.beside(place) for place in places])


def _copy(source: Tensor, *, out: Tensor, **_: object) -> None:
    out.copy_(source)


def _follow(kernel: Callable[[], Any], views: Sequence[Sequence[tuple[Tensor, TensorLocation]]]) -> None:
    """Nothing; `kernel` has made its results anew, and the views of each lie in the memory of the new one."""
    results = kernel()
    for result, tensors in zip(results if isinstance(results, tuple | list) else (results,), views, strict=True):
        for tensor, place in tensors:
            tensor.set_(result.untyped_storage(), place.offset, place.size, place.stride)

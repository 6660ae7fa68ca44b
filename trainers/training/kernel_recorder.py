"""Record the kernels of a training step (CPU)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any, TypeVar

import torch
from torch import Tensor, UntypedStorage
from torch._ops import OpOverload
from torch.multiprocessing.reductions import StorageWeakRef
from torch.utils._python_dispatch import TorchDispatchMode

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class TensorLocation:
    """Location of a tensor in memory.

    Attributes:
        storage: Number that the recorder gave to the storage.
        dtype: Data type.
        offset: First element in the storage.
        size: Shape.
        stride: Strides, in elements.
    """

    storage: int
    dtype: torch.dtype
    offset: int
    size: torch.Size
    stride: tuple[int, ...]


@dataclass(frozen=True)
class KernelCall:
    """One call of a kernel, with locations in place of tensors.

    Attributes:
        kernel: The kernel.
        args: Positional arguments.
        kwargs: Keyword arguments.
        result: What the kernel returned.
    """

    kernel: OpOverload
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    result: Any

    @cached_property
    def read_storages(self) -> set[int]:
        """Storages of the arguments."""
        return {location.storage for location in tensor_locations((self.args, self.kwargs))}

    @cached_property
    def new_storages(self) -> set[int]:
        """Storages that the kernel allocated for its result."""
        return {location.storage for location in tensor_locations(self.result)} - self.read_storages

    @property
    def computes(self) -> bool:
        """Whether the kernel writes memory; a pure change of shape does not."""
        writes = self.kernel._schema.is_mutable and torch.Tag.inplace_view not in self.kernel.tags
        return writes or bool(self.new_storages)


class KernelRecorder(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Dispatch mode that records each kernel called while it is active.

    Intermediate results may be freed meanwhile.

    Attributes:
        calls: Recorded calls, in order.
        external_storages: Storages that existed before the recording, by number.
        storage_sizes: Size of each storage in bytes, by number.
    """

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.calls: list[KernelCall] = []
        self.external_storages: dict[int, UntypedStorage] = {}
        self.storage_sizes: dict[int, int] = {}
        self._storage_refs: dict[int, StorageWeakRef] = {}

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        return False  # to skip it, PyTorch would import it, which takes a second

    def __torch_dispatch__(
        self, func: OpOverload, types: object, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> object:
        before = replace_each(Tensor, self._locate_argument, (args, kwargs or {}))
        result = func(*args, **kwargs or {})
        self.calls.append(KernelCall(func, before[0], before[1], replace_each(Tensor, self._locate, result)))
        return result

    def _locate_argument(self, tensor: Tensor) -> TensorLocation:
        storage = tensor.untyped_storage()
        if storage._cdata not in self._storage_refs:
            self.external_storages[storage._cdata] = storage
        return self._locate(tensor)

    def _locate(self, tensor: Tensor) -> TensorLocation:
        storage = tensor.untyped_storage()
        number = storage._cdata
        if number not in self._storage_refs:
            # While this reference is kept, no other storage gets the same number.
            self._storage_refs[number] = StorageWeakRef(storage)  # type: ignore[no-untyped-call]
            self.storage_sizes[number] = storage.nbytes()
        return TensorLocation(number, tensor.dtype, int(tensor.storage_offset()), tensor.size(), tensor.stride())


def replace_each(kind: type[T], function: Callable[[T], object], tree: Any) -> Any:  # noqa: ANN401 (any argument)
    """Return `tree`, of tuples, lists and dicts, with `function` of each leaf of type `kind` in place of the leaf.

    The functions of PyTorch for this also know other containers, and take as long as the kernels.
    """
    if isinstance(tree, kind):
        return function(tree)
    if isinstance(tree, tuple | list):
        return type(tree)([replace_each(kind, function, child) for child in tree])
    if isinstance(tree, dict):
        return {key: replace_each(kind, function, child) for key, child in tree.items()}
    return tree


def tensor_locations(tree: object) -> Iterator[TensorLocation]:
    """Yield all tensor locations in a tree of tuples, lists and dicts."""
    if isinstance(tree, TensorLocation):
        yield tree
    elif isinstance(tree, tuple | list | dict):
        for child in tree.values() if isinstance(tree, dict) else tree:
            yield from tensor_locations(child)

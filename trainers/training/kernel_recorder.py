"""Record the kernels of a training step (CPU)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from torch import Tensor, UntypedStorage
from torch._ops import OpOverload
from torch.multiprocessing.reductions import StorageWeakRef
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map_only


@dataclass(frozen=True, slots=True)
class TensorLocation:
    """Where a tensor lies: `memory` is a number of the recorder's."""

    memory: int
    dtype: torch.dtype
    offset: int
    size: torch.Size
    stride: tuple[int, ...]


@dataclass(frozen=True)
class KernelCall:
    """A kernel that was called; in its arguments and its result, tensors have become places."""

    kernel: OpOverload
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    result: Any

    @cached_property
    def read(self) -> set[int]:
        """The memory of its arguments."""
        return {place.memory for place in tensor_locations((self.args, self.kwargs))}

    @cached_property
    def made(self) -> set[int]:
        """The memory that is new with its result."""
        return {place.memory for place in tensor_locations(self.result)} - self.read

    @property
    def computes(self) -> bool:
        """Whether it does anything but give its arguments another shape."""
        writes = self.kernel._schema.is_mutable and torch.Tag.inplace_view not in self.kernel.tags
        return writes or bool(self.made)


class KernelRecorder(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Notes the kernels that are called while it is entered, in `calls`.

    Intermediate results are free to go meanwhile; `outside` is the memory that was there before.
    """

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.calls: list[KernelCall] = []
        self.outside: dict[int, UntypedStorage] = {}
        self.sizes: dict[int, int] = {}
        self._known: dict[int, StorageWeakRef] = {}

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        return False  # for skipping it, PyTorch would import it, which takes a second

    def __torch_dispatch__(
        self, func: OpOverload, types: object, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> object:
        before = tree_map_only(Tensor, self._argument, (args, kwargs or {}))
        result = func(*args, **kwargs or {})
        self.calls.append(KernelCall(func, before[0], before[1], tree_map_only(Tensor, self._place, result)))
        return result

    def _argument(self, tensor: Tensor) -> TensorLocation:
        storage = tensor.untyped_storage()
        if storage._cdata not in self._known:
            self.outside[storage._cdata] = storage
        return self._place(tensor)

    def _place(self, tensor: Tensor) -> TensorLocation:
        storage = tensor.untyped_storage()
        number = storage._cdata
        if number not in self._known:
            # While this is kept, no other memory gets the number.
            self._known[number] = StorageWeakRef(storage)  # type: ignore[no-untyped-call]
            self.sizes[number] = storage.nbytes()
        return TensorLocation(number, tensor.dtype, int(tensor.storage_offset()), tensor.size(), tensor.stride())


def tensor_locations(tree: object) -> Iterator[TensorLocation]:
    return (leaf for leaf in tree_leaves(tree) if isinstance(leaf, TensorLocation))

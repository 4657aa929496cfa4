"""Counts the bytes of all tensors that are alive at once while torch computes."""

import weakref
from collections.abc import Callable
from typing import Any

import torch
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves


class Allocations(TorchDispatchMode):
    """Bytes of what is computed inside the block: now, and at the most.

    limit: bytes at which an allocation is refused, as a device of that memory would; on "meta"
    nothing is computed at all.
    """

    def __init__(self, limit: int | None = None):
        super().__init__()
        self.now = self.most = 0
        self._limit = limit
        self._known: weakref.WeakSet[torch.UntypedStorage] = weakref.WeakSet()

    def __torch_dispatch__(
        self,
        func: Callable[..., Any],
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        """Run an operation and count the storages that it made."""
        made = func(*args, **(kwargs or {}))
        for tensor in tree_leaves(made):
            if isinstance(tensor, torch.Tensor):
                self._count(tensor.untyped_storage())
        return made

    def _count(self, storage: torch.UntypedStorage) -> None:
        if storage in self._known:
            return
        size = storage.nbytes()
        if self._limit is not None and self.now + size > self._limit:
            raise torch.OutOfMemoryError(
                f"Tried to allocate {size} bytes with {self.now} of {self._limit} in use."
            )
        self._known.add(storage)
        self.now += size
        self.most = max(self.most, self.now)
        weakref.finalize(storage, self._freed, size)

    def _freed(self, size: int) -> None:
        self.now -= size


class _Attention(TorchFunctionMode):
    """Attention as a device computes it, whatever "meta" would choose.

    fused: without ever holding the scores of all pairs, as torch's kernels for GPUs and CPUs.
    """

    def __init__(self, fused: bool):
        super().__init__()
        self._fused = fused

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        """Replace attention; all else is as it was."""
        given = kwargs or {}
        if func is not torch.nn.functional.scaled_dot_product_attention:
            return func(*args, **given)
        query, key, value = (*args, *(given[name] for name in _NAMES[len(args) :]))[:3]
        if self._fused:
            return query.new_empty(*query.shape[:-1], value.shape[-1])
        return (query @ key.transpose(-2, -1)).softmax(dim=-1) @ value


_NAMES = ("query", "key", "value")


def most_bytes(work: Callable[[], Any], *, fused: bool) -> int:
    """Bytes at the worst moment of what computes on "meta"; fused: how attention is computed."""
    allocations = Allocations()
    with torch.inference_mode(), _Attention(fused), allocations:
        work()
    return allocations.most

"""Counts the bytes of all tensors that are alive at once while torch computes."""

import weakref
from collections.abc import Callable
from types import TracebackType
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


class FusedAttention(TorchFunctionMode):
    """Attention that never holds the scores of all pairs, as torch's kernels for GPU and CPU."""

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        """Give attention's output without its scores; all else as it is."""
        given = kwargs or {}
        if func is torch.nn.functional.scaled_dot_product_attention:
            query, _, value = (*args, *(given[name] for name in _NAMES[len(args) :]))[:3]
            return query.new_empty(*query.shape[:-1], value.shape[-1])
        return func(*args, **given)


_NAMES = ("query", "key", "value")


def most_bytes(work: Callable[[], Any], *, fused: bool) -> int:
    """Bytes at the worst moment of what computes on "meta"; fused: how attention is computed."""
    allocations = Allocations()
    attention = FusedAttention() if fused else _AsIs()
    with torch.inference_mode(), attention, allocations:
        work()
    return allocations.most


class _AsIs:
    def __enter__(self) -> None:
        """Nothing."""

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Nothing."""

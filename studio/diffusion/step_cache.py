"""What a speed-up may carry from one step to the next, and when that is forgotten."""

from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch


class StepCache:
    """The memory of a denoiser's step cache during one pass; without a cache it does nothing.

    A step is compared with the one before it, so that nothing of another pass, of another batch
    or of other texts may be left.
    """

    def __init__(self, denoiser: Any):
        self._denoiser = denoiser
        self._texts: torch.Tensor | None = None
        forget(denoiser)

    def step(self, texts: torch.Tensor) -> AbstractContextManager[None]:
        """Around one evaluation; texts: the states that it attends to."""
        if not _is_cached(self._denoiser):
            return nullcontext()
        if not _same(texts, self._texts):
            forget(self._denoiser)
            self._texts = texts
        context: AbstractContextManager[None] = self._denoiser.cache_context("step")
        return context


def forget(denoiser: Any) -> None:
    """Let go of all steps so far, and of their memory."""
    if _is_cached(denoiser):
        denoiser._reset_stateful_cache()


def _is_cached(denoiser: Any) -> bool:
    return bool(getattr(denoiser, "is_cache_enabled", False))


def _same(texts: torch.Tensor, last: torch.Tensor | None) -> bool:
    """Whether they are the very same numbers; the last ones are kept: none can take their place.

    Comparing all of them would make a GPU wait in every step.
    """
    return last is not None and (texts.data_ptr(), texts.shape) == (last.data_ptr(), last.shape)

"""Speed-ups: one table of what makes a denoiser faster, and how it is put on and taken off again.

Each is a library that exists; nothing here computes anything itself. What is put on is seen only
by the loan that asked for it: the model manager takes it off before anybody else has the model.
"""

import importlib.util
import os
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from studio.errors import ModelError, RequestError, first_words
from studio.models.devices import Device
from studio.models.entry import ModelEntry
from studio.models.families import Network, denoiser_of
from studio.requests import Speedup

_PLAIN = "diffusion"
QUANTISED = "diffusion-int8"
"""Kinds of loaders: whose models keep their weights as they are, and whose are rounded for good."""
LOADERS = (_PLAIN, QUANTISED)
_ALL_NETWORKS = frozenset(Network)
_TRANSFORMERS = frozenset({Network.SD3, Network.FLUX})
_ALL_SORTS = frozenset({"cpu", "cuda", "xpu", "mps"})
_MERGED = 0.5
"""Share of the tokens that are merged; Bolya and Hoffman 2023 (arXiv 2303.17604), table 2."""
_ALIKE = 0.08
"""Change of the first block's part, of itself, up to which the other blocks are taken from the
last step: what ParaAttention, where this cache comes from, uses for FLUX.1."""
_BACKEND = "inductor"
_COMPILERS = ("g++", "clang++", "c++", "cl")


@dataclass(frozen=True)
class SpeedupEntry:
    """What the studio knows of a speed-up.

    title, note: for people. networks, sorts: kinds of denoisers and of devices that it is for.
    put_on, take_off: change a denoiser; the second also takes one that wears nothing. library:
    what must be importable, "" for nothing. extra: of this program, that brings it. lacks: what
    else is missing on a sort of device, "" for nothing. acts_on: two on the same exclude each
    other. redraws: the picture is visibly another one; without it only the rounding of numbers
    differs. whole: it remembers the last step of the whole picture, which one that is painted in
    tiles has not. loader: kind that its models are loaded by.
    """

    key: Speedup
    title: str
    note: str
    networks: frozenset[Network]
    sorts: frozenset[str]
    acts_on: str
    put_on: Callable[[Any], None] = lambda denoiser: None
    take_off: Callable[[Any], None] = lambda denoiser: None
    library: str = ""
    extra: str = ""
    lacks: Callable[[str], str] = lambda sort: ""
    redraws: bool = True
    whole: bool = False
    loader: str = _PLAIN


def _is_there(library: str) -> bool:
    return importlib.util.find_spec(library) is not None


def _lacks_compiler(sort: str) -> str:
    """torch.compile writes C++ for a CPU and Triton's language for a GPU."""
    if sort == "cpu":
        found = os.environ.get("CXX") or any(map(shutil.which, _COMPILERS))
        return "" if found else "a C++ compiler is missing; install g++"
    return "" if _is_there("triton") else "triton is missing; install triton"


def _compile(denoiser: Any) -> None:
    denoiser.compile(backend=_BACKEND)


def _compile_by_tensorrt(denoiser: Any) -> None:
    import torch_tensorrt  # noqa: F401 - its import makes the backend known

    denoiser.compile(backend="torch_tensorrt")


def _uncompile(denoiser: Any) -> None:
    denoiser._compiled_call_impl = None  # torch has no other way back


def _merge_tokens(denoiser: Any) -> None:
    import tomesd

    levels = denoiser.config.down_block_types
    first = next((i for i, name in enumerate(levels) if "CrossAttn" in name), 0)
    # Only where attention is widest, as in the paper; drawn targets would change with the batch.
    tomesd.apply_patch(denoiser, ratio=_MERGED, max_downsample=2**first, use_rand=False)


def _part_tokens(denoiser: Any) -> None:
    if any(type(module).__name__ == "ToMeBlock" for module in denoiser.modules()):
        import tomesd

        tomesd.remove_patch(denoiser)


def _use_xformers(denoiser: Any) -> None:
    denoiser.enable_xformers_memory_efficient_attention()


def _leave_xformers(denoiser: Any) -> None:
    processors = getattr(denoiser, "attn_processors", {}).values()
    if any("XFormers" in type(each).__name__ for each in processors):
        denoiser.disable_xformers_memory_efficient_attention()


def _cache_by_first_block(denoiser: Any) -> None:
    from diffusers import FirstBlockCacheConfig

    denoiser.enable_cache(FirstBlockCacheConfig(threshold=_ALIKE))


def _forecast(denoiser: Any) -> None:
    import torch
    from diffusers import TaylorSeerCacheConfig

    # Of all blocks together only the last projection is forecast: the other variant keeps every
    # block's output of two steps, some gigabytes for FLUX.1.
    config = TaylorSeerCacheConfig(use_lite_mode=True, taylor_factors_dtype=torch.float32)
    denoiser.enable_cache(config)


def _uncache(denoiser: Any) -> None:
    if getattr(denoiser, "is_cache_enabled", False):
        denoiser._reset_stateful_cache()
        denoiser.disable_cache()


SPEEDUPS: tuple[SpeedupEntry, ...] = (
    SpeedupEntry(
        Speedup.XFORMERS,
        "xformers attention",
        "another implementation of attention; seldom faster than torch's own on recent cards",
        frozenset({Network.UNET}),
        frozenset({"cuda"}),
        "attention",
        _use_xformers,
        _leave_xformers,
        library="xformers",
        redraws=False,
        extra="xformers",
    ),
    SpeedupEntry(
        Speedup.TOKEN_MERGING,
        "Token merging",
        "attention sees half of the places, the like ones merged; finest details suffer",
        frozenset({Network.UNET}),
        _ALL_SORTS,
        "tokens",
        _merge_tokens,
        _part_tokens,
        library="tomesd",
        extra="token-merging",
    ),
    SpeedupEntry(
        Speedup.FIRST_BLOCK_CACHE,
        "First block cache",
        "steps whose first block says nothing new take the rest from the step before",
        frozenset({Network.FLUX}),
        _ALL_SORTS,
        "steps",
        _cache_by_first_block,
        _uncache,
        whole=True,
    ),
    SpeedupEntry(
        Speedup.TAYLORSEER,
        "TaylorSeer",
        "most steps are forecast from those before; for models that take many steps",
        frozenset({Network.FLUX}),
        _ALL_SORTS,
        "steps",
        _forecast,
        _uncache,
        whole=True,
    ),
    SpeedupEntry(
        Speedup.INT8,
        "8-bit weights",
        "half the memory for transformer and T5; faster only where memory was short",
        _TRANSFORMERS,
        frozenset({"cpu", "cuda"}),
        "weights",
        library="torchao",
        extra="int8",
        loader=QUANTISED,
    ),
    SpeedupEntry(
        Speedup.COMPILE,
        "Compiled by torch",
        "a minute or more before the first picture of a size, then faster steps",
        _ALL_NETWORKS,
        frozenset({"cpu", "cuda", "xpu"}),
        "code",
        _compile,
        _uncompile,
        lacks=_lacks_compiler,
        redraws=False,
    ),
    SpeedupEntry(
        Speedup.TENSORRT,
        "Compiled by TensorRT",
        "minutes before the first picture of a size, then the fastest steps",
        _ALL_NETWORKS,
        frozenset({"cuda"}),
        "code",
        _compile_by_tensorrt,
        _uncompile,
        library="torch_tensorrt",
        redraws=False,
        extra="tensorrt",
    ),
)
"""In the order in which they are put on; source of each: docs/speed.md."""
_BY_KEY = {entry.key: entry for entry in SPEEDUPS}


def fitting(entry: ModelEntry, device: Device | None, *, tiled: bool = False) -> list[SpeedupEntry]:
    """Speed-ups that a model can have on a device of this installation.

    device: None while nobody knows; then those that any CPU or GPU can have. tiled: for pictures
    that are painted in tiles.
    """
    sort = device.sort if device is not None else "cpu"
    return [each for each in SPEEDUPS if not _misfit(each, entry, sort, tiled=tiled)]


def check_speedups(chosen: Sequence[str], entry: ModelEntry, *, tiled: bool = False) -> None:
    """RequestError for one that is not for the model, not installed, or excluded by another."""
    taken: dict[str, SpeedupEntry] = {}
    for key in chosen:
        each = _BY_KEY[Speedup(key)]
        if problem := _misfit(each, entry, "", tiled=tiled):
            raise RequestError(problem, "speedups")
        if each.acts_on in taken:
            other = taken[each.acts_on].title
            raise RequestError(
                f"The speed-ups {other!r} and {each.title!r} exclude each other; choose one.",
                "speedups",
            )
        taken[each.acts_on] = each


def loader_of(chosen: Sequence[str]) -> str:
    """The kind of loader that a model with these speed-ups comes from."""
    kinds = [_BY_KEY[Speedup(key)].loader for key in chosen]
    return next((kind for kind in kinds if kind != _PLAIN), _PLAIN)


def put_on(pipe: Any, chosen: Sequence[str], device: Device) -> None:
    """Give a pipeline without speed-ups these; ModelError for one that the device cannot have."""
    for each in SPEEDUPS:
        if each.key not in chosen:
            continue
        if problem := _misplaced(each, device.sort):
            raise ModelError(problem)
        try:
            each.put_on(_denoiser(pipe))
        except (ImportError, OSError, RuntimeError, ValueError) as error:
            first = first_words(error)
            raise ModelError(
                f"The speed-up {each.title!r} cannot be used here ({first}); leave it out."
            ) from error


def take_off(pipe: Any) -> None:
    """Take all speed-ups off that can be taken off; the model is then as it was."""
    for each in reversed(SPEEDUPS):
        each.take_off(_denoiser(pipe))


def title_of(key: str) -> str:
    """A speed-up's title; a model as it is has none."""
    return _BY_KEY[Speedup(key)].title if key else "Without"


def quantise(pipe: Any, encoders: Sequence[str]) -> None:
    """Round a pipeline's transformer and these text encoders to 8 bits a weight, for good.

    Source: weight-only quantisation of torchao, a scale for each row.
    """
    import torch
    from torchao.quantization import Int8WeightOnlyConfig, quantize_

    def is_plain(module: Any, _name: str) -> bool:
        # Some networks have one layer in two places: it must not be rounded again.
        return isinstance(module, torch.nn.Linear) and not hasattr(
            module.weight, "__tensor_flatten__"
        )

    for network in (_denoiser(pipe), *(getattr(pipe, name) for name in encoders)):
        if network is not None:
            quantize_(network, Int8WeightOnlyConfig(), filter_fn=is_plain)


def _misfit(each: SpeedupEntry, entry: ModelEntry, sort: str, *, tiled: bool) -> str:
    """A sentence on why a model cannot have a speed-up, or "".

    sort: of the device, "" to leave it out of account.
    """
    assert entry.family is not None
    if entry.family.network not in each.networks:
        return (
            f"The speed-up {each.title!r} is not for models of {entry.family.name}; leave it out."
        )
    if tiled and each.whole:
        return f"The speed-up {each.title!r} is not for pictures in tiles; leave it out."
    if each.library and not _is_there(each.library):
        return (
            f"The speed-up {each.title!r} needs {each.library}, which is not installed; install "
            f"atelier[{each.extra}] or leave it out."
        )
    return _misplaced(each, sort) if sort else ""


def _misplaced(each: SpeedupEntry, sort: str) -> str:
    if sort not in each.sorts:
        return f"The speed-up {each.title!r} is not for the device {sort}; leave it out."
    if lack := each.lacks(sort):
        return f"The speed-up {each.title!r} cannot be used here: {lack}, or leave it out."
    return ""


def _denoiser(pipe: Any) -> Any:
    return getattr(pipe, denoiser_of(type(pipe).__name__) or "unet")

"""Brings diffusion pipelines to the device."""

import contextlib
import json
import logging
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from studio.context import ModelSpec, Rung
from studio.errors import AtelierError, ModelError, OutOfMemory, SettingsError, first_words
from studio.models import adapters, speedups
from studio.models.catalogue import Catalogue
from studio.models.devices import Device, is_out_of_memory
from studio.models.entry import NONSENSE, ModelEntry
from studio.models.families import denoiser_of, recognised
from studio.models.headers import read_header
from studio.models.integrity import stored_numbers
from studio.models.ladder import OFFLOADING, place, take_off
from studio.models.slots import Footprint

if TYPE_CHECKING:
    from diffusers import DiffusionPipeline

_BYTES = {"float32": 4, "float16": 2, "bfloat16": 2}
_HEADROOM = 1.1
"""Weights and a little more: buffers that are made while they are moved."""
_QUANTISED = 1.05
"""Bytes a weight of 8 bits and its share of its row's scale."""
_LARGEST_LAYER = 0.1
"""Share of all weights in one layer; in small models the table of words is as much as that."""


class DiffusionLoader:
    """Loads the catalogue's diffusion models: safetensors only, never from the network.

    device: tells the device once torch may be imported.
    attention: "sdpa" (torch's own) or "xformers". quantised: transformers and T5 encoders are
    rounded to 8 bits a weight, which cannot be taken back: such models are models of their own.
    """

    def __init__(
        self,
        catalogue: Catalogue,
        device: Callable[[], Device],
        attention: str,
        *,
        quantised: bool = False,
    ):
        self._catalogue = catalogue
        self._device = device
        self._attention = attention
        self._quantised = quantised

    def title(self, model_id: str) -> str:
        """The model's name for people."""
        title = self._catalogue.get(model_id).title
        return f"{title} (8 bits)" if self._quantised else title

    def estimate(self, model_id: str, rungs: tuple[Rung, ...] = ()) -> Footprint:
        """Bytes of the device that the weights will take in its number format."""
        entry = self._catalogue.usable(model_id)
        size = _BYTES[self._device().dtype] * _HEADROOM
        rounded = _rounded(entry) if self._quantised else ()
        parts = {
            name: int(count * (_QUANTISED * _HEADROOM if name in rounded else size))
            for name, count in stored_parts(entry).items()
        }
        total = sum(parts.values())
        if Rung.SEQUENTIAL_OFFLOAD in rungs:
            layer = int(total * _LARGEST_LAYER)
            return Footprint(layer, layer)
        if Rung.MODEL_OFFLOAD in rungs:
            return Footprint(max(parts.values()), max(parts.values()))
        if Rung.ENCODERS_OFF in rungs:
            assert entry.family is not None
            encoders = sum(parts.get(name, 0) for _, name in entry.family.encoders)
            return Footprint(total - encoders, total)
        return Footprint(total, total)

    def load(self, model_id: str, rungs: tuple[Rung, ...] = ()) -> "DiffusionPipeline":
        """The text-to-image pipeline on the device, in evaluation mode."""
        import torch
        from huggingface_hub.errors import StrictDataclassError
        from safetensors import SafetensorError

        damaged = (*NONSENSE, RuntimeError, MemoryError)
        entry = self._catalogue.usable(model_id)
        assert entry.family is not None
        try:
            with _quiet():
                pipe = _pipeline(entry, getattr(torch, self._device().dtype))
                if self._quantised:
                    speedups.quantise(pipe, _rounded(entry))
            place(pipe, rungs, self._device())
        except (*damaged, SafetensorError, StrictDataclassError) as error:
            if is_out_of_memory(error):
                raise OutOfMemory(_too_large(entry, self._device())) from error
            raise ModelError(
                f"{entry.title} could not be loaded from {entry.path} ({first_words(error)}); "
                "copy it again."
            ) from error
        if entry.original is None:
            _check_complete(entry, pipe)
        pipe.set_progress_bar_config(disable=True)
        if self._attention == "xformers":
            _use_xformers(pipe)
        return pipe

    def measure(self, model: Any) -> int:
        """Bytes of all parameters and buffers that are on the device."""
        import torch

        sort = self._device().sort
        parts = (part for part in model.components.values() if isinstance(part, torch.nn.Module))
        return sum(
            _bytes(tensor)
            for part in parts
            for tensor in (*part.parameters(), *part.buffers())
            if tensor.device.type == sort
        )

    def view(self, model: Any, task: str) -> Any:
        """The pipeline for a task ("text2image", "image2image", "inpaint") on the same weights."""
        import diffusers

        family = recognised(type(model).__name__, _denoiser_config(model))
        assert family is not None
        views = {
            "": lambda: model,
            "text2image": lambda: model,
            "image2image": lambda: getattr(diffusers, family.image).from_pipe(model),
            "inpaint": lambda: getattr(diffusers, family.inpaint).from_pipe(model),
        }
        if task not in views:
            raise ModelError(
                f"There is no task {task!r}; there are {', '.join(filter(None, views))}."
            )
        with _quiet():
            return views[task]()

    def dress(self, model: Any, spec: ModelSpec) -> None:
        """Let a pipeline wear just the LoRAs and speed-ups of a loan, on just its rungs.

        Raises ModelError with the name of a LoRA or speed-up that does not fit.
        """
        from safetensors import SafetensorError

        entry, worn = self._catalogue.get(spec.id), spec.adapters
        loras = [(use, self._catalogue.loras.usable(use.name, entry)) for use in worn]
        self._bare(model)
        if OFFLOADING & set(spec.rungs):  # the device has no room for all of it
            model.to("cpu")
        try:
            with _quiet():
                adapters.dress(model, loras)
        except (*NONSENSE, RuntimeError, MemoryError, SafetensorError) as error:
            if isinstance(error, AtelierError):
                raise
            if is_out_of_memory(error):
                raise OutOfMemory(_too_large(entry, self._device())) from error
            names = ", ".join(use.name for use in worn)
            first = first_words(error)
            raise ModelError(
                f"LoRA {names} could not be put on {entry.title} ({first}); it may be for another "
                "kind of model, or damaged."
            ) from error
        place(model, spec.rungs, self._device())
        speedups.put_on(model, spec.speedups, self._device())

    def _bare(self, model: Any) -> None:
        """Take speed-ups and rungs off, the last first: both stand before a network's own code."""
        speedups.take_off(model)
        take_off(model)
        if self._attention == "xformers":
            _use_xformers(model)

    def rest(self, model: Any) -> None:
        """Move a pipeline to main memory, without its speed-ups."""
        self._bare(model)
        with _quiet():
            model.to("cpu")

    def wake(self, model: Any, rungs: tuple[Rung, ...]) -> None:
        """Move a pipeline that rests back to the device."""
        place(model, rungs, self._device())


def _rounded(entry: ModelEntry) -> tuple[str, ...]:
    """The parts of a model that are rounded to 8 bits: those whose weights are many."""
    assert entry.family is not None
    encoders = zip(entry.family.encoders, entry.family.stems, strict=True)
    return (entry.family.denoiser, *(name for (_, name), stem in encoders if stem == "t5xxl"))


def _bytes(tensor: Any) -> int:
    """What a tensor really takes; one of 8 bits says the format that it computes in."""
    if hasattr(tensor, "__tensor_flatten__"):
        return sum(_bytes(getattr(tensor, name)) for name in tensor.__tensor_flatten__()[0])
    return int(tensor.numel() * tensor.element_size())


def stored_parts(entry: ModelEntry) -> dict[str, int]:
    """How many numbers a model's files hold for each of its networks."""
    if entry.original is not None:
        return {part.name: read_header(path).numbers(part.holds) for part, path in entry.sources}
    return {part.name: stored_numbers(part) for part in entry.path.iterdir() if part.is_dir()}


def _too_large(entry: ModelEntry, device: Device) -> str:
    return (
        f"{entry.title} did not fit on {device.label}; close other programs that use it or choose "
        "a smaller model."
    )


def _pipeline(entry: ModelEntry, dtype: Any) -> Any:
    """The text-to-image pipeline of a folder or of a single file, on the CPU."""
    import diffusers

    from studio.models.casting import is_larger, read_network
    from studio.models.originals.load import build

    assert entry.family is not None
    if entry.original is not None:
        tokenizers = {place: entry.tokenizer(place) for place, _ in entry.family.encoders}
        return build(entry.original, list(entry.sources), tokenizers, dtype)
    given: dict[str, Any] = dict(_left_out(entry))
    part = entry.path / entry.family.denoiser
    if is_larger(part, dtype):
        given[entry.family.denoiser] = read_network(part, dtype)
    return getattr(diffusers, entry.family.pipeline).from_pretrained(
        entry.path, dtype=dtype, use_safetensors=True, local_files_only=True, **given
    )


def _left_out(entry: ModelEntry) -> dict[str, None]:
    """Text encoders that a model was saved without, which diffusers wants to be told of again."""
    assert entry.family is not None
    index = json.loads((entry.path / "model_index.json").read_text(encoding="utf-8"))
    names = (name for pair in entry.family.encoders for name in pair)
    return {name: None for name in names if not any(index.get(name) or ())}


def _denoiser_config(pipe: Any) -> dict[str, object]:
    return dict(getattr(pipe, denoiser_of(type(pipe).__name__) or "").config)


def _check_complete(entry: ModelEntry, pipe: Any) -> None:
    """ModelError when a part has more numbers than its files: the rest would be random."""
    import torch

    for name, part in pipe.components.items():
        if isinstance(part, torch.nn.Module):
            needed = sum(parameter.numel() for parameter in part.parameters())
            stored = stored_numbers(entry.path / name)
            if stored < needed:
                raise ModelError(
                    f"{entry.title} is incomplete: {name} needs {needed:,} numbers, but its files "
                    f"hold {stored:,}; copy {entry.path} again."
                )


def _use_xformers(pipe: Any) -> None:
    try:
        pipe.enable_xformers_memory_efficient_attention()
    except (ImportError, ModuleNotFoundError, ValueError) as error:
        raise SettingsError(
            "Setting attention (ATELIER_ATTENTION) is 'xformers', but it cannot be used here "
            f"({error}); install the extra atelier[xformers] or choose sdpa."
        ) from error


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Loading without the libraries' progress bars and advice, which would fill a server's log."""
    from diffusers.utils import logging as diffusers_logging
    from transformers.utils import logging as transformers_logging

    level = logging.getLogger("transformers").level
    said = diffusers_logging.get_verbosity()
    diffusers_logging.disable_progress_bar()
    diffusers_logging.set_verbosity_error()
    transformers_logging.disable_progress_bar()
    transformers_logging.set_verbosity_error()
    try:
        yield
    finally:
        logging.getLogger("transformers").setLevel(level)
        diffusers_logging.set_verbosity(said)

"""Brings diffusion pipelines to the device."""

import contextlib
import json
import logging
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from studio.context import Worn
from studio.errors import AtelierError, ModelError, OutOfMemory, SettingsError
from studio.models import adapters
from studio.models.catalogue import Catalogue
from studio.models.devices import Device
from studio.models.entry import NONSENSE, ModelEntry
from studio.models.families import denoiser_of, recognised
from studio.models.headers import read_header
from studio.models.integrity import stored_numbers

if TYPE_CHECKING:
    from diffusers import DiffusionPipeline

_BYTES = {"float32": 4, "float16": 2, "bfloat16": 2}
_HEADROOM = 1.1
"""Weights and a little more: buffers that are made while they are moved."""


class DiffusionLoader:
    """Loads the catalogue's diffusion models: safetensors only, never from the network.

    device: tells the device once torch may be imported.
    attention: "sdpa" (torch's own) or "xformers".
    """

    def __init__(self, catalogue: Catalogue, device: Callable[[], Device], attention: str):
        self._catalogue = catalogue
        self._device = device
        self._attention = attention

    def title(self, model_id: str) -> str:
        """The model's name for people."""
        return self._catalogue.get(model_id).title

    def estimate(self, model_id: str) -> int:
        """Bytes that the weights will take in the device's number format."""
        entry = self._catalogue.usable(model_id)
        stored = _stored(entry)
        return int(stored * _BYTES[self._device().dtype] * _HEADROOM)

    def load(self, model_id: str) -> "DiffusionPipeline":
        """The text-to-image pipeline on the device, in evaluation mode."""
        import torch
        from huggingface_hub.errors import StrictDataclassError
        from safetensors import SafetensorError

        damaged = (*NONSENSE, RuntimeError)
        entry = self._catalogue.usable(model_id)
        assert entry.family is not None
        try:
            with _quiet():
                pipe = _pipeline(entry, getattr(torch, self._device().dtype))
            pipe.to(self._device().name)
        except torch.OutOfMemoryError as error:
            raise OutOfMemory(
                f"{entry.title} did not fit on {self._device().label}; close other programs that "
                "use it or choose a smaller model."
            ) from error
        except (*damaged, SafetensorError, StrictDataclassError) as error:
            first = str(error).strip().partition("\n")[0]
            raise ModelError(
                f"{entry.title} could not be loaded from {entry.path} ({first}); copy it again."
            ) from error
        if entry.original is None:
            _check_complete(entry, pipe)
        pipe.set_progress_bar_config(disable=True)
        if self._attention == "xformers":
            _use_xformers(pipe)
        return pipe

    def measure(self, model: Any) -> int:
        """Bytes of all parameters and buffers."""
        import torch

        parts = (part for part in model.components.values() if isinstance(part, torch.nn.Module))
        return sum(
            tensor.numel() * tensor.element_size()
            for part in parts
            for tensor in (*part.parameters(), *part.buffers())
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

    def dress(self, model: Any, model_id: str, worn: tuple[Worn, ...]) -> None:
        """Let a pipeline wear just these LoRAs; ModelError names the one that does not fit."""
        from safetensors import SafetensorError

        entry = self._catalogue.get(model_id)
        loras = [(use, self._catalogue.loras.usable(use.name, entry)) for use in worn]
        try:
            with _quiet():
                adapters.dress(model, loras)
        except (*NONSENSE, RuntimeError, SafetensorError) as error:
            if isinstance(error, AtelierError):
                raise
            names = ", ".join(use.name for use in worn)
            first = str(error).strip().partition("\n")[0]
            raise ModelError(
                f"LoRA {names} could not be put on {entry.title} ({first}); it may be for another "
                "kind of model, or damaged."
            ) from error


def _pipeline(entry: ModelEntry, dtype: Any) -> Any:
    """The text-to-image pipeline of a folder or of a single file, on the CPU."""
    import diffusers

    from studio.models.originals.load import build

    assert entry.family is not None
    if entry.original is not None:
        tokenizers = {place: entry.tokenizer(place) for place, _ in entry.family.encoders}
        return build(entry.original, list(entry.sources), tokenizers, dtype)
    return getattr(diffusers, entry.family.pipeline).from_pretrained(
        entry.path,
        dtype=dtype,
        use_safetensors=True,
        local_files_only=True,
        **_left_out(entry),
    )


def _stored(entry: ModelEntry) -> int:
    """How many numbers a model's files hold for its networks."""
    if entry.original is not None:
        return sum(read_header(path).numbers(part.holds) for part, path in entry.sources)
    return sum(stored_numbers(part) for part in entry.path.iterdir() if part.is_dir())


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

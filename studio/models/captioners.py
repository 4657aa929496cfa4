"""Captioners: models of transformers that say what a picture shows, in models/captioners/.

A captioner is a folder with config.json and safetensors weights; pickles are not opened, and no
code of a folder is run.
"""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from studio.context import Rung
from studio.errors import ModelError, first_words
from studio.models.devices import Device, is_out_of_memory
from studio.models.entry import NONSENSE
from studio.models.integrity import file_problem
from studio.models.network_loader import NetworkLoader, footprint, weights
from studio.models.slots import Footprint

if TYPE_CHECKING:
    from PIL import Image

CAPTIONER = "captioner"
"""Kind of loans."""
FOLDER = "captioners"
"""Where they lie, below the models."""
_KNOWN = ("BlipForConditionalGeneration", "GitForCausalLM", "VisionEncoderDecoderModel")
_MOST_TOKENS = 40


@dataclass(frozen=True)
class CaptionerEntry:
    """One captioner: its folder's name, and why it cannot be used, or ""."""

    name: str
    path: Path
    architecture: str = ""
    bytes: int = 0
    problem: str = ""


class CaptionerShelf:
    """The captioners below a models folder; looked up afresh, so that a new one is seen at once."""

    def __init__(self, models: Path):
        self._folder = models / FOLDER

    def entries(self) -> list[CaptionerEntry]:
        """All of them, by name."""
        if not self._folder.is_dir():
            return []
        folders = sorted(self._folder.iterdir())
        return [_entry(f) for f in folders if f.is_dir() and not f.name.startswith(".")]

    def usable(self, name: str) -> CaptionerEntry:
        """The captioner of a name, the first that can be used for ""; ModelError when none is."""
        entries = self.entries()
        entry = next((e for e in entries if e.name == name or (not name and not e.problem)), None)
        if entry is None:
            names = ", ".join(each.name for each in entries) or "none"
            raise ModelError(
                f"Captioner {name!r} is not installed (there are: {names}); put a folder such as "
                f"BLIP's into models/{FOLDER}."
            )
        if entry.problem:
            raise ModelError(entry.problem)
        return entry


@dataclass(frozen=True)
class Captioner:
    """A loaded captioner."""

    network: Any
    processor: Any

    def caption(self, images: Sequence["Image.Image"], most: int = _MOST_TOKENS) -> list[str]:
        """What each picture (RGB) shows, in small letters as the model has them.

        most: tokens of a caption. The same picture always gets the same caption.
        """
        import torch

        if not images:
            return []
        seen = self.processor(images=list(images), return_tensors="pt")["pixel_values"]
        place = next(self.network.parameters())
        with torch.inference_mode():
            tokens = self.network.generate(
                pixel_values=seen.to(place.device, place.dtype),
                max_new_tokens=most,
                do_sample=False,
                num_beams=1,
            )
        texts = self.processor.batch_decode(tokens, skip_special_tokens=True)
        return [" ".join(text.split()) for text in texts]


class CaptionerLoader(NetworkLoader):
    """Brings captioners to the device."""

    def __init__(self, shelf: CaptionerShelf, device: Callable[[], Device]):
        super().__init__(device)
        self._shelf = shelf

    def title(self, model_id: str) -> str:
        """The captioner's name for people."""
        return self._shelf.usable(model_id).name

    def estimate(self, model_id: str, rungs: tuple[Rung, ...] = ()) -> Footprint:
        """Bytes that the weights will take in the number format in which they are used."""
        return footprint(weights(self._shelf.usable(model_id).path), self._dtype())

    def load(self, model_id: str, rungs: tuple[Rung, ...] = ()) -> Captioner:
        """The captioner on the device, in evaluation mode."""
        entry = self._shelf.usable(model_id)
        with self.fitting(f"Captioner {entry.name}", "one"):
            loaded = load_captioner(entry.path, self._dtype())
            loaded.network.to(self._device().name)
        return loaded

    def _dtype(self) -> str:
        return "float32" if self._device().sort == "cpu" else self._device().dtype


def load_captioner(folder: Path, dtype: str = "float32") -> Captioner:
    """A captioner's folder on the CPU, in evaluation mode; ModelError when it is damaged."""
    import torch
    from safetensors import SafetensorError
    from transformers import AutoImageProcessor, AutoModelForImageTextToText, AutoTokenizer
    from transformers.utils import logging as their_logging

    their_logging.disable_progress_bar()
    try:
        loaded: Any = AutoModelForImageTextToText.from_pretrained(
            folder,
            dtype=getattr(torch, dtype),
            local_files_only=True,
            use_safetensors=True,
            trust_remote_code=False,
            output_loading_info=True,
        )
        # By their parts: what transformers calls the processor of a model is not of one kind.
        pictures = AutoImageProcessor.from_pretrained(
            folder, local_files_only=True, trust_remote_code=False
        )
        words = AutoTokenizer.from_pretrained(
            folder, local_files_only=True, trust_remote_code=False
        )
    except (*NONSENSE, RuntimeError, SafetensorError, ImportError) as error:
        if is_out_of_memory(error):
            raise
        first = first_words(error)
        raise ModelError(
            f"Captioner {folder.name!r} could not be loaded ({first}); copy it again."
        ) from error
    network, report = loaded
    missing = sorted(report["missing_keys"])
    if missing:
        raise ModelError(
            f"Captioner {folder.name!r} is not whole (it lacks {missing[0]}); copy it again."
        )
    return Captioner(network.eval(), _Processor(pictures, words))


@dataclass(frozen=True)
class _Processor:
    """What turns pictures into numbers, and numbers into words."""

    pictures: Any
    words: Any

    def __call__(self, images: list["Image.Image"], return_tensors: str) -> Any:
        return self.pictures(images=images, return_tensors=return_tensors)

    def batch_decode(self, tokens: Any, skip_special_tokens: bool) -> list[str]:
        return list(self.words.batch_decode(tokens, skip_special_tokens=skip_special_tokens))


def _entry(folder: Path) -> CaptionerEntry:
    try:
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        architecture = str((config.get("architectures") or ["a model without a head"])[0])
        files = weights(folder)
        size = sum(file.stat().st_size for file in files)
    except (*NONSENSE, AttributeError) as error:
        problem = f"Captioner {folder.name!r} cannot be read ({error}); copy it again."
        return CaptionerEntry(folder.name, folder, problem=problem)
    problem = ""
    damaged = next(filter(None, map(file_problem, files)), "")
    if architecture not in _KNOWN:
        problem = (
            f"Model {folder.name!r} is {architecture}, which captions no pictures here; take one "
            f"of {', '.join(_KNOWN)}."
        )
    elif not files:
        problem = (
            f"Captioner {folder.name!r} has no weights as .safetensors; get a version that has."
        )
    elif damaged:
        problem = f"Captioner {folder.name!r} is damaged: {damaged}; copy it again."
    return CaptionerEntry(folder.name, folder, architecture, size, problem)

"""CLIP and DINO as judges: cosines of embeddings (Ruiz et al. 2022, arXiv 2208.12242, section 5).

DINO-I: mean cosine of a sample's DINO embedding with those of the training pictures. CLIP-I: the
same with CLIP's image embeddings. CLIP-T: cosine of CLIP's embeddings of sample and prompt. The
models are folders of transformers with safetensors weights; no pickle is opened, no code of a
folder is run, and nothing is fetched.
"""

import json
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from studio.errors import ModelError, first_words
from studio.training.watching.seen import Seen, need

log = logging.getLogger(__name__)
_CLIP = "clip"
_DINO = ("dinov2", "dinov2_with_registers", "dinov3_vit", "vit")
_BATCH = 16


class Network:
    """One installed model; loaded when it is first used. device: torch's name.

    reads: whether it knows texts, too. width: of its layers.
    """

    def __init__(self, folder: Path, device: str):
        self.folder = folder
        self.name = folder.name
        self._device = device
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        self.kind = str(config.get("model_type", ""))
        if self.kind != _CLIP and self.kind not in _DINO:
            raise ValueError(f"it is a {self.kind or 'nameless'} model, neither CLIP nor DINO")
        if not any(folder.glob("model*.safetensors")):
            raise ValueError("it has no weights in safetensors")
        if not (folder / "preprocessor_config.json").is_file():
            raise ValueError("it has no preprocessor_config.json")
        self.reads = self.kind == _CLIP
        self.width = int((config.get("vision_config") or config).get("hidden_size", 0))
        self._seen = Seen(self._see)

    def images(self, images: Sequence[Image.Image]) -> np.ndarray:
        """Embeddings of length one: (n, d)."""
        return self._seen(images)

    def texts(self, texts: Sequence[str]) -> np.ndarray:
        """Embeddings of length one: (n, d); what is beyond the longest text is cut off."""
        import torch

        model, _, tokenizer = self._loaded
        tokens = tokenizer(
            list(texts), padding="max_length", truncation=True, max_length=self._longest,
            return_tensors="pt",
        ).to(self._device)  # fmt: skip
        with torch.inference_mode():
            found = model.get_text_features(**tokens)
        return _unit(getattr(found, "pooler_output", found))

    @property
    def _longest(self) -> int:
        return int(self._loaded[0].config.text_config.max_position_embeddings)

    @cached_property
    def _loaded(self) -> tuple[Any, Any, Any]:
        """Model, picture processor, and tokenizer where it reads."""
        from studio.models.torchvision_guard import install

        install()
        from transformers import AutoImageProcessor, AutoModel, AutoTokenizer

        try:
            model = AutoModel.from_pretrained(
                self.folder, local_files_only=True, use_safetensors=True, trust_remote_code=False
            )
            processor = AutoImageProcessor.from_pretrained(
                self.folder, local_files_only=True, trust_remote_code=False, backend="pil"
            )
            tokenizer = self.reads and AutoTokenizer.from_pretrained(
                self.folder, local_files_only=True, trust_remote_code=False
            )
        # Whatever a damaged folder makes transformers raise.
        except Exception as error:
            first = first_words(error)
            raise ModelError(
                f"The judge {self.name} cannot be loaded ({first}); copy its folder again or "
                "remove it."
            ) from error
        return model.eval().to(self._device), processor, tokenizer

    def _see(self, images: Sequence[Image.Image]) -> np.ndarray:
        import torch

        model, processor, _ = self._loaded
        rows = []
        for i in range(0, len(images), _BATCH):
            batch = [image.convert("RGB") for image in images[i : i + _BATCH]]
            pixels = processor(images=batch, return_tensors="pt")["pixel_values"].to(self._device)
            with torch.inference_mode():
                if self.reads:
                    found = model.get_image_features(pixel_values=pixels)
                    found = getattr(found, "pooler_output", found)
                else:
                    found = model(pixel_values=pixels).last_hidden_state[:, 0]
            rows.append(_unit(found))
        return np.concatenate(rows)


@dataclass(frozen=True)
class NetworkJudge:
    """A judge made of one model for subjects, and of one for prompts where there is one."""

    sees: Network
    reads: Network | None
    same_subject: None = None

    @property
    def name(self) -> str:
        """Both scores and the models that give them."""
        subject = f"{'CLIP-I' if self.sees.reads else 'DINO-I'} by {self.sees.name}"
        return f"{subject}, CLIP-T by {self.reads.name}" if self.reads else subject

    def alike(self, images: Sequence[Image.Image], others: Sequence[Image.Image]) -> np.ndarray:
        """Cosines of all pairs: (n, m)."""
        if not images or not others:
            return np.zeros((len(images), len(others)))
        return self.sees.images(images) @ self.sees.images(others).T

    def subject(
        self, images: Sequence[Image.Image], references: Sequence[Image.Image]
    ) -> list[float]:
        """Mean cosine with the references; DataError without any."""
        need(references)
        return [float(mean) for mean in self.alike(images, references).mean(1)]

    def prompt(self, images: Sequence[Image.Image], prompts: Sequence[str]) -> list[float | None]:
        """Cosine of sample and prompt; None without a model that reads or for an empty prompt."""
        if self.reads is None or not images:
            return [None] * len(images)
        cosines = (self.reads.images(images) * self.reads.texts(prompts)).sum(1)
        return [
            float(cosine) if prompt.strip() else None
            for cosine, prompt in zip(cosines, prompts, strict=True)
        ]


def networks(root: Path, device: str) -> list[Network]:
    """The models in the folders of a folder, best first; others are left out, with a warning."""
    found = []
    for config in sorted(root.glob("*/config.json")):
        try:
            found.append(Network(config.parent, device))
        except (OSError, ValueError, TypeError, AttributeError) as error:
            log.warning("The judge in %s is not used: %s.", config.parent, error)
    return sorted(found, key=lambda network: (network.reads, -network.width, network.name))


def _unit(found: Any) -> np.ndarray:
    """A tensor (n, d) as an array of rows of length one."""
    rows: np.ndarray = found.float().cpu().numpy()
    return rows / (np.linalg.norm(rows, axis=1, keepdims=True) + 1e-12)

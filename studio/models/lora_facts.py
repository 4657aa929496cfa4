"""What a LoRA's header tells: which network it is for, what it was trained on, by which words.

Sources: the metadata that kohya-ss/sd-scripts writes (ss_*), the ModelSpec of Stability AI
(modelspec.*), and the names of tensors in the field's formats: kohya's, diffusers' and peft's.
"""

import base64
import binascii
import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from studio.models.families import Network
from studio.models.headers import HeaderError, read_header

_FLUX = ("single_blocks", "single_transformer_blocks", "double_blocks")
_SD3 = ("joint_blocks", "transformer.transformer_blocks", "transformer_transformer_blocks")
_UNET = ("lora_unet_", "unet.", "down_blocks")
_OTHERS = {"hada_w": "is a LoHa", "lokr_w": "is a LoKr", "oft_": "is an OFT"}
_CONTEXT = ("attn2_to_k.", "attn2.to_k.", "attn2.processor.to_k_lora.")
_DOWN = ("lora_down.weight", "lora_A.weight", "lora.down.weight", "down.weight")
_TAGS = 24


@dataclass(frozen=True)
class LoraFacts:
    """What a LoRA's header tells.

    network: the kind of denoiser, None when it is for text encoders only. context: features of the
    text states that its denoiser attends to, 0 when it does not say. base: the model that it was
    trained on, as its maker names it. trigger: its ModelSpec's trigger phrase. tags: the commonest
    of its captions. hash: of its weights, as its maker wrote it. pictured: whether a thumbnail is
    in it. problem: the rest of a sentence that begins with its name, or "".
    """

    network: Network | None = None
    context: int = 0
    base: str = ""
    trigger: str = ""
    tags: tuple[str, ...] = ()
    hash: str = ""
    pictured: bool = False
    problem: str = ""

    def thumbnail(self, path: Path) -> bytes | None:
        """The picture in the file's header, None when there is none."""
        if not self.pictured:
            return None
        try:
            uri = read_header(path).metadata.get("modelspec.thumbnail", "")
            return base64.b64decode(uri.partition("base64,")[2], validate=True)
        except (OSError, HeaderError, binascii.Error):
            return None


def lora_facts(shapes: Mapping[str, tuple[int, ...]], metadata: Mapping[str, str]) -> LoraFacts:
    """The facts of a file's names, shapes and metadata."""
    other = next((words for mark, words in _OTHERS.items() if any(mark in n for n in shapes)), "")
    return LoraFacts(
        network=_network(shapes),
        context=_context(shapes),
        base=_base(metadata),
        trigger=metadata.get("modelspec.trigger_phrase", "")[:500],
        tags=_tags(metadata.get("ss_tag_frequency", "")),
        hash=metadata.get("sshs_model_hash", "")[:12],
        pictured=metadata.get("modelspec.thumbnail", "").startswith("data:image/"),
        problem=f"{other}, which this studio does not apply; take a LoRA" if other else "",
    )


def _network(shapes: Mapping[str, Any]) -> Network | None:
    for marks, network in ((_FLUX, Network.FLUX), (_SD3, Network.SD3), (_UNET, Network.UNET)):
        if any(mark in name for name in shapes for mark in marks):
            return network
    return None


def _context(shapes: Mapping[str, tuple[int, ...]]) -> int:
    for name, shape in shapes.items():
        if any(mark in name for mark in _CONTEXT) and name.endswith(_DOWN) and len(shape) > 1:
            return int(shape[1])
    return 0


def _base(metadata: Mapping[str, str]) -> str:
    for key in ("ss_sd_model_name", "modelspec.architecture", "ss_base_model_version"):
        if value := metadata.get(key, "").strip():
            return value[:200]
    return ""


def _tags(text: str) -> tuple[str, ...]:
    """The commonest tags of all folders that a LoRA was trained on."""
    try:
        folders = json.loads(text) if text else {}
        counts: Counter[str] = Counter()
        for tags in folders.values():
            counts.update({str(tag).strip(): int(count) for tag, count in tags.items()})
    except (ValueError, AttributeError, TypeError, RecursionError):
        return ()
    return tuple(tag for tag, _ in counts.most_common(_TAGS) if tag)

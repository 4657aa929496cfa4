"""What a LoRA's header tells: which network it is for, what it was trained on, by which words.

Sources: the metadata that kohya-ss/sd-scripts writes (ss_*), the ModelSpec of Stability AI
(modelspec.*), and the names of tensors in the field's formats: kohya's, diffusers' and peft's.
"""

import base64
import binascii
import json
import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from studio.models.families import Network
from studio.models.headers import Header, HeaderError, read_header

_FLUX = ("single_blocks", "single_transformer_blocks", "double_blocks")
_SD3 = ("joint_blocks", "transformer.transformer_blocks", "transformer_transformer_blocks")
_UNET = ("lora_unet_", "unet.", "down_blocks")
_OTHERS = {
    "hada_w": "is a LoHa",
    "lokr_w": "is a LoKr",
    "oft_": "is an OFT",
}
_CONTEXT = re.compile(
    r"^.*attn2[._](?:to_k|processor\.to_k_lora)\.(?:lora[._])?(?:down|A)\.weight$", re.MULTILINE
)
"""What a LoRA puts before the matrix that makes keys of text states."""
_TAGS = 24


@dataclass(frozen=True)
class LoraFacts:
    """What a LoRA's header tells.

    network: the kind of denoiser (see families.Network), None when it is for text encoders only.
    context: features of the text states that its denoiser attends to, 0 when it does not say.
    base: the model that it was trained on, as its maker names it. trigger: its ModelSpec's trigger
    phrase. tags: the commonest of its captions. hash: of its weights, as its maker wrote it.
    pictured: whether a thumbnail is in it. problem: the rest of a sentence that begins with its
    name, or "".
    """

    network: str | None = None
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
            return base64.b64decode(uri.partition("base64,")[2], validate=True) or None
        except (OSError, HeaderError, binascii.Error):
            return None


def lora_facts(header: Header) -> LoraFacts:
    """The facts of a file's names, shapes and metadata."""
    names, metadata = "\n".join(header.names), header.metadata
    other = next((words for mark, words in _OTHERS.items() if mark in names), "")
    return LoraFacts(
        network=_network(names),
        context=_context(names, header),
        base=_base(metadata),
        trigger=metadata.get("modelspec.trigger_phrase", "")[:500],
        tags=_tags(metadata.get("ss_tag_frequency", "")),
        hash=metadata.get("sshs_model_hash", "")[:12],
        pictured=metadata.get("modelspec.thumbnail", "").startswith("data:image/"),
        problem=f"{other}, which this studio does not apply; take a LoRA" if other else "",
    )


def _network(names: str) -> Network | None:
    for marks, network in ((_FLUX, Network.FLUX), (_SD3, Network.SD3), (_UNET, Network.UNET)):
        if any(mark in names for mark in marks):
            return network
    return None


def _context(names: str, header: Header) -> int:
    found = _CONTEXT.search(names)
    shape = header.shape(found[0]) if found else ()
    return int(shape[1]) if len(shape) > 1 else 0


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

"""Writes the vectors of a new word as a textual inversion that others read.

One text encoder: "emb_params", as kohya-ss/sd-scripts and AUTOMATIC1111 have it. Two, of Stable
Diffusion XL: "clip_l" and "clip_g" (sd-scripts, docs/train_SDXL-en.md). The word is the file's
name.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from studio.errors import ModelError
from studio.models.merging.state import write_state
from studio.training.export import metadata
from studio.training.export.facts import Facts

if TYPE_CHECKING:
    from torch import Tensor

_NAMES = {1: ("emb_params",), 2: ("clip_l", "clip_g")}


def write_embedding(
    vectors: Sequence["Tensor"],
    facts: Facts,
    place: Path,
    dtype: str = "float32",
    *,
    replace: bool = False,
) -> Path:
    """Write a word's vectors, (vectors, features) for each text encoder in their order.

    Promises as `lora.write_lora`. Raises ModelError for other numbers of text encoders than one or
    two, or when they have not as many vectors as each other.
    """
    names = _NAMES.get(len(vectors))
    shapes = [tuple(each.shape) for each in vectors]
    if names is None or any(len(shape) != 2 or shape[0] != shapes[0][0] for shape in shapes):
        raise ModelError(
            f"Vectors of the shapes {shapes} are no textual inversion; it has some of one length "
            "for one text encoder, or as many for each of two."
        )
    words = metadata.all_words(facts, metadata.EMBEDDING)
    state = dict(zip(names, vectors, strict=True))
    return write_state(state, words, place, dtype, replace=replace)

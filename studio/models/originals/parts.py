"""Which files hold the networks that a single-file model needs but does not hold itself."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from studio.models.headers import Shapes
from studio.models.originals.layout import (
    Original,
    Part,
    encoder_kind,
    encoder_part,
    is_vae,
    vae_part,
)

if TYPE_CHECKING:
    from studio.models.drawers import WeightFile

_WIDTHS = {"clip_l": 768, "clip_g": 1280}
"""Features of the two text encoders whose width a denoiser's configuration does not name alone."""
_OPTIONAL = ("sd3", "text_encoder_3")
"""The family and the place of a network that a model runs without."""


class Missing(ValueError):
    """A network is nowhere, or in too many files; the message follows the model's name."""


def gathered(
    file: "WeightFile", others: list["WeightFile"], chosen: Mapping[str, Any]
) -> tuple[tuple[Part, Path], ...]:
    """All networks of a file's model, each with the file that holds it.

    chosen: names of files by the place of a network ("vae", "text_encoder_2"), before all else.
    Raises Missing.
    """
    original = file.original
    assert original is not None
    own = {part.name: (part, file.path) for part in original.parts}
    found = [(original.denoiser, file.path)]
    stems = {"vae": "vae"} | {
        place: stem
        for (_, place), stem in zip(original.family.encoders, original.family.stems, strict=True)
    }
    for place, stem in stems.items():
        name = chosen.get(place)
        if name is None and place in own:
            found.append(own[place])
            continue
        fitting = [
            (part, other.path)
            for other in others
            if (part := _fitting(original, place, stem, other)) is not None
            and (name is None or other.path.stem == name)
        ]
        if len(fitting) == 1:
            found.append(fitting[0])
        elif name is not None:
            raise Missing(f"wants {name!r} as its {place}, but no such file fits")
        elif fitting:
            names = ", ".join(sorted(path.stem for _, path in fitting))
            raise Missing(
                f"has no {place} ({stem}) of its own, and several files fit: {names}; name one in "
                f"{file.path.stem}.toml, as in: parts.{place} = {fitting[0][1].stem!r}"
            )
        elif (original.family.key, place) != _OPTIONAL:
            raise Missing(
                f"has no {place} ({stem}), and no file here is one that fits; put it beside the "
                "model as .safetensors"
            )
    return tuple(found)


def _fitting(original: Original, place: str, stem: str, other: "WeightFile") -> Part | None:
    """The network in another file, if it fits the place; None when it does not."""
    if other.header is None:
        return None
    shapes = Shapes(other.header.shapes)
    try:
        if stem == "vae":
            if not is_vae(shapes):
                return None
            part = vae_part(shapes, "", original.family)
            return part if part.config["latent_channels"] == _latents(original) else None
        named = encoder_kind(shapes)
        if named is None or (named[0] == "t5") != (stem == "t5xxl"):
            return None
        part = encoder_part(shapes, original.family, place, *named)
        width = part.config["d_model" if stem == "t5xxl" else "hidden_size"]
        return part if width == _width(original, stem) else None
    except (LookupError, TypeError, ValueError):
        return None


def _latents(original: Original) -> int:
    """Channels of the latents that a denoiser predicts."""
    config = original.denoiser.config
    return int(config["out_channels"]) // (4 if original.denoiser.kind == "flux" else 1)


def _width(original: Original, stem: str) -> int:
    """Features of the text encoder that a denoiser was trained with."""
    config = original.denoiser.config
    if stem == "t5xxl":
        return int(config["joint_attention_dim"])
    if original.denoiser.kind == "flux":
        return int(config["pooled_projection_dim"])
    if len(original.family.stems) == 1 and stem != "clip_g":
        return int(config["cross_attention_dim"])
    return _WIDTHS[stem]

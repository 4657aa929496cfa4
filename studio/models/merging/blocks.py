"""The blocks of a denoiser, by the names that the field weighs them by, and their weights.

Of a UNet: IN00 and on, M00, OUT00 and on, as "merge block weighted" (bbc-mc, 2022) counts them in
the original layout: 12 + 1 + 12 for Stable Diffusion 1 and 2, 9 + 1 + 9 for XL. The embedding of
time counts as IN00 and the last layers as the last OUT, as there. Of transformers: by index, SD3's
J00 and on, FLUX's D00 (double) and S00 (single) and on. All else has the base weight.
"""

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping

from studio.errors import RequestError
from studio.models.families import Network

PRESETS = ("flat", "grad", "grad v", "grad a")
"""Weights by name: the base weight everywhere; rising to it from 0 over the blocks; falling to 0
in the middle and rising again; the other way round."""
_TRANSFORMER = {
    Network.SD3: ((re.compile(r"^(?:joint_blocks|transformer_blocks)\.(\d+)\."), "J"),),
    Network.FLUX: (
        (re.compile(r"^(?:double_blocks|transformer_blocks)\.(\d+)\."), "D"),
        (re.compile(r"^(?:single_blocks|single_transformer_blocks)\.(\d+)\."), "S"),
    ),
}
_ORIGINAL = (
    (re.compile(r"^input_blocks\.(\d+)\."), "IN"),
    (re.compile(r"^middle_block\."), "M"),
    (re.compile(r"^output_blocks\.(\d+)\."), "OUT"),
)
_LEVEL = re.compile(
    r"^(down|up)_blocks\.(\d+)\.(resnets|attentions|downsamplers|upsamplers)\.(\d+)"
)
_FIRST = ("time_embed.", "time_embedding.", "conv_in.")
_LAST = ("out.", "conv_norm_out.", "conv_out.")


class Blocks:
    """The blocks of one denoiser.

    names: of its tensors, without a prefix, in the original layout or in diffusers'.
    """

    def __init__(self, network: Network, names: Iterable[str]):
        listed = list(names)
        if network is Network.UNET:
            self._of = _unet(listed)
        else:
            self._of = {
                name: f"{letter}{int(found[1]):02d}"
                for name in listed
                for pattern, letter in _TRANSFORMER[network]
                if (found := pattern.match(name))
            }
        self.names: tuple[str, ...] = tuple(sorted(set(self._of.values()), key=_order))

    def of(self, name: str) -> str:
        """The block that a tensor stands in, "" for what has the base weight."""
        return self._of.get(name, "")


def block_weights(text: str, names: tuple[str, ...], base: float, field: str) -> dict[str, float]:
    """Each block's weight, from numbers in the blocks' order or from a preset's name.

    base: what presets rise to. An empty text weighs all blocks by it and gives nothing.
    Raises RequestError, which names the field.
    """
    wanted = " ".join(text.replace(",", " ").replace("_", " ").split()).casefold()
    if not wanted:
        return {}
    if wanted in PRESETS:
        return {
            name: round(base * _preset(wanted, index / max(1, len(names) - 1)), 6)
            for index, name in enumerate(names)
        }
    try:
        numbers = [float(word) for word in wanted.split()]
    except ValueError:
        raise RequestError(
            f"Block weights must be numbers or one of {', '.join(PRESETS)}, but are {text[:60]!r}.",
            field,
        ) from None
    if len(numbers) != len(names):
        raise RequestError(
            f"Block weights are {len(numbers)} numbers, but this model has {len(names)} blocks "
            f"({names[0]} to {names[-1]}); give one for each.",
            field,
        )
    if wrong := [number for number in numbers if not 0 <= number <= 1]:
        raise RequestError(f"Block weights must be from 0 to 1, but one is {wrong[0]:g}.", field)
    return dict(zip(names, numbers, strict=True))


def written(weights: Mapping[str, float]) -> str:
    """Block weights as people write them."""
    return ", ".join(f"{weight:g}" for weight in weights.values())


def _preset(name: str, position: float) -> float:
    valley = abs(2 * position - 1)
    return {"flat": 1.0, "grad": position, "grad v": valley, "grad a": 1 - valley}[name]


def _order(block: str) -> tuple[int, int]:
    stem, number = re.match(r"^(\D+)(\d+)$", block).groups()  # type: ignore[union-attr]
    return ("IN", "M", "OUT", "J", "D", "S").index(stem), int(number)


def _unet(names: list[str]) -> dict[str, str]:
    of = {}
    for name in names:
        for pattern, stem in _ORIGINAL:
            if found := pattern.match(name):
                of[name] = f"{stem}{int(found[1]) if found.groups() else 0:02d}"
    if not of:
        of = _diffusers(names)
    last = max((block for block in of.values() if block.startswith("OUT")), default="")
    for name in names:
        if name.startswith(_FIRST):
            of[name] = "IN00"
        elif name.startswith(_LAST):
            of[name] = last
    return of


def _diffusers(names: list[str]) -> dict[str, str]:
    """Blocks of diffusers' layout: a level's layers, then the change of size.

    Going down, that is a block of its own; going up, it belongs to the level's last.
    """
    layers: dict[tuple[str, int], int] = defaultdict(int)
    resized = set()
    for name in names:
        if found := _LEVEL.match(name):
            side, level, sort, number = found[1], int(found[2]), found[3], int(found[4])
            if sort == "resnets":
                layers[side, level] = max(layers[side, level], number + 1)
            elif sort == "downsamplers":
                resized.add((side, level))

    def before(side: str, level: int) -> int:
        return sum(layers[side, each] + ((side, each) in resized) for each in range(level))

    of = {}
    for name in names:
        if name.startswith("mid_block."):
            of[name] = "M00"
        elif found := _LEVEL.match(name):
            side, level, sort, number = found[1], int(found[2]), found[3], int(found[4])
            if sort == "downsamplers":
                number = layers[side, level]
            elif sort == "upsamplers":
                number = layers[side, level] - 1
            index = before(side, level) + number
            of[name] = f"IN{1 + index:02d}" if side == "down" else f"OUT{index:02d}"
    return of

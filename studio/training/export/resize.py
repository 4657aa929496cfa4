"""Gives a LoRA another rank: the matrices of that rank whose products are nearest to its own.

As kohya-ss/sd-scripts does (networks/resize_lora.py), by the singular values of each layer's
product: so many of them, or as many as hold a share. Two things are done otherwise: the singular
values are taken of two small triangular matrices instead of the whole product, which is exact and a
hundred times faster, and a rank that a layer cannot have does not change its strength.
"""

import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Any

from studio.errors import ModelError
from studio.models.headers import HeaderError, read_header
from studio.training.export.lora import write_state

if TYPE_CHECKING:
    from torch import Tensor

_SMALLEST = 1e-6
"""A product whose largest singular value is no more is none."""
_PAIRS = (("lora_down.weight", "lora_up.weight"), ("lora_A.weight", "lora_B.weight"))
_PEFT = "lora_adapter_metadata"
_NAMES = {"F16": "float16", "BF16": "bfloat16"}


class Dynamic(StrEnum):
    """How a layer's own rank is found, up to the one that is asked for.

    FROBENIUS: the fewest singular values whose squares are a share squared of all squares.
    CUMULATIVE: the fewest whose sum is a share of all. RATIO: those above the largest divided by a
    number.
    """

    FROBENIUS = "sv_fro"
    CUMULATIVE = "sv_cumulative"
    RATIO = "sv_ratio"


@dataclass(frozen=True)
class Resized:
    """What became of a LoRA. before, after: ranks of its layers, how many of each.

    kept: share of the products' Frobenius norm, of all layers together.
    """

    before: Mapping[int, int]
    after: Mapping[int, int]
    kept: float


def chosen_rank(values: "Tensor", most: int, dynamic: Dynamic | None, share: float) -> int:
    """How many of a layer's singular values (largest first) are kept, at least one.

    share: of `dynamic`; above 1 for RATIO, else from 0 to 1.
    """
    import torch

    if float(values[0]) <= _SMALLEST:
        return 1
    most = max(1, min(most, len(values)))
    if dynamic is None:
        return most
    if dynamic is Dynamic.RATIO:
        found = int((values > values[0] / share).sum())
    else:
        is_norm = dynamic is Dynamic.FROBENIUS
        summed = torch.cumsum(values.square() if is_norm else values, 0)
        target = share**2 if is_norm else share
        found = int(torch.searchsorted(summed / summed[-1], target)) + 1
    return max(1, min(found, most))


def spectrum(down: "Tensor", up: "Tensor") -> tuple["Tensor", "Tensor", "Tensor"]:
    """The singular vectors and values of a product: left (out, r), values (r), right (r, in).

    down: (r, in), up: (out, r), in float32 or wider.
    """
    import torch

    left, inner = torch.linalg.qr(up)
    right, outer = torch.linalg.qr(down.T)
    own, values, other = torch.linalg.svd(inner @ outer.T, full_matrices=False)
    return left @ own, values, other @ right.T


def resize_lora(
    source: Path,
    place: Path,
    rank: int,
    *,
    conv_rank: int | None = None,
    dynamic: tuple[Dynamic, float] | None = None,
    dtype: str = "same",
    replace: bool = False,
) -> Resized:
    """Write a LoRA file of another rank; kohya's names or peft's, with convolutions or a DoRA's.

    conv_rank: of convolutions, None for the same. dynamic: with it the ranks are the most. dtype: a
    number format, "same" for that of the file. Its metadata is kept, and says what was done.
    Raises ModelError for a file that cannot be read or is no LoRA, and as `lora.write_lora` does.
    """
    state, notes, stored = _read(source)
    pairs = _pairs(state)
    if not pairs:
        raise ModelError(f"{source.name} holds no LoRA of two matrices a layer; choose another.")
    scales = _scales(state, pairs, notes)
    method, share = dynamic or (None, 0.0)
    before: Counter[int] = Counter()
    after: Counter[int] = Counter()
    ranks: dict[str, int] = {}
    alphas: dict[str, float] = {}
    kept = total = 0.0
    for stem, (lower, upper) in pairs.items():
        down, up = state[lower].double(), state[upper].double()
        wide = down.dim() == 4 and down.shape[2:] != (1, 1)
        left, values, right = spectrum(down.flatten(1), up.flatten(1))
        most = conv_rank if wide and conv_rank is not None else rank
        new = chosen_rank(values, most, method, share)
        before[len(down)] += 1
        after[new] += 1
        kept += float(values[:new].square().sum()) * scales[stem] ** 2
        total += float(values.square().sum()) * scales[stem] ** 2
        state[lower] = right[:new].reshape(new, *down.shape[1:]).float()
        state[upper] = (left[:, :new] * values[:new]).reshape(len(up), new, *up.shape[2:]).float()
        ranks[stem], alphas[stem] = new, scales[stem] * new
    peft = next(iter(pairs.values()))[0].endswith(_PAIRS[1][0])
    told = _notes(notes, before, ranks, alphas, dynamic)
    if peft and f"{next(iter(pairs))}.alpha" not in state:
        told |= _configured(notes, ranks, alphas)
    else:
        state |= {f"{stem}.alpha": state[pairs[stem][0]].new_tensor(alphas[stem]) for stem in pairs}
    write_state(state, told, place, stored if dtype == "same" else dtype, replace=replace)
    return Resized(before, after, (kept / total) ** 0.5 if total else 1.0)


def _read(source: Path) -> tuple[dict[str, "Tensor"], dict[str, str], str]:
    """Tensors, metadata without its hashes, and the number format."""
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        header = read_header(source)
        state = load_file(source)
    except (OSError, HeaderError, SafetensorError) as error:
        raise ModelError(
            f"{source.name} could not be read ({error}); take another copy of it."
        ) from error
    formats = Counter(header.format(name) for name in header.names if len(header.shape(name)) > 1)
    common = formats.most_common(1)[0][0] if formats else "F32"
    notes = {key: text for key, text in header.metadata.items() if not key.startswith("sshs_")}
    return state, notes, _NAMES.get(common, "float32")


def _pairs(state: Mapping[str, Any]) -> dict[str, tuple[str, str]]:
    """The names of both matrices by layer."""
    found = {}
    for name in state:
        for lower, upper in _PAIRS:
            stem = name.removesuffix(f".{lower}")
            if stem != name and f"{stem}.{upper}" in state:
                found[stem] = name, f"{stem}.{upper}"
    return found


def _scales(
    state: Mapping[str, "Tensor"], pairs: Mapping[str, tuple[str, str]], notes: Mapping[str, str]
) -> dict[str, float]:
    """What each layer's product is multiplied by: alpha / rank, or as its metadata has it."""
    configs = _parts(notes)
    found = {}
    for stem, (lower, _) in pairs.items():
        rank = len(state[lower])
        part, _, layer = stem.partition(".")
        if f"{stem}.alpha" in state:
            found[stem] = float(state[f"{stem}.alpha"]) / rank
        elif part in configs:
            found[stem] = _scale(configs[part], layer, rank)
        else:
            found[stem] = 1.0
    return found


def _scale(config: Mapping[str, Any], layer: str, rank: int) -> float:
    """A layer's in peft's configuration."""
    from peft.utils.other import get_pattern_key

    alphas = config.get("alpha_pattern") or {}
    alpha = alphas.get(get_pattern_key(tuple(alphas), layer), config["lora_alpha"])
    return float(alpha) / (rank**0.5 if config.get("use_rslora") else rank)


def _parts(notes: Mapping[str, str]) -> dict[str, dict[str, Any]]:
    """peft's configurations by the pipeline's part, as diffusers writes them."""
    try:
        told = json.loads(notes.get(_PEFT, "{}"))
        found: dict[str, dict[str, Any]] = {}
        for key, value in told.items():
            part, _, field = key.partition(".")
            found.setdefault(part, {})[field] = value
        return {part: config for part, config in found.items() if "lora_alpha" in config}
    except (ValueError, AttributeError):
        return {}


def _configured(
    notes: Mapping[str, str], ranks: Mapping[str, int], alphas: Mapping[str, float]
) -> dict[str, str]:
    """peft's configurations with the new ranks, whatever they were before."""
    told: dict[str, Any] = {}
    old = _parts(notes)
    for part in dict.fromkeys(stem.partition(".")[0] for stem in ranks):
        own = [stem for stem in ranks if stem.partition(".")[0] == part]
        text = part.startswith("text_encoder")
        names = {stem: stem.partition(".")[2] for stem in own}
        if text:
            names = {stem: name.removeprefix("text_model.") for stem, name in names.items()}
        mark = "" if text else "^"
        rank = Counter(ranks[stem] for stem in own).most_common(1)[0][0]
        alpha = Counter(alphas[stem] for stem in own).most_common(1)[0][0]
        config = {
            **old.get(part, {"use_dora": False, "lora_bias": False, "bias": "none"}),
            "r": rank,
            "lora_alpha": alpha,
            "rank_pattern": {mark + names[s]: ranks[s] for s in own if ranks[s] != rank},
            "alpha_pattern": {mark + names[s]: alphas[s] for s in own if alphas[s] != alpha},
            "target_modules": list(names.values()),
            "use_rslora": False,
        }
        told |= {f"{part}.{key}": value for key, value in config.items()}
    return {_PEFT: json.dumps(told, sort_keys=True)}


def _notes(
    notes: Mapping[str, str],
    before: Mapping[int, int],
    ranks: Mapping[str, int],
    alphas: Mapping[str, float],
    dynamic: tuple[Dynamic, float] | None,
) -> dict[str, str]:
    """The metadata, with what kohya's script would say."""
    comment = notes.get("ss_training_comment", "")
    if dynamic:
        done = f"Dynamic resize with {dynamic[0].value}: {dynamic[1]:g} from {max(before)}"
        size = {"ss_network_dim": "Dynamic", "ss_network_alpha": "Dynamic"}
    else:
        rank, alpha = Counter((ranks[stem], alphas[stem]) for stem in ranks).most_common(1)[0][0]
        done = f"dimension is resized from {max(before)} to {rank}"
        size = {"ss_network_dim": str(rank), "ss_network_alpha": f"{alpha:.8g}"}
    return {**notes, **size, "ss_training_comment": f"{done}; {comment}" if comment else done}

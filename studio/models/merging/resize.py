"""Gives a LoRA another rank: the matrices of that rank whose products are nearest to its own.

As kohya-ss/sd-scripts does (networks/resize_lora.py), by the singular values of each layer's
product: so many of them, or as many as hold a share. Two things are done otherwise: the singular
values are taken of two small triangular matrices instead of the whole product, which is exact and a
hundred times faster, and a rank that a layer cannot have does not change its strength.
"""

import json
import math
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from studio.errors import ModelError
from studio.model_requests import RankMethod, ResizeRequest, StoredAs
from studio.models.headers import Header, HeaderError, read_header

if TYPE_CHECKING:
    from torch import Tensor

_SMALLEST = 1e-6
"""A product whose largest singular value is no more is none."""
_PAIRS = (("lora_down.weight", "lora_up.weight"), ("lora_A.weight", "lora_B.weight"))
_THIRD = ".lora_mid.weight"
"""Between the two of a convolution in LyCORIS's files."""
_PEFT = "lora_adapter_metadata"
_HASHES = ("sshs_", "modelspec.hash_")
"""What the metadata tells of the old numbers begins so."""
_NAMES = {"F16": "float16", "BF16": "bfloat16"}


@dataclass(frozen=True)
class Pair:
    """A layer's two matrices by their names. numbers: in both; wide: of a convolution."""

    lower: str
    upper: str
    rank: int
    numbers: int
    wide: bool

    def most(self, request: ResizeRequest) -> int:
        """The rank that it gets at most."""
        own = request.conv_rank if self.wide else None
        return min(self.rank, own or request.rank)


@dataclass(frozen=True)
class Resized:
    """A LoRA of another rank, and what became of it.

    stored: the number format that it had. before, after: ranks of its layers, how many of each.
    kept: share of the products' Frobenius norm, of all layers together.
    """

    state: Mapping[str, "Tensor"]
    notes: Mapping[str, str]
    stored: str
    before: Mapping[int, int]
    after: Mapping[int, int]
    kept: float

    def told(self) -> str:
        """In a sentence for people."""
        return (
            f"The LoRA had {_ranks(self.before)} and has {_ranks(self.after)}; it keeps "
            f"{self.kept:.1%} of its norm."
        )


def chosen_rank(values: "Tensor", most: int, method: RankMethod, share: float) -> int:
    """How many of a layer's singular values (largest first) are kept, at least one.

    share: of `method`; above 1 for RATIO, else from 0 to 1.
    """
    import torch

    if float(values[0]) <= _SMALLEST:
        return 1
    most = max(1, min(most, len(values)))
    if method is RankMethod.FIXED:
        return most
    if method is RankMethod.RATIO:
        found = int((values > values[0] / share).sum())
    else:
        is_norm = method is RankMethod.FROBENIUS
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


def read_pairs(path: Path) -> tuple[Header, dict[str, Pair]]:
    """A file's header and its layers by their names, without reading their numbers.

    Raises ModelError for one that cannot be read or has not two matrices a layer that fit.
    """
    try:
        header = read_header(path)
    except (OSError, HeaderError) as error:
        raise _unreadable(path, error) from error
    names = set(header.names)
    found = {}
    for name in header.names:
        for lower, upper in _PAIRS:
            stem = name.removesuffix(f".{lower}")
            if stem != name and f"{stem}.{upper}" in names:
                found[stem] = _pair(path, header, name, f"{stem}.{upper}")
    if third := next((name for name in names if name.endswith(_THIRD)), ""):
        raise ModelError(
            f"{path.name} has three matrices for {third.removesuffix(_THIRD)}, which cannot be "
            "resized; choose another LoRA."
        )
    if not found:
        raise ModelError(
            f"{path.name} holds no LoRA of two matrices a layer, by kohya's names or peft's; "
            "choose another."
        )
    return header, found


def bytes_needed(path: Path, request: ResizeRequest) -> int:
    """How many the numbers of a file's resized LoRA take, at most; raises as `read_pairs`."""
    header, pairs = read_pairs(path)
    given_up = sum(
        pair.numbers - pair.most(request) * (pair.numbers // pair.rank) for pair in pairs.values()
    )
    same = request.stored is StoredAs.SAME
    wide = (_format(header) if same else request.stored) == StoredAs.FLOAT32
    return (4 if wide else 2) * (header.numbers() - given_up)


def resized(
    path: Path, request: ResizeRequest, each: Callable[[int], object] = lambda numbers: None
) -> Resized:
    """A file's LoRA of another rank; kohya's names or peft's, with convolutions or a DoRA's.

    Its metadata is kept, and says what was done. each: told how many numbers a layer has when that
    is done; what it raises stops it. Raises ModelError as `read_pairs`, and for numbers that are
    none.
    """
    header, pairs = read_pairs(path)
    state = _read(path)
    notes = {k: text for k, text in header.metadata.items() if not k.startswith(_HASHES)}
    scales = _scales(state, pairs, notes)
    ranks: dict[str, int] = {}
    kept = total = 0.0
    for stem, pair in pairs.items():
        down, up, scale = state[pair.lower].double(), state[pair.upper].double(), scales[stem]
        _check_numbers(path, stem, down.sum() + up.sum() + scale)
        left, values, right = spectrum(down.flatten(1), up.flatten(1))
        new = chosen_rank(values, pair.most(request), request.method, request.share)
        kept += float(values[:new].square().sum()) * scale**2
        total += float(values.square().sum()) * scale**2
        state[pair.lower] = right[:new].reshape(new, *down.shape[1:]).float()
        left = (left[:, :new] * values[:new]).reshape(len(up), new, *up.shape[2:])
        state[pair.upper] = left.float()
        ranks[stem] = new
        each(pair.numbers)
    before = Counter(pair.rank for pair in pairs.values())
    alphas = {stem: scales[stem] * rank for stem, rank in ranks.items()}
    told = _notes(notes, max(before), ranks, alphas, request)
    first, one = next(iter(pairs.items()))
    if one.lower.endswith(_PAIRS[1][0]) and f"{first}.alpha" not in state:
        told |= _configured(notes, ranks, alphas)
    else:
        lower = {stem: state[pair.lower] for stem, pair in pairs.items()}
        state |= {f"{stem}.alpha": lower[stem].new_tensor(alphas[stem]) for stem in pairs}
    share = (kept / total) ** 0.5 if total else 1.0
    return Resized(state, told, _format(header), before, Counter(ranks.values()), share)


def _pair(path: Path, header: Header, lower: str, upper: str) -> Pair:
    down, up = header.shape(lower), header.shape(upper)
    numbers = math.prod(down) + math.prod(up)
    if min(len(down), len(up)) < 2 or down[0] != math.prod(up[1:]) or not numbers:
        raise ModelError(
            f"{path.name} has matrices of {list(down)} and {list(up)} for "
            f"{lower.rpartition('.lora_')[0]}, which do not fit; take another copy of it."
        )
    return Pair(lower, upper, down[0], numbers, len(down) > 2 and math.prod(down[2:]) > 1)


def _read(path: Path) -> dict[str, "Tensor"]:
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        return load_file(path)
    except (OSError, SafetensorError) as error:
        raise _unreadable(path, error) from error


def _unreadable(path: Path, error: Exception) -> ModelError:
    return ModelError(f"{path.name} could not be read ({error}); take another copy of it.")


def _check_numbers(path: Path, layer: str, total: "Tensor") -> None:
    if not bool(total.isfinite()):
        raise ModelError(
            f"{path.name} holds numbers that are none (NaN) in {layer}; take another copy of it."
        )


def _format(header: Header) -> str:
    """The number format of most of its matrices."""
    formats = Counter(header.format(name) for name in header.names if len(header.shape(name)) > 1)
    return _NAMES.get(formats.most_common(1)[0][0], "float32")


def _ranks(counts: Mapping[int, int]) -> str:
    if len(counts) == 1:
        return f"rank {min(counts)}"
    return f"ranks {min(counts)} to {max(counts)} (mostly {max(counts, key=lambda r: counts[r])})"


def _scales(
    state: Mapping[str, "Tensor"], pairs: Mapping[str, Pair], notes: Mapping[str, str]
) -> dict[str, float]:
    """What each layer's product is multiplied by: alpha / rank, or as its metadata has it."""
    configs = _parts(notes)
    found = {}
    for stem, pair in pairs.items():
        part, _, layer = stem.partition(".")
        if f"{stem}.alpha" in state:
            found[stem] = float(state[f"{stem}.alpha"]) / pair.rank
        elif part in configs:
            found[stem] = _scale(configs[part], layer, pair.rank)
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
    before: int,
    ranks: Mapping[str, int],
    alphas: Mapping[str, float],
    request: ResizeRequest,
) -> dict[str, str]:
    """The metadata, with what kohya's script would say; before: the highest rank."""
    comment = notes.get("ss_training_comment", "")
    if request.method is not RankMethod.FIXED:
        done = f"Dynamic resize with {request.method.value}: {request.share:g} from {before}"
        size = {"ss_network_dim": "Dynamic", "ss_network_alpha": "Dynamic"}
    else:
        rank, alpha = Counter((ranks[stem], alphas[stem]) for stem in ranks).most_common(1)[0][0]
        done = f"dimension is resized from {before} to {rank}"
        size = {"ss_network_dim": str(rank), "ss_network_alpha": f"{alpha:.8g}"}
    return {**notes, **size, "ss_training_comment": f"{done}; {comment}" if comment else done}

"""Merging: a weighted sum of two models or three, or the difference of two added to a third.

The field's recipes as AUTOMATIC1111 has them (modules/extras.py, run_modelmerger), with a weight
for each block. With an inpainting model as A and others that are none, the channels of A's first
layer that only an inpainting model has stay A's.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from studio.errors import ModelError, RequestError
from studio.model_requests import MergeMethod, MergeRequest
from studio.models.merging.blocks import Blocks, block_weights
from studio.models.merging.output import FLOATS
from studio.models.merging.parents import Key, Parent, Stored

if TYPE_CHECKING:
    from torch import Tensor

_HOLE, _PLAIN = 9, 4
"""Channels that the first layer of an inpainting UNet reads, and of one that is none."""
_NEVER = ("position_ids", "attn_mask")
"""Tensors that count or hide places: a mean of them means nothing."""


@dataclass(frozen=True)
class Plan:
    """What becomes of A's tensors.

    merged: those that change; all others stay. weights, weights_c: of B (or of the difference) and
    of C by block, where they are not the base weight. kept: parts of A that stay for lack of
    another.
    """

    merged: frozenset[Key]
    blocks: Blocks
    weights: dict[str, float]
    weights_c: dict[str, float]
    kept: tuple[str, ...] = ()


def planned(request: MergeRequest, parents: Sequence[Parent]) -> Plan:
    """What a request does to its parents; ModelError when they do not fit, RequestError."""
    first = parents[0]
    for other in parents[1:]:
        check_alike(first, other)
    denoiser = first.family.denoiser
    blocks = Blocks(first.family.network, first.names(denoiser))
    weights = block_weights(request.blocks, blocks.names, request.weight, "blocks")
    weights_c = block_weights(request.blocks_c, blocks.names, request.weight_c, "blocks_c")
    plan = Plan(frozenset(), blocks, weights, weights_c)
    if request.method is MergeMethod.THREE:
        for block in ("", *blocks.names):
            both = sum(_weights(request, plan, block))
            if both > 1 + 1e-6:
                raise RequestError(
                    f"The weights of B and C{f' in {block}' if block else ''} are {both:g} "
                    "together; choose them so that they are at most 1.",
                    "weight_c",
                )
    wanted = {denoiser}
    if request.merge_vae:
        wanted.add("vae")
    if request.merge_text:
        wanted |= {encoder for _, encoder in first.family.encoders}
    wanted &= first.parts()
    there = {part for part in wanted if all(part in other.parts() for other in parents[1:])}
    merged = frozenset(
        key
        for key, each in first.tensors.items()
        if key.part in there and each.format in FLOATS and not key.name.endswith(_NEVER)
    )
    for other in parents[1:]:
        _check_shapes(first, other, merged)
    return Plan(merged, blocks, weights, weights_c, tuple(sorted(wanted - there)))


def merged_tensor(
    request: MergeRequest, plan: Plan, parents: Sequence[Parent], key: Key, a: "Tensor"
) -> "Tensor | None":
    """A's tensor with what the others bring to it, in float32; None when it stays A's."""
    if key not in plan.merged:
        return None
    denoiser = key.part == parents[0].family.denoiser
    weight, other = _weights(request, plan, plan.blocks.of(key.name) if denoiser else "")
    tensors = [a.float(), *(parent.read(key).float() for parent in parents[1:])]
    if all(tensor.shape == a.shape for tensor in tensors):
        return _mixed(request.method, tensors, weight, other)
    made = tensors[0].clone()
    made[:, :_PLAIN] = _mixed(
        request.method, [tensor[:, :_PLAIN] for tensor in tensors], weight, other
    )
    return made


def check_alike(first: Parent, other: Parent, *, holes: bool = True) -> None:
    """ModelError when two models are of different layouts or families.

    holes: whether the first may be an inpainting model while the other is none.
    """
    one, two = first.called, other.called
    mine, other_family = first.family, other.family
    if (first.entry.original is None) != (other.entry.original is None):
        folder, file = (one, two) if first.entry.original is None else (two, one)
        raise ModelError(
            f"{folder} is a folder and {file} a single file, whose tensors have other names; "
            "choose models of the same layout."
        )
    if mine.key == other_family.key or (holes and mine.key == f"{other_family.key}-inpaint"):
        return
    if holes and other_family.key == f"{mine.key}-inpaint":
        raise ModelError(
            f"{two} is an inpainting model and {one} is none; choose the inpainting model as A."
        )
    raise ModelError(
        f"{two} is {other_family.name}, but {one} is {mine.name}; choose models of one family."
    )


def _mixed(
    method: MergeMethod, tensors: Sequence["Tensor"], weight: float, other: float
) -> "Tensor":
    from studio.models.merging import arithmetic

    if method is MergeMethod.SUM:
        a, b = tensors
        return arithmetic.weighted_sum(a, b, weight)
    a, b, c = tensors
    if method is MergeMethod.THREE:
        return arithmetic.weighted_sum_of_three(a, b, c, weight, other)
    return arithmetic.add_difference(a, b, c, weight)


def _weights(request: MergeRequest, plan: Plan, block: str) -> tuple[float, float]:
    return (
        plan.weights.get(block, request.weight),
        plan.weights_c.get(block, request.weight_c),
    )


def _check_shapes(first: Parent, other: Parent, merged: frozenset[Key]) -> None:
    """ModelError when a tensor is missing in one of them or has another shape."""
    one, two = first.called, other.called
    denoiser = first.family.denoiser
    for key in merged:
        stored, there = first.tensors[key], other.tensors.get(key)
        if there is None:
            raise ModelError(_unlike(one, two, f"has no {stored.name}", key.part, denoiser))
        if not _fits(stored, there):
            shapes = f"{list(there.shape)} in {stored.name} where it has {list(stored.shape)}"
            raise ModelError(_unlike(one, two, f"has {shapes}", key.part, denoiser))
    for key, there in other.tensors.items():
        if key.part == denoiser and key not in first.tensors:
            raise ModelError(_unlike(one, two, f"also has {there.name}", key.part, denoiser))


def _unlike(one: str, two: str, why: str, part: str, denoiser: str) -> str:
    way = "choose models of the same shapes"
    return f"{two} does not fit {one}: it {why}; {way}" + (
        "." if part == denoiser else f", or keep the {part.replace('_', ' ')} of model A."
    )


def _fits(stored: Stored, there: Stored) -> bool:
    if stored.shape == there.shape:
        return True
    a, b = stored.shape, there.shape
    first_layer = len(a) == len(b) == 4 and (a[1], b[1]) == (_HOLE, _PLAIN)
    return first_layer and a[0] == b[0] and a[2:] == b[2:]

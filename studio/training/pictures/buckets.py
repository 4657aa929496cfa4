"""Aspect-ratio buckets: a few shapes of about the same area, and the place of each picture in one.

As NovelAI described them in 2022 and kohya's scripts make them: sides are multiples of a step, from
half the native side to twice of it, no shape larger than the native square.
"""

import math
from collections.abc import Mapping, Sequence

from studio.training.pictures.example import Example, Placed

_LATENT, _WIDEST_STEP, _STEPS = 8, 64, 8
_MOST_REPEATS = 100


def step_of(side: int, multiple: int) -> int:
    """What sides of buckets are multiples of: 64 for models of 512 px and more, less for smaller.

    side: of the native square, in pixels. multiple: that the model needs.
    """
    least = math.lcm(multiple, _LATENT)
    return max(least, min(_WIDEST_STEP, side // _STEPS) // least * least)


def shapes(side: int, multiple: int, largest: int = 0) -> list[tuple[int, int]]:
    """The shapes of buckets in pixels, sorted; the square is always among them.

    largest: side that the model has places for, 0 for any.
    """
    least, step = math.lcm(multiple, _LATENT), step_of(side, multiple)
    found = {_square(side, least)}
    longest = min(2 * side, largest or 2 * side)
    for width in range(math.ceil(side / 2 / step) * step, longest + 1, step):
        height = min(longest, side * side // width) // step * step
        if width >= height >= side / 2:
            found |= {(width, height), (height, width)}
    return sorted(found)


def place(
    examples: Sequence[Example],
    side: int,
    multiple: int,
    keep_shapes: bool = True,
    largest: int = 0,
) -> list[Placed]:
    """Each example in the bucket that cuts off least of it, in the same order.

    keep_shapes: else all are cut to the native square.
    """
    least = math.lcm(multiple, _LATENT)
    choice = shapes(side, multiple, largest) if keep_shapes else [_square(side, least)]
    return [_placed(example, _nearest(example.size, choice)) for example in examples]


def balanced_repeats(
    counts: Mapping[str, int], told: Mapping[str, int | None] | None = None
) -> dict[str, int]:
    """How often the pictures of each folder are seen in an epoch, so that folders count alike.

    counts: pictures of each folder. told: repeats that names or notes tell; where any does, those
    without are seen once.
    """
    known = {folder: told[folder] for folder in counts if told and told.get(folder) is not None}
    if known:
        return {folder: known.get(folder) or int(folder not in known) for folder in counts}
    most = max(counts.values(), default=0)
    return {
        folder: min(_MOST_REPEATS, math.floor(most / count + 0.5)) if count else 1
        for folder, count in counts.items()
    }


def crop_of(
    size: tuple[int, int], bucket: tuple[int, int], focus: tuple[float, float]
) -> tuple[float, float, float, float]:
    """What a bucket takes of a picture, in its pixels: all of one side, the focus in the middle.

    Where the focus is too near an edge for that, the cut ends at the edge.
    """
    scale = max(bucket[0] / size[0], bucket[1] / size[1])
    edges = []
    for whole, wanted, share in zip(size, bucket, focus, strict=True):
        taken = min(wanted / scale, float(whole))
        start = min(max(share * whole - taken / 2, 0.0), whole - taken)
        edges.append((start, min(start + taken, float(whole))))
    (left, right), (top, bottom) = edges
    return left, top, right, bottom


def _placed(example: Example, bucket: tuple[int, int]) -> Placed:
    scale = max(bucket[0] / example.size[0], bucket[1] / example.size[1])
    return Placed(example, bucket, crop_of(example.size, bucket, example.focus), scale)


def _nearest(size: tuple[int, int], choice: Sequence[tuple[int, int]]) -> tuple[int, int]:
    """The shape that keeps most of a picture, of equals the largest.

    The share that is kept is exp(-|d|) for a difference d of the logarithms of the ratios.
    """
    ratio = math.log(size[0] / size[1])
    return min(
        choice,
        key=lambda shape: (
            round(abs(math.log(shape[0] / shape[1]) - ratio), 9),
            -shape[0] * shape[1],
            shape,
        ),
    )


def _square(side: int, least: int) -> tuple[int, int]:
    edge = max(least, side // least * least)
    return edge, edge

"""Checks of what pictures look like: sharp, large enough, opaque, in colour, of a usual shape."""

import math
from collections import Counter
from collections.abc import Sequence
from statistics import median

from studio.training.health.files import SMALLEST
from studio.training.health.finding import (
    Arguments,
    Finding,
    Fix,
    FixKind,
    Kind,
    Severity,
    leave_out,
)
from studio.training.health.seen import Seen, Sight
from studio.training.health.sharpness import BLURRED, radius_at
from studio.training.health.wording import count, named, verb

ENLARGED = 1.25
"""By how much a picture may be enlarged. At a quarter more its edges are smeared by about half a
pixel, as sharp photographs are anyway; at twice as much, the model learns to draw softly."""
CUT = 0.2
"""Share of a picture's area that a cut may take. A photograph of 4:3 loses 25% as a square, and
often with it a head or feet; with buckets a cut takes up to about 10%."""
OPAQUE = 0.001
"""Share of pixels that may be transparent: the rounded corner of a screenshot has less."""
ODD = 1.8
"""How far, as a factor, a shape may be from the usual one of its set: 16:9 among squares is not."""
_MANY = 6
"""Pictures from which a set has something usual."""


def readable(seen: Sequence[Seen]) -> list[Seen]:
    """Those that are pictures at all, and not among the tiny ones."""
    return [s for s in seen if not s.looked.fault and min(s.looked.size) >= SMALLEST]


def blurred(seen: Sequence[Seen], sight: Sight) -> list[Finding]:
    """Pictures without a sharp edge at the size that they are learnt at."""
    found = []
    for each in readable(seen):
        radius = radius_at(each.looked.radii, sight.side)
        if radius is not None and radius >= BLURRED:
            found.append((radius, each.name))
    if not found:
        return []
    found.sort(reverse=True)
    names = tuple(name for _, name in found)
    sentence = (
        f"{named(names)} {verb(len(names), 'is', 'are')} blurred: at {sight.side} pixels the "
        f"edges are smeared by up to {found[0][0]:.1f} pixels ({BLURRED:g} counts as blurred, as "
        f"an edge then fills a cell of what the model sees), and so will be what it draws; leave "
        f"{verb(len(names), 'it', 'them')} out or take sharper ones."
    )
    return [Finding(Kind.BLURRED, Severity.WARN, sentence, names, leave_out(names))]


def cut(size: tuple[int, int], sight: Sight, buckets: bool) -> tuple[float, float]:
    """By how much a picture is scaled, and which share of it is cut off, in the bucket of its
    shape: sides of a multiple, of the side's area at most; without buckets a square."""
    width, height = size
    wide = high = sight.side
    if buckets:
        ratio = math.sqrt(width / height)
        step = sight.multiple
        wide = max(step, round(sight.side * ratio / step) * step)
        high = max(
            step, min(round(sight.side / ratio / step), sight.side**2 // wide // step) * step
        )
    scale = max(wide / width, high / height)
    return scale, 1 - (wide / scale) * (high / scale) / (width * height)


def _placed(each: Seen, sight: Sight, buckets: bool) -> tuple[float, float]:
    if each.placed is None:
        return cut(each.looked.size, sight, buckets)
    left, top, right, bottom = each.placed.crop
    width, height = each.looked.size
    return each.placed.scale, 1 - (right - left) * (bottom - top) / (width * height)


def enlarged(seen: Sequence[Seen], sight: Sight, buckets: bool) -> list[Finding]:
    """Pictures that are too small for their buckets."""
    found = [(_placed(each, sight, buckets)[0], each) for each in readable(seen)]
    found = [(scale, each) for scale, each in found if scale > ENLARGED]
    if not found:
        return []
    found.sort(key=lambda each: -each[0])
    names = tuple(each.name for _, each in found)
    scale, worst = found[0]
    width, height = worst.looked.size
    sentence = (
        f"{named(names)} {verb(len(names), 'is', 'are')} too small for {sight.side} pixels and "
        f"must be enlarged, the first from {width}x{height} by {scale:.1f} times; leave "
        f"{verb(len(names), 'it', 'them')} out, or train at a lower resolution."
    )
    return [Finding(Kind.ENLARGED, Severity.WARN, sentence, names, leave_out(names))]


def cut_off(seen: Sequence[Seen], sight: Sight, buckets: bool) -> list[Finding]:
    """Pictures of which a cut takes much."""
    found = [(_placed(each, sight, buckets)[1], each.name) for each in readable(seen)]
    found = sorted((each for each in found if each[0] > CUT), reverse=True)
    if not found:
        return []
    names = tuple(name for _, name in found)
    advice, fix = "set what stays in the middle of each, or crop them yourself", None
    if not buckets:
        advice = "keep their shapes with buckets"
        fix = Fix(FixKind.BUCKETS, "Keep their shapes", Arguments(names))
    sentence = (
        f"The cut takes up to {found[0][0]:.0%} of {named(names)}, and perhaps what is to be "
        f"learnt; {advice}."
    )
    return [Finding(Kind.CUT, Severity.WARN, sentence, names, fix)]


def odd_shape(seen: Sequence[Seen], buckets: bool) -> list[Finding]:
    """Pictures of a shape that no other has, far from the usual one."""
    some = readable(seen)
    if not buckets or len(some) < _MANY:
        return []
    shapes = [math.log(each.looked.size[0] / each.looked.size[1]) for each in some]
    usual = median(shapes)
    alike = Counter(round(shape, 1) for shape in shapes)
    names = tuple(
        each.name
        for each, shape in zip(some, shapes, strict=True)
        if abs(shape - usual) > math.log(ODD) and alike[round(shape, 1)] == 1
    )
    if not names:
        return []
    sentence = (
        f"{named(names)} {verb(len(names), 'has', 'have')} a shape that no other picture of the "
        f"set has, and {verb(len(names), 'is learnt in a bucket', 'are learnt in buckets')} of "
        f"{verb(len(names), 'its', 'their')} own; crop nearer to the others' shape if there is "
        "room."
    )
    return [Finding(Kind.ODD_SHAPE, Severity.HINT, sentence, names)]


def transparent(seen: Sequence[Seen]) -> list[Finding]:
    """Pictures with parts that one can see through."""
    names = tuple(each.name for each in readable(seen) if each.looked.transparent > OPAQUE)
    if not names:
        return []
    sentence = (
        f"{named(names)} {verb(len(names), 'has', 'have')} transparent parts, which a model does "
        "not know and which may hide any colour; put them on white, or on a background of your own."
    )
    fix = Fix(FixKind.FLATTEN, f"Put {count(len(names), 'picture')} on white", Arguments(names))
    return [Finding(Kind.TRANSPARENT, Severity.WARN, sentence, names, fix)]


def grey(seen: Sequence[Seen]) -> list[Finding]:
    """Grey pictures among coloured ones."""
    some = readable(seen)
    names = tuple(each.name for each in some if each.looked.grey)
    if not names or len(names) == len(some):
        return []
    sentence = (
        f"{len(names):,} of {count(len(some), 'picture')} {verb(len(names), 'is', 'are')} grey "
        f"({named(names)}) and the others in colour; say so in the captions, or colours will fade."
    )
    return [Finding(Kind.GREY, Severity.HINT, sentence, names)]

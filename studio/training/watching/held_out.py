"""What is kept aside to measure by, and a measure that is the same for the same weights.

The loss of a training step jumps about, for noise and timestep are drawn anew each time. Held-out
pictures are seen with the same noises at the same timesteps whenever they are measured, so that two
checkpoints differ by their weights alone (as in sd-scripts' validation, pull request 1903).
"""

import hashlib
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from studio.training.pictures.example import Placed

TIMESTEPS = 8
"""At which a held-out picture is measured."""
_FEW = 10
"""Pictures below which none can be spared."""
_SHARE, _MOST = 0.1, 32
"""Held out by default: this share, and no more than so many, which tell enough."""
_CUT = 0.8
"""Side of a view of a picture, of which the whole is learnt."""


@dataclass(frozen=True)
class Held:
    """What is measured: a picture in its place, mirrored or not."""

    place: Placed
    mirrored: bool = False


@dataclass(frozen=True)
class Split:
    """What is learnt from and what is measured by.

    note: what a person should know about the measure, or "". views: whether what is measured are
    views of pictures that are learnt from.
    """

    learnt: tuple[Placed, ...]
    held: tuple[Held, ...]
    views: bool = False
    note: str = ""


@dataclass(frozen=True)
class Measurement:
    """One term of the measure. timestep: as a share of all, from 0 (clean) to 1 (noise)."""

    held: Held
    timestep: float
    seed: int


LossOf = Callable[[Sequence[Held], Sequence[float], Sequence[int]], float]
"""Mean loss of some pictures of one bucket: each at its timestep, with the noise of its seed."""


def split(places: Sequence[Placed], share: float | None = None, flip: bool = False) -> Split:
    """Keep pictures aside, chosen by hash: the same ones in whatever order they come.

    share: of the pictures, None for as many as there is room for, 0 for none. flip: whether half
    of the pictures are learnt mirrored. Equal files stay together. Of less than ten pictures none
    can be spared; then up to two of them are measured in a view that is not learnt: the mirror
    image, or where that is learnt, a cut of one corner.
    """
    files = sorted({place.example.sha256 for place in places}, key=_order)
    if share == 0 or not files:
        return Split(tuple(places), ())
    if len(files) < _FEW and share is None:
        chosen = files[: 1 if len(files) < 3 else 2]
        first = {place.example.sha256: place for place in reversed(places)}
        note = (
            f"With {len(files)} {'picture' if len(files) == 1 else 'pictures'} none is kept aside; "
            f"what is measured {'is a view' if len(chosen) == 1 else 'are views'} of "
            f"{len(chosen)} of them, so that the held-out loss tells late of overfitting."
        )
        return Split(tuple(places), tuple(_view(first[f], flip) for f in chosen), True, note)
    wanted = min(_MOST, round(len(files) * _SHARE)) if share is None else round(len(files) * share)
    out = set(files[: min(max(1, wanted), len(files) - 1)])
    held: dict[str, Placed] = {}
    for place in places:
        if place.example.sha256 in out:
            held.setdefault(place.example.sha256, place)
    learnt = tuple(place for place in places if place.example.sha256 not in out)
    few = 0 < len(held) < 4
    note = f"Only {len(held)} of {len(files)} pictures are held out; their loss is a rough measure."
    return Split(learnt, tuple(Held(held[f]) for f in files if f in held), False, note * few)


def measurements(held: Sequence[Held], timesteps: int = TIMESTEPS) -> list[Measurement]:
    """All terms of the measure, in an order that puts those of one bucket together.

    Each picture is seen at the middles of equal shares of all timesteps, each time with a noise of
    its own, whose seed (63 bits) follows from the picture and the timestep alone.
    """
    ordered = sorted(
        held, key=lambda h: (h.place.bucket, _order(h.place.example.sha256), h.mirrored)
    )
    return [
        Measurement(each, (i + 0.5) / timesteps, _seed(each, i, timesteps))
        for each in ordered
        for i in range(timesteps)
    ]


def held_out_loss(
    loss_of: LossOf, held: Sequence[Held], batch: int = 4, timesteps: int = TIMESTEPS
) -> float:
    """The mean loss over all held-out pictures and timesteps; NaN when there are none.

    loss_of: tells the mean loss of up to `batch` terms of one bucket. The same weights give the
    same number, whatever was trained in between; the batch changes rounding only.
    """
    terms = measurements(held, timesteps)
    total, i = 0.0, 0
    while i < len(terms):
        bucket = terms[i].held.place.bucket
        part = [each for each in terms[i : i + batch] if each.held.place.bucket == bucket]
        loss = loss_of(
            [each.held for each in part],
            [each.timestep for each in part],
            [each.seed for each in part],
        )
        total += loss * len(part)
        i += len(part)
    return total / len(terms) if terms else math.nan


def _view(place: Placed, flip: bool) -> Held:
    """A picture as it is not learnt."""
    if not flip:
        return Held(place, mirrored=True)
    left, top, right, bottom = place.crop
    width, height = (right - left) * _CUT, (bottom - top) * _CUT
    corner = int.from_bytes(_digest(place.example.sha256)[:1], "big") % 4
    left = left if corner % 2 else right - width
    top = top if corner // 2 else bottom - height
    crop = (left, top, left + width, top + height)
    return Held(replace(place, crop=crop, scale=place.scale / _CUT))


def _order(sha256: str) -> bytes:
    return _digest(f"held out\0{sha256}")


def _seed(held: Held, number: int, timesteps: int) -> int:
    name = f"{held.place.example.sha256}\0{held.mirrored}\0{number}\0{timesteps}"
    return int.from_bytes(_digest(name)[:8], "big") >> 1


def _digest(text: str) -> bytes:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()

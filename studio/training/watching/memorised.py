"""Whether samples are copies of training pictures, instead of new pictures of what they show.

A sample is a copy when it is nearer to one training picture than training pictures are to each
other (cf. Somepalli et al. 2023, arXiv 2212.03860, who compare samples with the pictures that are
nearest). Nearness is measured on small versions laid over each other, mirrored or not and shifted
a little: their correlation, and their structural similarity where they correlate best.

Measured on 50 drawings, with five pictures each in other places, sizes, turns and light: 92% of
their copies through an autoencoder (with noise, in other light, shifted by up to 5%) are found, 7%
of as many new pictures, varied as little as the training pictures are, are called copies, and none
of other drawings of the same things.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image

from studio.training.watching.judge import Judge
from studio.training.watching.seen import need

_SIDE = 32
_SHIFT = 4
"""Pixels of the small versions, either way."""
_SIGMA = 1.5
_CLOSEST = 3
_COMPARED = 200
"""Training pictures that are compared with each other, of more a part."""
_ROOM = 0.3
"""A copy is nearer than training pictures are to each other by this share of what is left to 1."""
_TWINS = 0.97
"""Training pictures that are nearer to each other than this are the same one, in there twice."""
_LEAST = 0.88
"""A sample less near than this is no copy, however different the training pictures are."""
_MOST = 0.93
"""A sample nearer than this is a copy, however alike the training pictures are."""


@dataclass(frozen=True)
class Nearest:
    """The training picture that a sample is nearest to.

    training: its place. nearness: from -1 to 1, 1 for the same pixels. limit: from which on it is a
    copy. likeness: the judge's, None without a judge. copied: whether it is a copy.
    """

    training: int
    nearness: float
    limit: float
    likeness: float | None
    copied: bool


class CopyCheck:
    """Compares samples with the training pictures, which are looked at once.

    A judge must not contradict: where it finds the sample no more like its nearest picture than
    training pictures are like each other, it is none. DataError without training pictures.
    """

    def __init__(self, training: Sequence[Image.Image], judge: Judge | None = None):
        need(training)
        self._judge = judge
        self._training = list(training)
        some = self._training[:: -(-len(training) // _COMPARED)]
        near = nearness(some, some, closest=_CLOSEST + 1)
        self._limit = _limit(near)
        # Judges see less of a picture than its pixels: they find more pictures alike.
        self._like = min(_limit(judge.alike(some, some)), _LEAST) if judge else -1.0

    def __call__(self, samples: Sequence[Image.Image]) -> list[Nearest]:
        """The nearest training picture of every sample."""
        if not samples:
            return []
        near = nearness(samples, self._training)
        places = np.nanargmax(near, axis=1)
        likeness: list[float | None] = [None] * len(samples)
        if self._judge is not None:
            pairs = self._judge.alike(samples, self._training)
            likeness = [float(row[place]) for row, place in zip(pairs, places, strict=True)]
        found = []
        for row, place, like in zip(near, places, likeness, strict=True):
            value = float(row[place])
            copied = value >= self._limit and (like is None or like >= self._like)
            found.append(Nearest(int(place), value, self._limit, like, copied))
        return found


def in_words(found: Sequence[Nearest], names: Sequence[str]) -> str:
    """One sentence on the samples of a checkpoint; names: of the training pictures."""
    if not found:
        return "No sample was compared with the training pictures."
    count, worst = len(found), max(found, key=lambda each: each.nearness)
    copied = [each for each in found if each.copied]
    if not copied:
        return (
            f"None of {count} {_samples(count)} is a copy of a training picture; the nearest is "
            f"{worst.nearness:.2f} near to {names[worst.training]} (a copy is from "
            f"{worst.limit:.2f} on)."
        )
    worst = max(copied, key=lambda each: each.nearness)
    are = "is a copy" if len(copied) == 1 else "are copies"
    return (
        f"{len(copied)} of {count} {_samples(count)} {are} of training pictures, the nearest of "
        f"{names[worst.training]} ({worst.nearness:.2f} near; a copy is from {worst.limit:.2f} "
        "on): take an earlier checkpoint or more pictures."
    )


def nearness(
    images: Sequence[Image.Image], others: Sequence[Image.Image], closest: int = _CLOSEST
) -> np.ndarray:
    """How near pictures are, as they lie over each other best: (n, m), from -1 to 1.

    Only the closest others of each are looked at closely; the rest are NaN.

    The mean of two: the correlation of small versions (32 x 32, all channels), and the structural
    similarity (Wang et al. 2004) of their brightness at the shift, and in the mirror, where they
    correlate best.
    """
    ours = np.stack([_small(image) for image in images])
    theirs = np.stack([_small(image) for image in others])
    best = np.full((len(ours), len(theirs)), -2.0)
    where = np.zeros((*best.shape, 3), int)
    for mirrored in (False, True):
        turned = ours[:, :, ::-1] if mirrored else ours
        for down in range(-_SHIFT, _SHIFT + 1):
            for right in range(-_SHIFT, _SHIFT + 1):
                a, b = _overlap(turned, down, right), _overlap(theirs, -down, -right)
                found = _rows(a) @ _rows(b).T
                better = found > best
                best[better] = found[better]
                where[better] = mirrored, down, right
    near = np.full_like(best, np.nan)
    for i, j in ((i, j) for i, row in enumerate(best) for j in np.argsort(-row)[:closest]):
        mirrored, down, right = where[i, j]
        one = ours[i, :, ::-1] if mirrored else ours[i]
        a = _overlap(one[None], down, right)[0].mean(-1)
        similar = _structural(a, _overlap(theirs[j][None], -down, -right)[0].mean(-1))
        near[i, j] = (best[i, j] + similar) / 2
    return near


def _limit(near: np.ndarray) -> float:
    """From which nearness on it is a copy, from that of training pictures to each other (n, n)."""
    apart = near[~np.eye(len(near), dtype=bool)]
    apart = apart[apart < _TWINS]  # which NaN is not
    nearest = apart.max(initial=-1.0)
    return float(np.clip(nearest + _ROOM * (1 - nearest), _LEAST, _MOST))


def _small(image: Image.Image) -> np.ndarray:
    """The picture as (32, 32, 3) from 0 to 1, transparent parts white."""
    whole = image.convert("RGBA")
    white = Image.new("RGBA", whole.size, "white")
    shown = Image.alpha_composite(white, whole).convert("RGB")
    return np.asarray(shown.resize((_SIDE, _SIDE), Image.Resampling.BOX), "f4") / 255


def _overlap(a: np.ndarray, down: int, right: int) -> np.ndarray:
    """What of pictures (n, h, w, c) lies over others that are shifted so."""
    height, width = a.shape[1:3]
    rows = slice(max(down, 0), height + min(down, 0))
    columns = slice(max(right, 0), width + min(right, 0))
    return a[:, rows, columns]


def _rows(a: np.ndarray) -> np.ndarray:
    """Pictures as rows of mean 0 and length 1; those of one colour as rows of zeros."""
    rows = (a - a.mean((1, 2), keepdims=True)).reshape(len(a), -1)
    lengths = np.linalg.norm(rows, axis=1, keepdims=True)
    return np.asarray(np.where(lengths > 1e-3, rows / np.maximum(lengths, 1e-3), 0))


def _structural(a: np.ndarray, b: np.ndarray) -> float:
    """SSIM of two pictures in one channel from 0 to 1, with a Gaussian window of sigma 1.5."""
    from scipy.ndimage import gaussian_filter

    def mean(values: np.ndarray) -> np.ndarray:
        return np.asarray(gaussian_filter(values, _SIGMA, truncate=3.5))

    mean_a, mean_b = mean(a), mean(b)
    var_a, var_b = mean(a * a) - mean_a**2, mean(b * b) - mean_b**2
    both = mean(a * b) - mean_a * mean_b
    c1, c2 = 0.01**2, 0.03**2
    top = (2 * mean_a * mean_b + c1) * (2 * both + c2)
    return float((top / ((mean_a**2 + mean_b**2 + c1) * (var_a + var_b + c2))).mean())


def _samples(count: int) -> str:
    return "sample" if count == 1 else "samples"

"""Fit the judge, store it in assets/judge, and measure it on references that were held back.

What only tests need to know, of styles, goes to `style.npz` here.

`PYTHONPATH=tests python -m judge.fit` fits and prints the judge's figures; with `--variants` it
prints those of simpler judges, too.

Accuracy in per cent (top-1 / top-3 / top-5) on the references of a set that was held back, both
fluent sets together, as they are, with all hues turned, and on a coloured background:

    discriminant, 99 things           87 / 93 / 95    83 / 90 / 93    86 / 93 / 94
    discriminant, 358 things          77 / 87 / 90    71 / 82 / 86    75 / 85 / 89

The first line is of an earlier list of things, on which nearest neighbours in the plain features
had 84 / 91 / 94, edges alone 79 / 90 / 92, and copies that were tilted, softened, mirrored and
recoloured made no difference to the fit beyond chance.

Naming the style without knowing the thing was tried, too: of drawings of things that were held
back, a discriminant of the figures in `style.py` named 76%, a kernel machine 83% (3d, flat and
outline 95% and more, noto and emojione 66%); so a style is now named among a thing's own drawings.
Compared with sharp drawings only, soft outlines and flat ones were taken for 3d, whose edges are
soft by themselves. With the softened ones of `RADII` beside them, the style of 400 drawings was
right in

                                                       sharp only    softened, too
    through the autoencoder                            92.5%         96.5%   (outline 58%, 92%)
    through it and blurred by 1 px                     74.0%         98.8%
    moved, turned, scaled                              99.8%         99.8%
    moved, turned, scaled, through the autoencoder     89.8%         93.5%
    the last, blurred by 1 px                          68.5%         96.0%
"""

import argparse
import json
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, fields, replace

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

from judge.judge import REFERENCES, STYLES, Judge
from judge.style import describe_style
from studio.training.watching.embedded_judge.naming import FITTED, WEIGHTS, describe

DAMPING = 2.0  # added to the scatter within a thing, in units of its mean variance
DIRECTIONS = 200  # of the discriminant, those that tell most; all 357 are no better
WHITE = (255, 255, 255)
SHEET_SIDE = 128  # px of a drawing on a sheet of references
RADII = (0, 0.7, 1.3)  # px, of the blur of references whose style is compared with
SOFTEN = 0.02  # added to the deviation of figures of style, some of which hardly vary


@dataclass(frozen=True)
class References:
    """The reference pictures with the thing, the style and the family of each.

    Families are held back: both fluent sets are one, for they are near twins.
    """

    images: list[Image.Image]
    things: np.ndarray
    styles: np.ndarray
    families: np.ndarray


def references() -> References:
    """All of them, cut from the sheets."""
    index = json.loads((REFERENCES / "index.json").read_text(encoding="utf-8"))
    images, things, styles, families = [], [], [], []
    for name, entry in index.items():
        with Image.open(REFERENCES / f"{name}.webp") as opened:
            sheet = opened.convert("RGB")
        columns = sheet.width // SHEET_SIDE
        for i, (thing, _) in enumerate(entry["drawings"]):
            left, top = i % columns * SHEET_SIDE, i // columns * SHEET_SIDE
            images.append(sheet.crop((left, top, left + SHEET_SIDE, top + SHEET_SIDE)))
            things.append(thing)
            styles.append(entry["style"])
            families.append(name.removesuffix("-flat"))
    return References(images, np.array(things), np.array(styles), np.array(families))


def mirrored(image: Image.Image) -> Image.Image:
    """The picture as a mirror shows it."""
    return image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)


def recoloured(image: Image.Image, turn: float) -> Image.Image:
    """All hues turned by a share of the circle, from 0 to 1."""
    hsv = np.array(image.convert("HSV"))
    hsv[..., 0] += np.uint8(turn * 255)
    return Image.merge("HSV", [Image.fromarray(hsv[..., i]) for i in range(3)]).convert("RGB")


def softened(image: Image.Image, radius: float) -> Image.Image:
    """The picture blurred by a radius in px."""
    return image.filter(ImageFilter.GaussianBlur(radius))


def on_background(image: Image.Image, colour: tuple[int, int, int]) -> Image.Image:
    """The white around the thing replaced by a colour."""
    image = image.copy()
    for corner in ((0, 0), (127, 0), (0, 127), (127, 127)):
        if image.getpixel(corner) == WHITE:
            ImageDraw.floodfill(image, corner, colour, thresh=60)
    return image


def described(images: list[Image.Image]) -> np.ndarray:
    """The features of the pictures: (n, features)."""
    return _on_all_cores(describe, images)


def _on_all_cores(
    look: Callable[[Image.Image], np.ndarray], images: list[Image.Image]
) -> np.ndarray:
    with ProcessPoolExecutor() as pool:
        return np.stack(list(pool.map(look, images, chunksize=64)))


def discriminant(features: np.ndarray, things: np.ndarray, damping: float = DAMPING):
    """Fisher's linear discriminant: the mean (features,) and the projection (features, things-1).

    The scatter within a thing becomes the identity, and the directions in which the means of the
    things differ are kept.
    """
    mean = features.mean(0)
    names, label = np.unique(things, return_inverse=True)
    centres = np.stack([features[label == i].mean(0) for i in range(len(names))])
    within = features - centres[label]
    scatter = within.T @ within / len(features)
    scatter += damping * np.trace(scatter) / len(mean) * np.eye(len(mean), dtype="f4")
    whiten = np.linalg.inv(np.linalg.cholesky(scatter)).T
    _, _, directions = np.linalg.svd((centres - mean) @ whiten, full_matrices=False)
    kept = directions[: min(len(names) - 1, DIRECTIONS)]
    return mean.astype("f4"), (whiten @ kept.T).astype("f4")


Fit = Callable[[np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]]


def held_back(
    pictures: References,
    learned: np.ndarray,
    queries: np.ndarray,
    fit: Fit = discriminant,
    families: Sequence[str] | None = None,
) -> list[tuple[str, list[str]]]:
    """For every picture its thing and the judge's ranking, without any picture of its family.

    `learned` (n, features) describes the pictures; `queries` (n, 2, features) are those to judge,
    altered or not, with their mirror images. `families` says which are judged, if not all.
    """
    rankings = []
    for family in np.unique(pictures.families) if families is None else families:
        known = pictures.families != family
        mean, projection = fit(learned[known], pictures.things[known])
        judge = Judge.of(learned[known], pictures.things[known], mean, projection)
        for i in np.flatnonzero(~known):
            ranking = [thing for thing, _ in judge.rank_described(queries[i])]
            if pictures.things[i] not in ranking:
                continue  # no other set draws it
            rankings.append((str(pictures.things[i]), ranking))
    return rankings


def accuracy(rankings: list[tuple[str, list[str]]]) -> dict[int, float]:
    """The share of pictures whose thing is among the best 1, 3 and 5."""
    places = np.array([ranking.index(thing) for thing, ranking in rankings])
    return {top: float(np.mean(places < top)) for top in (1, 3, 5)}


def false_acceptance(rankings: list[tuple[str, list[str]]], top: int) -> float:
    """The chance that a picture of one thing is accepted as another thing, drawn at random."""
    wrong = [len(set(ranking[:top]) - {thing}) / (len(ranking) - 1) for thing, ranking in rankings]
    return float(np.mean(wrong))


def confusions(rankings: list[tuple[str, list[str]]], top: int) -> Counter[tuple[str, str]]:
    """How often pictures of the first thing are accepted as the second."""
    return Counter(
        (thing, other) for thing, ranking in rankings for other in ranking[:top] if other != thing
    )


def both_ways(images: list[Image.Image]) -> np.ndarray:
    """Features of pictures and of their mirror images: (n, 2, features)."""
    return np.stack([described(images), described([mirrored(i) for i in images])], axis=1)


def only(*blocks: str) -> Fit:
    """Nearest neighbours on some blocks of the features."""
    width = {"edges 8x8": 512, "edges 4x4": 128, "mask": 256, "light": 64, "colours": 64}
    keep = np.concatenate([np.full(width[name], name in blocks) for name in WEIGHTS])
    return lambda features, things: (
        np.zeros(len(keep), "f4"),
        np.eye(len(keep), dtype="f4")[:, keep],
    )


def fitted(pictures: References, learned: np.ndarray) -> Judge:
    """The judge of all references, described as `learned` (n, features)."""
    judge = Judge.of(learned, pictures.things, *discriminant(learned, pictures.things))
    figures = np.stack(
        [
            _on_all_cores(describe_style, [softened(image, radius) for image in pictures.images])
            for radius in RADII
        ]
    )
    mean, scale = figures.mean((0, 1)), figures.std((0, 1)) + SOFTEN
    return replace(
        judge,
        styles=pictures.styles,
        style_rows=(figures - mean) / scale,
        style_mean=mean,
        style_scale=scale,
    )


def store(judge: Judge) -> None:
    """Write the judge, what is large in half precision."""
    halved = ("rows", "projection", "style_rows")
    arrays = {
        field.name: getattr(judge, field.name).astype("f2")
        if field.name in halved
        else getattr(judge, field.name)
        for field in fields(judge)
    }
    own = {name: arrays.pop(name) for name in list(arrays) if name.startswith("style")}
    np.savez_compressed(FITTED, **arrays)
    np.savez_compressed(STYLES, **own)


def report(pictures: References, learned: np.ndarray, variants: dict[str, Fit]) -> None:
    """Print how families that were held back are judged; the last variant is the judge."""
    rng = np.random.default_rng(0)
    queries = {
        "plain": pictures.images,
        "recoloured": [recoloured(image, rng.uniform(0.15, 0.85)) for image in pictures.images],
        "on a background": [
            on_background(image, tuple(int(v) for v in rng.integers(30, 230, 3)))
            for image in pictures.images
        ],
    }
    for kind, images in queries.items():
        described_images = both_ways(images)
        for name, fit in variants.items():
            rankings = held_back(pictures, learned, described_images, fit)
            shares = " / ".join(f"{share:.1%}" for share in accuracy(rankings).values())
            print(f"{kind:16} {name:30} top-1/3/5 {shares}", flush=True)
        for top in (1, 3):
            print(
                f"    accepted as another thing, top-{top}: {false_acceptance(rankings, top):.2%}"
            )
            print(f"    most often: {confusions(rankings, top).most_common(8)}")


def main() -> None:
    """Fit on all references and store the judge, then report on held-back families."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--variants", action="store_true", help="measure simpler judges, too")
    arguments = parser.parse_args()
    pictures = references()
    learned = described(pictures.images)
    store(fitted(pictures, learned))
    variants: dict[str, Fit] = {}
    if arguments.variants:
        variants = {
            "edges": only("edges 8x8", "edges 4x4"),
            "colours": only("colours"),
            "edges, mask, light": only("edges 8x8", "edges 4x4", "mask", "light"),
            "edges, mask, light, colours": only(*WEIGHTS),
        }
    report(pictures, learned, {**variants, "discriminant": discriminant})


if __name__ == "__main__":
    main()

"""Measure how the studio's judge tells a subject from other things that it has not seen either.

`PYTHONPATH=tests python -m judge.calibrate` prints the figures. 60 of the 358 things are held back
from the fit. Each of 80 drawings of them is a subject: five varied copies are its training
pictures, four more its samples. They are compared with varied drawings of other things, and of the
same thing by other sets, among them look-alikes (one lemon is like another).

Figures of 80 subjects:

    a sample against another thing                   AUC 0.9996
    a sample against another drawing of its thing    AUC 0.980
    from 0.45: misses 1.2%, takes other things 0.01%, other drawings of the thing 25%
    from 0.50: misses 1.6%, takes other things 0.00%, other drawings of the thing 20%
    from 0.55: misses 3.4%, takes other things 0.00%, other drawings of the thing 12%
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from PIL import Image

from judge.fit import References, described, discriminant, on_background, references
from studio.training.watching.embedded_judge.judge import EmbeddedJudge
from studio.training.watching.embedded_judge.naming import Namer

SIDE = 128
Change = Callable[[Image.Image], Image.Image]


@dataclass
class Scores:
    """Subject scores of samples, of other things, and of other drawings of the same thing."""

    samples: list[float] = field(default_factory=list)
    others: list[float] = field(default_factory=list)
    alike: list[float] = field(default_factory=list)


def varied(image: Image.Image, rng: np.random.Generator, trip: Change) -> Image.Image:
    """Another picture of the same: moved, scaled, turned, in other light, with noise.

    Half of them are on another ground, half go through `trip`, an autoencoder's round trip.
    """
    turn, scale = np.deg2rad(rng.uniform(-15, 15)), rng.uniform(0.7, 1.05)
    x, y = SIDE / 2 + rng.uniform(-12, 12, 2)
    c, s = np.cos(turn) / scale, np.sin(turn) / scale
    back = (c, s, SIDE / 2 - c * x - s * y, -s, c, SIDE / 2 + s * x - c * y)
    image = image.transform(
        (SIDE, SIDE), Image.Transform.AFFINE, back, Image.Resampling.BICUBIC,
        fillcolor=(255, 255, 255),
    )  # fmt: skip
    if rng.random() < 0.5:
        image = on_background(image, tuple(int(v) for v in rng.integers(60, 230, 3)))
    light = np.asarray(image, "f4") * rng.uniform(0.85, 1.1, 3)
    noisy = light + rng.normal(0, 6, light.shape)
    image = Image.fromarray(noisy.clip(0, 255).astype("u1"))
    return trip(image) if rng.random() < 0.5 else image


def round_trip() -> Change:
    """What the embedded model's autoencoder makes of a picture."""
    import torch
    from diffusers import AutoencoderKL

    from studio.models.catalogue import Catalogue

    folder = Catalogue(Path("/nonexistent")).get("").path / "vae"
    vae = AutoencoderKL.from_pretrained(folder).eval()

    @torch.no_grad()
    def trip(image: Image.Image) -> Image.Image:
        pixels = torch.from_numpy(np.asarray(image, "f4").transpose(2, 0, 1))[None] / 127.5 - 1
        made = vae.decode(vae.encode(pixels).latent_dist.mean).sample[0]
        rounded = ((made.clamp(-1, 1) + 1) * 127.5).round().byte()
        return Image.fromarray(rounded.permute(1, 2, 0).numpy())

    return trip


def measured(
    namer: Namer, pictures: References, subjects: Sequence[int], others: Sequence[int], trip: Change
) -> Scores:
    """How a namer's judge scores; subjects, others: places among the pictures."""
    rng = np.random.default_rng(0)
    judge, scores = EmbeddedJudge(namer), Scores()
    strangers = [(pictures.things[i], varied(pictures.images[i], rng, trip)) for i in others]
    for i in subjects:
        own = pictures.things == pictures.things[i]
        training = [varied(pictures.images[i], rng, trip) for _ in range(5)]
        samples = [varied(pictures.images[i], rng, trip) for _ in range(4)]
        alike = np.flatnonzero(own & (pictures.families != pictures.families[i]))[:3]
        scores.samples += judge.subject(samples, training)
        scores.alike += judge.subject(
            [varied(pictures.images[j], rng, trip) for j in alike], training
        )
        foreign = [image for thing, image in strangers if thing != pictures.things[i]]
        scores.others += judge.subject(foreign, training)
    return scores


def auc(higher: Sequence[float], lower: Sequence[float]) -> float:
    """The chance that one of the first is above one of the second."""
    ranked = np.sort(lower)
    below = np.searchsorted(ranked, higher, "left") + np.searchsorted(ranked, higher, "right")
    return float(below.mean() / 2 / len(ranked))


def main() -> None:
    """Print the figures, and how long a picture takes."""
    rng = np.random.default_rng(0)
    pictures = references()
    names = np.unique(pictures.things)
    held = np.isin(pictures.things, rng.permutation(names)[:60])
    features = described(pictures.images)
    fitted = discriminant(features[~held], pictures.things[~held])
    namer = Namer.of(features[~held], pictures.things[~held], *fitted)
    subjects = rng.permutation(np.flatnonzero(held))[:80]
    others = rng.permutation(len(pictures.images))[:300]
    scores = measured(namer, pictures, subjects.tolist(), others.tolist(), round_trip())
    print(f"a sample against another thing: AUC {auc(scores.samples, scores.others):.5f}")
    print(f"against another drawing of its thing: AUC {auc(scores.samples, scores.alike):.4f}")
    for least in (0.35, 0.4, 0.45, 0.5, 0.55):
        missed = np.mean(np.array(scores.samples) < least)
        taken = [np.mean(np.array(v) >= least) for v in (scores.others, scores.alike)]
        print(f"from {least}: misses {missed:.1%}, takes {taken[0]:.2%} and {taken[1]:.0%}")
    judge, some = EmbeddedJudge(), pictures.images[::20]
    began = time.perf_counter()
    judge.subject(some, some[:5])
    seen = time.perf_counter()
    judge.prompt(some, ["a red apple"] * len(some))
    named = time.perf_counter()
    print(f"ms a picture: subject {(seen - began) / len(some) * 1e3:.1f}")
    print(f"prompt, of pictures seen before: {(named - seen) / len(some) * 1e3:.1f}")


if __name__ == "__main__":
    main()

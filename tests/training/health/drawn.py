"""Pictures of known faults, drawn so that right and wrong findings can be told apart."""

import io
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

from studio.training.health.caption_file import read_caption
from studio.training.health.looked import look
from studio.training.health.seen import Seen
from studio.training.pictures.example import Example


def scene(side: int = 512, seed: int = 0, shape: tuple[int, int] | None = None) -> Image.Image:
    """Discs of all sizes over each other: edges and colours as of a photograph."""
    draw = np.random.default_rng(seed)
    width, height = shape or (side, side)
    image = Image.new("RGB", (2 * width, 2 * height), "grey")
    pen = ImageDraw.Draw(image)
    for _ in range(250):
        radius = min(0.02 / (draw.random() ** 0.7 + 0.02), 0.6) * max(width, height)
        x, y = draw.random(2) * (2 * width, 2 * height)
        colour = tuple(int(value) for value in draw.integers(0, 256, 3))
        pen.ellipse((x - radius, y - radius, x + radius, y + radius), fill=colour)
    return image.resize((width, height), Image.Resampling.LANCZOS)


def face(
    side: int = 512,
    mouth: str = "smile",
    colour: tuple[int, int, int] = (250, 200, 40),
    shift: float = 0.0,
) -> Image.Image:
    """A flat drawing on white, as of an icon."""
    image = Image.new("RGB", (2 * side, 2 * side), "white")
    pen = ImageDraw.Draw(image)

    def box(left: float, top: float, right: float, bottom: float) -> tuple[float, ...]:
        return ((left + shift) * side, top * side, (right + shift) * side, bottom * side)

    pen.ellipse(box(0.2, 0.2, 1.8, 1.8), fill=colour)
    for x in (0.7, 1.3):
        pen.ellipse(box(x - 0.1, 0.7, x + 0.1, 0.95), fill="black")
    if mouth == "smile":
        pen.arc(box(0.6, 0.9, 1.4, 1.5), 20, 160, fill="black", width=side // 15)
    elif mouth == "frown":
        pen.arc(box(0.6, 1.2, 1.4, 1.8), 200, 340, fill="black", width=side // 15)
    else:
        pen.ellipse(box(0.85, 1.1, 1.15, 1.5), fill="black")
    return image.resize((side, side), Image.Resampling.LANCZOS)


def texture(side: int = 512, seed: int = 0) -> Image.Image:
    """Noise with the spectrum of natural pictures (amplitude as 1 / frequency to the 1.5)."""
    draw = np.random.default_rng(seed)
    steps = np.fft.fftfreq(side)
    frequency = np.hypot(*np.meshgrid(steps, steps))
    frequency[0, 0] = 1
    channels = []
    shared = draw.standard_normal((side, side))
    for _ in range(3):
        white = shared + 0.3 * draw.standard_normal((side, side))
        wave = np.fft.ifft2(np.fft.fft2(white) / frequency**1.5).real
        channels.append(((wave - wave.mean()) / wave.std() * 45 + 120).clip(0, 255))
    return Image.fromarray(np.stack(channels, -1).astype("u1"))


def portrait(side: int = 512, seed: int = 0) -> Image.Image:
    """Something sharp before a background that is out of focus."""
    image = smeared(scene(side, seed), side * 0.03)
    image.paste(face(side // 3), (side // 3, side // 3))
    return image


def sky(side: int = 512, seed: int = 0) -> Image.Image:
    """A gradient that gets slowly brighter, over a dark hill."""
    down = np.linspace(0, 1, side)[:, None, None]
    pixels = (1 - down) * np.array([70, 120, 220]) + down * np.array([220, 200, 180])
    noise = np.random.default_rng(seed).normal(0, 1.5, (side, side, 3))
    image = Image.fromarray((pixels + noise).clip(0, 255).astype("u1"))
    low = [(0, side), (0, 0.9 * side), (0.3 * side, 0.8 * side), (side, 0.9 * side), (side, side)]
    ImageDraw.Draw(image).polygon(low, fill=(20, 30, 20))
    return image


def smeared(image: Image.Image, radius: float) -> Image.Image:
    """Out of focus by a Gaussian of this standard deviation."""
    return image.filter(ImageFilter.GaussianBlur(radius))


def noisy(image: Image.Image, levels: float = 4.0) -> Image.Image:
    """With the noise of a camera."""
    pixels = np.asarray(image).astype(float)
    pixels += np.random.default_rng(1).normal(0, levels, pixels.shape)
    return Image.fromarray(pixels.clip(0, 255).astype("u1"))


def encoded(image: Image.Image, format: str = "PNG", **options: Any) -> bytes:
    """A picture as a file's content."""
    stream = io.BytesIO()
    image.save(stream, format, **options)
    return stream.getvalue()


def resaved(image: Image.Image, quality: int = 40) -> Image.Image:
    """A picture after a strong JPEG compression."""
    return Image.open(io.BytesIO(encoded(image, "JPEG", quality=quality))).convert("RGB")


def put(folder: Path, name: str, image: Image.Image, caption: str | None = None) -> Path:
    """Save a picture into a set, with its caption beside it."""
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    image.save(path)
    if caption is not None:
        path.with_suffix(".txt").write_text(caption, encoding="utf-8")
    return path


def seen(
    source: Image.Image | Path | bytes, name: str = "a.png", caption: str = "", repeats: int = 1
) -> Seen:
    """A picture as the checks get it."""
    if isinstance(source, Path):
        example = Example(source, source.name, "", (0, 0), caption, repeats)
        return Seen(example, look(source.read_bytes(), source.name), read_caption(source))
    data = source if isinstance(source, bytes) else encoded(source)
    return Seen(Example(Path(name), name, "", (0, 0), caption, repeats), look(data, name))


def words(text: str) -> int:
    """A count of tokens that one can follow: words and commas."""
    return len(text.replace(",", " , ").split())

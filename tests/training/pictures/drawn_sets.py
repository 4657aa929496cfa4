"""Small pictures of different content, and folders of them."""

import io
from pathlib import Path

import numpy as np
from PIL import Image


def drawn(seed: int = 0, size: tuple[int, int] = (24, 16), mode: str = "RGB") -> Image.Image:
    """A picture of coarse noise; another one for each seed."""
    random = np.random.default_rng(seed)
    coarse = Image.fromarray(random.integers(0, 256, (4, 4, 3), dtype=np.uint8))
    return coarse.resize(size, Image.Resampling.BICUBIC).convert(mode)


def encoded(image: Image.Image, kind: str = "PNG", **options: object) -> bytes:
    """A picture as a file."""
    stream = io.BytesIO()
    image.save(stream, kind, **options)
    return stream.getvalue()


def draw_set(folder: Path, files: dict[str, str | None], size: tuple[int, int] = (24, 16)) -> Path:
    """A folder of pictures by name, each different, with captions as .txt beside them or None."""
    folder.mkdir(parents=True, exist_ok=True)
    for seed, (name, caption) in enumerate(files.items(), len(list(folder.rglob("*")))):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        drawn(seed, size).save(path)
        if caption is not None:
            path.with_suffix(".txt").write_text(caption, encoding="utf-8")
    return folder

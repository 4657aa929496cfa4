"""Small finished pictures for tests that keep them."""

import io

from PIL import Image

from studio.store.outputs import Picture


def png(width: int = 16, height: int = 8, colour: tuple[int, int, int] = (200, 30, 40)) -> bytes:
    """An encoded picture of one colour."""
    stream = io.BytesIO()
    Image.new("RGB", (width, height), colour).save(stream, "PNG")
    return stream.getvalue()


def picture(
    prompt: str = "a red apple", seed: int = 7, model: str = "some-model", data: bytes | None = None
) -> Picture:
    """A finished picture as a work function hands it over."""
    return Picture(
        data=png() if data is None else data,
        suffix=".png",
        width=16,
        height=8,
        seed=seed,
        model=model,
        prompt=prompt,
        negative_prompt="",
        infotext=f"{prompt}\nSeed: {seed}",
        request="{}",
    )

"""Pictures that were looked at before are not looked at again.

Training pictures are compared with at every checkpoint; looking is what takes the time.
"""

import hashlib
from collections.abc import Callable, Sequence

import numpy as np
from PIL import Image

from studio.errors import DataError

_MOST = 4096


class Seen:
    """What `look` makes of pictures, kept by their pixels.

    look: gives one array for n pictures, whose first axis is n.
    """

    def __init__(self, look: Callable[[Sequence[Image.Image]], np.ndarray]):
        self._look = look
        self._kept: dict[bytes, np.ndarray] = {}

    def __call__(self, images: Sequence[Image.Image]) -> np.ndarray:
        """What `look` makes of these."""
        keys = [_digest(image) for image in images]
        fresh = {k: image for k, image in zip(keys, images, strict=True) if k not in self._kept}
        if fresh:
            self._kept.update(zip(fresh, self._look(list(fresh.values())), strict=True))
        found = np.stack([self._kept[key] for key in keys])
        while len(self._kept) > _MOST:
            del self._kept[next(iter(self._kept))]
        return found


def need(references: Sequence[Image.Image]) -> None:
    """DataError without references."""
    if not references:
        raise DataError(
            "There are no training pictures to compare samples with; add some to the picture set."
        )


def _digest(image: Image.Image) -> bytes:
    found = hashlib.blake2b(image.tobytes(), digest_size=16)
    found.update(f"{image.mode} {image.size}".encode())
    return found.digest()

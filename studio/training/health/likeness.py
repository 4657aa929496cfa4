"""How alike two pictures are, from a few hundred bytes of each.

Two measures must agree. A difference hash (dHash, N. Krawetz 2013) tells where it gets brighter
from left to right, and so does not mind another size, format or brightness; drawings on white,
which have the same outline, differ for it in nothing. A miniature in colour tells those apart.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image

SIDE = 16
_MARGIN = 2
"""Levels by which it must get brighter: what is flat has noise of about one in a saved JPEG."""
LARGEST_DISTANCE = 32
"""Bits of 256 that may differ. Measured on drawn scenes, textures and portraits: 0-5 for one saved
again at quality 40, at half the size or with noise, 12-32 for one that is cut by 3%, and above 80
for unlike ones."""
LARGEST_DIFFERENCE = 12.0
"""Root mean square of what miniatures differ by, in levels of 255. Measured as above: up to 3 for
one saved again, up to 11 for one that is cut by 3%; 14 for two like faces of another colour, 16
with another mouth, 18 for one that has moved by 5%, above 27 for unlike ones."""
_AT_ONCE = 256
_HASHES = ("straight", "mirrored")


@dataclass(frozen=True)
class Likeness:
    """straight, mirrored: the hash of a picture and of its mirror image, 32 bytes each.

    miniature: SIDE x SIDE pixels of RGB, row by row.
    """

    straight: bytes
    mirrored: bytes
    miniature: bytes


def likeness(image: Image.Image, grey: Image.Image) -> Likeness:
    """That of a picture in RGB, and the same in grey."""
    wide = np.asarray(grey.resize((SIDE + 1, SIDE), Image.Resampling.BOX)).astype(int)
    small = np.asarray(image.resize((SIDE, SIDE), Image.Resampling.BOX))
    return Likeness(_hash(wide), _hash(wide[:, ::-1]), small.tobytes())


def _hash(wide: np.ndarray) -> bytes:
    return np.packbits(wide[:, 1:] - wide[:, :-1] > _MARGIN).tobytes()


def alike(looks: Sequence[Likeness]) -> list[list[int]]:
    """Groups of pictures that look the same, mirrored or not, by their places; none alone.

    Each is put with the first that it is like, which is not like an earlier one itself. So all of
    a group are like its first, and slow changes make no chains.
    """
    if len(looks) < 2:
        return []
    straight, mirrored = (_words([getattr(each, name) for each in looks]) for name in _HASHES)
    small = np.stack([np.frombuffer(each.miniature, np.uint8) for each in looks])
    small = small.reshape(-1, SIDE, SIDE, 3).astype(np.float32)
    leads = np.zeros(len(looks), bool)
    groups: dict[int, list[int]] = {}
    for start in range(0, len(looks), _AT_ONCE):
        part = straight[start : start + _AT_ONCE, None]
        near = _distance(part, straight) <= LARGEST_DISTANCE
        near_mirrored = _distance(part, mirrored) <= LARGEST_DISTANCE
        for one in range(start, start + len(part)):
            row = one - start
            firsts = np.flatnonzero((near[row] | near_mirrored[row]) & leads)
            same = near[row, firsts] & _close(small[firsts], small[one])
            same |= near_mirrored[row, firsts] & _close(small[firsts], small[one][:, ::-1])
            found = firsts[same]
            if found.size:
                groups[int(found[0])].append(one)
            else:
                leads[one] = True
                groups[one] = [one]
    return [group for group in groups.values() if len(group) > 1]


def _words(hashes: Sequence[bytes]) -> np.ndarray:
    return np.frombuffer(b"".join(hashes), np.uint64).reshape(len(hashes), -1)


def _distance(part: np.ndarray, every: np.ndarray) -> np.ndarray:
    """How many bits differ, of (n, 1, words) and (m, words): (n, m)."""
    return np.bitwise_count(part ^ every).sum(axis=-1, dtype=np.int32)


def _close(many: np.ndarray, one: np.ndarray) -> np.ndarray:
    return np.sqrt(np.square(many - one).mean(axis=(1, 2, 3))) <= LARGEST_DIFFERENCE

"""Captions made by a local model, for pictures that have none or for all."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Protocol

from PIL import Image

from studio.errors import AtelierError, NotFound
from studio.store.intake import take_picture
from studio.training.pictures.captions import one_line
from studio.training.pictures.editing import read_captions, write_captions

_BATCH = 4
_LONGEST = 768
"""Side in pixels of what a captioner is shown: none looks closer."""


class Captions(Protocol):
    """What says what pictures show; see studio/models/captioners.py."""

    def caption(self, images: Sequence[Image.Image]) -> list[str]:
        """A caption for each picture."""
        ...


@dataclass(frozen=True)
class Captioned:
    """What came of it. written: captions. failed: sentences on pictures that cannot be read."""

    written: int
    failed: tuple[str, ...] = ()


def caption_set(
    folder: Path,
    model: Captions,
    *,
    names: Sequence[str] | None = None,
    replace: bool = False,
    form: str = "{}",
    check: Callable[[], object] = lambda: None,
    tell: Callable[[int, int], None] = lambda done, of: None,
) -> Captioned:
    """Write captions for a set's pictures, as one edit that can be undone.

    names: of pictures, None for all. replace: also those that have a caption. form: of captions,
    with {} for the model's words, as in "sks, {}". check: called between batches; what it raises
    stops the work, and what was made until then is written. tell: is told pictures done, and all.
    """
    there = read_captions(folder)
    for name in names or ():
        if name not in there:
            raise NotFound(f"There is no picture {name!r} in {folder.name}; look at it anew.")
    chosen = list(there) if names is None else list(dict.fromkeys(names))
    waiting = iter([name for name in chosen if replace or not there[name]])
    total = sum(replace or not there[name] for name in chosen)
    made: dict[str, str] = {}
    failed: list[str] = []
    try:
        done = 0
        while batch := list(islice(waiting, _BATCH)):
            check()
            images = {name: image for name in batch if (image := _seen(folder, name, failed))}
            for name, text in zip(images, model.caption(list(images.values())), strict=True):
                made[name] = one_line(form.replace("{}", text))
            done += len(batch)
            tell(done, total)
    finally:
        count = write_captions(folder, made) if made else 0
    return Captioned(count, tuple(failed))


def _seen(folder: Path, name: str, failed: list[str]) -> Image.Image | None:
    try:
        image = take_picture((folder / name).read_bytes(), repr(name)).image
    except AtelierError as error:
        failed.append(str(error))
        return None
    except OSError as error:
        failed.append(f"{name!r} cannot be read ({(error.strerror or 'it is gone').lower()}).")
        return None
    image.thumbnail((_LONGEST, _LONGEST), Image.Resampling.BICUBIC)
    return image

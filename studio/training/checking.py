"""What is known before a training: what is wrong with its pictures, and what follows from them."""

import io
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from studio.diffusion import tokens
from studio.errors import NotFound
from studio.models.catalogue import Catalogue
from studio.models.entry import ModelEntry
from studio.models.families import Texts
from studio.people import Deed, needs
from studio.training.derive import Derived, derivations, resolved
from studio.training.health import fixes, thumbnails
from studio.training.health.check import Report, check
from studio.training.health.finding import Fix
from studio.training.health.looker import Looker, OnProgress
from studio.training.health.seen import TOKEN_LIMIT, Sight
from studio.training.pictures.buckets import place
from studio.training.pictures.captions import literal
from studio.training.pictures.crops import preview
from studio.training.pictures.example import Example, Placed
from studio.training.pictures.examples import survey
from studio.training.pictures.listing import Found, describe, find_pictures
from studio.training.pictures.notes import read_notes
from studio.training.pictures.sets import PictureSets
from studio.training_requests import TrainRequest

_FOLDER = "pictures"
_MIDDLE = (0.5, 0.5)
_PREVIEW = 720
"""Pixels of the longer side."""


@dataclass(frozen=True)
class Checked:
    """What a look before a training has found.

    derived: what nobody gave. buckets: how many pictures have each shape, in pixels.
    """

    report: Report
    derived: tuple[Derived, ...] = ()
    buckets: Mapping[tuple[int, int], int] = field(default_factory=dict)


class Checking:
    """Looks at picture sets as a training would see them. cache: of what can be made again."""

    def __init__(self, sets: PictureSets, catalogue: Catalogue, cache: Path):
        self.sets = sets
        self._catalogue = catalogue
        self._small = cache / _FOLDER / "small"
        self._looker = Looker(cache / _FOLDER / "looks")

    def look(
        self, request: TrainRequest, on_progress: OnProgress = lambda done, of: None
    ) -> Checked:
        """Check a request's pictures; NotFound and ModelError when set or model are not there.

        on_progress: called in this thread; what it raises stops the check.
        """
        entry = self._catalogue.usable(request.model)
        folder = self.sets.path(request.pictures)
        found = survey(folder, request)
        placed = _placed(request, found.examples, entry)
        report = check(
            folder,
            request,
            _sight(request, entry),
            self._looker,
            examples=placed,
            unusable={each.name: each.path for each in found.unreadable},
            on_progress=on_progress,
        )
        shapes = Counter(each.bucket for each in placed)
        derived = derivations(request, found.examples, entry)
        return Checked(report, tuple(derived), dict(shapes.most_common()))

    def refuse(self, request: TrainRequest, on_progress: OnProgress) -> None:
        """RequestError, in one sentence, for pictures that no training is begun with."""
        self.look(request, on_progress).report.refuse()

    def derived(self, request: TrainRequest) -> list[Derived]:
        """What follows from a request's pictures, as far as there are any, and its model."""
        found = survey(self.sets.path(request.pictures), request).examples
        return derivations(request, found, self._catalogue.usable(request.model))

    def placed(self, request: TrainRequest) -> list[Placed]:
        """A request's pictures, each in its bucket."""
        found = survey(self.sets.path(request.pictures), request).examples
        return _placed(request, found, self._catalogue.usable(request.model))

    @needs(Deed.MAKE)
    def mend(self, name: str, fix: Fix) -> str:
        """Do what a fix says to a set; a sentence on what was done."""
        return fixes.apply(self.sets.own(name), fix).sentence

    def last_mended(self, name: str) -> str:
        """What was mended last, "" when there is nothing to take back."""
        return fixes.last(self.sets.path(name))

    @needs(Deed.MAKE)
    def take_back(self, name: str) -> str:
        """Undo what was mended last; what that was."""
        return fixes.undo(self.sets.own(name))

    def cut(self, name: str, picture: Found, shape: tuple[str, int, bool]) -> bytes:
        """A picture of a set with what is cut off in the dark, as WebP.

        shape: the model, the side in pixels or 0 for its own, and whether shapes are kept.
        InputError when the picture cannot be read.
        """
        model, side, buckets = shape
        entry = self._catalogue.usable(model)
        folder = self.sets.path(name)
        facts = describe(folder, find_pictures(folder)).get(picture.name)
        if facts is None:
            raise NotFound(f"The picture set {name!r} has no {picture.name!r} any more.")
        focus = read_notes(folder).focus.get(picture.name, _MIDDLE)
        example = Example(picture.path, picture.name, facts.sha256, facts.size, focus=focus)
        side = side or min(entry.width, entry.height)
        [placed] = place([example], side, entry.multiple, buckets, entry.largest)
        stream = io.BytesIO()
        preview(placed, _PREVIEW).save(stream, "WEBP", quality=85)
        return stream.getvalue()

    def thumbnail(self, path: Path, side: int) -> bytes:
        """A picture made small, as WebP; InputError when it cannot be read."""
        return thumbnails.thumbnail(path, side, self._small)


def _placed(request: TrainRequest, examples: Sequence[Example], entry: ModelEntry) -> list[Placed]:
    """Pictures, each in its bucket."""
    side = request.resolution or resolved(request, examples, entry).resolution or entry.width
    return place(examples, side, entry.multiple, request.buckets, entry.largest)


def _sight(request: TrainRequest, entry: ModelEntry) -> Sight:
    family = entry.family
    side = request.resolution or min(entry.width, entry.height)
    # T5 reads all that a prompt may hold.
    counts = family is not None and family.texts is Texts.CLIP
    count: Callable[[str], int] | None = None
    if counts:

        def count(text: str) -> int:
            return tokens.count_for(entry, literal(text), 1, composable=False).tokens

    return Sight(side, entry.multiple, count, TOKEN_LIMIT)

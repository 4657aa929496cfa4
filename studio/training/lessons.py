"""From the slots of a step to what goes through the model: latents, noise and captions."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from studio.training.cache.latents import Latents
from studio.training.learner import Lesson
from studio.training.noise import Process, noise_of
from studio.training.pictures.captions import kept_tokens, variant
from studio.training.pictures.example import Placed
from studio.training.plan import Slot
from studio.training.watching.held_out import Held
from studio.training_requests import TrainRequest

VARIANTS = 16
"""Orders of a caption's tags at most, so that their states can be kept."""
_TEXTS = 2000
"""Texts whose states are kept for shuffled captions, at most."""


@dataclass(frozen=True)
class Lessons:
    """The pictures of a run, and how chance takes them.

    placed: those of the subject, then those of the class. held: what is only measured by.
    """

    request: TrainRequest
    placed: Sequence[Placed]
    held: Sequence[Held]
    latents: Latents
    process: Process

    def of(self, slots: Sequence[Slot]) -> Lesson:
        """The lesson of slots of one shape; each slot's chances follow from its seed alone."""
        request = self.request
        latents, noises, places, captions, sizes = [], [], [], [], []
        for slot in slots:
            placed = self.placed[slot.place]
            chance = torch.Generator().manual_seed(slot.seed)
            flips, drops = torch.rand(2, generator=chance).tolist()
            order = int(torch.randint(VARIANTS, (), generator=chance))
            places.append(self.process.drawn(chance))
            drawn = self.latents.drawn(placed, request.flip and flips < 0.5, chance)
            latents.append(drawn)
            noises.append(
                noise_of(drawn.shape, chance, request.noise_offset, request.multires_noise)
            )
            dropped = drops < request.caption_dropout
            captions.append("" if dropped else self._caption(placed, order))
            sizes.append(_sizes(placed))
        return Lesson(
            torch.stack(latents),
            torch.stack(noises),
            torch.tensor(places, dtype=torch.float64),
            tuple(captions),
            tuple(sizes),
            self.placed[slots[0].place].bucket,
        )

    def measured(
        self, held: Sequence[Held], positions: Sequence[float], seeds: Sequence[int]
    ) -> Lesson:
        """The lesson of pictures of one bucket at fixed positions, with the noise of seeds."""
        latents = [self.latents.mean(each.place, each.mirrored) for each in held]
        noises = [
            torch.randn(each.shape, generator=torch.Generator().manual_seed(seed))
            for each, seed in zip(latents, seeds, strict=True)
        ]
        return Lesson(
            torch.stack(latents),
            torch.stack(noises),
            torch.tensor(positions, dtype=torch.float64),
            tuple(each.place.example.caption for each in held),
            tuple(_sizes(each.place) for each in held),
            held[0].place.bucket,
        )

    def captions(self, places: Sequence[int] | None = None) -> list[str]:
        """All texts that a run may read, each once; places: of these examples alone."""
        orders = range(self._orders()) if self.request.shuffle_tags else range(1)
        found: dict[str, None] = {"": None}
        for placed in self._chosen(places):
            found |= dict.fromkeys(self._caption(placed, order) for order in orders)
        if places is None:
            found |= dict.fromkeys(each.place.example.caption for each in self.held)
        return list(found)

    def pictures(self, places: Sequence[int] | None = None) -> list[tuple[Placed, bool]]:
        """All pictures that a run may see, each with whether it is mirrored; places: as above."""
        flips = (False, True) if self.request.flip else (False,)
        learnt = [(placed, flip) for placed in self._chosen(places) for flip in flips]
        measured = [(each.place, each.mirrored) for each in self.held] if places is None else []
        return learnt + measured

    def _chosen(self, places: Sequence[int] | None) -> Sequence[Placed]:
        return self.placed if places is None else [self.placed[each] for each in places]

    def _orders(self) -> int:
        return max(1, min(VARIANTS, _TEXTS // max(1, len(self.placed))))

    def _caption(self, placed: Placed, order: int) -> str:
        caption = placed.example.caption
        if not self.request.shuffle_tags:
            return caption
        kept = kept_tokens(caption, self.request)
        return variant(caption, order % self._orders(), keep_tokens=kept)


def _sizes(placed: Placed) -> tuple[int, int, int, int]:
    """Width and height of the whole picture and where its cut begins, in the cut's scale."""
    width, height = placed.example.size
    left, top = placed.crop[:2]
    scale = placed.scale
    return round(width * scale), round(height * scale), round(left * scale), round(top * scale)

"""What is looked at on the way: samples with their scores, and what is held out."""

import io
import math
from collections.abc import Callable, Sequence
from typing import Any

import torch
from PIL import Image

from studio.errors import AtelierError
from studio.training.assembly import Parts
from studio.training.learner import Learner
from studio.training.pictures.crops import cut
from studio.training.run_folder import RunFolder
from studio.training.watching.held_out import Held, held_out_loss
from studio.training.watching.judge import Judge, installed
from studio.training.watching.memorised import CopyCheck, in_words

_REFERENCES = 32
"""Pictures of the subject that samples are compared with, at most."""

Show = Callable[[int, str, Image.Image], None]
"""Takes a sample: its step, its prompt and the picture."""


class Looks:
    """Looks at the live weights of a run.

    show: takes each sample besides. notice: takes what a person should know.
    """

    def __init__(self, parts: Parts, learner: Learner, show: Show, notice: Callable[[str], None]):
        self._parts = parts
        self._learner = learner
        self._folder: RunFolder = parts.folder
        self._show = show
        self._notice = notice
        self._judge: Judge | None = None
        self._copies: CopyCheck | None = None
        self._told = False

    def __call__(self, step: int) -> dict[str, float]:
        """Make samples, score them, and measure what is held out; means for the curves."""
        values = self.held_out()
        samples = self._samples(step)
        if self._parts.request.judge and samples:
            try:
                values |= self._scores(step, samples, values.get("held_out"))
            except AtelierError as error:  # scores are a help; a run does not end for them
                self._say_once(f"The samples are not scored: {error}")
        return {name: value for name, value in values.items() if math.isfinite(value)}

    def held_out(self) -> dict[str, float]:
        """The loss of what is held out; nothing when nothing is."""
        held = self._parts.lessons.held
        return {"held_out": held_out_loss(self._loss, held)} if held else {}

    def _samples(self, step: int) -> list[Image.Image]:
        found = []
        for number, request in enumerate(self._parts.sampler.requests()):
            picture = self._parts.sampler.paint(request)
            stream = io.BytesIO()
            picture.save(stream, "WEBP", quality=92)
            path = self._folder.sample_path(step, number)
            path.parent.mkdir(exist_ok=True)
            path.write_bytes(stream.getvalue())
            self._show(step, request.prompt, picture)
            found.append(picture)
        return found

    @torch.no_grad()
    def _loss(
        self, held: Sequence[Held], positions: Sequence[float], seeds: Sequence[int]
    ) -> float:
        lesson = self._parts.lessons.measured(held, positions, seeds)
        with self._parts.accelerator.autocast():
            return float(self._learner(lesson).mean())

    def _scores(
        self, step: int, samples: list[Image.Image], held_out: float | None
    ) -> dict[str, float]:
        """Of each sample into the run's folder, and their means."""
        request = self._parts.request
        pictures = self._references()
        if self._judge is None:
            device = str(self._parts.accelerator.device)
            self._judge = installed(self._parts.task.data, device)[0]
            self._copies = CopyCheck(pictures, self._judge)
            self._folder.notice(f"Samples are scored by {self._judge.name}.")
        assert self._copies is not None
        word = (request.trigger or request.prompt).casefold()
        shown = [
            place for place, each in enumerate(request.sample_prompts) if word in each.casefold()
        ]
        of_subject = [samples[place] for place in shown]
        subject = self._judge.subject(of_subject, pictures) if of_subject else []
        prompt = self._judge.prompt(samples, request.sample_prompts)
        found = self._copies(samples)
        copies = sum(each.copied for each in found)
        if copies:
            names = [each.example.name for each in self._parts.lessons.placed]
            self._say_once(in_words(found, names))
        told: dict[str, Any] = {"subject": subject, "prompt": prompt, "copies": copies}
        self._folder.score(step, {**told, "held_out": held_out})
        known = [each for each in prompt if each is not None]
        means = {"copies": float(copies)}
        if subject:
            means["subject"] = sum(subject) / len(subject)
        if known:
            means["prompt"] = sum(known) / len(known)
        return means

    def _references(self) -> list[Image.Image]:
        return [cut(each) for each in self._parts.lessons.placed[: self._parts.count][:_REFERENCES]]

    def _say_once(self, text: str) -> None:
        if not self._told:
            self._told = True
            self._notice(text)

"""Pictures from a picture and a text: what an edit job does."""

import io
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from PIL import Image

from studio.context import Context, Rung
from studio.diffusion.decode import decode
from studio.diffusion.denoise import denoise, first_latents, noised, steps_of
from studio.diffusion.editing.canvas import Canvas, prepare
from studio.diffusion.editing.encode import beside, encoded
from studio.diffusion.editing.ground import padded
from studio.diffusion.editing.hold import Hold, free_latents, hold_at
from studio.diffusion.memory.climb import Climb
from studio.diffusion.networks_called import spec_of
from studio.diffusion.noise import Seeds
from studio.diffusion.painter import Painter
from studio.diffusion.preview import Previewer
from studio.diffusion.run import Run, shape_of, tell_left_out
from studio.diffusion.samplers import executed
from studio.models.catalogue import Catalogue
from studio.requests import EditRequest, MaskedContent
from studio.store.inputs import InputStore


class Editing:
    """The work function of edit jobs."""

    def __init__(
        self, catalogue: Catalogue, inputs: InputStore, previewer: Previewer, climb: Climb
    ):
        self._catalogue = catalogue
        self._inputs = inputs
        self._previewer = previewer
        self._climb = climb

    def __call__(self, request: EditRequest, context: Context) -> None:
        """Make and save all pictures of a resolved request.

        Raises Cancelled within one step of the wish, RequestError when mask and source do not fit,
        OutOfMemory when a picture does not fit.
        """
        entry = self._catalogue.usable(request.model)
        source = self._inputs.open(request.source)
        mask = self._inputs.open(request.mask) if request.mask else None
        canvas = prepare(request, source, mask, entry)
        tell_left_out(request, entry, self._catalogue, context)
        shape = shape_of(request, canvas.size, encodes=True)
        done = 0

        def paint(pipe: Any, rungs: tuple[Rung, ...]) -> None:
            nonlocal done
            context.check()
            painter = Painter.of(request, entry, pipe, self._catalogue, rungs)
            for count in self._pictures(request, canvas, painter, context, done):
                done = count
                context.check()

        self._climb(context, spec_of(request, entry, self._catalogue.loras), entry, shape, paint)

    def _pictures(
        self, request: EditRequest, canvas: Canvas, painter: Painter, context: Context, done: int
    ) -> Iterator[int]:
        """Make and save what is left, batch by batch; how many are done after each."""
        scheduler = painter.scheduler(request, canvas.size, request.strength)
        length = (executed(request.steps, request.strength), len(steps_of(scheduler)))
        run = Run.prepare(request, painter, canvas.size, length, done)
        edit = _Edit.prepare(run, request, canvas)
        for batch in run.batches_left:
            seeds = run.seeds_of_batch(batch)
            for image, seed in zip(self._images(edit, batch, seeds, context), seeds, strict=False):
                context.save(run.picture(image, seed, edit.kept_mask))
            yield (batch + 1) * run.together

    def _images(
        self, edit: "_Edit", batch: int, seeds: list[Seeds], context: Context
    ) -> list[Image.Image]:
        """The finished pictures of a batch; none when it was skipped."""
        run, canvas = edit.run, edit.canvas
        if edit.request.strength == 0:
            return [Image.fromarray(canvas.source)] * len(seeds)
        noise, generators = run.noise(seeds)
        scheduler = run.scheduler(edit.request.strength)
        hold = edit.hold(noise)
        latents = denoise(
            run.predict(edit.beside),
            scheduler,
            edit.start(scheduler, noise),
            run.guidance.at,
            float(edit.request.cfg_scale or 1),
            generators,
            lambda step: run.tell(batch, step, context, self._previewer),
            hold.after(scheduler, steps_of(scheduler)),
        )
        if latents is None:
            return []
        return [canvas.finished(made, edit.request) for made in decode(run.pipe.vae, latents)]


@dataclass(frozen=True)
class _Edit:
    """What all batches of an edit share.

    latents: of the source (1, c, h, w). start_from: the same with the masked content in the hole,
    before noise. beside: channels for a model made for inpainting.
    """

    run: Run
    request: EditRequest
    canvas: Canvas
    latents: torch.Tensor
    start_from: torch.Tensor
    free: torch.Tensor | None
    beside: torch.Tensor | None
    kept_mask: bytes

    @classmethod
    def prepare(cls, run: Run, request: EditRequest, canvas: Canvas) -> "_Edit":
        pipe, factor = run.pipe, run.factor
        latents = _latents_of_work(canvas, pipe, factor)
        start_from, free = latents, None
        if canvas.work_hole is not None and canvas.work_soft is not None:
            if canvas.filled is not None:
                start_from = encoded(pipe, canvas.filled)
            shown = canvas.work_soft if request.soft else canvas.work_hole
            free = free_latents(shown, factor).to(run.painter.device)
            if request.masked_content is MaskedContent.NOTHING:
                start_from = latents * (free == 0)
        return cls(
            run=run,
            request=request,
            canvas=canvas,
            latents=latents,
            start_from=start_from,
            free=free,
            beside=beside(pipe, canvas.work, canvas.work_hole, factor),
            kept_mask=_png(canvas.hole),
        )

    def hold(self, noise: torch.Tensor) -> Hold:
        """How the source is held to during a batch with that noise."""
        request = self.request
        return Hold(
            source=self.latents,
            noise=noise,
            free=self.free,
            soft=request.soft and self.free is not None,
            curve=lambda position: hold_at(position, request.curve, request.curve_points),
        )

    def start(self, scheduler: Any, noise: torch.Tensor) -> torch.Tensor:
        """The latents of the first step; at strength 1 nothing of the source is left in them."""
        strength = self.request.strength
        noisy = first_latents(scheduler, self.start_from, noise, strength)
        if strength == 1:
            return noisy
        if self.request.masked_content is MaskedContent.NOISE and self.free is not None:
            # Noise stands for the source here and is made as noisy as the step on top; it must be
            # other noise, and the same for a picture whatever batch it is in.
            other = noise.roll((noise.shape[-2] // 2, noise.shape[-1] // 2), dims=(-2, -1))
            noisy = torch.where(self.free > 0, noised(scheduler, other, noise), noisy)
        return noisy


def _latents_of_work(canvas: Canvas, pipe: Any, factor: int) -> torch.Tensor:
    if canvas.given is None:
        return encoded(pipe, canvas.work)
    latents = encoded(pipe, padded(canvas.given, factor))
    wanted = (canvas.size[1] // factor, canvas.size[0] // factor)
    return torch.nn.functional.interpolate(latents, wanted, mode="bilinear")


def _png(hole: np.ndarray | None) -> bytes:
    if hole is None:
        return b""
    stream = io.BytesIO()
    Image.fromarray(hole).convert("1").save(stream, "PNG")
    return stream.getvalue()

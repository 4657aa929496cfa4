"""Text to pictures: what a generation job does, from its request to saved files."""

from collections.abc import Iterator
from typing import Any

from studio.context import Context, Rung
from studio.diffusion.decode import decode
from studio.diffusion.denoise import denoise, first_sigma
from studio.diffusion.editing.encode import blank
from studio.diffusion.memory.climb import Climb
from studio.diffusion.networks_called import spec_of
from studio.diffusion.painter import Painter
from studio.diffusion.preview import Previewer
from studio.diffusion.run import Run, shape_of, tell_left_out
from studio.diffusion.sizes import enlarged_size
from studio.diffusion.upscaling.choices import LATENT
from studio.diffusion.upscaling.hires import SecondPass
from studio.models.catalogue import Catalogue
from studio.requests import GenerationRequest


class Generation:
    """The work function of generation jobs."""

    def __init__(self, catalogue: Catalogue, previewer: Previewer, climb: Climb):
        self._catalogue = catalogue
        self._previewer = previewer
        self._climb = climb

    def __call__(self, request: GenerationRequest, context: Context) -> None:
        """Make and save all pictures of a resolved request.

        Raises Cancelled within one step of the wish, OutOfMemory when a picture does not fit.
        """
        entry = self._catalogue.usable(request.model)
        assert request.width
        assert request.height
        tell_left_out(request, entry, self._catalogue, context)
        largest = enlarged_size((request.width, request.height), request.hires_scale)
        encodes = request.hires_scale > 1 and request.hires_upscaler not in LATENT
        shape = shape_of(request, largest, encodes=encodes)
        done = 0

        def paint(pipe: Any, rungs: tuple[Rung, ...]) -> None:
            nonlocal done
            context.check()
            painter = Painter.of(request, entry, pipe, self._catalogue, rungs)
            for count in self._pictures(request, painter, context, done):
                done = count
                context.check()

        self._climb(context, spec_of(request, entry, self._catalogue.loras), entry, shape, paint)

    def _pictures(
        self, request: GenerationRequest, painter: Painter, context: Context, done: int
    ) -> Iterator[int]:
        """Make and save what is left, batch by batch; how many are done after each."""
        assert request.width
        assert request.height
        size = (request.width, request.height)
        evaluations = len(painter.scheduler(request, size).timesteps)
        run = Run.prepare(request, painter, size, (request.steps, evaluations), done)
        second = None
        if request.hires_scale > 1:
            run, second = SecondPass.after(run, request)
        for batch in run.batches_left:
            self._batch(run, second, batch, context)
            yield (batch + 1) * run.together

    def _batch(self, run: Run, second: SecondPass | None, batch: int, context: Context) -> None:
        seeds = run.seeds_of_batch(batch)
        noise, generators = run.noise(seeds)
        scheduler = run.scheduler()
        latents = denoise(
            run.predict(blank(run.pipe, run.size, run.factor)),
            scheduler,
            noise * first_sigma(scheduler),
            run.guidance.at,
            float(run.request.cfg_scale or 1),
            generators,
            lambda step: run.tell(batch, step, context, self._previewer),
        )
        if latents is not None and second is not None:
            latents = second(latents, seeds, batch, context, self._previewer)
        if latents is None:
            return
        images = decode(run.pipe.vae, latents)
        for image, seed in zip(images, seeds, strict=True):
            context.save(run.picture(image, seed))

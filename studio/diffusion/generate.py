"""Text to pictures: what a generation job does, from its request to saved files."""

import torch

from studio.context import Context
from studio.diffusion.decode import decode
from studio.diffusion.denoise import denoise, first_sigma
from studio.diffusion.editing.encode import blank
from studio.diffusion.networks_called import spec_of
from studio.diffusion.painter import Painter
from studio.diffusion.preview import Previewer
from studio.diffusion.run import Run, memory_in_words, tell_left_out
from studio.diffusion.sizes import enlarged_size
from studio.diffusion.upscaling.hires import SecondPass
from studio.models.catalogue import Catalogue
from studio.requests import GenerationRequest


class Generation:
    """The work function of generation jobs."""

    def __init__(self, catalogue: Catalogue, previewer: Previewer):
        self._catalogue = catalogue
        self._previewer = previewer

    def __call__(self, request: GenerationRequest, context: Context) -> None:
        """Make and save all pictures of a resolved request.

        Raises Cancelled within one step of the wish, OutOfMemory when a picture does not fit.
        """
        entry = self._catalogue.usable(request.model)
        assert request.width
        assert request.height
        size = (request.width, request.height)
        largest = enlarged_size(size, request.hires_scale)
        with (
            context.borrow(spec_of(request, entry, self._catalogue.loras)) as pipe,
            torch.inference_mode(),
            memory_in_words(request, largest),
        ):
            context.check()
            tell_left_out(request, entry, self._catalogue, context)
            painter = Painter.of(request, entry, pipe, self._catalogue)
            evaluations = len(painter.scheduler(request, size).timesteps)
            run = Run.prepare(request, painter, size, (request.steps, evaluations))
            second = None
            if request.hires_scale > 1:
                run, second = SecondPass.after(run, request)
            for batch in range(run.batches):
                self._batch(run, second, batch, context)

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
        context.check()

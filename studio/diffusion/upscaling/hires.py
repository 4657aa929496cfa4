"""The second pass of a text-to-image job, at a larger size (hires fix).

The first picture, enlarged as latents or as pixels, is made noisy again and denoised for the rest
of the steps: composition comes from the size that the model knows, detail from the larger one.
"""

from dataclasses import dataclass, replace

import numpy as np
import torch
from PIL import Image

from studio.context import Context, Signal
from studio.diffusion.decode import decode
from studio.diffusion.denoise import denoise, first_latents, steps_of
from studio.diffusion.editing.encode import blank, encoded
from studio.diffusion.noise import Seeds
from studio.diffusion.pace import Pace
from studio.diffusion.preview import Previewer
from studio.diffusion.run import Run
from studio.diffusion.samplers import executed, schedules_for
from studio.diffusion.upscaling.choices import LATENT
from studio.diffusion.upscaling.enlarge import enlarge
from studio.requests import GenerationRequest, Schedule


class _Skipped(Exception):
    """The person leaves the batch out while an upscaling model works."""


def second_request(
    request: GenerationRequest, multiple: int, *, flow: bool = False
) -> GenerationRequest:
    """What the second pass is, as a request of its own.

    multiple: of the model; the size is rounded to it. flow: whether it was trained by flow
    matching, where every sampler follows every schedule.
    """
    sampler = request.hires_sampler or request.sampler
    kept = request.schedule in schedules_for(sampler, flow=flow)
    return request.model_copy(
        update={
            "width": _rounded((request.width or 0) * request.hires_scale, multiple),
            "height": _rounded((request.height or 0) * request.hires_scale, multiple),
            "prompt": request.hires_prompt or request.prompt,
            "negative_prompt": request.hires_negative_prompt or request.negative_prompt,
            "steps": request.hires_steps or request.steps,
            "sampler": sampler,
            "schedule": request.schedule if kept else Schedule.AUTOMATIC,
            "cfg_scale": request.hires_cfg_scale or request.cfg_scale,
            "hires_scale": 1.0,
        }
    )


def _rounded(length: float, multiple: int) -> int:
    return max(multiple, round(length / multiple) * multiple)


@dataclass(frozen=True)
class SecondPass:
    """What all batches of a job share in their second pass."""

    run: Run
    request: GenerationRequest
    evaluations: int

    @classmethod
    def after(cls, first: Run, request: GenerationRequest) -> tuple[Run, "SecondPass"]:
        """The first pass, knowing that there is a second one, and that one."""
        painter = first.painter
        again = second_request(request, painter.entry.multiple, flow=painter.family.flow)
        assert again.width
        assert again.height
        size = (again.width, again.height)
        scheduler = first.painter.scheduler(again, size, request.hires_strength)
        count = len(steps_of(scheduler))
        steps = executed(again.steps, request.hires_strength)
        second = Run.prepare(again, first.painter, size, (steps, count), first.done)
        # Attention grows faster than the area, the rest of the network with it.
        weight = (size[0] * size[1]) / (first.size[0] * first.size[1])
        evaluations = len(first.scheduler().timesteps)
        pace = Pace((evaluations + weight * count) * len(first.batches_left))
        return (
            replace(first, pace=pace, after=steps, later=weight * count),
            cls(replace(second, pace=pace, before=first.steps, weight=weight), request, count),
        )

    def __call__(
        self,
        latents: torch.Tensor,
        seeds: list[Seeds],
        batch: int,
        context: Context,
        previewer: Previewer,
    ) -> torch.Tensor | None:
        """Larger latents from those of the first pass; None when the batch is skipped."""
        run = self.run
        try:
            grown = self._grown(latents, context)
        except _Skipped:
            run.pace.leave_out(self.evaluations * run.weight)
            return None
        noise, generators = run.noise(seeds)
        scheduler = run.scheduler(self.request.hires_strength)
        return denoise(
            run.predict(blank(run.pipe, run.size, run.factor)),
            scheduler,
            first_latents(scheduler, grown, noise, self.request.hires_strength),
            run.guidance.at,
            float(run.request.cfg_scale or 1),
            generators,
            lambda step: run.tell(batch, step, context, previewer),
        )

    def _grown(self, latents: torch.Tensor, context: Context) -> torch.Tensor:
        size, factor = self.run.size, self.run.factor
        name = self.request.hires_upscaler
        if name in LATENT:
            shape = (size[1] // factor, size[0] // factor)
            return torch.nn.functional.interpolate(latents, shape, mode=LATENT[name])
        pictures: list[Image.Image] = decode(self.run.pipe.vae, latents)

        def on_tile(_done: int, _count: int) -> None:
            if context.check() is Signal.SKIP:
                raise _Skipped

        parts = [
            encoded(self.run.pipe, enlarge(np.asarray(each), size, name, context, on_tile))
            for each in pictures
        ]
        return torch.cat(parts)

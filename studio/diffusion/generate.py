"""Text to pictures: what a generation job does, from its request to saved files."""

import io
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from PIL import Image

from studio import __version__
from studio.context import Context, ModelSpec, Signal
from studio.diffusion.decode import decode
from studio.diffusion.denoise import Step, denoise
from studio.diffusion.guidance import Conditions, Predict, PromptGuidance
from studio.diffusion.metadata import infotext
from studio.diffusion.metadata.document import Document
from studio.diffusion.metadata.files import save
from studio.diffusion.noise import Seeds, draw, seeds_of
from studio.diffusion.pace import Pace
from studio.diffusion.preview import Previewer
from studio.diffusion.prompt import plan
from studio.diffusion.receipt import receipt
from studio.diffusion.resolve import of_one_picture
from studio.diffusion.samplers import build_scheduler
from studio.errors import OutOfMemory
from studio.events import Notice, Progress
from studio.models.catalogue import Catalogue, ModelEntry, model_hash
from studio.requests import GenerationRequest, ImageFormat
from studio.store.outputs import Picture

_SUFFIXES = {ImageFormat.PNG: ".png", ImageFormat.JPEG: ".jpg", ImageFormat.WEBP: ".webp"}


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
        with (
            context.borrow(ModelSpec("diffusion", entry.id, "text2image")) as pipe,
            torch.inference_mode(),
            _memory_in_words(request),
        ):
            context.check()
            for tag in plan(request.prompt, request.steps).networks:
                name = ":".join((tag.kind, *tag.args[:1]))
                context.emit(Notice(text=f"<{name}> was left out: no such network is installed."))
            run = _Run.prepare(request, entry, pipe)
            for batch in range(run.batches):
                self._batch(run, batch, context)

    def _batch(self, run: "_Run", batch: int, context: Context) -> None:
        seeds = run.seeds[batch * run.together : (batch + 1) * run.together]
        noise, generators = run.noise(seeds)
        scheduler = run.scheduler()
        latents = denoise(
            run.predict,
            scheduler,
            noise,
            run.guidance.at,
            float(run.request.cfg_scale or 1),
            generators,
            lambda step: self._tell(run, batch, step, context),
        )
        if latents is None:
            return
        images = decode(run.pipe.vae, latents)
        for image, seed in zip(images, seeds, strict=True):
            context.save(run.picture(image, seed))
        context.check()

    def _tell(self, run: "_Run", batch: int, step: Step, context: Context) -> bool:
        """Emit progress and preview; False when the person skips this batch."""
        if context.check() is Signal.SKIP:
            run.pace.leave_out(step.count - step.index + 1)
            return False
        # Some samplers evaluate twice a step: people count the steps that they asked for.
        steps = run.request.steps
        number = -(-step.index * steps // step.count)
        before = -(-(step.index - 1) * steps // step.count)
        context.emit(
            Progress(
                step=number,
                steps=steps,
                item=batch + 1,
                items=run.batches,
                seconds_left=run.pace.step(),
                label="batch" if run.together > 1 else "picture",
            )
        )
        every = run.request.preview_every
        if every and number % every == 0 and before < number < steps:
            context.emit(
                self._previewer.event(run.pipe.vae, step.clean(), run.entry.factor, number)
            )
        return True


@dataclass(frozen=True)
class _Run:
    """What all batches of a job share; together: pictures that are denoised at once."""

    request: GenerationRequest
    entry: ModelEntry
    pipe: Any
    seeds: list[Seeds]
    guidance: PromptGuidance
    together: int
    pace: Pace
    hash: str

    @classmethod
    def prepare(cls, request: GenerationRequest, entry: ModelEntry, pipe: Any) -> "_Run":
        assert entry.family is not None
        encoders = [(getattr(pipe, t), getattr(pipe, e)) for t, e in entry.family.encoders]
        guidance = PromptGuidance(
            encoders, request, bool(pipe.config.get("force_zeros_for_empty_prompt"))
        )
        first = _scheduler(request, pipe)
        seeds = seeds_of(
            request.seed, request.variation_seed, request.variation_strength, request.image_count
        )
        together = _together(request, pipe)
        pace = Pace(len(first.timesteps) * (request.image_count // together))
        return cls(request, entry, pipe, seeds, guidance, together, pace, model_hash(entry))

    @property
    def batches(self) -> int:
        """How many times the device denoises."""
        return len(self.seeds) // self.together

    def scheduler(self) -> Any:
        """A fresh scheduler: they remember the run they were used for."""
        return _scheduler(self.request, self.pipe)

    def noise(self, seeds: list[Seeds]) -> tuple[torch.Tensor, list[torch.Generator]]:
        """Starting noise (b, c, h, w) on the device, float32, and each picture's generator."""
        assert self.request.width
        assert self.request.height
        factor = self.entry.factor
        shape = (
            self.pipe.vae.config.latent_channels,
            self.request.height // factor,
            self.request.width // factor,
        )
        pairs = [draw(each, shape) for each in seeds]
        noise = torch.stack([noise for noise, _ in pairs]).to(self.pipe.device)
        return noise, [generator for _, generator in pairs]

    @property
    def predict(self) -> Predict:
        """The denoiser as a function of latents, time and text states."""
        return _predictor(self.pipe, self.request)

    def picture(self, image: Image.Image, seeds: Seeds) -> Picture:
        """The encoded file of a finished picture with all that makes it again."""
        request = of_one_picture(self.request, seeds.seed, seeds.variation_seed)
        text = infotext.write(request, self.entry.id, self.hash, __version__)
        document = Document(
            request=request, model_hash=self.hash, versions=receipt(self.pipe)
        ).to_json()
        stream = io.BytesIO()
        save(image, stream, request.image_format, text, document)
        return Picture(
            data=stream.getvalue(),
            suffix=_SUFFIXES[request.image_format],
            width=image.width,
            height=image.height,
            seed=request.seed,
            model=self.entry.id,
            prompt=request.prompt,
            negative_prompt=request.negative_prompt,
            infotext=text,
            request=request.model_dump_json(),
        )


def _together(request: GenerationRequest, pipe: Any) -> int:
    """Pictures that are denoised at once: a whole batch, or one where that would change pixels.

    A CPU rounds half-precision sums in another order for each batch size, and a picture of a
    batch could not be made again on its own.
    """
    exact = pipe.device.type != "cpu" or pipe.unet.dtype == torch.float32
    return request.batch_size if exact else 1


def _scheduler(request: GenerationRequest, pipe: Any) -> Any:
    return build_scheduler(
        request.sampler, request.schedule, pipe.scheduler.config, request.steps, pipe.device
    )


def _predictor(pipe: Any, request: GenerationRequest) -> Predict:
    """The UNet of Stable Diffusion 1, 2 or XL; XL is told the picture's size as well.

    Source: Podell et al. 2023 (arXiv 2307.01952), section 2.2, for the size conditioning.
    """
    weight = pipe.unet.dtype
    size = (request.height, request.width)
    sizes = torch.tensor([[*size, 0, 0, *size]], device=pipe.device, dtype=weight)

    def predict(latents: torch.Tensor, t: torch.Tensor, conditions: Conditions) -> torch.Tensor:
        repeats = len(latents) // len(conditions.embeds)
        embeds = conditions.embeds.repeat_interleave(repeats, dim=0)
        added = None
        if conditions.pooled is not None:
            added = {
                "text_embeds": conditions.pooled.repeat_interleave(repeats, dim=0),
                "time_ids": sizes.repeat(len(latents), 1),
            }
        prediction = pipe.unet(
            latents.to(weight),
            t,
            encoder_hidden_states=embeds,
            added_cond_kwargs=added,
            return_dict=False,
        )[0]
        # Schedulers add up many small steps: their arithmetic stays in float32.
        return prediction.float()

    return predict


@contextmanager
def _memory_in_words(request: GenerationRequest) -> Iterator[None]:
    try:
        yield
    except torch.OutOfMemoryError as error:
        raise OutOfMemory(
            f"A batch of {request.batch_size} at {request.width}x{request.height} does not fit "
            "into the device's memory; choose a smaller size or batch."
        ) from error

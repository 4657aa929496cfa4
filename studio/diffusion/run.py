"""What all batches of a job of pictures share, from the text states to the saved file."""

import io
from dataclasses import dataclass, replace
from typing import Any

import torch
from PIL import Image

from studio import __version__
from studio.context import Context, Rung, Signal
from studio.diffusion.denoise import Step
from studio.diffusion.guidance import Predict, PromptGuidance
from studio.diffusion.memory.need import Shape
from studio.diffusion.metadata import infotext
from studio.diffusion.metadata.document import Document
from studio.diffusion.metadata.files import save
from studio.diffusion.networks import Seen
from studio.diffusion.networks_called import missing_networks, prompts_of
from studio.diffusion.noise import Seeds, draw, seeds_of
from studio.diffusion.pace import Pace
from studio.diffusion.painter import Painter
from studio.diffusion.preview import Previewer
from studio.diffusion.prompt import plan
from studio.diffusion.receipt import receipt
from studio.diffusion.resolve import of_one_picture
from studio.diffusion.words import used_in
from studio.events import Notice, Progress
from studio.models.catalogue import Catalogue
from studio.models.entry import ModelEntry
from studio.requests import AnyPictureRequest, ImageFormat
from studio.store.outputs import Picture

_SUFFIXES = {ImageFormat.PNG: ".png", ImageFormat.JPEG: ".jpg", ImageFormat.WEBP: ".webp"}


@dataclass(frozen=True)
class Run:
    """A job's state between its batches.

    size: width and height that the model works at. steps: that people count. together: pictures
    that are denoised at once. before, after: steps of the same pictures in other passes. weight:
    what an evaluation costs, 1 in the first pass. later: what the passes after this one cost.
    done: pictures that an earlier try has made already.
    """

    request: AnyPictureRequest
    painter: Painter
    size: tuple[int, int]
    steps: int
    seeds: list[Seeds]
    guidance: PromptGuidance
    together: int
    pace: Pace
    before: int = 0
    after: int = 0
    weight: float = 1.0
    later: float = 0.0
    done: int = 0

    @classmethod
    def prepare(
        cls,
        request: AnyPictureRequest,
        painter: Painter,
        size: tuple[int, int],
        length: tuple[int, int],
        done: int = 0,
    ) -> "Run":
        """Encode the prompts and draw the seeds.

        length: steps and evaluations of the denoiser in each batch; some samplers take two a step.
        done: pictures that an earlier try has made already.
        """
        steps, evaluations = length
        guidance = PromptGuidance(painter.texts(), request, painter.zero_empty, painter.device)
        seeds = seeds_of(
            request.seed, request.variation_seed, request.variation_strength, request.image_count
        )
        together = _together(request, painter)
        pace = Pace(evaluations * ((request.image_count - done) // together))
        return cls(request, painter, size, steps, seeds, guidance, together, pace, done=done)

    @property
    def pipe(self) -> Any:
        """The pipeline that is borrowed."""
        return self.painter.pipe

    @property
    def factor(self) -> int:
        """Pixels that a latent stands for, along a side."""
        return self.painter.entry.factor

    def sized(self, size: tuple[int, int]) -> "Run":
        """The same run where the model sees another size."""
        return replace(self, size=size)

    @property
    def batches(self) -> int:
        """How many times the device denoises."""
        return len(self.seeds) // self.together

    @property
    def batches_left(self) -> range:
        """The numbers, from 0, of those that no earlier try has finished."""
        return range(self.done // self.together, self.batches)

    def seeds_of_batch(self, batch: int) -> list[Seeds]:
        """The seeds of the pictures that are denoised together."""
        return self.seeds[batch * self.together : (batch + 1) * self.together]

    def scheduler(self, strength: float = 1.0) -> Any:
        """A fresh scheduler: they remember the run they were used for."""
        return self.painter.scheduler(self.request, self.size, strength)

    def noise(
        self, seeds: list[Seeds], size: tuple[int, int] | None = None
    ) -> tuple[torch.Tensor, list[torch.Generator]]:
        """Starting noise (b, c, h, w) on the device, float32, and each picture's generator.

        size: width and height in pixels where the noise is for more than the model sees at once.
        """
        width, height = size or self.size
        factor = self.factor
        shape = (self.pipe.vae.config.latent_channels, height // factor, width // factor)
        pairs = [draw(each, shape) for each in seeds]
        noise = torch.stack([noise for noise, _ in pairs]).to(self.painter.device)
        return noise, [generator for _, generator in pairs]

    def predict(self, beside: torch.Tensor | None = None) -> Predict:
        """The denoiser as a function of latents, time and text states.

        beside: channels (1, c, h, w) that a model for inpainting reads next to the latents.
        """
        return self.painter.predict(Seen(self.size, beside, self.request.distilled_cfg_scale))

    def tell(self, batch: int, step: Step, context: Context, previewer: Previewer) -> bool:
        """Emit progress and preview; False when the person skips this batch."""
        if context.check() is Signal.SKIP:
            self.pace.leave_out((step.count - step.index + 1) * self.weight + self.later)
            return False
        # Some samplers evaluate twice a step: people count the steps that they asked for.
        steps = self.before + self.steps + self.after
        number = self.before + -(-step.index * self.steps // step.count)
        before = self.before + -(-(step.index - 1) * self.steps // step.count)
        context.emit(
            Progress(
                step=number,
                steps=steps,
                item=batch + 1,
                items=self.batches,
                seconds_left=self.pace.step(self.weight),
                label="batch" if self.together > 1 else "picture",
            )
        )
        every = self.request.preview_every
        if every and number % every == 0 and before < number < steps:
            context.emit(previewer.event(self.pipe.vae, step.clean(), self.factor, number))
        return True

    def picture(self, image: Image.Image, seeds: Seeds, mask: bytes = b"") -> Picture:
        """The encoded file of a finished picture with all that makes it again.

        mask: the PNG file of the mask that is kept beside it.
        """
        request = of_one_picture(self.request, seeds.seed, seeds.variation_seed)
        versions = receipt(self.painter.denoiser, self.painter.rungs)
        document = Document(
            request=request,
            model_hash=self.painter.hash,
            lora_hashes=dict(self.painter.loras),
            embedding_hashes=dict(self.painter.embeddings),
            versions=versions,
        )
        return packed(image, document, self.painter.entry.id, mask)


def packed(image: Image.Image, document: Document, model: str, mask: bytes = b"") -> Picture:
    """The encoded file of a picture with the record of how it was made.

    model: id of what made it. mask: the PNG file of the mask that is kept beside it.
    """
    request = document.request
    hashes = {"Lora hashes": document.lora_hashes, "TI hashes": document.embedding_hashes}
    text = infotext.write(request, model, document.model_hash, __version__, hashes)
    stream = io.BytesIO()
    save(image, stream, request.image_format, text, document.to_json())
    return Picture(
        data=stream.getvalue(),
        suffix=_SUFFIXES[request.image_format],
        width=image.width,
        height=image.height,
        seed=request.seed,
        model=model,
        prompt=request.prompt,
        negative_prompt=request.negative_prompt,
        infotext=text,
        request=request.model_dump_json(),
        mask=mask,
    )


def tell_left_out(
    request: AnyPictureRequest, entry: ModelEntry, catalogue: Catalogue, context: Context
) -> None:
    """Name what the prompts call for and the model cannot use."""
    for embedding in used_in(prompts_of(request), catalogue.embeddings):
        if not embedding.fits(entry):
            told = f"The embedding {embedding.word!r} is for {embedding.family}"
            context.emit(Notice(text=f"{told} and was read as a plain word."))
    for tag in missing_networks(request.prompt, catalogue.loras):
        name = ":".join((tag.kind, *tag.args[:1]))
        context.emit(Notice(text=f"<{name}> was left out: no such network is installed."))


def shape_of(
    request: AnyPictureRequest, size: tuple[int, int], pictures: int = 0, *, encodes: bool
) -> Shape:
    """What a job paints at its largest; pictures: at once, 0 for a batch."""
    texts = [request.prompt, getattr(request, "hires_prompt", "")]
    parts = max(len(plan(text, request.steps).parts) for text in texts)
    guided = request.cfg_scale != 1 or parts > 1
    return Shape(size, pictures or request.batch_size, parts + guided, encodes)


def _together(request: AnyPictureRequest, painter: Painter) -> int:
    """Pictures that are denoised at once: a whole batch, or one where that would change pixels.

    A CPU rounds half-precision sums in another order for each batch size, and a picture of a
    batch could not be made again on its own.
    """
    if Rung.ONE_BY_ONE in painter.rungs:
        return 1
    exact = painter.device.type != "cpu" or painter.denoiser.dtype == torch.float32
    return request.batch_size if exact else 1

"""Larger pictures from pictures: what an upscaling job does."""

import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch
from PIL import Image

from studio.context import Context, Rung
from studio.diffusion.decode import decode
from studio.diffusion.denoise import Step, denoise, first_latents, steps_of
from studio.diffusion.editing.encode import blank, encoded
from studio.diffusion.editing.ground import padded
from studio.diffusion.guidance import Conditions, Predict
from studio.diffusion.memory.climb import Climb
from studio.diffusion.metadata.document import Document
from studio.diffusion.networks_called import spec_of
from studio.diffusion.pace import Pace
from studio.diffusion.painter import Painter
from studio.diffusion.preview import Previewer
from studio.diffusion.receipt import receipt_of_pixels
from studio.diffusion.run import Run, packed, shape_of, tell_left_out
from studio.diffusion.samplers import executed
from studio.diffusion.sizes import enlarged_size
from studio.diffusion.upscaling.enlarge import enlarge
from studio.diffusion.upscaling.tiles import Window, blended, in_windows, windows
from studio.events import Progress
from studio.models.catalogue import Catalogue
from studio.requests import UpscaleRequest
from studio.store.inputs import InputStore

_TOLD_EVERY = 0.1
"""Seconds between two reports; small tiles are done faster than anyone can read."""


class Upscaling:
    """The work function of upscaling jobs."""

    def __init__(
        self, catalogue: Catalogue, inputs: InputStore, previewer: Previewer, climb: Climb
    ):
        self._catalogue = catalogue
        self._inputs = inputs
        self._previewer = previewer
        self._climb = climb

    def __call__(self, request: UpscaleRequest, context: Context) -> None:
        """Make and save the picture of a resolved request.

        Raises Cancelled within one tile of the wish, OutOfMemory when a tile does not fit.
        """
        source = np.asarray(self._inputs.open(request.source).convert("RGB"))
        size = enlarged_size((source.shape[1], source.shape[0]), request.scale)
        with torch.inference_mode():
            tiles = _Tiles(context, 1)
            grown = enlarge(source, size, request.upscaler, context, tiles.counted)
        del source
        context.check()
        if request.strength > 0:
            self._redraw(request, grown, context)
            return
        document = Document(request=request, versions=receipt_of_pixels())
        context.save(packed(Image.fromarray(grown), document, request.upscaler))

    def _redraw(self, request: UpscaleRequest, picture: np.ndarray, context: Context) -> None:
        """Paint the picture anew, tile by tile, and save it."""
        entry = self._catalogue.usable(request.model)
        grown = padded(picture, entry.multiple)
        tile = (min(request.tile, grown.shape[1]), min(request.tile, grown.shape[0]))
        tell_left_out(request, entry, self._catalogue, context)

        def paint(pipe: Any, rungs: tuple[Rung, ...]) -> None:
            context.check()
            painter = Painter.of(request, entry, pipe, self._catalogue, rungs)
            count = len(steps_of(painter.scheduler(request, tile, request.strength)))
            steps = executed(request.steps, request.strength)
            run = Run.prepare(request, painter, tile, (steps, count))
            redraw = _Redraw(run, request, grown, context, count)
            made = redraw.picture(redraw.denoised(self._previewer))
            made = np.ascontiguousarray(made[: picture.shape[0], : picture.shape[1]])
            context.save(run.picture(Image.fromarray(made), run.seeds[0]))

        shape = shape_of(request, tile, 1, encodes=True)
        self._climb(context, spec_of(request, entry, self._catalogue.loras), entry, shape, paint)


class _Tiles:
    """Tells how many tiles are done, in each of several passes over the picture."""

    def __init__(self, context: Context, passes: int):
        self._context = context
        self._passes = passes
        self._done = 0
        self._pace: Pace | None = None
        self._told = 0.0

    def counted(self, done: int, count: int) -> None:
        """One more tile of the only pass."""
        self.one(count)

    def one(self, count: int) -> None:
        """One more tile, of so many in each pass; raises Cancelled."""
        self._context.check()
        if self._pace is None:
            self._pace = Pace(count * self._passes)
        left = self._pace.step()
        number, self._done = self._done % count + 1, self._done + 1
        now = time.monotonic()
        if now - self._told < _TOLD_EVERY and number < count:
            return
        self._told = now
        progress = Progress(
            step=number,
            steps=count,
            item=(self._done - 1) // count + 1,
            items=self._passes,
            seconds_left=left,
            label="pass",
            unit="tile",
        )
        self._context.emit(progress)


class _Redraw:
    """One picture that is denoised in windows.

    picture: (h, w, 3), sides multiples of the model's factor. evaluations: of the denoiser.
    """

    def __init__(
        self,
        run: Run,
        request: UpscaleRequest,
        picture: np.ndarray,
        context: Context,
        evaluations: int,
    ):
        self._run, self._request, self._picture = run, request, picture
        self._context = context
        factor = run.factor
        pixels = (picture.shape[1], picture.shape[0])
        size = (pixels[0] // factor, pixels[1] // factor)
        tile = request.tile // factor
        plan = (tile, round(tile * request.overlap))
        self._windows = windows(size, *plan)
        self._of_pixels = windows(size, *plan, pixels)
        # One pass to encode and one to decode; some samplers evaluate twice a step.
        self._tiles = _Tiles(context, evaluations + 2)

    def _tell(self) -> None:
        self._tiles.one(len(self._windows))

    def denoised(self, previewer: Previewer) -> torch.Tensor:
        """Clean latents of the whole picture (1, c, h, w)."""
        run, request = self._run, self._request
        latents = self._encoded()
        noise, generators = run.noise(run.seeds, (self._picture.shape[1], self._picture.shape[0]))
        scheduler = run.scheduler(request.strength)
        result = denoise(
            self._predict(),
            scheduler,
            first_latents(scheduler, latents, noise, request.strength),
            run.guidance.at,
            float(request.cfg_scale or 1),
            generators,
            self._previewed(previewer),
        )
        assert result is not None
        return result

    def picture(self, latents: torch.Tensor) -> np.ndarray:
        """The decoded picture (h, w, 3)."""
        vae = self._run.pipe.vae

        def parts() -> Iterator[tuple[Window, torch.Tensor]]:
            for small, large in zip(self._windows, self._of_pixels, strict=True):
                (image,) = decode(vae, small.of(latents))
                yield large, torch.tensor(np.asarray(image)).permute(2, 0, 1)
                self._tell()

        height, width = self._picture.shape[:2]
        plane = blended(parts(), (3, height, width), torch.empty(0))
        result = np.empty((height, width, 3), "u1")
        for top in range(0, height, 256):  # a whole copy would double the memory
            band = plane[:, top : top + 256].round().clamp(0, 255).permute(1, 2, 0)
            result[top : top + 256] = band.numpy()
        return result

    def _encoded(self) -> torch.Tensor:
        pipe, picture = self._run.pipe, self._picture

        def parts() -> Iterator[tuple[Window, torch.Tensor]]:
            for small, large in zip(self._windows, self._of_pixels, strict=True):
                rows = picture[large.top : large.top + large.height]
                yield small, encoded(pipe, rows[:, large.left : large.left + large.width])
                self._tell()

        factor = self._run.factor
        channels = pipe.vae.config.latent_channels
        shape = (1, channels, picture.shape[0] // factor, picture.shape[1] // factor)
        return blended(parts(), shape, torch.empty(0, device=self._run.painter.device))

    def _predict(self) -> Predict:
        """The denoiser on every window, its predictions blended."""
        run = self._run
        first = self._of_pixels[0]
        size = (first.width, first.height)
        predict = run.sized(size).predict(blank(run.pipe, size, run.factor))

        def tiled(latents: torch.Tensor, t: torch.Tensor, conditions: Conditions) -> torch.Tensor:
            def work(_window: Window, part: torch.Tensor) -> torch.Tensor:
                return predict(part, t, conditions)

            return in_windows(work, latents, self._windows, self._tell)

        return tiled

    def _previewed(self, previewer: Previewer) -> Callable[[Step], bool]:
        run, every = self._run, self._request.preview_every

        def on_step(step: Step) -> bool:
            if every and step.index % every == 0 and step.index < step.count:
                vae: Any = run.pipe.vae
                self._context.emit(previewer.event(vae, step.clean(), run.factor, step.index))
            return True

        return on_step

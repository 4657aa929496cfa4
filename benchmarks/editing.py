"""Edits against diffusers' own pipelines: seconds, and what changes around a mask."""

import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from benchmarks.figure import Figure
from studio.requests import EditRequest, GenerationRequest, Request
from studio.services import Services, build_services
from studio.settings import Settings

_ROUNDS = 12
_STEPS = 20
_STRENGTH = 0.75
_PICTURES = 50
_RING = 16  # px around a mask


def measure() -> list[Figure]:
    """Overhead of both sorts of edits, and the seam over 50 pictures and masks."""
    with tempfile.TemporaryDirectory() as folder:
        services = build_services(Settings(data_dir=Path(folder)))
        try:
            return [*_overhead(services), *_seam(services)]
        finally:
            services.stop()


def _overhead(services: Services) -> list[Figure]:
    source, prompt = _drawn(services, 0)
    mask = _mask(source.size, 0)
    ours = _Ours(services, source, prompt)
    image2image, inpaint = _pipelines(services)
    given = {"prompt": prompt, "image": source, "strength": _STRENGTH}
    pairs: dict[str, tuple[Callable[[int], object], Callable[[int], object]]] = {
        "image to image": (lambda seed: ours.edit(seed), lambda seed: image2image(seed, **given)),
        "inpainting": (
            lambda seed: ours.edit(seed, mask),
            lambda seed: inpaint(seed, mask_image=mask, **given),
        ),
    }
    figures = []
    for name, (own, bare) in pairs.items():
        ratios = []
        for seed in range(_ROUNDS + 2):
            seconds = [_seconds(make, seed) for make in (own, bare)]
            if seed >= 2:  # the first rounds warm up
                ratios.append(seconds[0] / seconds[1])
        spread = f"median of {len(ratios)}, {min(ratios):.2f} to {max(ratios):.2f}"
        ratio = statistics.median(ratios)
        figures.append(Figure(f"{name}, studio : diffusers", ratio, "ratio", 1.05, spread))
    return figures


def _seam(services: Services) -> list[Figure]:
    """Each picture is inpainted with its own prompt, so that nothing has to change."""
    _, inpaint = _pipelines(services)
    changes: dict[str, list[float]] = {"studio": [], "diffusers": []}
    for number in range(_PICTURES):
        source, prompt = _drawn(services, number)
        mask = _mask(source.size, number)
        made = {
            "studio": _Ours(services, source, prompt).edit(number, mask),
            "diffusers": inpaint(
                number, prompt=prompt, image=source, mask_image=mask, strength=_STRENGTH
            ),
        }
        ring = _ring(np.asarray(mask))
        before = np.asarray(source).astype(float)
        for name, image in made.items():
            changes[name].append(float(np.abs(np.asarray(image) - before)[ring].mean()))
    means = {name: statistics.mean(values) for name, values in changes.items()}
    note = f"{means['studio']:.2f} of {means['diffusers']:.2f} levels, {_PICTURES} pictures"
    ratio = means["studio"] / means["diffusers"]
    name = f"change {_RING} px around a mask, studio : diffusers"
    return [Figure(name, ratio, "ratio", 1 / 3, note)]


class _Ours:
    """Whole jobs of the studio on one source."""

    def __init__(self, services: Services, source: Image.Image, prompt: str):
        self._services = services
        self._source = services.inputs.add_image(source).hash
        self._prompt = prompt

    def edit(self, seed: int, mask: Image.Image | None = None) -> Image.Image:
        painted = self._services.inputs.add_image(mask).hash if mask else ""
        request = EditRequest(
            source=self._source,
            mask=painted,
            prompt=self._prompt,
            strength=_STRENGTH,
            steps=_STEPS,
            seed=seed,
            preview_every=0,
        )
        return _made(self._services, request)


def _made(services: Services, request: Request) -> Image.Image:
    job_id = services.run_now(request)
    [output_id] = services.queue.outputs(job_id)
    with Image.open(services.outputs.path(output_id)) as image:
        return image.convert("RGB")


def _drawn(services: Services, number: int) -> tuple[Image.Image, str]:
    """A picture of the model's own and its prompt: for the model, nothing in it has to change."""
    examples = services.catalogue.usable("").examples
    prompt = examples[number % len(examples)]
    request = GenerationRequest(prompt=prompt, seed=number, steps=_STEPS, preview_every=0)
    return _made(services, request), prompt


def _mask(size: tuple[int, int], number: int) -> Image.Image:
    """An ellipse of a quarter to a half of each side, somewhere inside."""
    rng = np.random.default_rng(number)
    width, height = size
    rx, ry = rng.uniform(width / 8, width / 4), rng.uniform(height / 8, height / 4)
    x, y = rng.uniform(rx, width - rx), rng.uniform(ry, height - ry)
    ys, xs = np.indices((height, width)) + 0.5
    inside = ((xs - x) / rx) ** 2 + ((ys - y) / ry) ** 2 <= 1
    return Image.fromarray(np.where(inside, 255, 0).astype("u1"))


def _ring(mask: np.ndarray) -> np.ndarray:
    import cv2

    away = cv2.distanceTransform(255 - mask, cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
    return (away > 0) & (away <= _RING)


def _pipelines(services: Services) -> list[Callable[..., Image.Image]]:
    """diffusers' image-to-image and inpainting on the same weights and scheduler."""
    import diffusers
    import torch

    entry = services.catalogue.usable("")
    device = services.engine.device()
    kinds = ("StableDiffusionImg2ImgPipeline", "StableDiffusionInpaintPipeline")

    def build(kind: str) -> Callable[..., Image.Image]:
        pipe: Any = getattr(diffusers, kind).from_pretrained(
            entry.path, dtype=getattr(torch, device.dtype)
        )
        pipe.to(device.name)
        pipe.set_progress_bar_config(disable=True)

        def make(seed: int, **given: Any) -> Image.Image:
            size = {"width": entry.width, "height": entry.height} if "mask_image" in given else {}
            return pipe(
                num_inference_steps=_STEPS,
                guidance_scale=entry.cfg_scale,
                generator=torch.Generator("cpu").manual_seed(seed),
                **size,
                **given,
            ).images[0]

        return make

    return [build(kind) for kind in kinds]


def _seconds(make: Callable[[int], object], seed: int) -> float:
    start = time.perf_counter()
    make(seed)
    return time.perf_counter() - start

"""What jobs made, in the words of AUTOMATIC1111's answers."""

import base64
import json
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import orjson

from studio import __version__
from studio.api.sdapi.door import JobFailed, Packed
from studio.api.sdapi.pictures import as_png, encoded
from studio.diffusion.metadata.infotext import parse
from studio.errors import NotFound
from studio.events import Event, Loading, Preview, Progress, Queued, Status, Waiting
from studio.requests import PictureRequest
from studio.services import Services
from studio.store.jobs import JobRow
from studio.store.outputs import OutputRow

_PLAIN = {
    *("Steps", "Sampler", "Schedule type", "CFG scale", "Distilled CFG Scale", "Seed", "Size-1"),
    *("Size-2", "Model hash", "Model", "Variation seed", "Variation seed strength", "Clip skip"),
    *("RNG", "Version", "Denoising strength"),
}
"""Settings that have a place of their own in `info`."""
_JOBS = {"generate": "scripts_txt2img", "edit": "scripts_img2img", "upscale": "extras"}
_BEGUN = 0.01
"""What a job that has begun is at, as there."""


def check(row: JobRow) -> None:
    """JobFailed when a job ended by no wish of a person's."""
    if row.status is Status.FAILED:
        raise JobFailed(row.reason or "The job failed; the log has the details.")


def files_of(services: Services, job_id: str) -> list[Path]:
    """The files of the pictures that a job made, without those that were deleted since."""
    found = []
    for output in services.queue.outputs(job_id):
        with suppress(NotFound):
            found.append(services.outputs.path(output))
    return found


def made(services: Services, row: JobRow, parameters: dict[str, Any], *, images: bool) -> Packed:
    """Pictures, what was asked, and what was made of it; images: whether to put those in."""
    files = files_of(services, row.id) if images else []
    outputs = [services.outputs.get(each) for each in services.queue.outputs(row.id)]
    told = json.dumps(info(services.queue.request(row), row, outputs, parameters))
    rest = orjson.dumps({"parameters": parameters, "info": told})

    def pieces() -> Iterator[bytes]:
        yield b'{"images":['
        comma = b""
        for file in files:
            with suppress(OSError):  # it is deleted just now
                yield b'%b"%b"' % (comma, base64.b64encode(file.read_bytes()))
                comma = b","
        yield b"]," + rest[1:]

    return Packed(sum(file.stat().st_size for file in files), pieces())


def info(
    request: Any, row: JobRow, outputs: list[OutputRow], parameters: dict[str, Any]
) -> dict[str, Any]:
    """What is told of the pictures of a job, also of one that was stopped before the first."""
    assert isinstance(request, PictureRequest)
    seeds, subseeds = _seeds(request)
    told = parse(outputs[0].infotext).fields if outputs else {}
    first = outputs[0] if outputs else None
    count = max(1, len(outputs))
    denoising = getattr(request, "strength", None)
    if getattr(request, "hires_scale", 1) > 1:
        denoising = getattr(request, "hires_strength", None)
    return {
        "prompt": request.prompt,
        "all_prompts": [request.prompt] * count,
        "negative_prompt": request.negative_prompt,
        "all_negative_prompts": [request.negative_prompt] * count,
        "seed": seeds[0],
        "all_seeds": [each.seed for each in outputs] or seeds,
        "subseed": subseeds[0],
        "all_subseeds": subseeds,
        "subseed_strength": request.variation_strength,
        "width": first.width if first else request.width,
        "height": first.height if first else request.height,
        "sampler_name": request.sampler.value,
        "cfg_scale": request.cfg_scale,
        "steps": request.steps,
        "batch_size": request.batch_size,
        "restore_faces": False,
        "face_restoration_model": None,
        "sd_model_name": request.model,
        "sd_model_hash": told.get("Model hash", ""),
        "sd_vae_name": None,
        "sd_vae_hash": None,
        "seed_resize_from_w": parameters.get("seed_resize_from_w", -1),
        "seed_resize_from_h": parameters.get("seed_resize_from_h", -1),
        "denoising_strength": denoising,
        "extra_generation_params": {k: v for k, v in told.items() if k not in _PLAIN},
        "index_of_first_image": 0,
        "infotexts": [each.infotext for each in outputs],
        "styles": parameters.get("styles") or [],
        "job_timestamp": time.strftime(
            "%Y%m%d%H%M%S", time.localtime(row.started_at or row.created_at)
        ),
        "clip_skip": request.clip_skip,
        "is_using_inpainting_conditioning": False,
        "version": f"Atelier v{__version__}",
    }


def _seeds(request: PictureRequest) -> tuple[list[int], list[int]]:
    """Of all pictures that were asked for: with a variation it is that seed which moves on."""
    varied = request.variation_strength > 0
    numbers = range(request.image_count)
    seeds = [request.seed + (0 if varied else number) for number in numbers]
    return seeds, [request.variation_seed + number for number in numbers]


def progress(services: Services, job_id: str | None, *, picture: bool) -> dict[str, Any]:
    """How far a job is; None where there is none. picture: whether to put the preview in."""
    row = None if job_id is None else services.queue.get(job_id)
    if row is None or row.status.is_final:
        return _told(0.0, 0.0, _state(None, None, stopped=False), None, None)
    latest = {type(event): event for event in services.queue.now(row.id)}
    step = latest.get(Progress)
    assert step is None or isinstance(step, Progress)
    stopped = services.queue.live(row.id)[1].is_cancelled
    share = 0.0
    if row.status is Status.RUNNING:
        share = min(1.0, _BEGUN + (step.fraction if step else 0.0))
    preview = latest.get(Preview)
    shown = encoded(as_png(preview.image)) if picture and isinstance(preview, Preview) else None
    return _told(share, _left(latest), _state(row, step, stopped=stopped), shown, _text(latest))


def _told(
    share: float, left: float, state: dict[str, Any], image: str | None, text: str | None
) -> dict[str, Any]:
    return {
        "progress": share,
        "eta_relative": left,
        "state": state,
        "current_image": image,
        "textinfo": text,
    }


def _state(row: JobRow | None, step: Progress | None, *, stopped: bool) -> dict[str, Any]:
    begun = time.localtime((row.started_at or row.created_at) if row else 0)
    return {
        "skipped": False,
        "interrupted": stopped,
        "stopping_generation": False,
        "job": _JOBS.get(row.kind, row.kind) if row else "",
        "job_count": (step.items if step else 1) if row else 0,
        "job_timestamp": time.strftime("%Y%m%d%H%M%S", begun) if row else "0",
        "job_no": step.item - 1 if step else 0,
        "sampling_step": step.step if step else 0,
        "sampling_steps": step.steps if step else 0,
    }


def _left(latest: dict[type, Event]) -> float:
    for kind in (Progress, Waiting):
        event = latest.get(kind)
        if isinstance(event, Progress | Waiting) and event.seconds_left is not None:
            return event.seconds_left
    return 0.0


def _text(latest: dict[type, Event]) -> str | None:
    """What a job waits for, in words."""
    match next((latest[kind] for kind in (Progress, Loading, Waiting) if kind in latest), None):
        case Loading(model=title):
            return f"Loading {title}"
        case Waiting(holder=holder):
            return f"Waiting for {holder}"
        case None:
            queued = latest.get(Queued)
            if not isinstance(queued, Queued):
                return None
            begins = f", begins in about {queued.seconds:.0f} s" if queued.seconds else ""
            return f"Place {queued.position} in the line{begins}"
    return None

"""Seconds a picture: the studio against a bare diffusers loop of the same request, in turn."""

import statistics
import tempfile
import threading
import time
from pathlib import Path

from benchmarks.figure import Figure
from studio.requests import GenerationRequest
from studio.services import Services, build_services
from studio.settings import Settings

_ROUNDS = 15
_STEPS = 20
_PROMPT = "a red apple"


def measure() -> list[Figure]:
    """Medians of interleaved rounds; ratios are taken round by round."""
    with tempfile.TemporaryDirectory() as folder:
        services = build_services(Settings(data_dir=Path(folder)))
        try:
            return _measure(services)
        finally:
            services.stop()


def _measure(services: Services) -> list[Figure]:
    bare = _bare_loop(services)
    contenders = {
        "bare": lambda seed: bare(seed),
        "studio, preview off": lambda seed: _studio(services, seed, 0),
        "studio, preview on": lambda seed: _studio(services, seed, 2),
    }
    seconds: dict[str, list[float]] = {name: [] for name in contenders}
    for seed in range(_ROUNDS + 2):
        for name, make in contenders.items():
            start = time.perf_counter()
            make(seed)
            if seed >= 2:  # the first rounds warm up
                seconds[name].append(time.perf_counter() - start)
    figures = [
        Figure(f"seconds a picture, {name}", statistics.median(times), "s")
        for name, times in seconds.items()
    ]
    for name, limit in (("studio, preview off", 1.05), ("studio, preview on", 1.15)):
        ratios = [a / b for a, b in zip(seconds[name], seconds["bare"], strict=True)]
        spread = f"median of {len(ratios)}, {min(ratios):.2f} to {max(ratios):.2f}"
        figures.append(Figure(f"{name} : bare", statistics.median(ratios), "ratio", limit, spread))
    return figures


def _bare_loop(services: Services):  # type: ignore[no-untyped-def]
    import diffusers
    import torch

    entry = services.catalogue.usable("")
    device = services.engine.device()
    pipe = diffusers.StableDiffusionPipeline.from_pretrained(
        entry.path, dtype=getattr(torch, device.dtype)
    ).to(device.name)
    pipe.set_progress_bar_config(disable=True)

    def make(seed: int) -> None:
        pipe(
            _PROMPT,
            num_inference_steps=_STEPS,
            guidance_scale=entry.cfg_scale,
            width=entry.width,
            height=entry.height,
            generator=torch.Generator("cpu").manual_seed(seed),
        )

    return make


def _studio(services: Services, seed: int, preview_every: int) -> None:
    """A whole job with somebody who listens, as the page does; saving the file counts."""
    request = GenerationRequest(
        prompt=_PROMPT, steps=_STEPS, seed=seed, preview_every=preview_every
    )
    from studio.jobs.worker import runner_name

    job_id = services.queue.submit(request, runner=runner_name())
    listener = threading.Thread(target=lambda: list(services.queue.follow(job_id)))
    listener.start()
    services.runner.run(services.queue.get(job_id))
    listener.join()

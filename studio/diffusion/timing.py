"""How fast a model is here, as it is and with each speed-up: what a timing job does."""

import time
from collections.abc import Callable
from importlib.metadata import version
from typing import Any

import torch

from studio.context import Context, ModelSpec, Rung
from studio.diffusion.denoise import Step, denoise, first_sigma
from studio.diffusion.editing.encode import blank
from studio.diffusion.memory.climb import Climb
from studio.diffusion.networks_called import spec_of
from studio.diffusion.pace import Pace
from studio.diffusion.painter import Painter
from studio.diffusion.run import Run, shape_of
from studio.errors import Cancelled, ModelError, first_words
from studio.events import Notice, Progress
from studio.models.catalogue import Catalogue
from studio.models.devices import Device
from studio.models.entry import ModelEntry
from studio.models.speeds import Speed, Speeds, name_of
from studio.models.speedups import fitting, title_of
from studio.requests import GenerationRequest, TimingRequest, validated

_WARM = 2
"""Evaluations before the clock starts: the first one compiles and fills caches."""


class Timing:
    """The work function of timing jobs."""

    def __init__(
        self, catalogue: Catalogue, climb: Climb, device: Callable[[], Device], speeds: Speeds
    ):
        self._catalogue = catalogue
        self._climb = climb
        self._device = device
        self._speeds = speeds

    def __call__(self, request: TimingRequest, context: Context) -> None:
        """Time a resolved request and keep what was found.

        In every round each speed-up is timed once; its shortest time counts, for whatever else
        the machine does can only make it longer. Raises Cancelled within one step of the wish.
        """
        entry = self._catalogue.usable(request.model)
        keys = ["", *(each.key.value for each in fitting(entry, self._device()))]
        seconds: dict[str, float] = {}
        clock = _Clock(context, request, len(keys))
        for number in range(request.rounds):
            for key in list(keys):
                try:
                    taken = self._once(request, entry, key, context, clock)
                    seconds[key] = min(taken, seconds.get(key, taken))
                except Cancelled:
                    raise
                except (ModelError, RuntimeError, ImportError) as error:
                    if not key:
                        raise
                    keys.remove(key)  # one library that does not work is no reason to end
                    seconds.pop(key, None)
                    clock.leave_out(request.rounds - number)
                    first = first_words(error)
                    context.emit(Notice(text=f"{title_of(key)} cannot be used here: {first}"))
        size = (request.width or 0, request.height or 0, request.batch_size, request.steps or 0)
        device = name_of(self._device())
        self._speeds.keep(Speed(device, version("torch"), entry.id, *size, seconds))

    def _once(
        self,
        request: TimingRequest,
        entry: ModelEntry,
        key: str,
        context: Context,
        clock: "_Clock",
    ) -> float:
        """Seconds for one evaluation, on average over all steps of a batch."""
        asked = _picture(request, entry, key)
        size = (request.width or 0, request.height or 0)
        spec: ModelSpec = spec_of(asked, entry, self._catalogue.loras)
        taken = 0.0

        def paint(pipe: Any, rungs: tuple[Rung, ...]) -> None:
            nonlocal taken
            painter = Painter.of(asked, entry, pipe, self._catalogue, rungs)
            count = len(painter.scheduler(asked, size).timesteps)
            run = Run.prepare(asked, painter, size, (asked.steps, count))
            _batch(run, lambda step: clock.tick(title_of(key)) and step.index < _WARM)
            _wait_for(painter.device)
            began = time.perf_counter()
            _batch(run, lambda step: clock.tick(title_of(key)))
            _wait_for(painter.device)
            taken = (time.perf_counter() - began) / count

        self._climb(context, spec, entry, shape_of(asked, size, encodes=False), paint)
        return taken


class _Clock:
    """Tells how far the whole timing is."""

    def __init__(self, context: Context, request: TimingRequest, ways: int):
        self._context = context
        self._done = 0
        self._each = (request.steps or 0) + _WARM
        self._steps = request.rounds * ways * self._each
        self._pace = Pace(self._steps)

    def leave_out(self, times: int) -> None:
        """Something will not be timed so many times after all."""
        self._steps -= times * self._each
        self._pace.leave_out(times * self._each)

    def tick(self, label: str) -> bool:
        """One more evaluation; raises Cancelled."""
        self._context.check()
        self._done += 1
        self._context.emit(
            Progress(
                step=min(self._done, self._steps),
                steps=self._steps,
                item=1,
                items=1,
                seconds_left=self._pace.step(),
                label=label,
                unit="evaluation",
            )
        )
        return True


def _picture(request: TimingRequest, entry: ModelEntry, key: str) -> GenerationRequest:
    """A job of pictures as it is timed, with the model's own defaults."""
    fields = {
        "model": entry.id,
        "width": request.width,
        "height": request.height,
        "batch_size": request.batch_size,
        "steps": request.steps or entry.steps,
        "sampler": entry.sampler,
        "cfg_scale": entry.cfg_scale,
        "distilled_cfg_scale": entry.distilled_cfg_scale,
        "seed": 0,
        "variation_seed": 0,
        "speedups": [key] if key else [],
    }
    asked: GenerationRequest = validated(GenerationRequest, fields)
    return asked


def _batch(run: Run, on_step: Callable[[Step], bool]) -> None:
    noise, generators = run.noise(run.seeds_of_batch(0))
    scheduler = run.scheduler()
    denoise(
        run.predict(blank(run.pipe, run.size, run.factor)),
        scheduler,
        noise * first_sigma(scheduler),
        run.guidance.at,
        float(run.request.cfg_scale or 1),
        generators,
        on_step,
    )


def _wait_for(device: torch.device) -> None:
    """Until the device has done what it was given, for a GPU is only told what to do."""
    if device.type != "cpu":
        torch.accelerator.synchronize(device)

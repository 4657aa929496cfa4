"""Samplers by the names people know, as diffusers schedulers, in one table.

DPM++ SDE is SDE-DPM-Solver++(2S), the singlestep solver with noise, for it draws its noise from
the same generators as the others; 3M SDE is the multistep SDE solver of third order.
Sources: Karras et al. 2022 (arXiv 2206.00364) for the sigma spacing, Lu et al. 2022
(arXiv 2211.01095) for DPM-Solver++, Lin et al. 2023 (arXiv 2305.08891) for trailing timesteps.
"""

import inspect
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from studio.errors import RequestError
from studio.requests import Sampler, Schedule

# Spacing by sigma runs over all noise levels; from "leading" and "trailing" timesteps, diffusers
# would take a shorter range for some classes than for others.
_SIGMAS: dict[Schedule, Mapping[str, object]] = {
    Schedule.KARRAS: {"use_karras_sigmas": True, "timestep_spacing": "linspace"},
    Schedule.EXPONENTIAL: {"use_exponential_sigmas": True, "timestep_spacing": "linspace"},
    Schedule.BETA: {"use_beta_sigmas": True, "timestep_spacing": "linspace"},
}
_TRAILING: dict[Schedule, Mapping[str, object]] = {
    Schedule.SGM_UNIFORM: {"timestep_spacing": "trailing"}
}
_CLEARED = {
    "use_karras_sigmas": False,
    "use_exponential_sigmas": False,
    "use_beta_sigmas": False,
}
_PROCESS = (
    "num_train_timesteps",
    "beta_start",
    "beta_end",
    "beta_schedule",
    "trained_betas",
    "prediction_type",
    "rescale_betas_zero_snr",
)
"""What the model was trained with; the classes differ in their defaults for these."""


@dataclass(frozen=True)
class SamplerEntry:
    """A diffusers scheduler class, what is fixed in its configuration, and its schedules.

    most_steps: None for no limit of its own.
    """

    scheduler: str
    fixed: Mapping[str, object] = field(default_factory=dict)
    sigmas: bool = True
    trailing: bool = True
    most_steps: int | None = None

    @property
    def schedules(self) -> tuple[Schedule, ...]:
        """Schedules that this sampler can follow."""
        extra = [*(_SIGMAS if self.sigmas else ()), *(_TRAILING if self.trailing else ())]
        return (Schedule.AUTOMATIC, *extra)


SAMPLERS: dict[Sampler, SamplerEntry] = {
    Sampler.DDPM: SamplerEntry("DDPMScheduler", sigmas=False),
    Sampler.DDIM: SamplerEntry("DDIMScheduler", sigmas=False),
    Sampler.PNDM: SamplerEntry("PNDMScheduler", {"skip_prk_steps": True}, sigmas=False),
    Sampler.LMS: SamplerEntry("LMSDiscreteScheduler"),
    Sampler.HEUN: SamplerEntry("HeunDiscreteScheduler"),
    Sampler.EULER: SamplerEntry("EulerDiscreteScheduler"),
    Sampler.EULER_A: SamplerEntry("EulerAncestralDiscreteScheduler", sigmas=False),
    Sampler.DPM2: SamplerEntry("KDPM2DiscreteScheduler"),
    Sampler.DPM2_A: SamplerEntry("KDPM2AncestralDiscreteScheduler"),
    Sampler.DPMPP_2M: SamplerEntry(
        "DPMSolverMultistepScheduler", {"algorithm_type": "dpmsolver++", "solver_order": 2}
    ),
    Sampler.DPMPP_2M_SDE: SamplerEntry(
        "DPMSolverMultistepScheduler", {"algorithm_type": "sde-dpmsolver++", "solver_order": 2}
    ),
    Sampler.DPMPP_SDE: SamplerEntry(
        "DPMSolverSinglestepScheduler",
        {
            "algorithm_type": "sde-dpmsolver++",
            "solver_order": 2,
            "final_sigmas_type": "zero",
            "lower_order_final": True,
        },
        trailing=False,
    ),
    Sampler.DPMPP_3M_SDE: SamplerEntry(
        "DPMSolverMultistepScheduler", {"algorithm_type": "sde-dpmsolver++", "solver_order": 3}
    ),
    Sampler.DEIS: SamplerEntry(
        "DEISMultistepScheduler", {"algorithm_type": "deis", "solver_order": 2}
    ),
    Sampler.UNIPC: SamplerEntry(
        "UniPCMultistepScheduler", {"solver_type": "bh2", "solver_order": 2}
    ),
    Sampler.LCM: SamplerEntry("LCMScheduler", sigmas=False, trailing=False, most_steps=50),
    Sampler.TCD: SamplerEntry("TCDScheduler", sigmas=False, trailing=False, most_steps=50),
}


def check_schedule(sampler: Sampler, schedule: Schedule) -> None:
    """RequestError when the sampler cannot follow the schedule, with those that it can."""
    allowed = SAMPLERS[sampler].schedules
    if schedule not in allowed:
        raise RequestError(
            f"Schedule {schedule.value!r} does not exist for sampler {sampler.value!r}; "
            f"choose one of {', '.join(allowed)}.",
            field="schedule",
        )


def check_steps(sampler: Sampler, steps: int) -> None:
    """RequestError when the sampler cannot take so many steps."""
    most = SAMPLERS[sampler].most_steps
    if most is not None and steps > most:
        raise RequestError(
            f"Sampler {sampler.value!r} takes at most {most} steps, but is asked for {steps}.",
            field="steps",
        )


def build_scheduler(
    sampler: Sampler,
    schedule: Schedule,
    config: Mapping[str, Any],
    steps: int,
    device: Any = "cpu",
) -> Any:
    """A fresh diffusers scheduler for a sampler and schedule, with its timesteps set.

    config: the model's own scheduler configuration, which fixes betas and prediction type.
    Raises RequestError when they do not go together.
    """
    import diffusers

    check_schedule(sampler, schedule)
    check_steps(sampler, steps)
    entry = SAMPLERS[sampler]
    choice: Mapping[str, object] = {**_SIGMAS, **_TRAILING}.get(schedule, {})
    if steps == 1:
        # There is nothing to space, and the one step has to start from all the noise.
        choice = _TRAILING[Schedule.SGM_UNIFORM]
    scheduler_class = getattr(diffusers, entry.scheduler)
    # clip_sample is for pixels: the default of some classes, and wrong for latents.
    merged = {
        **_stated(config),
        "clip_sample": False,
        **(_CLEARED if choice else {}),
        **entry.fixed,
        **choice,
    }
    known = inspect.signature(scheduler_class).parameters
    scheduler = scheduler_class(**{key: merged[key] for key in known if key in merged})
    scheduler.set_timesteps(steps, device=device)
    if hasattr(scheduler, "set_begin_index"):
        # Found by its value, the first timestep would be missed where two are the same.
        scheduler.set_begin_index(0)
    return scheduler


def executed(steps: int, strength: float) -> int:
    """How many of the steps a strength leaves, at least one."""
    return min(steps, max(1, math.floor(steps * strength + 1e-6)))


def start_late(scheduler: Any, steps: int, left: int) -> None:
    """Let a fresh scheduler of `steps` steps do only the last `left` of them."""
    skipped = (steps - left) * scheduler.order
    if hasattr(scheduler, "set_begin_index"):
        scheduler.set_begin_index(skipped)
    elif type(scheduler).__name__ == "PNDMScheduler":
        # Its second evaluation repeats the first step, so the second timestep stands there twice.
        times = scheduler.timesteps.unique().flip(0)[-left:]
        scheduler.timesteps = times[:2].new_tensor([*times[:2], *times[1:]])
    else:
        scheduler.timesteps = scheduler.timesteps[skipped:]


def _stated(config: Mapping[str, Any]) -> dict[str, Any]:
    """What the model states, without its class's defaults for anything but the noise process.

    diffusers' `from_config` would leave out all defaults, even where we put another value.
    """
    defaults = set(config.get("_use_default_values", ())) - set(_PROCESS)
    return {key: value for key, value in config.items() if key not in defaults}

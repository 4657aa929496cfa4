"""Samplers by the names people know, as diffusers schedulers, in one table.

DPM++ SDE is SDE-DPM-Solver++(2S), the singlestep solver with noise, for it draws its noise from
the same generators as the others; 3M SDE is the multistep SDE solver of third order. Models that
were trained by flow matching have their noise levels spaced in one way for all samplers.
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
_SPACING = "FlowMatchEulerDiscreteScheduler"
"""The class that spaces noise levels for flow matching."""
_NEAR = 1e-6
"""How near to nothing but noise, and to none, the solvers that work with logarithms can come."""


@dataclass(frozen=True)
class Flow:
    """What spaces noise levels for a model trained by flow matching.

    patches: how many the denoiser sees, for models that shift with the size. trailing: Automatic
    ends at a step's width instead of the last noise level.
    """

    patches: int
    trailing: bool


@dataclass(frozen=True)
class SamplerEntry:
    """A diffusers scheduler class, what is fixed in its configuration, and its schedules.

    most_steps: None for no limit of its own. flow: the class for models trained by flow matching,
    "" where there is none.
    """

    scheduler: str
    fixed: Mapping[str, object] = field(default_factory=dict)
    sigmas: bool = True
    trailing: bool = True
    most_steps: int | None = None
    flow: str = ""

    @property
    def schedules(self) -> tuple[Schedule, ...]:
        """Schedules that this sampler can follow; for flow matching, any sampler follows all."""
        extra = [*(_SIGMAS if self.sigmas else ()), *(_TRAILING if self.trailing else ())]
        return (Schedule.AUTOMATIC, *extra)


SAMPLERS: dict[Sampler, SamplerEntry] = {
    Sampler.DDPM: SamplerEntry("DDPMScheduler", sigmas=False),
    Sampler.DDIM: SamplerEntry("DDIMScheduler", sigmas=False),
    Sampler.PNDM: SamplerEntry("PNDMScheduler", {"skip_prk_steps": True}, sigmas=False),
    Sampler.LMS: SamplerEntry("LMSDiscreteScheduler"),
    Sampler.HEUN: SamplerEntry("HeunDiscreteScheduler", flow="FlowMatchHeunDiscreteScheduler"),
    Sampler.EULER: SamplerEntry("EulerDiscreteScheduler", flow=_SPACING),
    Sampler.EULER_A: SamplerEntry("EulerAncestralDiscreteScheduler", sigmas=False),
    Sampler.DPM2: SamplerEntry("KDPM2DiscreteScheduler"),
    Sampler.DPM2_A: SamplerEntry("KDPM2AncestralDiscreteScheduler"),
    Sampler.DPMPP_2M: SamplerEntry(
        "DPMSolverMultistepScheduler",
        {"algorithm_type": "dpmsolver++", "solver_order": 2},
        flow="DPMSolverMultistepScheduler",
    ),
    Sampler.DPMPP_2M_SDE: SamplerEntry(
        "DPMSolverMultistepScheduler",
        {"algorithm_type": "sde-dpmsolver++", "solver_order": 2},
        flow="DPMSolverMultistepScheduler",
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
        flow="DPMSolverSinglestepScheduler",
    ),
    Sampler.DPMPP_3M_SDE: SamplerEntry(
        "DPMSolverMultistepScheduler",
        {"algorithm_type": "sde-dpmsolver++", "solver_order": 3},
        flow="DPMSolverMultistepScheduler",
    ),
    Sampler.DEIS: SamplerEntry(
        "DEISMultistepScheduler",
        {"algorithm_type": "deis", "solver_order": 2},
        flow="DEISMultistepScheduler",
    ),
    Sampler.UNIPC: SamplerEntry(
        "UniPCMultistepScheduler",
        {"solver_type": "bh2", "solver_order": 2},
        flow="UniPCMultistepScheduler",
    ),
    Sampler.LCM: SamplerEntry(
        "LCMScheduler", sigmas=False, trailing=False, most_steps=50, flow="FlowMatchLCMScheduler"
    ),
    Sampler.TCD: SamplerEntry("TCDScheduler", sigmas=False, trailing=False, most_steps=50),
}


def samplers_for(*, flow: bool) -> tuple[Sampler, ...]:
    """Those that fit models trained by flow matching, or all others."""
    return tuple(each for each, entry in SAMPLERS.items() if entry.flow or not flow)


def schedules_for(sampler: Sampler, *, flow: bool) -> tuple[Schedule, ...]:
    """Schedules that a sampler can follow."""
    return tuple(Schedule) if flow else SAMPLERS[sampler].schedules


def check_sampler(
    sampler: Sampler, schedule: Schedule, *, flow: bool, field: str = "sampler"
) -> None:
    """RequestError when the sampler does not fit the model or cannot follow the schedule.

    field: where the sampler was asked for.
    """
    fitting = samplers_for(flow=flow)
    if sampler not in fitting:
        raise RequestError(
            f"Sampler {sampler.value!r} does not fit this model, which was trained by flow "
            f"matching; choose one of {', '.join(fitting)}.",
            field=field,
        )
    allowed = schedules_for(sampler, flow=flow)
    if schedule not in allowed:
        raise RequestError(
            f"Schedule {schedule.value!r} does not exist for sampler {sampler.value!r}; "
            f"choose one of {', '.join(allowed)}.",
            field="schedule",
        )


def check_steps(sampler: Sampler, steps: int, field: str = "steps") -> None:
    """RequestError at that field when the sampler cannot take so many steps."""
    most = SAMPLERS[sampler].most_steps
    if most is not None and steps > most:
        raise RequestError(
            f"Sampler {sampler.value!r} takes at most {most} steps, but is asked for {steps}.",
            field=field,
        )


def build_scheduler(
    sampler: Sampler,
    schedule: Schedule,
    config: Mapping[str, Any],
    steps: int,
    device: Any = "cpu",
    flow: Flow | None = None,
) -> Any:
    """A fresh diffusers scheduler for a sampler and schedule, with its timesteps set.

    config: the model's own scheduler configuration, which fixes betas and prediction type.
    flow: for a model trained by flow matching. Raises RequestError when they do not go together.
    """
    import diffusers

    check_sampler(sampler, schedule, flow=flow is not None)
    check_steps(sampler, steps)
    if flow is not None:
        return _flow_scheduler(sampler, _spaced(schedule, config, steps, flow), steps, device)
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


def _spaced(schedule: Schedule, config: Mapping[str, Any], steps: int, flow: Flow) -> Any:
    """The model's own scheduler with its noise levels spaced.

    Source: Esser et al. 2024 (arXiv 2403.03206), section 5.3.2, for the shift; for the one that
    grows with the size, diffusers' FluxPipeline.
    """
    import diffusers
    import numpy

    scheduler_class = getattr(diffusers, _SPACING)
    choice = {key: value for key, value in _SIGMAS.get(schedule, {}).items() if "use_" in key}
    known = inspect.signature(scheduler_class).parameters
    cleared = {} if schedule is Schedule.AUTOMATIC else _CLEARED
    # Its stochastic variant draws noise that no seed fixes.
    merged = {**config, **cleared, **choice, "stochastic_sampling": False}
    scheduler = scheduler_class(**{key: merged[key] for key in known if key in merged})
    own = scheduler.config
    mu = None
    if own.use_dynamic_shifting:
        slope = (own.max_shift - own.base_shift) / (own.max_image_seq_len - own.base_image_seq_len)
        mu = own.base_shift + slope * (flow.patches - own.base_image_seq_len)
    trailing = flow.trailing or schedule is Schedule.SGM_UNIFORM
    sigmas = numpy.linspace(1.0, 1 / steps, steps) if trailing or steps == 1 else None
    scheduler.set_timesteps(steps, sigmas=sigmas, mu=mu)
    return scheduler


def _flow_scheduler(sampler: Sampler, spacing: Any, steps: int, device: Any) -> Any:
    """The sampler's scheduler at the noise levels of another one."""
    import diffusers

    entry = SAMPLERS[sampler]
    sigmas = spacing.sigmas.to("cpu")
    if entry.flow == _SPACING:
        scheduler = spacing
    else:
        scheduler_class = getattr(diffusers, entry.flow)
        known = inspect.signature(scheduler_class).parameters
        flow = {"use_flow_sigmas": True, "prediction_type": "flow_prediction"}
        fixed = {**entry.fixed, **flow, "num_train_timesteps": spacing.config.num_train_timesteps}
        scheduler = scheduler_class(**{key: fixed[key] for key in known if key in fixed})
        scheduler.set_timesteps(steps)
        if "use_flow_sigmas" in known:
            sigmas = sigmas.clamp(_NEAR, 1 - _NEAR)
    if scheduler.order == 2:
        # Each level but the first and the last is reached by one evaluation and left by another.
        twice = [1, *[2] * (len(sigmas) - 2), 1]
        sigmas = sigmas.repeat_interleave(sigmas.new_tensor(twice).long())
    scheduler.sigmas = sigmas
    scheduler.timesteps = (sigmas[:-1] * spacing.config.num_train_timesteps).to(device)
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

"""Samplers by the names people know, as diffusers schedulers, in one table.

DPM++ SDE is SDE-DPM-Solver++(2S), the singlestep solver with noise, for it draws its noise from
the same generators as the others; 3M SDE is the multistep SDE solver of third order.
Sources: Karras et al. 2022 (arXiv 2206.00364) for the sigma spacing, Lu et al. 2022
(arXiv 2211.01095) for DPM-Solver++, Lin et al. 2023 (arXiv 2305.08891) for trailing timesteps.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from studio.errors import RequestError
from studio.requests import Sampler, Schedule

if TYPE_CHECKING:
    from diffusers import SchedulerMixin

_SIGMAS: dict[Schedule, Mapping[str, object]] = {
    Schedule.KARRAS: {"use_karras_sigmas": True},
    Schedule.EXPONENTIAL: {"use_exponential_sigmas": True},
    Schedule.BETA: {"use_beta_sigmas": True},
}
_TRAILING: dict[Schedule, Mapping[str, object]] = {
    Schedule.SGM_UNIFORM: {"timestep_spacing": "trailing"}
}
_CLEARED = {
    "use_karras_sigmas": False,
    "use_exponential_sigmas": False,
    "use_beta_sigmas": False,
}


@dataclass(frozen=True)
class SamplerEntry:
    """A diffusers scheduler class, what is fixed in its configuration, and its schedules."""

    scheduler: str
    fixed: Mapping[str, object] = field(default_factory=dict)
    sigmas: bool = True
    trailing: bool = True

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
        {"algorithm_type": "sde-dpmsolver++", "solver_order": 2, "final_sigmas_type": "zero"},
        trailing=False,
    ),
    Sampler.DPMPP_3M_SDE: SamplerEntry(
        "DPMSolverMultistepScheduler", {"algorithm_type": "sde-dpmsolver++", "solver_order": 3}
    ),
    Sampler.DEIS: SamplerEntry("DEISMultistepScheduler", {"algorithm_type": "deis"}),
    Sampler.UNIPC: SamplerEntry("UniPCMultistepScheduler", {"solver_type": "bh2"}),
    Sampler.LCM: SamplerEntry("LCMScheduler", sigmas=False, trailing=False),
    Sampler.TCD: SamplerEntry("TCDScheduler", sigmas=False, trailing=False),
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


def build_scheduler(
    sampler: Sampler, schedule: Schedule, config: Mapping[str, object]
) -> "SchedulerMixin":
    """A fresh diffusers scheduler for a sampler and schedule.

    config: the model's own scheduler configuration, which fixes betas and prediction type.
    Raises RequestError when they do not go together.
    """
    import diffusers

    check_schedule(sampler, schedule)
    entry = SAMPLERS[sampler]
    choice: Mapping[str, object] = {**_SIGMAS, **_TRAILING}.get(schedule, {})
    scheduler_class = getattr(diffusers, entry.scheduler)
    merged = {**config, **(_CLEARED if choice else {}), **entry.fixed, **choice}
    return scheduler_class.from_config(merged)

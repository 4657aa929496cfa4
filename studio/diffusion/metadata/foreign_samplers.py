"""Samplers and schedules by the names that other tools give them.

Names are compared without case, spaces and signs, with `++` read as `pp`, so that
`DPM++ 2M SDE`, `dpmpp_2m_sde` and `Dpmpp2mSde` are one.
"""

import re
from typing import NamedTuple

from studio.requests import Sampler, Schedule

_SAMPLERS = {
    Sampler.DDPM: "ddpm ddpmscheduler",
    Sampler.DDIM: "ddim ddimscheduler",
    Sampler.PNDM: "pndm plms pndmscheduler",
    Sampler.LMS: "lms klms lmsdiscretescheduler",
    Sampler.HEUN: "heun kheun heundiscretescheduler",
    Sampler.EULER: "euler keuler eulerdiscretescheduler",
    Sampler.EULER_A: (
        "eulera eulerancestral keulera keulerancestral eulerancestraldiscretescheduler"
    ),
    Sampler.DPM2: "dpm2 kdpm2 kdpm2discretescheduler",
    Sampler.DPM2_A: ("dpm2a dpm2ancestral kdpm2a kdpm2ancestral kdpm2ancestraldiscretescheduler"),
    Sampler.DPMPP_2M: "dpmpp2m kdpmpp2m dpmsolvermultistep dpmsolvermultistepscheduler",
    Sampler.DPMPP_2M_SDE: "dpmpp2msde dpmpp2msdegpu kdpmpp2msde",
    Sampler.DPMPP_SDE: "dpmppsde dpmppsdegpu kdpmppsde dpmsolversdescheduler",
    Sampler.DPMPP_3M_SDE: "dpmpp3msde dpmpp3msdegpu kdpmpp3msde",
    Sampler.DEIS: "deis deismultistepscheduler",
    Sampler.UNIPC: "unipc unipcbh2 unipcmultistepscheduler",
    Sampler.LCM: "lcm lcmscheduler",
    Sampler.TCD: "tcd tcdscheduler",
}

# "normal" and "uniform" are even timesteps, which is what a sampler does here when left alone.
_SCHEDULES = {
    Schedule.AUTOMATIC: "automatic auto default normal uniform none",
    Schedule.KARRAS: "karras",
    Schedule.EXPONENTIAL: "exponential polyexponential",
    Schedule.BETA: "beta",
    Schedule.SGM_UNIFORM: "sgmuniform",
}

# Older names carry their schedule: "DPM++ 2M Karras", "k_dpmpp_2m_ka", "dpmpp_2m_k".
_SUFFIXES = {
    "karras": Schedule.KARRAS,
    "polyexponential": Schedule.EXPONENTIAL,
    "exponential": Schedule.EXPONENTIAL,
    "sgmuniform": Schedule.SGM_UNIFORM,
    "ka": Schedule.KARRAS,
    "k": Schedule.KARRAS,
}


class Resolved(NamedTuple):
    """What a foreign pair of names stands for; None where there is no such thing here.

    schedule is also None when neither name says anything about it.
    """

    sampler: Sampler | None
    schedule: Schedule | None


def resolve(sampler: str, schedule: str = "") -> Resolved:
    """A sampler and schedule by foreign names; a schedule of its own beats one in the sampler's."""
    found, implied = _split(_plain(sampler))
    return Resolved(found, schedule_named(schedule) if schedule.strip() else implied)


def schedule_named(name: str) -> Schedule | None:
    """The schedule that goes by a foreign name, or None."""
    return _SCHEDULE_NAMES.get(_plain(name))


def _split(name: str) -> tuple[Sampler | None, Schedule | None]:
    if name in _SAMPLER_NAMES:
        return _SAMPLER_NAMES[name], None
    for suffix, schedule in _SUFFIXES.items():
        sampler = _SAMPLER_NAMES.get(name.removesuffix(suffix))
        if sampler is not None:
            return sampler, schedule
    return None, None


def _plain(name: str) -> str:
    return re.sub(r"[\W_]", "", name.casefold().replace("++", "pp"))


_SAMPLER_NAMES = {name: key for key, names in _SAMPLERS.items() for name in names.split()}
_SCHEDULE_NAMES = {name: key for key, names in _SCHEDULES.items() for name in names.split()}

"""Samplers, schedules, upscalers and models by the names that AUTOMATIC1111 gives them."""

import re

from studio.diffusion.metadata.foreign_samplers import resolve, schedule_named
from studio.diffusion.samplers import SAMPLERS
from studio.diffusion.upscaling.choices import LATENT, of_pixels
from studio.errors import RequestError
from studio.models.catalogue import Catalogue
from studio.models.entry import ModelEntry
from studio.models.upscalers import UpscalerShelf
from studio.requests import Sampler, Schedule

NO_UPSCALER = "None"
ALIASES = {
    Sampler.DDPM: (),
    Sampler.DDIM: ("ddim",),
    Sampler.PNDM: ("plms",),
    Sampler.LMS: ("k_lms",),
    Sampler.HEUN: ("k_heun",),
    Sampler.EULER: ("k_euler",),
    Sampler.EULER_A: ("k_euler_a", "k_euler_ancestral"),
    Sampler.DPM2: ("k_dpm_2",),
    Sampler.DPM2_A: ("k_dpm_2_a",),
    Sampler.DPMPP_2M: ("k_dpmpp_2m",),
    Sampler.DPMPP_2M_SDE: ("k_dpmpp_2m_sde",),
    Sampler.DPMPP_SDE: ("k_dpmpp_sde",),
    Sampler.DPMPP_3M_SDE: ("k_dpmpp_3m_sde",),
    Sampler.DEIS: (),
    Sampler.UNIPC: ("unipc",),
    Sampler.LCM: ("lcm",),
    Sampler.TCD: (),
}
AUTOMATIC = {
    Sampler.DPMPP_2M: Schedule.KARRAS,
    Sampler.DPMPP_SDE: Schedule.KARRAS,
    Sampler.DPM2: Schedule.KARRAS,
    Sampler.DPM2_A: Schedule.KARRAS,
    Sampler.DPMPP_2M_SDE: Schedule.EXPONENTIAL,
    Sampler.DPMPP_3M_SDE: Schedule.EXPONENTIAL,
}
"""What "Automatic" means there for a sampler, where that is not the sampler's own spacing."""
NOISY = {
    Sampler.EULER_A,
    Sampler.DPM2_A,
    Sampler.DPMPP_SDE,
    Sampler.DPMPP_2M_SDE,
    Sampler.DPMPP_3M_SDE,
}
"""Samplers whose eta is 1 there; that of DDIM is 0, and the others have none."""
LATENT_MODES = {
    "Latent": "latent",
    "Latent (antialiased)": "latent",
    "Latent (bicubic)": "latent bicubic",
    "Latent (bicubic antialiased)": "latent bicubic",
    "Latent (nearest)": "latent nearest",
    "Latent (nearest-exact)": "latent nearest",
}
RESAMPLERS = {"Lanczos": "lanczos", "Nearest": "nearest", "Bicubic": "bicubic"}
_TITLE = re.compile(r"^(.*?)(?: \[([0-9a-f]{6,64})\])?$", re.DOTALL)
_SUFFIXES = (".safetensors", ".ckpt")
_HASH_DIGITS = (8, 10, 64)


def sampling(sampler: str, schedule: str | None, *, flow: bool) -> tuple[Sampler, Schedule]:
    """A sampler and its schedule; RequestError for a name that is not known.

    flow: whether the model was trained by flow matching, where "Automatic" is one for all.
    """
    asked = schedule or ""
    found = resolve(sampler)
    if found.sampler is None:
        raise RequestError(f"Sampler {sampler[:80]!r} is not here; {_list(Sampler)}.", "sampler")
    named = schedule_named(asked) if asked.strip() else None
    if asked.strip() and named is None:
        raise RequestError(f"Scheduler {asked[:80]!r} is not here; {_list(Schedule)}.", "schedule")
    if named in (None, Schedule.AUTOMATIC):
        own = Schedule.AUTOMATIC if flow else AUTOMATIC.get(found.sampler, Schedule.AUTOMATIC)
        named = found.schedule or own
    assert named is not None
    return found.sampler, named


def second_sampler(name: str | None) -> Sampler | None:
    """The sampler of a second pass; None for that of the first."""
    if not name or name == "Use same sampler":
        return None
    found = resolve(name).sampler
    if found is None:
        raise RequestError(f"Sampler {name[:80]!r} is not here; {_list(Sampler)}.", "hires_sampler")
    return found


def upscaler_of(name: str, shelf: UpscalerShelf, *, latent: bool = False) -> str:
    """An upscaler by its name there or its own; "None" stands for Lanczos, as there."""
    known = {NO_UPSCALER: "lanczos", **RESAMPLERS, **(LATENT_MODES if latent else {})}
    found = known.get(name, name)
    if found not in (*of_pixels(shelf), *(LATENT if latent else ())):
        listed = ", ".join((*known, *of_pixels(shelf)[len(RESAMPLERS) :]))
        raise RequestError(f"Upscaler {name[:80]!r} is not here; there are: {listed}.", "upscaler")
    return found


def title_of(entry: ModelEntry, catalogue: Catalogue) -> str:
    """A model's title there: its file or name, and the hash once that is known."""
    name = entry.path.name if entry.original else entry.id
    digest = catalogue.known_sha256(entry)
    return f"{name} [{digest[:10]}]" if digest else name


def model_named(name: str, catalogue: Catalogue) -> ModelEntry:
    """A model by title, name, file or hash; RequestError when there is none."""
    wanted, digest = _TITLE.fullmatch(name.strip()).groups()  # type: ignore[union-attr]
    stem = next((wanted.removesuffix(s) for s in _SUFFIXES if wanted.endswith(s)), wanted)
    entries = catalogue.entries()
    for entry in entries:
        if wanted in (entry.id, entry.title, entry.path.name) or stem == entry.id:
            return catalogue.usable(entry.id)
    looked_for = (digest or wanted).lower()
    if len(looked_for) in _HASH_DIGITS:
        for entry in entries:
            if catalogue.known_sha256(entry).startswith(looked_for):
                return catalogue.usable(entry.id)
    there = ", ".join(entry.id for entry in entries) or "none"
    raise RequestError(f"Model {name[:80]!r} is not installed; there are: {there}.", "model")


def schedules_of(sampler: Sampler) -> dict[str, str]:
    """A sampler's options in the list: what "Automatic" means for it."""
    own = AUTOMATIC.get(sampler)
    return {"scheduler": own.value.lower()} if own in SAMPLERS[sampler].schedules else {}


def _list(kind: type[Sampler] | type[Schedule]) -> str:
    return "there are: " + ", ".join(member.value for member in kind)

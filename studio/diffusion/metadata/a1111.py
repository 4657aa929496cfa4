"""Settings of AUTOMATIC1111's web UI and the many tools that write its text form."""

from studio.diffusion.metadata.foreign_samplers import resolve
from studio.diffusion.metadata.imported import Draft, Imported, Source, shown
from studio.diffusion.metadata.infotext import Infotext, parse
from studio.diffusion.upscaling.choices import LATENT, RESAMPLING
from studio.requests import Schedule

_VERSIONS = {"Atelier": Source.ATELIER, "ComfyUI": Source.COMFYUI, "Fooocus": Source.FOOOCUS}

_UPSCALERS = {
    "Latent": "latent",
    "Latent (antialiased)": "latent",
    "Latent (bicubic)": "latent bicubic",
    "Latent (bicubic antialiased)": "latent bicubic",
    "Latent (nearest)": "latent nearest",
    "Latent (nearest-exact)": "latent nearest",
    "Lanczos": "lanczos",
    "Nearest": "nearest",
}
_HIRES = {
    "Hires upscale": "hires_scale",
    "Denoising strength": "hires_strength",
    "Hires steps": "hires_steps",
    "Hires CFG Scale": "hires_cfg_scale",
    "Hires prompt": "hires_prompt",
    "Hires negative prompt": "hires_negative_prompt",
}

# Taken over, or of no meaning for a new picture.
_USED = {
    *("Steps", "Sampler", "Schedule type", "Scheduler", "CFG scale", "Seed", "Size-1", "Size-2"),
    *("Model", "Model hash", "Variation seed", "Variation seed strength", "Clip skip", "RNG"),
    *("Version", "Lora hashes", "Lora weights", "User", "Hashes", "TI hashes", "TI"),
    *(
        "Distilled CFG Scale",
        "Speed-ups",
        "Batch size",
        "Batch pos",
        "Raw prompt",
        "Raw negative prompt",
    ),
}


def load(text: str) -> Imported:
    """Settings of a text; its fields are empty when it has no line of settings."""
    info = parse(text)
    fields = info.fields
    if not fields:
        return Draft(Source.A1111, text).done()
    draft = Draft(source_of(info), text)
    # Fooocus writes the prompt with its styles woven in, and the typed one beside it.
    draft.put("prompt", fields.get("Raw prompt", info.prompt))
    draft.put("negative_prompt", fields.get("Raw negative prompt", info.negative_prompt))
    draft.put("steps", fields.get("Steps"))
    schedule = fields.get("Schedule type") or fields.get("Scheduler", "")
    draft.put_sampler(fields.get("Sampler"), schedule)
    if "Sampler" in fields and not schedule:
        # The sampler's own spacing is what a text without a schedule was made with.
        draft.fields.setdefault("schedule", Schedule.AUTOMATIC)
    draft.put("cfg_scale", fields.get("CFG scale"))
    draft.put("distilled_cfg_scale", fields.get("Distilled CFG Scale"))
    draft.put("seed", fields.get("Seed"))
    draft.put_size(fields.get("Size-1"), fields.get("Size-2"))
    draft.put("clip_skip", fields.get("Clip skip", 1))
    draft.put("variation_strength", fields.get("Variation seed strength", 0))
    draft.put("variation_seed", fields.get("Variation seed"))
    draft.put_model(fields.get("Model"), fields.get("Model hash"))
    if "Speed-ups" in fields:
        draft.keep("speedups", [key.strip() for key in fields["Speed-ups"].split(",")])
    if "Hires upscale" in fields:
        _second_pass(draft, fields)
    _notes(draft, fields)
    return draft.done()


def _second_pass(draft: Draft, fields: dict[str, str]) -> None:
    for key, name in _HIRES.items():
        draft.put(name, fields.pop(key, None))
    sampler = fields.pop("Hires sampler", "")
    found = resolve(sampler, "").sampler if sampler else None
    if found is not None:
        draft.fields["hires_sampler"] = found
    elif sampler:
        draft.note(f"The second pass's sampler {shown(sampler)!r} is not available here")
    upscaler = fields.pop("Hires upscaler", "Latent")
    name = _UPSCALERS.get(upscaler, upscaler)
    draft.put("hires_upscaler", name)
    if name not in (*LATENT, *RESAMPLING):
        draft.note(f"Upscaler {shown(name)!r} is used if its model is installed here, else latent")


def source_of(info: Infotext) -> Source:
    """Who wrote a text, by the version it ends with."""
    version = info.fields.get("Version", "")
    return next((found for word, found in _VERSIONS.items() if word in version), Source.A1111)


def _notes(draft: Draft, fields: dict[str, str]) -> None:
    loras = fields.get("Lora weights") or fields.get("Lora hashes", "")
    for entry in filter(None, loras.split(",")):
        name, _, weight = entry.partition(":")
        draft.lora(name.strip(), weight.strip() if "Lora weights" in fields else None)
    draft.left_out({key: value for key, value in fields.items() if key not in _USED})
    if draft.source is Source.A1111 and fields.get("RNG", "GPU") != "CPU":
        draft.note(
            "Its noise was drawn on a graphics card, so the same seed gives another picture here"
        )

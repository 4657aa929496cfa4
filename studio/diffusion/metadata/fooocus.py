"""Settings of Fooocus, in its JSON scheme; its text scheme is AUTOMATIC1111's."""

import re

from studio.diffusion.metadata.document import JsonObject
from studio.diffusion.metadata.imported import Draft, Imported, Source

_PAIR = re.compile(r"\(\s*'?(\d{1,6})'?\s*,\s*'?(\d{1,6})'?\s*\)")
_LORAS = 64
_LEFT_OUT = {
    "styles": "styles",
    "prompt_expansion": "prompt expansion",
    "sharpness": "sharpness",
    "refiner_model": "refiner",
    "vae": "VAE",
    "freeu": "FreeU",
}


def matches(data: JsonObject) -> bool:
    """Whether an object is of this scheme."""
    version = data.get("version")
    named = isinstance(version, str) and "fooocus" in version.casefold()
    return named or "metadata_scheme" in data or {"base_model", "performance"} <= data.keys()


def load(data: JsonObject, text: str) -> Imported:
    """Settings of a JSON object; its prompt is the typed one, without the styles."""
    draft = Draft(Source.FOOOCUS, text)
    draft.put("prompt", data.get("prompt"))
    draft.put("negative_prompt", data.get("negative_prompt"))
    draft.put("steps", data.get("steps"))
    draft.put_sampler(data.get("sampler"), data.get("scheduler"))
    draft.put("cfg_scale", data.get("guidance_scale"))
    draft.put("seed", data.get("seed"))
    draft.put("clip_skip", data.get("clip_skip"))
    draft.put_size(*_resolution(data.get("resolution")))
    draft.put_model(data.get("base_model"), data.get("base_model_hash"))
    for name, weight in _loras(data):
        draft.lora(name, weight)
    draft.left_out(
        {words: data.get(key) for key, words in _LEFT_OUT.items() if data.get(key) != "None"}
    )
    return draft.done()


def _resolution(value: object) -> tuple[object, object]:
    """Both sides of a value such as "(1152, 896)"."""
    if isinstance(value, list) and len(value) == 2:
        return value[0], value[1]
    pair = _PAIR.fullmatch(value.strip()) if isinstance(value, str) else None
    return (pair[1], pair[2]) if pair else (None, None)


def _loras(data: JsonObject) -> list[tuple[str, object]]:
    """Name and weight of each, from `loras` or, in presets, from `lora_combined_1` onwards."""
    listed = data.get("loras")
    found: list[tuple[str, object]] = []
    for entry in listed[:_LORAS] if isinstance(listed, list) else []:
        if isinstance(entry, list) and len(entry) >= 2 and isinstance(entry[0], str):
            found.append((entry[0], entry[1]))
    if found:
        return found
    for number in range(1, _LORAS):
        parts = str(data.get(f"lora_combined_{number}", "")).split(" : ")
        if len(parts) >= 2:
            found.append((parts[-2], parts[-1]))
    return found

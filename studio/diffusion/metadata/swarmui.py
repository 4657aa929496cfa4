"""Settings of SwarmUI: JSON under `sui_image_params`, as its Image Metadata Format page says."""

from studio.diffusion.metadata.document import JsonObject
from studio.diffusion.metadata.imported import Draft, Imported, Source

KEY = "sui_image_params"

_USED = {
    *("prompt", "negativeprompt", "steps", "sampler", "scheduler", "cfgscale", "seed", "width"),
    *("height", "model", "loras", "loraweights", "clipstopatlayer", "variationseed"),
    *("variationseedstrength", "swarm_version", "aspectratio", "automaticvae", "images", "date"),
    *("generation_time", "resolution", "nopreviews", "batchsize", "personalnote"),
}


def load(data: JsonObject, text: str) -> Imported:
    """Settings of a JSON object; no single one is sure to be there."""
    found = data.get(KEY)
    params: JsonObject = found if isinstance(found, dict) else {}
    draft = Draft(Source.SWARMUI, text)
    draft.put("prompt", params.get("prompt"))
    draft.put("negative_prompt", params.get("negativeprompt"))
    draft.put("steps", params.get("steps"))
    draft.put_sampler(params.get("sampler"), params.get("scheduler"))
    draft.put("cfg_scale", params.get("cfgscale"))
    draft.put("seed", params.get("seed"))
    draft.put_size(params.get("width"), params.get("height"))
    draft.put("clip_skip", _layers(params.get("clipstopatlayer")))
    draft.put("variation_seed", params.get("variationseed"))
    draft.put("variation_strength", params.get("variationseedstrength"))
    draft.put_model(params.get("model"), _model_hash(data))
    weights = _listed(params.get("loraweights"))
    for index, name in enumerate(_listed(params.get("loras"))):
        draft.lora(name, weights[index] if index < len(weights) else None)
    draft.left_out({key: value for key, value in params.items() if key not in _USED})
    return draft.done()


def _layers(value: object) -> object:
    """Clip skip counts up from 1, where SwarmUI counts down from -1."""
    try:
        return -int(value) if isinstance(value, (int, str)) else None
    except ValueError:
        return None


def _model_hash(data: JsonObject) -> object:
    models = data.get("sui_models")
    for entry in models if isinstance(models, list) else []:
        if isinstance(entry, dict) and entry.get("param") == "model":
            return entry.get("hash")
    return None


def _listed(value: object) -> list[object]:
    """A list, which older versions wrote as text with commas."""
    if isinstance(value, str):
        return [part.strip() for part in value.split(",") if part.strip()]
    return value[:64] if isinstance(value, list) else []

"""Settings of InvokeAI: `invokeai_metadata` of version 3 and later, `sd-metadata` of version 2."""

import re

from studio.diffusion.metadata.document import JsonObject
from studio.diffusion.metadata.imported import Draft, Imported, Source

KEYWORDS = ("invokeai_metadata", "sd-metadata")

_WEIGHTS = re.compile(r"\w[+]{1,5}(?![+\w])|\)(?:[+-]|\d)|\.(?:blend|and|swap)\(")
_LEFT_OUT = {
    "positive_style_prompt": "style prompt",
    "negative_style_prompt": "negative style prompt",
    "strength": "denoising strength",
    "init_image": "start picture",
    "vae": "VAE",
    "controlnets": "ControlNets",
    "ipAdapters": "IP adapters",
    "t2iAdapters": "T2I adapters",
    "refiner_model": "refiner",
    "hrf_enabled": "high resolution fix",
    "cfg_rescale_multiplier": "CFG rescale",
    "seamless_x": "seamless tiling x",
    "seamless_y": "seamless tiling y",
}


def matches(data: JsonObject) -> bool:
    """Whether an object found under a neutral name is of this tool."""
    return "positive_prompt" in data or ("image" in data and "model_weights" in data)


def load(data: JsonObject, text: str) -> Imported:
    """Settings of a JSON object of either generation."""
    draft = Draft(Source.INVOKEAI, text)
    image = data.get("image")
    if isinstance(image, dict) and "positive_prompt" not in data:
        _old(draft, data, image)
    else:
        _current(draft, data)
    if _WEIGHTS.search(str(draft.fields.get("prompt", ""))):
        draft.note("InvokeAI writes weights such as (word)1.3 or word++; here it is (word:1.3)")
    return draft.done()


def _current(draft: Draft, data: JsonObject) -> None:
    draft.put("prompt", data.get("positive_prompt"))
    draft.put("negative_prompt", data.get("negative_prompt"))
    _shared(draft, data, "scheduler")
    skipped = data.get("clip_skip")
    if isinstance(skipped, int):
        # InvokeAI counts the layers left out; here 1 leaves none out.
        draft.put("clip_skip", skipped + 1)
    draft.put_model(_model_name(data.get("model")), _model_hash(data.get("model")))
    loras = data.get("loras")
    for entry in loras[:64] if isinstance(loras, list) else []:
        if isinstance(entry, dict):
            draft.lora(
                _model_name(entry.get("model", entry.get("lora"))) or "?", entry.get("weight")
            )
    left_out = {words: data.get(key) for key, words in _LEFT_OUT.items()}
    for key in ("vae", "refiner_model"):
        left_out[_LEFT_OUT[key]] = _model_name(data.get(key))
    draft.left_out(left_out)


def _old(draft: Draft, data: JsonObject, image: JsonObject) -> None:
    prompts = image.get("prompt")
    if isinstance(prompts, list):
        parts = [part.get("prompt") for part in prompts[:64] if isinstance(part, dict)]
        prompts = ", ".join(part for part in parts if isinstance(part, str))
    text = prompts if isinstance(prompts, str) else ""
    # That version wrote what to avoid in square brackets within the prompt.
    negative = ", ".join(re.findall(r"\[([^\[\]]*)\]", text))
    draft.put("prompt", re.sub(r"\s*\[[^\[\]]*\]", "", text).strip())
    draft.put("negative_prompt", negative)
    _shared(draft, image, "sampler")
    draft.put_model(data.get("model_weights"), data.get("model_hash"))


def _shared(draft: Draft, data: JsonObject, sampler: str) -> None:
    draft.put_sampler(data.get(sampler))
    for name in ("steps", "cfg_scale", "seed"):
        draft.put(name, data.get(name))
    draft.put_size(data.get("width"), data.get("height"))


def _model_name(model: object) -> str:
    """The name of a model: of an object in newer files, of a plain text in older ones."""
    if isinstance(model, dict):
        model = model.get("name", model.get("model_name"))
    return model if isinstance(model, str) else ""


def _model_hash(model: object) -> object:
    return model.get("hash") if isinstance(model, dict) else None

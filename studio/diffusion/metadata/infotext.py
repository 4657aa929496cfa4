"""The text form of settings that AUTOMATIC1111 made common.

Prompt, then `Negative prompt:`, then one line of `Key: value` pairs, as that program's
`create_infotext` and `parse_generation_parameters` write and read it.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass

from studio.requests import (
    EditRequest,
    GenerationRequest,
    InpaintArea,
    MaskMode,
    PictureRequest,
    UpscaleRequest,
)

NEGATIVE = "Negative prompt:"
PAIRS_NEEDED = 3
"""Fewer pairs than this and the last line counts as part of the prompt."""

# Keys are bounded and possessive: a line of a million letters must not take quadratic time.
_PAIR = re.compile(r'(\w[\w \-/]{1,80}+):\s*("(?:\\.|[^\\"])+"|[^,]*)(?:,|$)')
_SIZE = re.compile(r"(\d{1,9})x(\d{1,9})")
_LINE_LIMIT = 200_000


@dataclass(frozen=True)
class Infotext:
    """Settings as text by the names they carry in the file.

    A value such as `512x768` under `Size` is found as `Size-1` and `Size-2`.
    """

    prompt: str
    negative_prompt: str
    fields: dict[str, str]


def _edit_fields(request: EditRequest) -> dict[str, object]:
    """What AUTOMATIC1111 writes for a picture that was made from another one."""
    masked = bool(request.mask) or request.extends
    inverted = masked and request.mask_mode is MaskMode.NOT_MASKED
    only_masked = masked and request.area is InpaintArea.MASKED
    return {
        "Denoising strength": _number(request.strength),
        "Mask mode": "Inpaint not masked" if inverted else None,
        "Mask blur": request.feather if masked else None,
        "Masked content": request.masked_content.value if masked else None,
        "Inpaint area": "Only masked" if only_masked else None,
        "Masked area padding": request.padding if only_masked else None,
        "Source hash": request.source[:12],
    }


def _hires_fields(request: GenerationRequest) -> dict[str, object]:
    """What it writes for a second pass."""
    if request.hires_scale == 1:
        return {}
    sampler, cfg = request.hires_sampler, request.hires_cfg_scale
    return {
        "Denoising strength": _number(request.hires_strength),
        "Hires upscale": _number(request.hires_scale),
        "Hires steps": request.hires_steps or None,
        "Hires upscaler": request.hires_upscaler,
        "Hires sampler": None if sampler is None else sampler.value,
        "Hires CFG Scale": _number(cfg) if cfg else None,
        "Hires prompt": request.hires_prompt or None,
        "Hires negative prompt": request.hires_negative_prompt or None,
    }


def _upscale_fields(request: UpscaleRequest) -> dict[str, object]:
    """What it writes for a picture that was enlarged."""
    redrawn = request.strength > 0
    return {
        "Denoising strength": _number(request.strength) if redrawn else None,
        "Postprocess upscale by": _number(request.scale),
        "Postprocess upscaler": request.upscaler,
        "Tile": request.tile if redrawn else None,
        "Tile overlap": _number(request.overlap) if redrawn else None,
        "Source hash": request.source[:12],
    }


def _own_fields(request: PictureRequest) -> dict[str, object]:
    match request:
        case EditRequest():
            return _edit_fields(request)
        case UpscaleRequest():
            return _upscale_fields(request)
        case GenerationRequest():
            return _hires_fields(request)
    return {}


def _sampling_fields(
    request: PictureRequest, model_name: str, model_hash: str
) -> dict[str, object]:
    if isinstance(request, UpscaleRequest) and request.strength == 0:
        return {}  # nothing was sampled
    distilled = request.distilled_cfg_scale
    varied = request.variation_strength > 0
    sized = request.width is not None and request.height is not None
    return {
        "Steps": request.steps,
        "Sampler": request.sampler.value,
        "Schedule type": request.schedule.value,
        "CFG scale": None if request.cfg_scale is None else _number(request.cfg_scale),
        "Distilled CFG Scale": None if distilled is None else _number(distilled),
        "Seed": request.seed,
        "Size": f"{request.width}x{request.height}" if sized else None,
        "Model hash": model_hash or None,
        "Model": model_name or None,
        "Variation seed": request.variation_seed if varied else None,
        "Variation seed strength": _number(request.variation_strength) if varied else None,
        "Clip skip": request.clip_skip if request.clip_skip > 1 else None,
        "Speed-ups": ", ".join(request.speedups) or None,
    }


def write(
    request: PictureRequest,
    model_name: str,
    model_hash: str,
    version: str,
    hashes: Mapping[str, Mapping[str, str]] | None = None,
) -> str:
    """The text for one picture, whose own seeds stand in `request`.

    model_name, model_hash: left out when empty. version: of Atelier, as in `0.1.0`. hashes: of
    what the prompts called for, by name, under the key for their kind.
    """
    listed = {
        key: ", ".join(f"{name}: {digest}" for name, digest in each.items()) or None
        for key, each in (hashes or {}).items()
    }
    fields = {
        **_sampling_fields(request, model_name, model_hash),
        **_own_fields(request),
        **listed,
        "RNG": "CPU",
        "Version": f"Atelier v{version}",
    }
    given = {key: value for key, value in fields.items() if value is not None}
    line = ", ".join(f"{key}: {_quote(str(value))}" for key, value in given.items())
    negative = f"\n{NEGATIVE} {request.negative_prompt}" if request.negative_prompt else ""
    return f"{request.prompt}{negative}\n{line}".strip()


def parse(text: str) -> Infotext:
    """Prompts and pairs of a text, as tolerant as the program the form comes from.

    A text without a line of settings gives a prompt and no fields; nothing is an error.
    """
    *lines, last = text.strip().split("\n")
    fields = _pairs(last)
    if not fields:
        lines.append(last)
    prompt: list[str] = []
    negative: list[str] = []
    part = prompt
    for line in map(str.strip, lines):
        if line.startswith(NEGATIVE):
            part = negative
            line = line.removeprefix(NEGATIVE).strip()
        part.append(line)
    return Infotext("\n".join(prompt).lstrip("\n"), "\n".join(negative).lstrip("\n"), fields)


def _pairs(line: str) -> dict[str, str]:
    """Settings of a line, or nothing when it has too few pairs to be a line of settings."""
    if len(line) > _LINE_LIMIT:
        return {}
    found = _PAIR.findall(line)
    if len(found) < PAIRS_NEEDED:
        return {}
    fields: dict[str, str] = {}
    for key, raw in found:
        value = _unquote(raw.strip())
        if size := _SIZE.fullmatch(value):
            fields[f"{key}-1"], fields[f"{key}-2"] = size.groups()
        else:
            fields[key] = value
    return fields


def _number(value: float) -> str:
    return str(int(value)) if value.is_integer() else repr(value)


def _quote(text: str) -> str:
    return json.dumps(text, ensure_ascii=False) if set(text) & set(",:\n") else text


def _unquote(text: str) -> str:
    if len(text) < 2 or not (text[0] == text[-1] == '"'):
        return text
    try:
        return str(json.loads(text))
    except ValueError:
        return text

"""Requests of the studio from what programs send; what cannot be done is refused in words."""

import math
from collections.abc import Callable
from typing import Any, TypeVar

from studio.api.sdapi.fields import ImageToImage, Making, TextToImage
from studio.api.sdapi.names import NOISY, sampling, second_sampler, upscaler_of
from studio.api.sdapi.options import InForce
from studio.api.sdapi.pictures import decoded
from studio.diffusion.metadata.files import read_text
from studio.diffusion.prompt import strip_networks
from studio.diffusion.sizes import multiple_below
from studio.errors import MetadataError, RequestError
from studio.models.upscalers import UpscalerShelf
from studio.requests import (
    EditRequest,
    GenerationRequest,
    InpaintArea,
    MaskedContent,
    MaskMode,
    Resize,
    Sampler,
    validated,
)
from studio.store.inputs import InputStore

_RESIZE = (Resize.STRETCH, Resize.CROP, Resize.FILL, Resize.LATENT)
_FILLS = (
    MaskedContent.FILL,
    MaskedContent.ORIGINAL,
    MaskedContent.NOISE,
    MaskedContent.NOTHING,
)
_SAME_MODEL = (None, "", "Use same checkpoint")
_SAME_SCHEDULE = (None, "", "Use same scheduler")
_HIRES_STRENGTH = 0.75
_Sent = TypeVar("_Sent", bound=Making)
_NAMES = {
    "prompt": "prompt",
    "negative_prompt": "negative_prompt",
    "seed": "seed",
    "steps": "steps",
    "cfg_scale": "cfg_scale",
    "distilled_cfg_scale": "distilled_cfg_scale",
    "width": "width",
    "height": "height",
    "sampler": "sampler_name",
    "schedule": "scheduler",
    "variation_seed": "subseed",
    "variation_strength": "subseed_strength",
    "hires_scale": "hr_scale",
    "hires_upscaler": "hr_upscaler",
    "hires_strength": "denoising_strength",
    "hires_steps": "hr_second_pass_steps",
    "hires_sampler": "hr_sampler_name",
    "hires_prompt": "hr_prompt",
    "hires_negative_prompt": "hr_negative_prompt",
    "hires_cfg_scale": "hr_cfg",
}
"""Fields of a picture's settings by the names that they are sent under."""


def with_infotext(sent: _Sent) -> _Sent:
    """The request with its infotext's settings in the fields that were not sent."""
    if not sent.infotext:
        return sent
    try:
        found = read_text(sent.infotext).fields
    except MetadataError as error:
        raise RequestError(str(error), "infotext") from None
    told = {_NAMES[name]: value for name, value in found.items() if name in _NAMES}
    if "hires_scale" in found:
        told["enable_hr"] = found["hires_scale"] != 1
    if "clip_skip" in found:
        overrides = {
            "CLIP_stop_at_last_layers": found["clip_skip"],
            **(sent.override_settings or {}),
        }
        sent = sent.model_copy(update={"override_settings": overrides})
    known = type(sent).model_fields
    fresh = {
        name: value
        for name, value in told.items()
        if name in known and name not in sent.model_fields_set
    }
    return sent.model_copy(update=fresh)


def generation(sent: TextToImage, force: InForce, shelf: UpscalerShelf) -> GenerationRequest:
    """The request for pictures from a text."""
    fields = _shared(sent, force)
    if sent.firstphase_width or sent.firstphase_height:
        fields |= _size(sent.firstphase_width, sent.firstphase_height, force)
    if sent.enable_hr:
        fields |= _second_pass(sent, force, shelf, fields)
    return validated(GenerationRequest, fields)


def edit(sent: ImageToImage, force: InForce, inputs: InputStore, limit: int) -> EditRequest:
    """The request for a picture changed by a text; its source and mask are kept.

    limit: bytes of a picture.
    """
    fields = _shared(sent, force)
    images = sent.init_images or []
    if len(images) != 1:
        raise RequestError(
            f"init_images holds {len(images)} pictures, but one request changes one; send each in "
            "a request of its own.",
            "source",
        )
    fields["resize"] = _choice(_RESIZE, sent.resize_mode, "resize_mode")
    fields["strength"] = 0.75 if sent.denoising_strength is None else sent.denoising_strength
    if sent.initial_noise_multiplier not in (None, 1):
        raise _cannot("initial_noise_multiplier", sent.initial_noise_multiplier, "leave it out")
    if sent.latent_mask:
        raise _cannot("latent_mask", "sent", "send mask")
    if sent.mask:
        fields |= _masked(sent)
    # Refused before anything is decoded and kept.
    validated(EditRequest, fields)
    kept = inputs.add_picture(decoded(images[0], "The picture", limit), "The picture")
    fields["source"] = kept.hash
    if sent.mask:
        fields["mask"] = inputs.add_mask(decoded(sent.mask, "The mask", limit), "The mask").hash
    return validated(EditRequest, fields)


def _shared(sent: Making, force: InForce) -> dict[str, Any]:
    _refuse(sent)
    sampler, schedule = sampling(sent.asked_sampler, sent.scheduler, flow=_flow(force))
    _check_noise(sent, sampler)
    shown: Callable[[str], str] = str
    if sent.disable_extra_networks:
        shown = _without_networks
    return {
        "model": force.model.id,
        "prompt": shown(sent.prompt),
        "negative_prompt": shown(sent.negative_prompt),
        "sampler": sampler,
        "schedule": schedule,
        "steps": sent.steps,
        "cfg_scale": sent.cfg_scale,
        "distilled_cfg_scale": sent.distilled_cfg_scale,
        "seed": max(-1, sent.seed),
        "batch_size": sent.batch_size,
        "batch_count": sent.n_iter,
        "clip_skip": force.chosen.CLIP_stop_at_last_layers,
        "variation_seed": max(-1, sent.subseed),
        "variation_strength": sent.subseed_strength,
        "preview_every": force.chosen.preview_every,
        "image_format": force.chosen.format,
        **_size(sent.width, sent.height, force),
    }


def _flow(force: InForce) -> bool:
    assert force.model.family is not None
    return force.model.family.flow


def _size(width: int, height: int, force: InForce) -> dict[str, Any]:
    """Sides as there: what is beyond a multiple of what the model needs is cut off."""
    multiple = force.model.multiple
    return {
        "width": multiple_below(width, multiple) if width > 0 else width,
        "height": multiple_below(height, multiple) if height > 0 else height,
    }


def _second_pass(
    sent: TextToImage, force: InForce, shelf: UpscalerShelf, fields: dict[str, Any]
) -> dict[str, Any]:
    if sent.hr_checkpoint_name not in _SAME_MODEL:
        raise _cannot("hr_checkpoint_name", sent.hr_checkpoint_name, "leave it out")
    if sent.hr_scheduler not in _SAME_SCHEDULE:
        name = sent.hr_sampler_name if second_sampler(sent.hr_sampler_name) else None
        again = sampling(name or sent.asked_sampler, sent.hr_scheduler, flow=_flow(force))
        if again[1] is not fields["schedule"]:
            raise _cannot("hr_scheduler", sent.hr_scheduler, "leave it out")
    strength = sent.denoising_strength
    return {
        "hires_scale": _scale(sent, fields["width"], fields["height"]),
        "hires_upscaler": upscaler_of(sent.hr_upscaler or "Latent", shelf, latent=True),
        "hires_strength": _HIRES_STRENGTH if strength is None else strength,
        "hires_steps": sent.hr_second_pass_steps,
        "hires_sampler": second_sampler(sent.hr_sampler_name),
        "hires_cfg_scale": sent.hr_cfg or 0,
        "hires_prompt": sent.hr_prompt,
        "hires_negative_prompt": sent.hr_negative_prompt,
    }


def _scale(sent: TextToImage, width: int, height: int) -> float:
    """How much larger the second pass is; one side alone keeps the picture's shape."""
    wide, high = sent.hr_resize_x / max(1, width), sent.hr_resize_y / max(1, height)
    if not wide and not high:
        return sent.hr_scale
    if wide and high and not math.isclose(wide, high, rel_tol=1e-3):
        raise RequestError(
            f"hr_resize_x and hr_resize_y ask for {sent.hr_resize_x}x{sent.hr_resize_y}, which has "
            f"another shape than {width}x{height}; leave one of them at 0.",
            "hires_scale",
        )
    return wide or high


def _masked(sent: ImageToImage) -> dict[str, Any]:
    blurs = {sent.mask_blur_x, sent.mask_blur_y} if sent.mask_blur is None else {sent.mask_blur}
    if len(blurs) > 1:
        raise RequestError(
            f"mask_blur_x is {sent.mask_blur_x} and mask_blur_y {sent.mask_blur_y}, but a mask is "
            "blurred alike in both directions here; send mask_blur.",
            "feather",
        )
    sides = (MaskMode.MASKED, MaskMode.NOT_MASKED)
    return {
        "feather": blurs.pop(),
        "soft": not sent.mask_round,
        "masked_content": _choice(_FILLS, sent.inpainting_fill, "inpainting_fill"),
        "area": InpaintArea.MASKED if sent.inpaint_full_res else InpaintArea.WHOLE,
        "padding": sent.inpaint_full_res_padding,
        "mask_mode": _choice(sides, sent.inpainting_mask_invert, "inpainting_mask_invert"),
    }


def _refuse(sent: Making) -> None:
    """Say of the first thing that cannot be done here that it cannot."""
    if sent.script_name:
        raise RequestError(f"Script {sent.script_name[:80]!r} not found; there are none.", "script")
    for name in sent.alwayson_scripts:
        raise RequestError(f"Always on script {name[:80]!r} not found; there are none.", "script")
    for wish in ("restore_faces", "tiling", "refiner_checkpoint", "firstpass_image"):
        value = getattr(sent, wish)
        if value and value != "None":
            raise _cannot(wish, value, "leave it out")
    if sent.subseed_strength > 0 or sent.seed_resize_from_w > 0 or sent.seed_resize_from_h > 0:
        for side in ("w", "h"):
            value = getattr(sent, f"seed_resize_from_{side}")
            if value > 0 and value != (sent.width if side == "w" else sent.height):
                raise _cannot(f"seed_resize_from_{side}", value, "leave it out")


def _check_noise(sent: Making, sampler: Sampler) -> None:
    """Refuse settings of a sampler's noise that would change the picture there."""
    own = 1 if sampler in NOISY else 0
    if (sampler in NOISY or sampler is Sampler.DDIM) and sent.eta not in (None, own):
        raise _cannot("eta", sent.eta, f"{sampler.value} has {own}, or leave it out")
    for name, value in (("s_churn", 0), ("s_min_uncond", 0), ("s_noise", 1)):
        if getattr(sent, name) not in (None, value):
            raise _cannot(name, getattr(sent, name), f"send {value} or leave it out")


def _choice(choices: tuple[Any, ...], number: int, name: str) -> Any:
    if not 0 <= number < len(choices):
        raise RequestError(f"{name} is {number}, but must be from 0 to {len(choices) - 1}.", name)
    return choices[number]


def _cannot(name: str, value: object, instead: str) -> RequestError:
    shown = "sent" if isinstance(value, str) and len(value) > 80 else f"{value!r}"
    return RequestError(f"{name} is {shown}, which cannot be done here; {instead}.", name)


def _without_networks(text: str) -> str:
    return strip_networks(text)[0]

"""What programs send: the fields of AUTOMATIC1111's API with their defaults, as they are there.

Source: modules/api/models.py and modules/processing.py of AUTOMATIC1111's web UI, version 1.10.
Fields that are not known are passed over, and a field that is null counts as not sent, as there.
Limits stand on the studio's own requests alone.
"""

from typing import Annotated, Any, Literal, TypeVar

import orjson
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

_LARGEST = 2**53
_Loose = TypeVar("_Loose")


def _plain(value: _Loose) -> _Loose:
    """Refuse what cannot be sent back: it is part of the answer."""
    try:
        orjson.dumps(value)
    except orjson.JSONEncodeError:
        raise ValueError("is nested too deep or has too large numbers") from None
    return value


Whole = Annotated[int, Field(ge=-_LARGEST, le=_LARGEST)]
Loose = Annotated[dict[str, Any], AfterValidator(_plain)]
Listed = Annotated[list[Any], AfterValidator(_plain)]
Picture = Annotated[str, Field(description="A picture file as base64, or as a data URI of it.")]
Visibility = Annotated[float, Field(ge=0, le=1)]


class Sent(BaseModel):
    """A body; null stands for a field's default."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    @model_validator(mode="before")
    @classmethod
    def _without_nulls(cls, value: Any) -> Any:
        if not isinstance(value, dict):
            return value
        return {key: each for key, each in value.items() if each is not None}


class Making(Sent):
    """What both ways of making pictures share."""

    prompt: str = ""
    negative_prompt: str = ""
    styles: list[str] | None = None
    seed: Whole = -1
    subseed: Whole = -1
    subseed_strength: float = 0
    seed_resize_from_h: Whole = -1
    seed_resize_from_w: Whole = -1
    sampler_name: str | None = None
    scheduler: str | None = None
    batch_size: Whole = 1
    n_iter: Whole = 1
    steps: Whole = 50
    cfg_scale: float = 7.0
    distilled_cfg_scale: float | None = None
    width: Whole = 512
    height: Whole = 512
    restore_faces: bool | None = None
    tiling: bool | None = None
    do_not_save_samples: bool = False
    do_not_save_grid: bool = False
    eta: float | None = None
    denoising_strength: float | None = None
    s_min_uncond: float | None = None
    s_churn: float | None = None
    s_tmax: float | None = None
    s_tmin: float | None = None
    s_noise: float | None = None
    override_settings: Loose | None = None
    override_settings_restore_afterwards: bool = True
    refiner_checkpoint: str | None = None
    refiner_switch_at: float | None = None
    disable_extra_networks: bool = False
    firstpass_image: Picture | None = None
    comments: Loose | None = None
    sampler_index: str = "Euler"
    script_name: str | None = None
    script_args: Listed = []
    send_images: bool = True
    save_images: bool = False
    alwayson_scripts: Loose = {}
    force_task_id: str | None = Field(None, max_length=200)
    infotext: str | None = None

    @property
    def asked_sampler(self) -> str:
        """The sampler by the name it goes by, wherever that was sent."""
        return self.sampler_name or self.sampler_index


class TextToImage(Making):
    """Body of txt2img; hr_cfg: as Forge has it."""

    enable_hr: bool = False
    firstphase_width: Whole = 0
    firstphase_height: Whole = 0
    hr_scale: float = 2.0
    hr_upscaler: str | None = None
    hr_second_pass_steps: Whole = 0
    hr_resize_x: Whole = 0
    hr_resize_y: Whole = 0
    hr_checkpoint_name: str | None = None
    hr_sampler_name: str | None = None
    hr_scheduler: str | None = None
    hr_prompt: str = ""
    hr_negative_prompt: str = ""
    hr_cfg: float | None = None


class ImageToImage(Making):
    """Body of img2img."""

    init_images: list[Picture] | None = None
    resize_mode: Whole = 0
    denoising_strength: float | None = 0.75
    image_cfg_scale: float | None = None
    mask: Picture | None = None
    mask_blur_x: Whole = 4
    mask_blur_y: Whole = 4
    mask_blur: Whole | None = None
    mask_round: bool = True
    inpainting_fill: Whole = 0
    inpaint_full_res: bool = True
    inpaint_full_res_padding: Whole = 0
    inpainting_mask_invert: Whole = 0
    initial_noise_multiplier: float | None = None
    latent_mask: Picture | None = None
    include_init_images: bool = False


class Extras(Sent):
    """What both ways of working on finished pictures share."""

    resize_mode: Literal[0, 1] = 0
    show_extras_results: bool = True
    gfpgan_visibility: Visibility = 0
    codeformer_visibility: Visibility = 0
    codeformer_weight: Visibility = 0
    upscaling_resize: float = Field(2, gt=0)
    upscaling_resize_w: Whole = Field(512, ge=1)
    upscaling_resize_h: Whole = Field(512, ge=1)
    upscaling_crop: bool = True
    upscaler_1: str = "None"
    upscaler_2: str = "None"
    extras_upscaler_2_visibility: Visibility = 0
    upscale_first: bool = False


class SingleExtras(Extras):
    """Body of extra-single-image."""

    image: Picture = ""


class FileData(Sent):
    """A picture of several."""

    data: Picture
    name: str


class BatchExtras(Extras):
    """Body of extra-batch-images."""

    imageList: list[FileData]


class PngInfo(Sent):
    """Body of png-info."""

    image: Picture


class Interrogate(Sent):
    """Body of interrogate; model: "clip" for the captioner that is installed, or one by name."""

    image: Picture = ""
    model: str = "clip"

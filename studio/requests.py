"""What can be asked of the studio: one frozen request for every door.

A limit stands on its field and nowhere else: sliders, REST and the command line read it from here.
A field that is None is resolved when the job is submitted, from the model's own defaults, and so
are a sampler and steps that were not given.
"""

from enum import StrEnum
from typing import Annotated, Any, Literal

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    TypeAdapter,
    ValidationError,
    field_validator,
)

from studio.errors import RequestError

PROMPT_LIMIT = 20_000
SEED_LIMIT = 2**53 - 1
"""Seeds stay exact in a browser, whose numbers are doubles."""
HASH = "^[0-9a-f]{64}$"
"""Inputs are named by the SHA-256 of their pixels, never by a path."""
Share = Annotated[float, Field(ge=0, le=1)]


class Sampler(StrEnum):
    """Samplers by the names people know them by."""

    DDPM = "DDPM"
    DDIM = "DDIM"
    PNDM = "PNDM"
    LMS = "LMS"
    HEUN = "Heun"
    EULER = "Euler"
    EULER_A = "Euler a"
    DPM2 = "DPM2"
    DPM2_A = "DPM2 a"
    DPMPP_2M = "DPM++ 2M"
    DPMPP_2M_SDE = "DPM++ 2M SDE"
    DPMPP_SDE = "DPM++ SDE"
    DPMPP_3M_SDE = "DPM++ 3M SDE"
    DEIS = "DEIS"
    UNIPC = "UniPC"
    LCM = "LCM"
    TCD = "TCD"


class Schedule(StrEnum):
    """How noise levels are spaced over the steps."""

    AUTOMATIC = "Automatic"
    KARRAS = "Karras"
    EXPONENTIAL = "Exponential"
    BETA = "Beta"
    SGM_UNIFORM = "SGM Uniform"


class Speedup(StrEnum):
    """Ways to be faster by their names in requests; see studio/models/speedups.py."""

    XFORMERS = "xformers"
    TOKEN_MERGING = "token-merging"
    FIRST_BLOCK_CACHE = "first-block-cache"
    TAYLORSEER = "taylorseer"
    INT8 = "int8"
    COMPILE = "compile"
    TENSORRT = "tensorrt"


class ImageFormat(StrEnum):
    """File formats that pictures are saved in."""

    PNG = "png"
    JPEG = "jpeg"
    WEBP = "webp"


def _printable(text: str) -> str:
    if "\x00" in text:
        raise ValueError("contains a NUL character")
    return text.replace("\r\n", "\n").encode("utf-8", "replace").decode("utf-8")


class Request(BaseModel):
    """Something that can be asked for; `kind` names the work function that does it."""

    model_config = ConfigDict(frozen=True, extra="forbid", str_strip_whitespace=False)


class PictureRequest(Request):
    """What all requests for pictures from a diffusion model share.

    width, height: pixels, multiples of the model's factor. seed -1 draws one at submission.
    Picture i of the job uses seed + i; with a variation, the seed stays and it uses
    variation_seed + i.
    """

    model: str = Field("", max_length=200, description="Id of the model; empty for the default.")
    prompt: str = Field("", max_length=PROMPT_LIMIT)
    negative_prompt: str = Field("", max_length=PROMPT_LIMIT)
    sampler: Sampler = Sampler.DPMPP_2M
    schedule: Schedule = Schedule.AUTOMATIC
    steps: int = Field(20, ge=1, le=150)
    cfg_scale: float | None = Field(None, ge=1, le=30)
    distilled_cfg_scale: float | None = Field(
        None, ge=0, le=30, description="For models distilled from guidance, such as FLUX.1 dev."
    )
    width: int | None = Field(None, ge=64, le=2048)
    height: int | None = Field(None, ge=64, le=2048)
    seed: int = Field(-1, ge=-1, le=SEED_LIMIT)
    batch_size: int = Field(1, ge=1, le=16, description="Pictures denoised together.")
    batch_count: int = Field(1, ge=1, le=100, description="Batches, one after the other.")
    clip_skip: int = Field(1, ge=1, le=12, description="1 uses the text encoder's last layer.")
    variation_seed: int = Field(-1, ge=-1, le=SEED_LIMIT)
    variation_strength: float = Field(0.0, ge=0, le=1)
    preview_every: int = Field(2, ge=0, le=50, description="Steps between previews; 0 for none.")
    image_format: ImageFormat = ImageFormat.PNG
    speedups: tuple[Speedup, ...] = Field((), max_length=4, description="See docs/speed.md.")

    @field_validator("speedups")
    @classmethod
    def _each_once(cls, chosen: tuple[Speedup, ...]) -> tuple[Speedup, ...]:
        """In one order, whatever they were asked in: it makes no difference."""
        if len(set(chosen)) < len(chosen):
            raise ValueError("name one of them twice; name each once")
        return tuple(each for each in Speedup if each in chosen)

    @field_validator("prompt", "negative_prompt")
    @classmethod
    def _prompt_printable(cls, text: str) -> str:
        return _printable(text)

    @property
    def image_count(self) -> int:
        """Pictures that the whole job makes."""
        return self.batch_size * self.batch_count


class GenerationRequest(PictureRequest):
    """Pictures from a text, at once or with a second pass at a larger size (hires fix).

    hires_scale: 1 for no second pass. hires_upscaler: a way of resampling, a latent one or an
    upscaling model by name. hires_strength: how much of the first picture is painted anew. The
    others of hires_*: 0, None and empty mean the same as in the first pass.
    """

    kind: Literal["generate"] = "generate"
    hires_scale: float = Field(1.0, ge=1, le=4)
    hires_upscaler: str = Field("latent", max_length=200)
    hires_strength: float = Field(0.6, ge=0.05, le=1)
    hires_steps: int = Field(0, ge=0, le=150)
    hires_sampler: Sampler | None = None
    hires_cfg_scale: float = Field(0.0, ge=0, le=30)
    hires_prompt: str = Field("", max_length=PROMPT_LIMIT)
    hires_negative_prompt: str = Field("", max_length=PROMPT_LIMIT)

    @field_validator("hires_sampler", mode="before")
    @classmethod
    def _same_sampler(cls, value: object) -> object:
        """A list of choices says "the same" by an empty text."""
        return None if value == "" else value

    @field_validator("hires_prompt", "hires_negative_prompt")
    @classmethod
    def _hires_printable(cls, text: str) -> str:
        return _printable(text)


class Resize(StrEnum):
    """How a source gets the wanted size."""

    STRETCH = "stretch"
    CROP = "crop"
    FILL = "fill"
    LATENT = "latent"


class Curve(StrEnum):
    """How the hold on the source falls over the steps that are left to the picture."""

    CONSTANT = "constant"
    LINEAR = "linear"
    COSINE = "cosine"
    POINTS = "points"


class MaskMode(StrEnum):
    """Which side of the mask is changed."""

    MASKED = "masked"
    NOT_MASKED = "not masked"


class MaskedContent(StrEnum):
    """What stands in the hole when denoising begins."""

    FILL = "fill"
    ORIGINAL = "original"
    NOISE = "latent noise"
    NOTHING = "latent nothing"


class InpaintArea(StrEnum):
    """What the model sees: the whole picture, or the mask with some padding, at full size."""

    WHOLE = "whole picture"
    MASKED = "only masked"


class Blend(StrEnum):
    """How the new content is put back into the source."""

    NORMAL = "normal"
    FEATHER = "feather"
    PYRAMID = "pyramid"
    POISSON = "poisson"


class ExtendFill(StrEnum):
    """What stands on the new ground before it is painted."""

    MIRROR = "mirror"
    STRETCH = "stretch"
    NOISE = "noise"


class EditRequest(PictureRequest):
    """A picture changed by a text: all of it, behind a mask, or beyond its borders.

    source, mask: hashes of inputs; no mask means all of the picture. width, height: None for the
    source's own; with area "only masked" the size that the masked part is worked on at.
    strength: 0 returns the source, 1 ignores it. curve_points: (position, hold) pairs, each 0 to
    1, for the curve "points". mask_grow: pixels, negative shrinks. feather, padding: pixels.
    soft: every pixel changes as much as the feathered mask says. extend_*: pixels of new ground on
    that side; extend_overlap: how far the new content reaches back into the source.
    """

    kind: Literal["edit"] = "edit"
    source: str = Field("", pattern=f"^$|{HASH}", description="Hash of the input.")
    mask: str = Field("", pattern=f"^$|{HASH}", description="Hash of the mask; empty for none.")
    strength: float = Field(0.75, ge=0, le=1)
    curve: Curve = Curve.CONSTANT
    curve_points: tuple[tuple[Share, Share], ...] = Field((), max_length=32)
    resize: Resize = Resize.CROP
    mask_mode: MaskMode = MaskMode.MASKED
    mask_grow: int = Field(0, ge=-128, le=128)
    feather: int = Field(4, ge=0, le=128)
    masked_content: MaskedContent = MaskedContent.ORIGINAL
    area: InpaintArea = InpaintArea.WHOLE
    padding: int = Field(32, ge=0, le=512)
    blend: Blend = Blend.FEATHER
    soft: bool = False
    extend_left: int = Field(0, ge=0, le=1024)
    extend_right: int = Field(0, ge=0, le=1024)
    extend_top: int = Field(0, ge=0, le=1024)
    extend_bottom: int = Field(0, ge=0, le=1024)
    extend_fill: ExtendFill = ExtendFill.MIRROR
    extend_overlap: int = Field(8, ge=0, le=256)

    @field_validator("curve_points", mode="before")
    @classmethod
    def _points(cls, value: object) -> object:
        """Also as people write them: `0:1, 0.5:0.2`."""
        if not isinstance(value, str):
            return value
        pairs = [part.split(":") for part in value.split(",") if part.strip()]
        if any(len(pair) != 2 for pair in pairs):
            raise ValueError("must be pairs of position and hold, such as 0:1, 0.5:0.2")
        return tuple(pairs)

    @property
    def extends(self) -> bool:
        """Whether there is new ground on any side."""
        return any((self.extend_left, self.extend_right, self.extend_top, self.extend_bottom))


class UpscaleRequest(PictureRequest):
    """A picture made larger, and redrawn in detail by a diffusion model where that is asked for.

    source: hash of the input. upscaler: a way of resampling or an upscaling model by name.
    strength: 0 only enlarges; above it every tile is painted anew by so much. tile: pixels of the
    large picture that the model sees at once, 0 for the model's own size. overlap: share of a tile
    that neighbours have in common.
    """

    kind: Literal["upscale"] = "upscale"
    source: str = Field("", pattern=f"^$|{HASH}", description="Hash of the input.")
    scale: float = Field(2.0, ge=1, le=8)
    upscaler: str = Field("lanczos", max_length=200)
    strength: float = Field(0.0, ge=0, le=1)
    tile: int = Field(0, ge=0, le=2048)
    overlap: float = Field(0.25, ge=0, le=0.5)


class TimingRequest(Request):
    """How fast a model is on this machine, as it is and with each speed-up that fits it.

    width, height, steps: None for the model's own. rounds: in each of them everything is timed
    once, so that a machine that is busy for a while slows all of them alike.
    """

    kind: Literal["timing"] = "timing"
    model: str = Field("", max_length=200, description="Id of the model; empty for the default.")
    width: int | None = Field(None, ge=64, le=2048)
    height: int | None = Field(None, ge=64, le=2048)
    batch_size: int = Field(1, ge=1, le=16)
    steps: int | None = Field(None, ge=1, le=150)
    rounds: int = Field(3, ge=1, le=10)


class DownloadRequest(Request):
    """A model to be fetched from the Hugging Face hub.

    repo: as in "owner/name". revision: a branch, tag or commit, "" for the newest. file: one
    safetensors file of it, "" for the model that the repository is.
    """

    kind: Literal["download"] = "download"
    repo: str = Field(max_length=200, pattern=r"^[\w-][\w.-]*/[\w-][\w.-]*$")
    revision: str = Field("", max_length=200, pattern=r"^$|^[\w-][\w./-]*$")
    file: str = Field(
        "", max_length=300, pattern=r"^$|^(?:[\w-][\w. -]*/)*[\w-][\w. -]*\.safetensors$"
    )


AnyPictureRequest = GenerationRequest | EditRequest | UpscaleRequest
STORED: TypeAdapter[AnyPictureRequest] = TypeAdapter(
    Annotated[AnyPictureRequest, Field(discriminator="kind")]
)
"""Reads the request of a saved picture, whatever made it."""
PICTURE_REQUESTS: tuple[type[PictureRequest], ...] = (
    GenerationRequest,
    EditRequest,
    UpscaleRequest,
)


def validated(kind: type[Request], fields: dict[str, Any]) -> Any:
    """An instance of a request, or a RequestError that names the first wrong field.

    fields: untrusted values by field name, from a page, a route or a file.
    """
    try:
        return kind.model_validate(fields)
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False)[0]
        name = str(first["loc"][0]) if first["loc"] else ""
        raise RequestError(_sentence(kind, name, first), field=name) from None


def inputs_of(request: Request) -> tuple[str, ...]:
    """Hashes of the inputs that a request names."""
    named = (getattr(request, name, "") for name in ("source", "mask"))
    return tuple(filter(None, named))


def label(field: str) -> str:
    """A request field's name as people read it: `cfg_scale` is "CFG scale"."""
    words = field.replace("_", " ")
    return "CFG scale" if field == "cfg_scale" else words[:1].upper() + words[1:]


def _sentence(kind: type[Request], name: str, error: Any) -> str:
    if error["type"] == "extra_forbidden":
        known = ", ".join(kind.model_fields)
        return f"{_shown(name)} is no setting of this request; known are {known}."
    if error["type"] == "value_error":
        return f"{label(name)} {error['msg'].removeprefix('Value error, ')}.".lstrip()
    rule = error["msg"].replace("Input should", "must").replace("String should", "must")
    return f"{label(name) or 'The request'} {rule}, but is {_shown(error['input'])}."


def _shown(value: Any) -> str:
    """A value as it stands in a message; of a long one only the start."""
    shown = repr(value)
    if len(shown) <= 60:
        return shown
    size = len(value) if isinstance(value, str) else len(shown)
    return f"{shown[:40]}… ({size:,} characters)"

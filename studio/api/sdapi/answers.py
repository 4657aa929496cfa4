"""What programs get: the answers of AUTOMATIC1111's API, as they are there."""

from typing import Any

from pydantic import BaseModel, ConfigDict

from studio.events import Status


class _Answer(BaseModel):
    model_config = ConfigDict(protected_namespaces=())


class Made(_Answer):
    """Pictures as base64; parameters: what was asked; info: JSON on what was made."""

    images: list[str]
    parameters: dict[str, Any]
    info: str


class Enlarged(_Answer):
    """A picture as base64."""

    html_info: str
    image: str | None = None


class AllEnlarged(_Answer):
    """Pictures as base64."""

    html_info: str
    images: list[str]


class PngInfoAnswer(_Answer):
    """A picture's settings: as text, the other texts in it, and the text's pairs."""

    info: str
    items: dict[str, Any]
    parameters: dict[str, Any]


class ProgressAnswer(_Answer):
    """How far the caller's job is; progress: 0 to 1, eta_relative: seconds."""

    progress: float
    eta_relative: float
    state: dict[str, Any]
    current_image: str | None = None
    textinfo: str | None = None


class TaskAnswer(_Answer):
    """A job and, once it has ended, what it made. Not there.

    id: of the job. task: the name that it was given, or "". position: in the line, 0 unless it
    waits. seconds_to_begin: where that is known of one that waits. reason: why it failed, or "".
    result: None until it has ended.
    """

    id: str
    task: str
    status: Status
    position: int
    seconds_to_begin: float | None = None
    progress: float
    reason: str
    result: Made | None = None


class Caption(_Answer):
    """What a picture shows."""

    caption: str | None = None


class SamplerItem(_Answer):
    """A sampler."""

    name: str
    aliases: list[str]
    options: dict[str, str]


class SchedulerItem(_Answer):
    """How noise levels are spaced."""

    name: str
    label: str
    aliases: list[str] | None
    default_rho: float | None
    need_inner_model: bool | None


class UpscalerItem(_Answer):
    """An upscaler; model_path: only the name of its file."""

    name: str
    model_name: str | None
    model_path: str | None
    model_url: str | None
    scale: float | None


class Named(_Answer):
    """Something that has just a name."""

    name: str


class ModelItem(_Answer):
    """A model; filename: only the name of its file or folder."""

    title: str
    model_name: str
    hash: str | None
    sha256: str | None
    filename: str
    config: str | None


class VaeItem(_Answer):
    """A VAE in a file of its own."""

    model_name: str
    filename: str


class LoraItem(_Answer):
    """A LoRA; path: only the name of its file."""

    name: str
    alias: str
    path: str
    metadata: dict[str, Any]


class EmbeddingItem(_Answer):
    """A textual inversion."""

    step: int | None
    sd_checkpoint: str | None
    sd_checkpoint_name: str | None
    shape: int
    vectors: int


class EmbeddingsAnswer(_Answer):
    """Those that the model in use takes, and those that it does not."""

    loaded: dict[str, EmbeddingItem]
    skipped: dict[str, EmbeddingItem]


class StyleItem(_Answer):
    """A saved piece of prompts."""

    name: str
    prompt: str | None
    negative_prompt: str | None


class ScriptsAnswer(_Answer):
    """Titles of scripts."""

    txt2img: list[str]
    img2img: list[str]


class MemoryAnswer(_Answer):
    """Bytes of main memory and of a graphics card."""

    ram: dict[str, Any]
    cuda: dict[str, Any]


class Refusal(_Answer):
    """Why not; detail: in words."""

    error: str
    detail: Any
    body: str
    errors: str

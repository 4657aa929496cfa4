"""What can be asked of trainings: a model taught a subject or a style from pictures.

As in `requests`, a limit stands on its field and nowhere else. What is None is derived from the
pictures when the training is submitted (studio/training/derive.py), and stored. The classes that
`TrainRequest` is made of are the tables of its TOML file.
"""

from enum import StrEnum
from typing import Annotated, Literal

from pydantic import Field, field_validator, model_validator

from studio.model_requests import NewModelRequest
from studio.requests import PROMPT_LIMIT, Request, label

SetName = Annotated[str, Field(min_length=1, max_length=100, pattern=r"^\w(?:[\w.+ -]*[\w+-])?$")]
"""A plain folder name."""
Prompt = Annotated[str, Field(max_length=PROMPT_LIMIT)]
HIGHEST_RATE = 0.1
"""Of optimisers that do not find their own."""
_OWN_RATE = 1.0


class Method(StrEnum):
    """What is trained.

    LORA: small matrices beside the weights (Hu et al. 2021, arXiv 2106.09685). DREAMBOOTH: a
    subject bound to an identifier (Ruiz et al. 2022, arXiv 2208.12242), as a LoRA or in all
    weights. TEXTUAL_INVERSION: vectors of a new word alone (Gal et al. 2022, arXiv 2208.01618).
    FULL: all weights of the denoiser.
    """

    LORA = "lora"
    DREAMBOOTH = "dreambooth"
    TEXTUAL_INVERSION = "textual-inversion"
    FULL = "full"


class CaptionSource(StrEnum):
    """Where captions come from.

    AUTO: a .txt beside the picture, else metadata.jsonl, else the prompt. The others take one
    source alone: files (.txt and metadata.jsonl), the pictures' names, the prompt for all.
    """

    AUTO = "auto"
    FILES = "files"
    NAMES = "names"
    PROMPT = "prompt"


class Layers(StrEnum):
    """Which linear layers of the denoiser a LoRA is beside."""

    ATTENTION = "attention"
    BLOCKS = "blocks"
    ALL = "all"


class Optimiser(StrEnum):
    """Optimisers by the names people know; those whose library is absent are not offered."""

    ADAMW = "adamw"
    ADAMW_8BIT = "adamw-8bit"
    ADAFACTOR = "adafactor"
    PRODIGY = "prodigy"
    LION = "lion"
    SCHEDULE_FREE = "adamw-schedule-free"


class RateSchedule(StrEnum):
    """How the learning rate goes after its warm-up."""

    CONSTANT = "constant"
    LINEAR = "linear"
    COSINE = "cosine"
    COSINE_RESTARTS = "cosine-restarts"
    POLYNOMIAL = "polynomial"


class Precision(StrEnum):
    """Number format of the arithmetic: bfloat16 where a GPU has it, or by name."""

    AUTO = "auto"
    FLOAT32 = "float32"
    BFLOAT16 = "bfloat16"
    FLOAT16 = "float16"


class Pictures(Request):
    """What is learnt from.

    pictures: name of a picture set. prompt: says what the pictures show, as in "a photo of sks
    dog"; the caption of those without one. trigger: the word that is to call it up, put before
    captions that lack it. resolution: side in pixels of the area that pictures are scaled to, None
    for the model's own. buckets: keep shapes, about that area; else all are cut square. flip: half
    of them mirrored. shuffle_tags: comma-separated parts of captions in a new order each time, but
    for the first keep_tokens. caption_dropout: share of steps without a caption. held_out: share
    of the pictures that are kept for measuring alone, None for as many as there is room for.
    """

    pictures: SetName
    prompt: Prompt = ""
    trigger: str = Field("", max_length=100)
    captions: CaptionSource = CaptionSource.AUTO
    resolution: int | None = Field(None, ge=64, le=2048)
    buckets: bool = True
    flip: bool = False
    shuffle_tags: bool = False
    keep_tokens: int = Field(0, ge=0, le=100)
    caption_dropout: float = Field(0.0, ge=0, le=1)
    held_out: float | None = Field(None, ge=0, le=0.5)


class Prior(Request):
    """What keeps a model from forgetting the class of its subject (Ruiz et al. 2022, section 4.2).

    preservation: learn from pictures of the class beside those of the subject, which the model
    itself has made of class_prompt; several lines of it are a prompt each, and take turns.
    class_pictures: how many, None for a number by the subject's. prior_weight: how much their loss
    counts.
    """

    preservation: bool = False
    class_prompt: Prompt = ""
    class_pictures: int | None = Field(None, ge=1, le=2000)
    prior_weight: float = Field(1.0, ge=0, le=100)

    @property
    def class_prompts(self) -> tuple[str, ...]:
        """The lines of class_prompt; the picture of number n is of the one of n by their count."""
        lines = (line.strip() for line in self.class_prompt.splitlines())
        return tuple(line for line in lines if line)


class Shape(Request):
    """What is trained of the model.

    rank, alpha: of LoRA matrices, alpha None for the rank; their product counts alpha / rank.
    layers: that they are beside. conv_rank, conv_alpha: the same for 3x3 convolutions, 0 for none
    (LoCon). dora: magnitudes beside directions (Liu et al. 2024, arXiv 2402.09353). rslora: alpha
    / sqrt(rank) instead (Kalajdzievski 2023, arXiv 2312.03732). dropout: of their inputs.
    text_encoder: train the text encoders too. whole: DreamBooth in all weights, not as a LoRA.
    vectors: of the new word of a textual inversion, which is `trigger`. initial_word: what they
    begin as.
    """

    rank: int = Field(16, ge=1, le=1024)
    alpha: float | None = Field(None, gt=0, le=4096)
    layers: Layers = Layers.BLOCKS
    conv_rank: int = Field(0, ge=0, le=1024)
    conv_alpha: float | None = Field(None, gt=0, le=4096)
    dora: bool = False
    rslora: bool = False
    dropout: float = Field(0.0, ge=0, lt=1)
    text_encoder: bool = False
    whole: bool = False
    vectors: int = Field(4, ge=1, le=64)
    initial_word: str = Field("", max_length=100)


class Learning(Request):
    """How it is trained.

    steps: of the optimiser. learning_rate: at its highest; text_rate: the text encoders'. Each None
    for one that follows from the pictures and the method. batch_size: pictures of a step, on all
    devices together. micro_batch: that a device takes at a time, None for as many as fit. warmup:
    share of all steps. clip_norm: of the gradients, 0 for none. min_snr_gamma: cap of the weight of
    easy timesteps (Hang et al. 2023, arXiv 2303.09556), 0 for none. noise_offset: brightness of
    whole pictures in the noise. multires_noise: the same for each coarser size, as a discount, 0
    for none. ema: decay of the running mean of weights that is kept in the end, 0 for none.
    checkpointing: recompute activations instead of keeping them, None where memory asks for it.
    compile: let torch compile the denoiser. threads: of the CPU, 0 for all.
    """

    steps: int | None = Field(None, ge=1, le=10**6)
    learning_rate: float | None = Field(None, gt=0, le=_OWN_RATE)
    text_rate: float | None = Field(None, gt=0, le=_OWN_RATE)
    batch_size: int = Field(1, ge=1, le=1024)
    micro_batch: int | None = Field(None, ge=1, le=256)
    optimiser: Optimiser = Optimiser.ADAMW
    weight_decay: float = Field(0.01, ge=0, le=1)
    schedule: RateSchedule = RateSchedule.COSINE
    warmup: float = Field(0.05, ge=0, le=1)
    clip_norm: float = Field(1.0, ge=0, le=1000)
    min_snr_gamma: float = Field(5.0, ge=0, le=100)
    noise_offset: float = Field(0.0, ge=0, le=1)
    multires_noise: float = Field(0.0, ge=0, lt=1)
    ema: float = Field(0.0, ge=0, lt=1)
    precision: Precision = Precision.AUTO
    checkpointing: bool | None = None
    compile: bool = False
    threads: int = Field(0, ge=0, le=256)
    seed: int = Field(0, ge=0, le=2**32 - 1)


class Watching(Request):
    """What is looked at on the way.

    sample_prompts: that pictures are made of; empty for the prompt. sample_every, save_every: steps
    between samples with scores, and between checkpoints; None for a tenth of all steps, 0 for no
    samples. sample_steps, sample_seed: how samples are made, always the same way. judge: score
    subject and prompt.
    """

    sample_prompts: tuple[Prompt, ...] = Field((), max_length=16)
    sample_every: int | None = Field(None, ge=0, le=10**6)
    sample_steps: int = Field(20, ge=1, le=150)
    sample_seed: int = Field(1, ge=0, le=2**32 - 1)
    save_every: int | None = Field(None, ge=1, le=10**6)
    judge: bool = True


TABLES: tuple[type[Request], ...] = (Pictures, Prior, Shape, Learning, Watching)
"""What a TOML file calls [pictures], [prior], [shape], [learning] and [watching]."""


class TrainRequest(Pictures, Prior, Shape, Learning, Watching, NewModelRequest):
    """A LoRA, a textual inversion or a model, taught from pictures.

    model: id of the one to begin with, "" for the default. name: of the run and of what it makes.
    processes: that train together, one on each device. accelerate: name of a file of
    <data>/accelerate, made by `accelerate config`, which says how machines and devices work
    together; "" for this machine's. owner: who asked, for the list of runs.
    """

    kind: Literal["train", "train-cost"] = "train"
    method: Method = Method.LORA
    model: str = Field("", max_length=200)
    processes: int = Field(1, ge=1, le=64)
    accelerate: str = Field("", max_length=100)
    owner: str = Field("", max_length=100)

    @field_validator("prompt", "class_prompt", "trigger", "initial_word", mode="after")
    @classmethod
    def _without_nul(cls, value: str) -> str:
        if "\0" in value:
            raise ValueError("holds a NUL character; type it again")
        return value.strip()

    @model_validator(mode="after")
    def _sensible(self) -> "TrainRequest":
        for name in ("learning_rate", "text_rate"):
            rate = getattr(self, name)
            if rate and rate > HIGHEST_RATE and self.optimiser is not Optimiser.PRODIGY:
                raise ValueError(
                    f"{label(name)} {rate:g} is above {HIGHEST_RATE:g}, at which "
                    f"{self.optimiser.value} tears a model apart; take one near 1e-4"
                )
        if self.preservation and not self.class_prompt:
            raise ValueError(
                "Class prompt is empty, but prior preservation needs one, as in 'a photo of a dog'"
            )
        if self.method is Method.TEXTUAL_INVERSION and not self.trigger:
            raise ValueError("Trigger is empty, but textual inversion needs its new word")
        return self

    @property
    def adds_lora(self) -> bool:
        """Whether the outcome is a LoRA."""
        return self.method is Method.LORA or (self.method is Method.DREAMBOOTH and not self.whole)

    @property
    def trains_weights(self) -> bool:
        """Whether the outcome is a whole model."""
        return self.method is Method.FULL or (self.method is Method.DREAMBOOTH and self.whole)


class CostRequest(TrainRequest):
    """What a training will cost, by three of its steps; its name may be that of anything."""

    kind: Literal["train-cost"] = "train-cost"


class CaptionRequest(Request):
    """Captions of a picture set, written by a local model.

    captioner: its name, "" for the first that is there. replace: also those of pictures that have
    one. form: of captions, with {} for the model's words, as in "sks, {}".
    """

    kind: Literal["caption-pictures"] = "caption-pictures"
    pictures: SetName
    captioner: str = Field("", max_length=200)
    replace: bool = False
    form: Prompt = "{}"

    @field_validator("form")
    @classmethod
    def _has_a_place(cls, value: str) -> str:
        if "{}" not in value:
            raise ValueError(f"{value[:60]!r} has no {{}} for the model's words; put one in")
        return value


class FetchPicturesRequest(Request):
    """A data set of the Hugging Face hub to be made a picture set.

    repo: as in "owner/name". name: of the set, "" for that of the repository. image, text: columns
    with pictures and captions, "" for those that are found. most: pictures.
    """

    kind: Literal["fetch-pictures"] = "fetch-pictures"
    repo: str = Field(max_length=200, pattern=r"^\w[\w.-]*/\w[\w.-]*$")
    name: SetName | Literal[""] = ""
    image: str = Field("", max_length=100)
    text: str = Field("", max_length=100)
    split: str = Field("train", min_length=1, max_length=100)
    most: int = Field(1000, ge=1, le=10_000)


GRID_MOST = 300
"""Pictures of a grid."""


class GridRequest(Request):
    """Pictures of checkpoints by strengths for some prompts, all from one seed.

    run: name of a run that makes a LoRA. checkpoints: by their steps; without any, some of all.
    strengths: of the LoRA, 1 as it was trained. prompts: without any, those of the run's samples.
    """

    kind: Literal["train-grid"] = "train-grid"
    run: str = Field(min_length=1, max_length=255)
    checkpoints: tuple[Annotated[int, Field(ge=0, le=10**6)], ...] = Field((), max_length=50)
    strengths: tuple[Annotated[float, Field(ge=-4, le=4)], ...] = Field(
        (0.6, 0.8, 1.0), min_length=1, max_length=20
    )
    prompts: tuple[Prompt, ...] = Field((), max_length=16)
    seed: int = Field(1, ge=0, le=2**32 - 1)

    @property
    def count(self) -> int:
        """Of the pictures."""
        return len(set(self.checkpoints)) * len(set(self.strengths)) * len(set(self.prompts))

    @model_validator(mode="after")
    def _not_too_many(self) -> "GridRequest":
        if self.count > GRID_MOST:
            raise ValueError(
                f"The grid has {self.count} pictures, but {GRID_MOST} are the most; leave out some "
                "checkpoints, strengths or prompts"
            )
        return self

"""What can be asked for in new models: merged, extracted, with LoRAs baked in or of another rank.

As in `requests`, a limit stands on its field and nowhere else.
"""

from enum import StrEnum
from typing import Annotated, Literal

from pydantic import Field, ValidationInfo, field_validator, model_validator

from studio.requests import Request


class MergeMethod(StrEnum):
    """How models are merged: of two, of three, or what one has learnt beyond another, added."""

    SUM = "weighted sum"
    THREE = "weighted sum of three"
    DIFFERENCE = "add difference"


class StoredAs(StrEnum):
    """Number formats that new weights are stored in; "same" is that of the first model."""

    SAME = "same"
    FLOAT32 = "float32"
    FLOAT16 = "float16"
    BFLOAT16 = "bfloat16"


class RankMethod(StrEnum):
    """How a layer's own rank is found, up to the one that is asked for; as kohya's script names it.

    FIXED: it is that one. FROBENIUS: the fewest singular values whose squares are a share squared
    of all squares. CUMULATIVE: the fewest whose sum is a share of all. RATIO: those above the
    largest divided by a number.
    """

    FIXED = "fixed"
    FROBENIUS = "sv_fro"
    CUMULATIVE = "sv_cumulative"
    RATIO = "sv_ratio"


ResultName = Annotated[
    str, Field(min_length=1, max_length=100, pattern=r"^\w(?:[\w.+ -]*[\w+-])?$")
]
"""What a new model is called: a plain file name without an ending."""
ModelId = Annotated[str, Field(min_length=1, max_length=200)]
LoraName = Annotated[str, Field(min_length=1, max_length=200)]
LoraRank = Annotated[int, Field(ge=1, le=4096)]


class NewModelRequest(Request):
    """What all requests for a new model share. name: of its file or folder, without an ending."""

    name: ResultName

    @field_validator("name", mode="before")
    @classmethod
    def _without_ending(cls, value: object) -> object:
        return value.strip().removesuffix(".safetensors") if isinstance(value, str) else value


class MergeRequest(NewModelRequest):
    """A new model out of two or three of one family and layout.

    weight: share of B, or how much of the difference B - C is added to A. weight_c: share of C in
    a sum of three. blocks, blocks_c: the same for each block, as numbers or a preset's name (see
    models/merging/blocks.py); empty for the weight everywhere. merge_vae, merge_text: whether
    autoencoder and text encoders are merged too, by the weight, or A's are kept.
    """

    kind: Literal["merge"] = "merge"
    method: MergeMethod = MergeMethod.SUM
    model_a: ModelId
    model_b: ModelId
    model_c: str = Field("", max_length=200)
    weight: float = Field(0.5, ge=0, le=1)
    weight_c: float = Field(0.0, ge=0, le=1)
    blocks: str = Field("", max_length=2000)
    blocks_c: str = Field("", max_length=2000)
    merge_vae: bool = True
    merge_text: bool = True
    stored: StoredAs = StoredAs.SAME


class ExtractRequest(NewModelRequest):
    """A LoRA of what a model has learnt beyond the one that it was made from.

    rank: of each layer's two matrices. clamp: numbers beyond this share of all are clamped, 1 for
    none. text: whether the text encoders' difference is in it.
    """

    kind: Literal["extract"] = "extract"
    tuned: ModelId
    base: ModelId
    rank: int = Field(32, ge=1, le=1024)
    clamp: float = Field(0.99, ge=0.5, le=1)
    text: bool = True
    stored: Literal[StoredAs.FLOAT32, StoredAs.FLOAT16, StoredAs.BFLOAT16] = StoredAs.FLOAT16


class BakeRequest(NewModelRequest):
    """A new model with LoRAs in its weights.

    loras: by their names. strengths: one for each, one for all, or none for 1.
    """

    kind: Literal["bake"] = "bake"
    model: ModelId
    loras: tuple[LoraName, ...] = Field(min_length=1, max_length=16)
    strengths: tuple[Annotated[float, Field(ge=-10, le=10)], ...] = Field((), max_length=16)
    stored: StoredAs = StoredAs.SAME

    @field_validator("strengths", mode="before")
    @classmethod
    def _listed(cls, value: object) -> object:
        """Also as people write them: `0.8, 1`."""
        return tuple(value.replace(",", " ").split()) if isinstance(value, str) else value

    @model_validator(mode="after")
    def _one_each(self) -> "BakeRequest":
        if len(self.strengths) not in (0, 1, len(self.loras)):
            raise ValueError(
                f"Strengths must be one for each LoRA or one for all, but are "
                f"{len(self.strengths)} for {len(self.loras)}"
            )
        if len(set(self.loras)) < len(self.loras):
            raise ValueError("Loras must be different ones, but one is named twice")
        return self

    @property
    def worn(self) -> tuple[tuple[str, float], ...]:
        """Each LoRA's name with its strength."""
        given = self.strengths or (1.0,)
        return tuple(zip(self.loras, given * (len(self.loras) // len(given)), strict=True))


class ResizeRequest(NewModelRequest):
    """A LoRA of another rank, whose products are nearest to those of the one that is here.

    rank: of each layer's two matrices, at most; none gets a higher one than it has. conv_rank: the
    same for convolutions, None for `rank`. share: of `method`; more than 1 for RATIO.
    """

    kind: Literal["resize"] = "resize"
    lora: LoraName
    rank: LoraRank = 16
    conv_rank: LoraRank | None = None
    method: RankMethod = RankMethod.FIXED
    share: float = Field(0.9, gt=0, le=10_000, validate_default=True)
    stored: StoredAs = StoredAs.SAME

    @field_validator("share")
    @classmethod
    def _of_its_method(cls, value: float, info: ValidationInfo) -> float:
        method = info.data.get("method", RankMethod.FIXED)
        if method is RankMethod.RATIO and value <= 1:
            raise ValueError(f"must be more than 1 for sv_ratio, but is {value:g}")
        if method in (RankMethod.FROBENIUS, RankMethod.CUMULATIVE) and value > 1:
            raise ValueError(f"must be at most 1 for {method.value}, but is {value:g}")
        return value

"""What can be asked for in new models: merged, extracted or with LoRAs baked in.

As in `requests`, a limit stands on its field and nowhere else.
"""

from enum import StrEnum
from typing import Annotated, Literal

from pydantic import Field, field_validator, model_validator

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


ResultName = Annotated[
    str, Field(min_length=1, max_length=100, pattern=r"^\w(?:[\w.+ -]*[\w+-])?$")
]
"""What a new model is called: a plain file name without an ending."""
ModelId = Annotated[str, Field(min_length=1, max_length=200)]


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
    loras: tuple[Annotated[str, Field(min_length=1, max_length=200)], ...] = Field(
        min_length=1, max_length=16
    )
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

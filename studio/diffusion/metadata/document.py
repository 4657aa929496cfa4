"""Atelier's own record in a picture: the whole request and what it ran on."""

import json
from dataclasses import replace
from enum import StrEnum
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from studio.diffusion.metadata.imported import Draft, Imported, Source, shown
from studio.requests import PICTURE_REQUESTS, AnyPictureRequest, GenerationRequest, PictureRequest

JsonObject = dict[str, object]


class Document(BaseModel):
    """All that is needed to ask for the same picture again.

    lora_hashes, embedding_hashes: of what the prompts called for, by name. versions: of whatever
    shapes pixels, by name, as in `{"torch": "2.6.0"}`.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", protected_namespaces=())

    request: Annotated[AnyPictureRequest, Field(discriminator="kind")]
    model_name: str = ""
    model_hash: str = ""
    lora_hashes: dict[str, str] = {}
    embedding_hashes: dict[str, str] = {}
    versions: dict[str, str] = {}

    def to_json(self) -> str:
        """The record as it is put into a file."""
        return self.model_dump_json()


def restore(text: str) -> Imported | None:
    """The settings of a record, or None when the text is none.

    Settings that a newer Atelier has added are noted and passed over, as are values that this
    one does not take; the rest comes back exactly.
    """
    data = json_object(text)
    request = data.get("request") if data else None
    if data is None or not isinstance(request, dict):
        return None
    kind = request.pop("kind", "generate")
    known = next((each for each in PICTURE_REQUESTS if _kind(each) == kind), GenerationRequest)
    draft = Draft(Source.ATELIER, text, known)
    draft.model_name = shown(data.get("model_name", ""))
    draft.model_hash = shown(data.get("model_hash", ""))
    if kind != _kind(known):
        draft.note(f"The picture was made by {shown(kind)!r}; the settings shared with it are used")
    for name, value in request.items():
        if name not in known.model_fields:
            draft.note(f"Setting {shown(name)!r} is not known to this version and was left out")
        elif isinstance(value, str) and isinstance(known.model_fields[name].default, StrEnum):
            _choice(draft, name, value)
        else:
            draft.keep(name, value)
    return draft.done() if draft.fields else None


def _kind(request: type[PictureRequest]) -> object:
    return request.model_fields["kind"].default


def with_text(imported: Imported, text: str) -> Imported:
    """The same settings, shown as another text."""
    return replace(imported, text=text)


def json_object(text: str) -> JsonObject | None:
    """The object that a text of JSON is, or None when it is anything else.

    Hostile depth and numbers of thousands of digits count as anything else.
    """
    if not text.lstrip().startswith("{"):
        return None
    try:
        data = json.loads(text.strip().strip("\x00"))
    except (ValueError, RecursionError):
        return None
    return data if isinstance(data, dict) else None


def _choice(draft: Draft, name: str, value: str) -> None:
    kind = type(draft.request.model_fields[name].default)
    if value in {member.value for member in kind}:
        draft.fields[name] = kind(value)
    else:
        draft.unavailable(name, value)

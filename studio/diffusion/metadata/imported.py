"""What was read from a file, and the draft that importers fill."""

import math
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import PurePosixPath

from annotated_types import Ge, Le

from studio.diffusion.metadata.foreign_samplers import resolve
from studio.errors import RequestError
from studio.requests import GenerationRequest, PictureRequest, label, validated

# A seed or a side that does not fit has no neighbour that means the same; these have.
_CLAMPED = {"steps", "cfg_scale", "clip_skip", "variation_strength"}
_NOT_PLAIN = {"soft", "curve_points", "speedups"}
_LISTED = 12
_SHOWN = 60


class Source(StrEnum):
    """The program that wrote the settings."""

    ATELIER = "Atelier"
    A1111 = "AUTOMATIC1111"
    COMFYUI = "ComfyUI"
    INVOKEAI = "InvokeAI"
    SWARMUI = "SwarmUI"
    FOOOCUS = "Fooocus"


@dataclass(frozen=True)
class Imported:
    """Settings read from a file.

    request: the kind that they are for. fields: by name of its fields, each valid on its own; what
    is missing was not in the file. notes: sentences on what could not be taken over. text: the
    settings as they stand in the file. model_name, model_hash: as the writer called the model; ""
    if unknown.
    """

    source: Source
    fields: dict[str, object]
    notes: tuple[str, ...]
    text: str
    model_name: str = ""
    model_hash: str = ""
    request: type[PictureRequest] = GenerationRequest


@dataclass
class Draft:
    """Settings while they are being read: keeps what is valid, notes what is not."""

    source: Source
    text: str
    request: type[PictureRequest] = GenerationRequest
    fields: dict[str, object] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    model_name: str = ""
    model_hash: str = ""

    def keep(self, name: str, value: object) -> bool:
        """Take a field's value if the request accepts it, else note why not."""
        if isinstance(value, (bool, list, dict)) and name not in _NOT_PLAIN:
            self.note(f"{label(name)} is not a plain value and was left out")
            return False
        clean = _printable(value) if isinstance(value, str) else value
        try:
            self.fields[name] = getattr(validated(self.request, {name: clean}), name)
        except RequestError as error:
            self.note(f"{str(error).removesuffix('.')}; it was left out")
            return False
        return True

    def put(self, name: str, value: object) -> None:
        """Take a foreign value: absent ones are passed over, some out of range are clamped."""
        if value is None or (value == "" and "prompt" not in name):
            return
        nearest = _nearest(name, value) if name in _CLAMPED else None
        if nearest is not None and self.keep(name, nearest):
            self.note(f"{label(name)} {shown(value)} is out of range; {nearest:g} is used")
        elif nearest is None:
            self.keep(name, value)

    def put_size(self, width: object, height: object) -> None:
        """Take both sides in pixels, or neither: one alone would change the picture's shape."""
        if width in (None, "") or height in (None, ""):
            return
        trial = Draft(self.source, "")
        if trial.keep("width", width) and trial.keep("height", height):
            self.fields.update(trial.fields)
        else:
            low, high = bounds("width")
            self.note(
                f"Size {shown(width)}x{shown(height)} is not between {low:g} and {high:g} pixels"
                " a side and was left out"
            )

    def put_sampler(self, sampler: object, schedule: object = "") -> None:
        """Take a sampler and schedule by foreign names."""
        name = sampler if isinstance(sampler, str) else ""
        schedule_name = schedule if isinstance(schedule, str) else ""
        found = resolve(name, schedule_name)
        if found.sampler is not None:
            self.fields["sampler"] = found.sampler
        elif name:
            self.unavailable("sampler", name)
        if found.schedule is not None:
            self.fields["schedule"] = found.schedule
        elif schedule_name.strip():
            self.unavailable("schedule", schedule_name)

    def put_model(self, name: object, digest: object = "") -> None:
        """Remember the model by its writer's name, without folders and file extension."""
        if isinstance(name, str):
            leaf = PurePosixPath(name.replace("\\", "/")).name
            self.model_name = leaf.removesuffix(".safetensors").removesuffix(".ckpt")
        if isinstance(digest, str):
            self.model_hash = digest.removeprefix("0x")

    def unavailable(self, name: str, value: object) -> None:
        """Note that a choice does not exist here, and what stands instead."""
        default = GenerationRequest.model_fields[name].default
        self.note(f"{label(name)} {shown(value)!r} is not available; kept {default}")

    def lora(self, name: object, weight: object = None) -> None:
        """Note a LoRA that the picture was made with."""
        strength = "" if weight is None else f" at {shown(weight)}"
        self.note(f"LoRA {shown(name)!r}{strength} was used; choose it here if it is installed")

    def left_out(self, settings: dict[str, object]) -> None:
        """Note settings that have no counterpart here, in one sentence."""
        present = [
            f"{name} {shown(value)}".strip()
            for name, value in settings.items()
            if value not in (None, "", False) and value != [] and value != {}
        ]
        if present:
            more = f" and {len(present) - _LISTED} more" if len(present) > _LISTED else ""
            self.note(f"Not taken over: {', '.join(present[:_LISTED])}{more}")

    def note(self, sentence: str) -> None:
        """Add a sentence, given without its full stop."""
        self.notes.append(f"{sentence}.")

    def done(self) -> Imported:
        """The result; text is made safe to show, whatever the file held."""
        return Imported(
            self.source,
            self.fields,
            tuple(dict.fromkeys(map(_printable, self.notes))),
            _printable(self.text),
            _printable(self.model_name),
            _printable(self.model_hash),
            self.request,
        )


def bounds(name: str) -> tuple[float, float]:
    """Lowest and highest value of a numeric field, from the field itself."""
    low, high = -math.inf, math.inf
    for rule in GenerationRequest.model_fields[name].metadata:
        if isinstance(rule, Ge):
            low = float(rule.ge)  # type: ignore[arg-type]
        if isinstance(rule, Le):
            high = float(rule.le)  # type: ignore[arg-type]
    return low, high


def shown(value: object) -> str:
    """A foreign value, short enough for a sentence."""
    if isinstance(value, (list, dict)):
        return f"({len(value)})"
    text = " ".join(str(value).split())
    return text if len(text) <= _SHOWN else f"{text[: _SHOWN - 1]}…"


def _nearest(name: str, value: object) -> float | None:
    """The bound that a number lies beyond, or None when it is within or no number."""
    if isinstance(value, bool) or not isinstance(value, (int, float, str)):
        return None
    try:
        number = float(value)
    except (ValueError, OverflowError):
        return None
    low, high = bounds(name)
    inside = min(max(number, low), high)
    return inside if math.isfinite(number) and inside != number else None


def _printable(text: str) -> str:
    return text.encode("utf-8", "replace").decode("utf-8").replace("\x00", "")

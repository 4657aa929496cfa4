"""The controls of a training's form, by topic, and how they and a request become each other."""

from collections.abc import Mapping, Sequence
from typing import Any

import gradio as gr
from gradio.components import Component
from pydantic import ValidationError

from studio.requests import label, validated
from studio.training.optimisers import offered
from studio.training_requests import (
    CaptionSource,
    Layers,
    Method,
    Precision,
    RateSchedule,
    TrainRequest,
)
from tabs.forms import Form, Values, limits

IDS = "at-train-"
OPEN = tuple(
    name
    for name, field in TrainRequest.model_fields.items()
    if field.default is None and name != "checkpointing"
)
"""Numbers that follow from the pictures while their box is empty."""
_WHEN = {"auto": None, "on": True, "off": False}
_LORA = {"rank", "alpha", "layers", "conv_rank", "conv_alpha", "dora", "rslora", "dropout"}
_CLASS = {"preservation", "class_prompt", "class_pictures", "prior_weight"}
_WORD = {"vectors", "initial_word"}
_ENCODER = {"text_encoder", "text_rate"}
_TITLES = {
    "preservation": "Prior preservation",
    "prior_weight": "Weight of the class",
    "held_out": "Held out",
    "warmup": "Warm-up",
    "ema": "Running mean of the weights",
    "min_snr_gamma": "Min-SNR gamma",
    "multires_noise": "Multi-resolution noise",
    "conv_rank": "Rank of convolutions",
    "conv_alpha": "Alpha of convolutions",
    "text_rate": "Learning rate of the text encoders",
    "text_encoder": "Train the text encoders too",
    "dora": "DoRA",
    "rslora": "Rank-stabilised (rsLoRA)",
    "compile": "Compile",
    "micro_batch": "Pictures at a time",
    "checkpointing": "Gradient checkpointing",
    "whole": "All weights, not a LoRA",
    "judge": "Score subject and prompt",
}


def unused(method: Method, whole: bool) -> set[str]:
    """Fields that a method makes no use of. whole: DreamBooth in all weights."""
    match method:
        case Method.LORA:
            return {*_WORD, "whole"}
        case Method.DREAMBOOTH:
            return {*_WORD, *(_LORA if whole else ())}
        case Method.TEXTUAL_INVERSION:
            return {*_LORA, *_CLASS, *_ENCODER, "whole"}
    return {*_LORA, *_CLASS, *_WORD, "whole"}


class TrainForm(Form):
    """The controls of a training. Boxes that hold one value as people write it are read here."""

    def __init__(self, fields: Mapping[str, Component]):
        super().__init__(TrainRequest, fields)

    def values(self, values: Values) -> dict[str, Any]:
        """What the controls say, by field name; what the method does not use is left out."""
        given = {name: _read(name, value) for name, value in super().values(values).items()}
        method = Method(given["method"])
        return {k: v for k, v in given.items() if k not in unused(method, bool(given["whole"]))}

    def request(self, values: Values) -> TrainRequest:
        """The request that the controls say; RequestError names the first wrong field."""
        asked: TrainRequest = validated(TrainRequest, self.values(values))
        return asked

    def as_far_as_known(self, values: Values) -> TrainRequest:
        """The same, with what is wrong or lacks left as it would be by itself."""
        given = self.values(values)
        while True:
            try:
                return TrainRequest.model_validate(given)
            except ValidationError as error:
                wrong = {str(each["loc"][0]) for each in error.errors() if each["loc"]}
            missing = {"name": "unnamed", "pictures": "none"}
            given = {name: value for name, value in given.items() if name not in wrong}
            given |= {name: value for name, value in missing.items() if name in wrong}
            if not wrong:  # fields that do not go together
                kept = ("method", "model", "pictures", "batch_size")
                given = {"name": "unnamed"} | {name: given[name] for name in kept if name in given}
                given |= {"trigger": "word"}

    def updates(self, fields: Mapping[str, Any]) -> list[Any]:
        """New values for the named fields; the other controls stay as they are."""
        return super().updates({name: shown(name, value) for name, value in fields.items()})


def shown(name: str, value: Any) -> Any:
    """A field's value as its control has it."""
    if name == "checkpointing":
        return next(word for word, each in _WHEN.items() if each is value)
    if name == "sample_prompts":
        return "\n".join(value)
    if name in OPEN:
        return "" if value is None else f"{value:g}" if isinstance(value, float) else str(value)
    return value


def defaults() -> dict[str, Any]:
    """Every field's value where nobody has given one."""
    return {
        name: field.default
        for name, field in TrainRequest.model_fields.items()
        if name not in ("kind", "name", "pictures")
    }


def title(name: str) -> str:
    """A field's name as people read it."""
    return _TITLES.get(name, label(name))


def _read(name: str, value: Any) -> Any:
    if name == "checkpointing":
        return _WHEN.get(value)
    if name == "sample_prompts":
        return [line.strip() for line in (value or "").splitlines() if line.strip()]
    if name in OPEN:
        return (value or "").strip().replace(",", "") or None
    return "" if value is None else value


# Controls


def build_steps() -> dict[str, Any]:
    """Steps and rates."""
    return {
        "steps": empty("steps"),
        "learning_rate": empty("learning_rate"),
        "text_rate": empty("text_rate"),
        "batch_size": _slider("batch_size", 1, 1, 64, "Pictures of a step, on all devices"),
        "optimiser": _list("optimiser", [each.value for each in offered()]),
        "schedule": _list("schedule", [each.value for each in RateSchedule]),
        "warmup": _slider("warmup", 0.01, info="Share of all steps"),
        "weight_decay": _number("weight_decay"),
        "clip_norm": _number("clip_norm", "Of gradients; 0 for none"),
        "min_snr_gamma": _number("min_snr_gamma", "Cap of easy steps' weight; 0 for none"),
        "noise_offset": _slider("noise_offset", 0.01, 0, 0.3, "For pictures darker or lighter"),
        "multires_noise": _slider("multires_noise", 0.05, 0, 0.95, "0 for none"),
        "ema": _number("ema", "Decay, as in 0.999; 0 for none"),
    }


def build_shape() -> dict[str, Any]:
    """What is trained of the model."""
    return {
        "whole": _box("whole"),
        "rank": _slider("rank", 1, 1, 256, "More holds more, and needs more pictures"),
        "alpha": empty("alpha"),
        "layers": _list("layers", [each.value for each in Layers]),
        "conv_rank": _slider("conv_rank", 1, 0, 64, "LoCon; 0 for none"),
        "conv_alpha": empty("conv_alpha"),
        "dora": _box("dora", "Magnitudes beside directions: slower, often closer"),
        "rslora": _box("rslora", "For high ranks"),
        "dropout": _slider("dropout", 0.05, 0, 0.5),
        "text_encoder": _box("text_encoder"),
        "vectors": _slider("vectors", 1, 1, 16, "Of the new word"),
        "initial_word": _text("initial_word", "What the new word begins as, such as dog"),
    }


def build_memory() -> dict[str, Any]:
    """Memory, speed and devices."""
    when = [("Where memory asks for it", "auto"), ("On", "on"), ("Off", "off")]
    return {
        "precision": _list("precision", [each.value for each in Precision]),
        "checkpointing": gr.Dropdown(
            when, value="auto", label=title("checkpointing"), info="Less memory, a fifth slower"
        ),
        "micro_batch": empty("micro_batch"),
        "compile": _box("compile", "Slow to begin, then faster on a GPU"),
        "threads": _number("threads", "Of the CPU; 0 for all"),
        "processes": _slider("processes", 1, 1, 64, "One on each GPU"),
        "accelerate": _text("accelerate", "Name of a file in accelerate/ of the data folder"),
        "seed": _number("seed", "Of order and noise"),
        "owner": gr.Textbox("", label="Who trains", max_lines=1, elem_id=f"{IDS}owner"),
    }


def build_captions() -> dict[str, Any]:
    """Captions and buckets."""
    sources = [
        ("Files beside the pictures, else the text above", CaptionSource.AUTO.value),
        ("Files alone", CaptionSource.FILES.value),
        ("Names of the pictures", CaptionSource.NAMES.value),
        ("The text above for all", CaptionSource.PROMPT.value),
    ]
    return {
        "captions": gr.Dropdown(sources, value="auto", label="Captions"),
        "caption_dropout": _slider("caption_dropout", 0.05, 0, 0.5, "Share of steps without one"),
        "shuffle_tags": _box("shuffle_tags", "Comma-separated parts in a new order each time"),
        "keep_tokens": _slider("keep_tokens", 1, 0, 10, "Parts that stay in front"),
        "resolution": empty("resolution"),
        "buckets": _box("buckets", "Keep shapes; else all are cut square"),
        "flip": _box("flip", "Half of them mirrored; not for faces or texts"),
        "held_out": empty("held_out"),
    }


def build_samples() -> dict[str, Any]:
    """What is looked at on the way."""
    return {
        "sample_prompts": gr.Textbox(
            "",
            label="Prompts, one a line",
            info="Empty: the text above, elsewhere, and the class",
            lines=3,
            elem_id=f"{IDS}samples",
        ),
        "sample_every": empty("sample_every"),
        "save_every": empty("save_every"),
        "sample_steps": _slider("sample_steps", 1, 1, 50),
        "sample_seed": _number("sample_seed", "Always the same"),
        "judge": _box("judge"),
    }


def build_class() -> dict[str, Any]:
    """Prior preservation."""
    return {
        "class_prompt": gr.Textbox(
            "",
            label="The class, in a prompt",
            placeholder="a photo of a dog",
            info="More prompts, a line each: what else must not be forgotten",
            lines=1,
            max_lines=6,
            elem_id=f"{IDS}class",
        ),
        "preservation": _box(
            "preservation",
            "Learn beside the model's own pictures of these prompts, so that it keeps them",
        ),
        "class_pictures": empty("class_pictures"),
        "prior_weight": _number("prior_weight", "How much they count"),
    }


def _id(name: str) -> str:
    return f"{IDS}{name.replace('_', '-')}"


def _default(name: str) -> Any:
    return TrainRequest.model_fields[name].default


def empty(name: str) -> gr.Textbox:
    """A box for a number that follows from the pictures as long as nothing stands in it.

    Not a gr.Number, whose empty box becomes 0 as soon as what it is folded away in is opened.
    """
    return gr.Textbox(
        "",
        label=title(name),
        placeholder=OF_ITSELF,
        info=" ",
        max_lines=1,
        elem_id=_id(name),
        elem_classes="at-train-open",
    )


OF_ITSELF = "follows from the pictures"
"""What stands in an empty box as long as there are none."""


def _slider(
    name: str, step: float, low: float | None = None, high: float | None = None, info: str = ""
) -> gr.Slider:
    """A slider over what is useful, where all that is allowed could not be set finely."""
    least, most = limits(name, TrainRequest) if low is None or high is None else (low, high)
    whole = float(step).is_integer()
    return gr.Slider(
        int(least) if whole else least,
        int(most) if whole else most,
        value=_default(name),
        step=step,
        label=title(name),
        info=info or None,
        elem_id=_id(name),
    )


def _number(name: str, info: str = "") -> gr.Number:
    return gr.Number(_default(name), label=title(name), info=info or None, elem_id=_id(name))


def _box(name: str, info: str = "") -> gr.Checkbox:
    return gr.Checkbox(
        bool(_default(name)), label=title(name), info=info or None, elem_id=_id(name)
    )


def _text(name: str, info: str) -> gr.Textbox:
    return gr.Textbox("", label=title(name), info=info, max_lines=1, elem_id=_id(name))


def _list(name: str, choices: Sequence[str]) -> gr.Dropdown:
    return gr.Dropdown(
        list(choices), value=str(_default(name)), label=title(name), elem_id=_id(name)
    )

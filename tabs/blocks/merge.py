"""New models from those that are here, made in four ways; how far it is and how to stop."""

import html
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import gradio as gr

from studio.errors import AtelierError
from studio.events import Failed, Finished, Notice
from studio.model_requests import (
    BakeRequest,
    ExtractRequest,
    MergeMethod,
    MergeRequest,
    NewModelRequest,
    RankMethod,
    ResizeRequest,
    StoredAs,
)
from studio.models.merging.blocks import PRESETS
from studio.services import Services
from tabs.blocks import fetch, going
from tabs.blocks.maker import QUIET, in_words
from tabs.events import apart
from tabs.forms import Form, Values, slider

WAYS = {
    "Merge": "merge",
    "Extract a LoRA": "extract",
    "Bake LoRAs in": "bake",
    "Resize a LoRA": "resize",
}
_WEIGHT_INFO = {
    MergeMethod.SUM: "0 is all A, 1 is all B.",
    MergeMethod.THREE: "Shares of B and of C; the rest is A.",
    MergeMethod.DIFFERENCE: "How much of what B has beyond C is added to A.",
}
_BLOCKS_INFO = f"Empty, or a number for each block (25 for SD 1), or {', '.join(PRESETS)}."
_RANKS = {
    "the same for all layers": RankMethod.FIXED.value,
    "by share of the norm (sv_fro)": RankMethod.FROBENIUS.value,
    "by share of the sum (sv_cumulative)": RankMethod.CUMULATIVE.value,
    "by ratio to the largest (sv_ratio)": RankMethod.RATIO.value,
}
_SHARES: dict[str, tuple[float, str]] = {
    RankMethod.FROBENIUS: (0.9, "Share of each layer's norm that is kept, to 1."),
    RankMethod.CUMULATIVE: (0.9, "Share of the sum of singular values that is kept, to 1."),
    RankMethod.RATIO: (10, "Kept is what is above the largest divided by this, more than 1."),
}
"""Of each method what it begins with and what it means."""
_KINDS = tuple(WAYS.values())


@dataclass(frozen=True)
class Making:
    """Components of the block; `asked` is the id of the page's last job."""

    opened: gr.Accordion
    way: gr.Radio
    groups: dict[str, gr.Group]
    forms: dict[str, Form]
    start: gr.Button
    shown: gr.HTML
    cancel: gr.Button
    asked: gr.State


def build() -> Making:
    """Lay the block out, folded away; the lists of models are filled when it is opened."""
    with gr.Accordion("Merge and extract", open=False, elem_id="at-merge") as opened:
        way = gr.Radio(
            list(WAYS.items()), value="merge", label="What to do", elem_id="at-merge-way"
        )
        name = gr.Textbox(
            "", label="Name of the new one", max_lines=1, elem_id="at-merge-name", max_length=100
        )
        groups, fields = {}, {}
        fills = (_merging, _extracting, _baking, _resizing)
        for kind, fill in zip(_KINDS, fills, strict=True):
            with gr.Group(visible=kind == "merge") as groups[kind]:
                fields[kind] = fill()
        start = gr.Button("Start", elem_id="at-merge-start", elem_classes="at-members")
    shown = gr.HTML("", elem_id="at-merging", padding=False)
    cancel = gr.Button("Stop making it", visible=False, size="sm", elem_id="at-merge-cancel")
    requests: dict[str, type[NewModelRequest]] = {
        "merge": MergeRequest,
        "extract": ExtractRequest,
        "bake": BakeRequest,
        "resize": ResizeRequest,
    }
    forms = {kind: Form(requests[kind], {"name": name, **fields[kind]}) for kind in _KINDS}
    return Making(opened, way, groups, forms, start, shown, cancel, gr.State(""))


class MergeHandlers:
    """What the block's controls do. Everybody sees and may stop what is made."""

    def __init__(self, services: Services, view: Making):
        self._services = services
        self._queue = services.queue
        self._view = view

    def lists(self) -> list[Any]:
        """The models and LoRAs of today, for the pickers; what is chosen stays."""
        entries = self._services.catalogue.entries()
        whole = [entry for entry in entries if not entry.problem]
        titles = Counter(entry.title for entry in whole)
        models = [(e.title if titles[e.title] == 1 else f"{e.title} ({e.id})", e.id) for e in whole]
        loras = [lora.name for lora in self._services.catalogue.loras.entries()]
        return [
            gr.Dropdown(
                loras
                if field in ("loras", "lora")
                else [("none", ""), *models]
                if field == "model_c"
                else models
            )
            for _, field in pickers(self._view)
        ]

    def choose(self, way: str) -> list[gr.Group]:
        """Only the controls of what is to be done."""
        return [gr.Group(visible=kind == way) for kind in _KINDS]

    def choose_method(self, method: str) -> list[Any]:
        """Only the controls of the method."""
        three = method != MergeMethod.SUM
        third = method == MergeMethod.THREE
        info = _WEIGHT_INFO.get(MergeMethod(method)) if method in set(MergeMethod) else None
        return [
            gr.Dropdown(visible=three),
            gr.Slider(info=info),
            gr.Slider(visible=third),
            gr.Textbox(visible=third),
        ]

    def choose_ranks(self, method: str) -> gr.Number:
        """The share of a method, as it is usual; hidden where there is none."""
        value, info = _SHARES.get(method, (0.9, ""))
        return gr.Number(value=value, info=info, visible=bool(info))

    def submit(self, values: Values) -> str:
        """Put a job into the queue and return its id, or say why it cannot be done."""
        way = str(values[self._view.way])
        with in_words():
            if way not in self._view.forms:
                raise AtelierError(f"There is no way {way!r}; there are {', '.join(_KINDS)}.")
            return self._queue.submit(self._view.forms[way].request(values))

    def follow(self, own: str = "") -> Iterator[tuple[str, gr.Button]]:
        """How far the jobs are, one after the other, as long as there are any.

        own: id of one whose end is told even when it came at once.
        """
        for job in going.each_job(self._queue, _KINDS, own):
            asked = self._queue.request(job)
            assert isinstance(asked, NewModelRequest)
            for event in self._queue.follow(job.id, missed=True):
                if isinstance(event, Notice):
                    gr.Info(html.escape(event.text), title=html.escape(asked.name), duration=10)
                elif event is not None:
                    line = fetch.shown(asked.name, event, waits="waits for another model")
                    yield line, gr.Button(visible=True)
                if isinstance(event, Failed):
                    gr.Warning(html.escape(event.reason), title="Not made", duration=20)
                if isinstance(event, Finished):
                    gr.Info(f"{html.escape(asked.name)} is here.", title="Made", duration=6)
        yield "", gr.Button(visible=False)

    def cancel(self) -> None:
        """Stop what is made; nothing is left of it."""
        with in_words():
            going.stop(self._queue, _KINDS)


def wire(
    view: Making,
    services: Services,
    tab: gr.Tab,
    again: tuple[Any, Any, Any],
    header: tuple[Any, Any, Any],
) -> None:
    """Connect the controls; again, header: what refreshes the list of models and the picker."""
    handlers = MergeHandlers(services, view)
    following: dict[str, Any] = {
        "outputs": [view.shown, view.cancel],
        "concurrency_limit": None,
        "trigger_mode": "always_last",
        **QUIET,
    }
    lists = (handlers.lists, None, [component for component, _ in pickers(view)])
    merging = view.forms["merge"].fields
    view.opened.expand(*lists, **QUIET)
    view.way.input(handlers.choose, [view.way], list(view.groups.values()), **QUIET)
    merging["method"].input(
        handlers.choose_method,
        [merging["method"]],
        [merging[name] for name in ("model_c", "weight", "weight_c", "blocks_c")],
        **QUIET,
    )
    resizing = view.forms["resize"].fields
    resizing["method"].input(
        handlers.choose_ranks, [resizing["method"]], [resizing["share"]], **QUIET
    )
    inputs = {component for form in view.forms.values() for component in form.inputs}
    view.start.click(handlers.submit, {*inputs, view.way}, [view.asked], **QUIET).success(
        handlers.follow, [view.asked], **following
    ).then(*again, **QUIET).then(*header, **QUIET).then(*lists, **QUIET)
    apart(tab.select).then(handlers.follow, None, **following).then(*again, **QUIET)
    view.cancel.click(handlers.cancel, None, None, **QUIET)


def pickers(view: Making) -> list[tuple[gr.Dropdown, str]]:
    """The lists of models and of LoRAs, each with its field."""
    return [
        (component, field)
        for form in view.forms.values()
        for field, component in form.fields.items()
        if isinstance(component, gr.Dropdown) and field not in ("method", "stored")
    ]


def _merging() -> dict[str, Any]:
    method = gr.Dropdown([each.value for each in MergeMethod], value="weighted sum", label="Method")
    return {
        "method": method,
        "model_a": _model("Model A", elem_id="at-merge-a"),
        "model_b": _model("Model B", elem_id="at-merge-b"),
        "model_c": _model("Model C", visible=False),
        "weight": slider("weight", 0.5, 0.01, MergeRequest, info=_WEIGHT_INFO[MergeMethod.SUM]),
        "weight_c": slider("weight_c", 0.0, 0.01, MergeRequest, label="Weight of C", visible=False),
        "blocks": gr.Textbox("", label="Weight by block", info=_BLOCKS_INFO, max_lines=3),
        "blocks_c": gr.Textbox("", label="Weight of C by block", visible=False, max_lines=3),
        "merge_vae": gr.Checkbox(True, label="Merge the VAE too (else A's)"),
        "merge_text": gr.Checkbox(True, label="Merge the text encoders too (else A's)"),
        "stored": _stored(list(StoredAs), StoredAs.SAME),
    }


def _extracting() -> dict[str, Any]:
    return {
        "tuned": _model("Model that was trained"),
        "base": _model("Model that it was made from"),
        "rank": slider("rank", 32, 1, ExtractRequest),
        "clamp": slider(
            "clamp", 0.99, 0.005, ExtractRequest, info="Share of numbers that stay; 1 clamps none."
        ),
        "text": gr.Checkbox(True, label="With text encoders"),
        "stored": _stored([each for each in StoredAs if each is not StoredAs.SAME], "float16"),
    }


def _baking() -> dict[str, Any]:
    return {
        "model": _model("Model"),
        "loras": gr.Dropdown(
            [], value=[], label="LoRAs", multiselect=True, allow_custom_value=True
        ),
        "strengths": gr.Textbox(
            "", label="Strengths", info="One for each, one for all, or none for 1.", max_lines=1
        ),
        "stored": _stored(list(StoredAs), StoredAs.SAME),
    }


def _resizing() -> dict[str, Any]:
    rank, share = (ResizeRequest.model_fields[name].default for name in ("rank", "share"))
    return {
        "lora": _model("LoRA", elem_id="at-resize-lora"),
        "rank": gr.Number(
            rank,
            label="Rank",
            info="Of each layer's two matrices, at most.",
            precision=0,
            elem_id="at-resize-rank",
        ),
        "conv_rank": gr.Number(
            None, label="Rank of convolutions", info="0: the same.", precision=0
        ),
        "method": gr.Dropdown(
            list(_RANKS.items()),
            value=RankMethod.FIXED.value,
            label="Rank of each layer",
            elem_id="at-resize-method",
        ),
        "share": gr.Number(share, label="Share", visible=False, elem_id="at-resize-share"),
        "stored": _stored(list(StoredAs), StoredAs.SAME),
    }


def _model(label: str, **more: Any) -> gr.Dropdown:
    # Custom values: a model may have come after the list was made; the request checks it.
    return gr.Dropdown([("", "")], value="", label=label, allow_custom_value=True, **more)


def _stored(choices: list[Any], value: str) -> gr.Dropdown:
    return gr.Dropdown([str(each) for each in choices], value=str(value), label="Stored as")

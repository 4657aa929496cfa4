"""What the tabs do that work on a picture: the one that is shown, or many that are dropped."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gradio as gr

from studio.errors import AtelierError
from studio.requests import STORED
from tabs.blocks import sampling
from tabs.blocks.maker import MakerHandlers, MakerView, in_words, picture_id
from tabs.blocks.stage import PageJobs
from tabs.forms import Values


@dataclass(frozen=True, kw_only=True)
class SourcedView(MakerView):
    """Components of such a tab. batch: files that get one result each."""

    batch: gr.File


def build_batch(ids: str, instead_of: str) -> gr.File:
    """Where many pictures are dropped, folded away; ids: what element ids begin with."""
    with gr.Accordion("Many pictures", open=False):
        return gr.File(
            label=f"One result each, instead of {instead_of}",
            file_count="multiple",
            file_types=["image"],
            height=140,
            elem_id=f"{ids}batch",
        )


class SourcedHandlers(MakerHandlers):
    """What their controls do alike.

    on_picture: fields that belong to the one picture that is shown, empty for dropped ones.
    """

    on_picture: tuple[str, ...] = ("source",)

    def submit(self, values: Values) -> dict[Any, Any]:
        """One job for the picture, or one for each of a batch."""
        view: SourcedView = self._view  # type: ignore[assignment]
        files = values.get(view.batch) or []
        if not files:
            return super().submit(values)
        fields, page = view.form.fields, values[view.jobs] or PageJobs([])
        others = {fields[name]: "" for name in self.on_picture}
        for path in map(Path, files):
            try:
                kept = self._services.inputs.add_picture(path.read_bytes(), path.name)
            except AtelierError as error:
                gr.Warning(str(error), title="Left out")
                continue
            one = {**values, **others, fields["source"]: kept.hash, view.jobs: page}
            super().submit(one)
        return {view.jobs: page, view.told: list(page.ids), view.batch: None}

    def choose_model(self, model: str) -> list[Any]:
        """The model's own defaults and examples; the size is the picture's."""
        with in_words():
            entry = self._services.catalogue.usable(model)
        return [*self.filled(sampling.of_model(entry), entry), list(entry.examples)]

    def taken(self, event: gr.EventData, without: set[str]) -> tuple[str, dict[str, Any]]:
        """A saved picture as an input, by its hash, and its settings but for those named."""
        with in_words():
            row = self._services.outputs.get(picture_id(event))
            path = self._services.outputs.path(row.id)
            kept = self._services.inputs.add_picture(path.read_bytes(), path.name)
        return kept.hash, STORED.validate_json(row.request).model_dump(mode="json", exclude=without)

    def of_a_model_here(self, fields: Mapping[str, Any]) -> dict[str, Any]:
        """The values without a model that is not installed."""
        shown = dict(fields)
        if shown.get("model", "") not in self.usable_models():
            shown.pop("model", None)
        return shown

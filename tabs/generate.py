"""The Generate tab: from a text to pictures."""

import html
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import gradio as gr

from studio.diffusion import tokens
from studio.diffusion.metadata import files
from studio.diffusion.metadata.imported import Imported
from studio.diffusion.samplers import SAMPLERS
from studio.errors import AtelierError
from studio.models.catalogue import ModelEntry
from studio.requests import (
    PROMPT_LIMIT,
    GenerationRequest,
    ImageFormat,
    Sampler,
    Schedule,
    validated,
)
from studio.services import Services
from tabs.blocks import drop_zone, header, prompts, seed, size, stage
from tabs.blocks.stage import REMEMBERED_JOBS, PageJobs
from tabs.forms import Form, Values, slider, valid_fields

_ALL_SCHEDULES = [schedule.value for schedule in Schedule]
QUIET: dict[str, Any] = {"show_progress": "hidden", "api_visibility": "private"}
# Without the queue an answer comes a little sooner, but Gradio then drops all messages: only for
# handlers that never have to say anything.
SILENT: dict[str, Any] = {"queue": False, **QUIET}


@dataclass(frozen=True)
class GenerateView:
    """Components of the tab; `told` carries the page's job ids to the browser."""

    form: Form
    prompts: prompts.Prompts
    size: size.Size
    seed: seed.Seed
    drop: gr.HTML
    read_prompt: gr.Button
    stage: gr.HTML
    jobs: gr.State
    told: gr.JSON
    saved: gr.BrowserState


def build(services: Services, model: gr.Dropdown) -> GenerateView:
    """Lay the tab out; `model` is the header's picker and one of the form's fields."""
    entry = services.catalogue.get(model.value)
    with gr.Row(elem_id="at-main"):
        with gr.Column(min_width=0, elem_id="at-words"):
            words = prompts.build(entry)
        with gr.Column(min_width=0, elem_id="at-result"):
            right = stage.build()
        with gr.Column(min_width=0, elem_id="at-settings"):
            fields = _sampling(entry)
            sizes = size.build(entry)
            seeds = seed.build()
            fields |= _more()
            drop = drop_zone.build()
            read_prompt = gr.Button("Read settings pasted into the prompt", size="sm")
    fields |= {
        "model": model,
        "prompt": words.prompt,
        "negative_prompt": words.negative,
        "width": sizes.width,
        "height": sizes.height,
        "seed": seeds.seed,
    }
    return GenerateView(
        form=Form(GenerationRequest, fields),
        prompts=words,
        size=sizes,
        seed=seeds,
        drop=drop,
        read_prompt=read_prompt,
        stage=right,
        jobs=gr.State(None),
        told=gr.JSON([], visible="hidden"),
        # A fixed key and secret: by default both change with every start of the server.
        saved=gr.BrowserState({}, storage_key="atelier-generate", secret="atelier"),
    )


def _sampling(entry: ModelEntry) -> dict[str, Any]:
    with gr.Row():
        sampler = gr.Dropdown(
            [each.value for each in Sampler],
            value=entry.sampler.value,
            label="Sampler",
            min_width=150,
            elem_id="at-sampler",
        )
        schedule = gr.Dropdown(
            schedules(entry.sampler),
            value=Schedule.AUTOMATIC.value,
            label="Schedule",
            min_width=130,
            elem_id="at-schedule",
        )
    return {
        "sampler": sampler,
        "schedule": schedule,
        "steps": slider("steps", entry.steps, 1, elem_id="at-steps"),
        "cfg_scale": slider("cfg_scale", entry.cfg_scale, 0.5, elem_id="at-cfg"),
    }


def _more() -> dict[str, Any]:
    with gr.Row():
        fields: dict[str, Any] = {
            "batch_count": slider(
                "batch_count", 1, 1, min_width=150, buttons=[], elem_id="at-batch-count"
            ),
            "batch_size": slider(
                "batch_size", 1, 1, min_width=150, buttons=[], elem_id="at-batch-size"
            ),
        }
    with gr.Accordion("Variation", open=False):
        fields["variation_strength"] = slider("variation_strength", 0, 0.01)
        fields["variation_seed"] = seed.number("Variation seed (-1 draws one)")
    with gr.Accordion("More", open=False):
        fields["clip_skip"] = slider("clip_skip", 1, 1, label="CLIP skip")
        fields["preview_every"] = slider(
            "preview_every", 2, 1, label="Steps between previews (0 for none)"
        )
        fields["image_format"] = gr.Radio(
            [(each.value.upper(), each.value) for each in ImageFormat],
            value=ImageFormat.PNG.value,
            label="File format",
        )
    return fields


def schedules(sampler: str) -> list[str]:
    """Schedules that a sampler can follow."""
    return [schedule.value for schedule in SAMPLERS[Sampler(sampler)].schedules]


class Handlers:
    """What the tab's controls do: they call services and fill controls, nothing else."""

    def __init__(self, services: Services, view: GenerateView):
        self._services = services
        self._view = view

    def submit(self, values: Values) -> dict[Any, Any]:
        """Put a job into the queue, or say why it cannot be done."""
        view = self._view
        page = values[view.jobs] or PageJobs([])
        with in_words():
            page.add(self._services.queue.submit(view.form.request(values)))
        return {view.jobs: page, view.told: list(page.ids)}

    def attach(self, ids: Any) -> PageJobs:
        """The jobs that the browser remembers, as far as it says anything sensible.

        ids: a list of the page's own, or under "borrowed" the last one of another page.
        """
        borrowed = isinstance(ids, dict) and "borrowed" in ids
        known = ids["borrowed"] if borrowed else ids
        kept = known[-REMEMBERED_JOBS:] if isinstance(known, list) else []
        return PageJobs([str(each)[:64] for each in kept], borrowed=borrowed)

    def follow(self, page: PageJobs | None) -> Iterator[dict[str, object]]:
        """The stage while the page's jobs run."""
        for shown in stage.follow(self._services.queue, page or PageJobs([])):
            yield shown.as_value()

    def cancel(self, page: PageJobs | None) -> None:
        """Stop the job that the page follows."""
        if page and page.current:
            with in_words():
                self._services.queue.cancel(page.current)

    def skip(self, page: PageJobs | None) -> None:
        """Leave out the batch that is being made."""
        if page and page.current:
            with in_words():
                self._services.queue.skip(page.current)

    def count(self, composable: bool) -> Callable[[str, str, int], str]:
        """A handler that counts a prompt's tokens for the model in use."""

        def handler(text: str, model: str, steps: int) -> str:
            if text and len(text) > PROMPT_LIMIT:
                return f"{len(text):,} characters; at most {PROMPT_LIMIT:,} are possible"
            try:
                folder = self._services.catalogue.usable(model or "").folder / "tokenizer"
                found = tokens.count(folder, text or "", steps or 1, composable=composable)
            except AtelierError as error:
                return html.escape(str(error))  # it may quote the prompt
            return prompts.counter(found.tokens, found.limit)

        return handler

    def choose_model(self, model: str) -> list[Any]:
        """The model's own sizes, defaults and examples."""
        with in_words():
            entry = self._services.catalogue.usable(model)
        fields = {
            "width": gr.Slider(value=entry.width, step=entry.factor),
            "height": gr.Slider(value=entry.height, step=entry.factor),
            "cfg_scale": entry.cfg_scale,
            "steps": entry.steps,
            "sampler": entry.sampler.value,
        }
        presets = gr.Radio(size.choices(entry), value=f"{entry.width}x{entry.height}")
        return [*self.filled(fields), presets, list(entry.examples)]

    def example(self, event: gr.EventData) -> str:
        """The example that was pressed, as the prompt."""
        return str(getattr(event, "text", ""))[:200]

    def choose_sampler(self, sampler: str, schedule: str) -> gr.Dropdown:
        """The schedules that the sampler can follow; the present one stays when it can."""
        with in_words():
            allowed = schedules(validated(GenerationRequest, {"sampler": sampler}).sampler)
        value = schedule if schedule in allowed else Schedule.AUTOMATIC.value
        return gr.Dropdown(allowed, value=value)

    def dropped(self, event: gr.EventData) -> list[Any]:
        """The settings of a dropped picture in all controls."""
        with in_words("No settings found"):
            imported = drop_zone.read_dropped(event)
        return self._imported(imported)

    def pasted(self, text: str) -> list[Any]:
        """The settings in a text that was pasted into the prompt."""
        with in_words("No settings found"):
            imported = files.read_text(text or "")
        return self._imported(imported)

    def use_settings(self, event: gr.EventData) -> list[Any]:
        """All settings of a saved picture."""
        request = self._request_of(event)
        fields = request.model_dump(mode="json", exclude={"kind", "preview_every", "image_format"})
        if fields["model"] not in self._usable_models():
            gr.Warning(
                f"Model {fields.pop('model')!r} is not installed here; the present one stays.",
                title="Not restored",
            )
        return self.filled(fields)

    def reuse_seed(self, event: gr.EventData) -> int:
        """The seed of a saved picture."""
        return self._request_of(event).seed

    def last_seed(self, page: PageJobs | None) -> Any:
        """The seed of the page's newest picture."""
        for job_id in reversed(page.ids if page else []):
            made = self._services.queue.outputs(job_id)
            if made:
                return self._services.outputs.get(made[-1]).seed
        return gr.skip()

    def restore(self, saved: Any) -> list[Any]:
        """The settings that the browser kept, as far as they are still valid."""
        fields = valid_fields(saved if isinstance(saved, dict) else {})
        if fields.get("model") not in self._usable_models():
            fields["model"] = None
        return self.filled(fields)

    def filled(self, fields: Mapping[str, Any]) -> list[Any]:
        """Updates that put these values into the form, all else left as it is."""
        updates = dict(fields)
        if "model" in updates:
            # With the list of today: a model that was added since the start can be chosen at once.
            found, wanted = header.choices(self._services), updates["model"]
            updates["model"] = gr.Dropdown(found, value=wanted) if wanted else gr.Dropdown(found)
        if {"sampler", "schedule"} & set(updates):
            # A schedule on its own is checked against its sampler when the job is submitted.
            allowed = schedules(updates["sampler"]) if "sampler" in updates else _ALL_SCHEDULES
            value = updates.get("schedule", Schedule.AUTOMATIC.value)
            updates["schedule"] = gr.Dropdown(
                allowed, value=value if value in allowed else Schedule.AUTOMATIC.value
            )
        return self._view.form.updates(updates)

    def _imported(self, imported: Imported) -> list[Any]:
        fields, notes = drop_zone.restored(imported, self._services)
        gr.Info(f"Settings restored from {imported.source.value}.", duration=4)
        for note in notes[:5]:
            gr.Warning(note, title="Not restored")
        return self.filled(fields)

    def _usable_models(self) -> list[str]:
        return [entry.id for entry in self._services.catalogue.entries() if not entry.problem]

    def _request_of(self, event: gr.EventData) -> GenerationRequest:
        with in_words():
            row = self._services.outputs.get(picture_id(event))
        return GenerationRequest.model_validate_json(row.request)


def picture_id(event: gr.EventData) -> int:
    """The id that a component of ours sends; anything else is no picture's."""
    value = getattr(event, "id", None)
    return value if isinstance(value, int) and not isinstance(value, bool) else -1


class in_words:
    """Turns a failure of the studio into a message on the page."""

    def __init__(self, title: str = "This cannot be done"):
        self._title = title

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: type | None, error: BaseException | None, trace: object) -> None:
        if isinstance(error, AtelierError):
            raise gr.Error(str(error), title=self._title, print_exception=False) from None


def wire(view: GenerateView, services: Services, page: gr.Blocks) -> Handlers:
    """Connect the tab's controls."""
    handlers = Handlers(services, view)
    _wire_jobs(view, handlers, page)
    _wire_controls(view, handlers)
    _wire_settings(view, handlers, page)
    return handlers


def _wire_jobs(view: GenerateView, handlers: Handlers, page: gr.Blocks) -> None:
    following: dict[str, Any] = {
        "inputs": [view.jobs],
        "outputs": [view.stage],
        "concurrency_limit": None,
        "trigger_mode": "always_last",
        **QUIET,
    }
    submitted = view.prompts.run.click(
        handlers.submit,
        inputs={*view.form.inputs, view.jobs},
        outputs=[view.jobs, view.told],
        trigger_mode="multiple",
        **QUIET,
    )
    submitted.success(None, [view.told], None, js="(ids) => { window.atelier.remember(ids); }")
    submitted.success(handlers.follow, **following)
    page.load(
        handlers.attach,
        [view.told],
        [view.jobs],
        js="() => [JSON.parse(window.atelier ? window.atelier.jobs() : '[]')]",
        **SILENT,
    ).then(handlers.follow, **following)
    view.prompts.cancel.click(handlers.cancel, [view.jobs], None, **QUIET)
    view.prompts.skip.click(handlers.skip, [view.jobs], None, **QUIET)


def _wire_controls(view: GenerateView, handlers: Handlers) -> None:
    fields, words = view.form.fields, view.prompts
    size.wire(view.size)
    seed.wire(view.seed)
    for box, counted, composable in (
        (words.prompt, words.prompt_count, True),
        (words.negative, words.negative_count, False),
    ):
        box.change(
            handlers.count(composable),
            [box, fields["model"], fields["steps"]],
            [counted],
            **SILENT,
        )
    words.examples.choose(handlers.example, None, [words.prompt], **SILENT)
    fields["model"].input(
        handlers.choose_model,
        [fields["model"]],
        [*view.form.outputs, view.size.presets, words.examples],
        **QUIET,
    )
    fields["sampler"].input(
        handlers.choose_sampler,
        [fields["sampler"], fields["schedule"]],
        [fields["schedule"]],
        **SILENT,
    )
    view.seed.recycle.click(handlers.last_seed, [view.jobs], [view.seed.seed], **QUIET)


def _wire_settings(view: GenerateView, handlers: Handlers, page: gr.Blocks) -> None:
    view.drop.dropped(handlers.dropped, None, view.form.outputs, **QUIET)
    view.read_prompt.click(handlers.pasted, [view.prompts.prompt], view.form.outputs, **QUIET)
    view.stage.use_settings(handlers.use_settings, None, view.form.outputs, **QUIET)
    view.stage.reuse_seed(handlers.reuse_seed, None, [view.seed.seed], **QUIET)
    names = json.dumps(list(view.form.fields))
    gr.on(
        [component.change for component in view.form.fields.values()],
        None,
        view.form.outputs,
        [view.saved],
        js=f"(...values) => [Object.fromEntries({names}.map((name, i) => [name, values[i]]))]",
        show_progress="hidden",
    )
    page.load(handlers.restore, [view.saved], view.form.outputs, **SILENT)

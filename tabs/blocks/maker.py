"""What every tab that makes pictures does with its jobs, its model and its prompts."""

import html
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import gradio as gr

from studio.diffusion import tokens
from studio.diffusion.upscaling.choices import of_pixels, of_second_pass
from studio.errors import AtelierError, NotFound
from studio.models.entry import ModelEntry
from studio.requests import PROMPT_LIMIT, GenerationRequest, Schedule, validated
from studio.services import Services
from tabs.blocks import header, loras, prompts, sampling, seed, speedups, stage
from tabs.blocks.stage import REMEMBERED_JOBS, PageJobs
from tabs.forms import Form, Values

QUIET: dict[str, Any] = {"show_progress": "hidden", "api_visibility": "private"}
# Without the queue an answer comes a little sooner, but Gradio then drops all messages: only for
# handlers that never have to say anything.
SILENT: dict[str, Any] = {"queue": False, **QUIET}


@dataclass(frozen=True, kw_only=True)
class MakerView:
    """Components of such a tab; `told` carries the page's job ids to the browser.

    name: of the tab, under which the browser keeps its jobs. also: what `submit` reads and sets
    beside the form.
    """

    name: str
    form: Form
    prompts: prompts.Prompts
    seed: seed.Seed
    stage: gr.HTML
    jobs: gr.State
    told: gr.JSON
    saved: gr.BrowserState
    also: tuple[Any, ...] = ()
    picker: loras.Loras | None = None
    speed: speedups.Speed


def remembered(name: str) -> dict[str, Any]:
    """The parts of a view that remember, for the tab of that name.

    `saved` must be rendered outside of all tabs: in one that is not shown it would read nothing.
    """
    return {
        "name": name,
        "jobs": gr.State(None),
        "told": gr.JSON([], visible="hidden"),
        # A fixed key and secret: by default both change with every start of the server.
        "saved": gr.BrowserState({}, storage_key=f"atelier-{name}", secret="atelier", render=False),
    }


class MakerHandlers:
    """What the controls do: they call services and fill controls, nothing else."""

    def __init__(self, services: Services, view: MakerView):
        self._services = services
        self._view = view

    @property
    def services(self) -> Services:
        """What the tab calls."""
        return self._services

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
                entry = self._services.catalogue.usable(model or "")
                words = self._services.catalogue.embeddings.ids(entry)
                found = tokens.count_for(
                    entry, text or "", steps or 1, composable=composable, words=words
                )
            except AtelierError as error:
                return html.escape(str(error))  # it may quote the prompt
            return prompts.counter(found.tokens, found.limit)

        return handler

    def example(self, event: gr.EventData) -> str:
        """The example that was pressed, as the prompt."""
        return str(getattr(event, "text", ""))[:200]

    def choose_sampler(self, sampler: str, schedule: str, model: str) -> gr.Dropdown:
        """The schedules that the sampler can follow; the present one stays when it can."""
        with in_words():
            wanted = validated(GenerationRequest, {"sampler": sampler}).sampler
            allowed = sampling.schedules(wanted, self._services.catalogue.usable(model or ""))
        value = schedule if schedule in allowed else Schedule.AUTOMATIC.value
        return gr.Dropdown(allowed, value=value)

    def reuse_seed(self, event: gr.EventData) -> int:
        """The seed of a saved picture."""
        with in_words():
            return self._services.outputs.get(picture_id(event)).seed

    def last_seed(self, page: PageJobs | None) -> Any:
        """The seed of the page's newest picture."""
        for job_id in reversed(page.ids if page else []):
            try:
                made = self._services.queue.outputs(job_id)
            except NotFound:  # another folder's, or another person's who had this page before
                continue
            if made:
                return self._services.outputs.get(made[-1]).seed
        return gr.skip()

    def filled(self, fields: Mapping[str, Any], entry: ModelEntry | None = None) -> list[Any]:
        """Updates that put these values into the form, all else left as it is.

        entry: the model that they are for, if `fields` does not name it.
        """
        updates = dict(fields)
        if entry is None and updates.get("model") in self.usable_models():
            entry = self._services.catalogue.get(updates["model"])
        if "model" in updates:
            # With the list of today: a model that was added since the start can be chosen at once.
            found, wanted = header.choices(self._services), updates["model"]
            updates["model"] = gr.Dropdown(found, value=wanted) if wanted else gr.Dropdown(found)
        for name, listed in (("upscaler", of_pixels), ("hires_upscaler", of_second_pass)):
            if name in updates:  # a model's file may be gone since, or new
                known, wanted = listed(self._services.upscalers), updates[name]
                value = wanted if wanted in known else known[0]
                updates[name] = gr.Dropdown(known, value=value)
        if updates.get("hires_sampler", "") is None:
            updates["hires_sampler"] = ""
        if "speedups" in updates:
            speedups.fitted(updates, entry, self._view.speed, self._services)
        sampling.fitted(updates, entry)
        return self._view.form.updates(updates)

    def usable_models(self) -> list[str]:
        """Ids of the models that are neither damaged nor of an unknown family."""
        return [entry.id for entry in self._services.catalogue.entries() if not entry.problem]


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


def wire_jobs(
    view: MakerView, handlers: MakerHandlers, page: gr.Blocks, before: str | None = None
) -> None:
    """Connect the buttons that start and stop, and what is shown meanwhile.

    before: JavaScript that changes the form's values on their way to `submit`, given and giving
    them in the order of the components' ids.
    """
    following: dict[str, Any] = {
        "inputs": [view.jobs],
        "outputs": [view.stage],
        "concurrency_limit": None,
        "trigger_mode": "always_last",
        **QUIET,
    }
    submitted = view.prompts.run.click(
        handlers.submit,
        inputs={*view.form.inputs, view.jobs, *view.also},
        outputs=[view.jobs, view.told, *view.also],
        trigger_mode="multiple",
        js=before,
        **QUIET,
    )
    name = json.dumps(view.name)
    submitted.success(
        None, [view.told], None, js=f"(ids) => {{ window.atelier.remember({name}, ids); }}"
    )
    submitted.success(handlers.follow, **following)
    page.load(
        handlers.attach,
        [view.told],
        [view.jobs],
        js=f"() => [JSON.parse(window.atelier ? window.atelier.jobs({name}) : '[]')]",
        **SILENT,
    ).then(handlers.follow, **following)
    view.prompts.cancel.click(handlers.cancel, [view.jobs], None, **QUIET)
    view.prompts.skip.click(handlers.skip, [view.jobs], None, **QUIET)


def wire_controls(view: MakerView, handlers: MakerHandlers) -> None:
    """Connect prompts, LoRA files, sampler, speed-ups and seed."""
    fields, words = view.form.fields, view.prompts
    speedups.wire(view.speed, view.form, handlers.services)
    seed.wire(view.seed)
    if view.picker is not None:
        loras.wire(view.picker, handlers.services, fields["model"], words.prompt)
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
    fields["sampler"].input(
        handlers.choose_sampler,
        [fields["sampler"], fields["schedule"], fields["model"]],
        [fields["schedule"]],
        **SILENT,
    )
    view.seed.recycle.click(handlers.last_seed, [view.jobs], [view.seed.seed], **QUIET)
    view.stage.reuse_seed(handlers.reuse_seed, None, [view.seed.seed], **QUIET)


def wire_saving(view: MakerView, names: list[str]) -> None:
    """Keep the named fields in the browser whenever one changes; no round trip."""
    kept = [view.form.fields[name] for name in names]
    listed = json.dumps(names)
    gr.on(
        [component.change for component in kept],
        None,
        kept,
        [view.saved],
        js=f"(...values) => [Object.fromEntries({listed}.map((name, i) => [name, values[i]]))]",
        show_progress="hidden",
    )

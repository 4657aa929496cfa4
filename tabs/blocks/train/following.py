"""A run followed by its folder and its job, from wherever it is when one begins to look."""

import html
import itertools
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator
from typing import Any

import gradio as gr

from studio.diffusion.networks_called import with_lora
from studio.errors import AtelierError, NotFound
from studio.events import FINAL, Event, Loading, Progress, Queued, Waiting
from studio.models.adapters import misfit
from studio.services import Services
from studio.store.jobs import JobRow
from studio.training.choice import recommendation_of, steps_of, verdict_of
from studio.training.launch.runs import RunEntry
from studio.training.run_folder import Phase
from studio.training_requests import TrainRequest
from tabs.blocks.benchmark import progress_line
from tabs.blocks.maker import in_words
from tabs.blocks.train import shown
from tabs.blocks.train.curves import points_of
from tabs.blocks.train.launcher import Launcher

_KIND = "train"
_LOOK = 1.0
"""Seconds between two looks at a run's folder."""
_PAGES = 1000
"""Open pages of which it is remembered what they follow."""
Steps = tuple[tuple[str, int], ...]
_BEFORE = (Queued, Waiting, Loading, Progress)


class FollowHandlers:
    """Shows runs as they go on. Everybody sees and may stop what is trained."""

    def __init__(self, services: Services, view: Launcher):
        self._services = services
        self._queue = services.queue
        self._runs = services.runs
        self._view = view
        self._newest: OrderedDict[str, int] = OrderedDict()
        self._numbers = itertools.count(1)

    def find(self, subject: str) -> str:
        """The run that is to be shown: the page's own, else one that goes on, else the newest."""
        entries = self._runs.entries()
        names = [each.name for each in entries]
        waiting = [name for name, _ in self._jobs()]
        if subject in (*names, *waiting):
            return subject
        going = [each.name for each in entries if not each.phase.is_final]
        return next(iter((*going, *waiting, *names)), "")

    def follow(self, subject: str, request: gr.Request | None = None) -> Iterator[dict[Any, Any]]:
        """All of a run, again whenever something is new, to its end.

        It ends before that when the same page follows another one.
        """
        session = str(getattr(request, "session_hash", "") or "")
        number = next(self._numbers)
        self._newest[session] = number
        self._newest.move_to_end(session)
        while len(self._newest) > _PAGES:
            self._newest.popitem(last=False)
        for update in self._followed(subject):
            if self._newest.get(session) != number:
                return
            if update:
                yield update

    def _followed(self, subject: str) -> Iterator[dict[Any, Any]]:
        name = self.find(subject or "")
        job = next((row for run, row in self._jobs() if run == name), None)
        look = _Look(self._services, self._view, name, waits=job is not None)
        if not name:
            yield look.nothing()
            return
        yield look.at(None)
        newest: Event | None = None
        looked = time.monotonic()
        for event in self._queue.follow(job.id, heartbeat=_LOOK) if job else ():
            newest = event if isinstance(event, _BEFORE) else newest
            if isinstance(event, FINAL):
                break
            if time.monotonic() - looked >= _LOOK * 0.9:
                looked = time.monotonic()
                yield look.at(newest)
        while job is None and look.goes_on:
            time.sleep(_LOOK)  # it was begun by a command, and no job of this server follows it
            yield look.at(None)
        look.waits = False
        yield look.at(None)

    def pause(self, subject: str) -> None:
        """Let the run save and end, to be gone on with."""
        self._end(subject, self._runs.pause)

    def stop(self, subject: str) -> None:
        """Let the run save and end for good."""
        self._end(subject, self._runs.stop)

    def resume(self, subject: str) -> None:
        """Go on with a run."""
        with in_words("Not resumed"):
            self._runs.resume(subject)

    def use(
        self,
        subject: str,
        model: str,
        prompt: str,
        step: int | None = None,
        strength: float = 1.0,
    ) -> tuple[str, str]:
        """The model and the prompt that make use of what a run made; "" for the present one.

        step: that is to be used from now on, None for what is used already. strength: of a LoRA.
        """
        with in_words("Not used"):
            if step is not None:
                self._runs.use(subject, int(step))
            entry, asked = self._runs.get(subject), self._runs.request(subject)
            return used(self._services, entry, asked, model, prompt or "", strength)

    def _end(self, subject: str, wish: Callable[[str], None]) -> None:
        with in_words():
            try:
                wish(subject)
            except NotFound:  # it waits in the line, and has no folder yet
                for name, row in self._jobs():
                    if name == subject:
                        self._queue.cancel(row.id)

    def _jobs(self) -> list[tuple[str, JobRow]]:
        """Runs that wait or go on as jobs, by name."""
        found = []
        for row in self._queue.unended(_KIND):
            asked = self._queue.request(row)
            assert isinstance(asked, TrainRequest)
            found.append((self._services.training.folder(asked).name, row))
        return found


def used(
    services: Services,
    entry: RunEntry,
    asked: TrainRequest,
    model: str,
    prompt: str,
    strength: float = 1.0,
) -> tuple[str, str]:
    """Model and prompt for what a run has made, "" for the one that is there.

    strength: of a LoRA. Raises AtelierError in one sentence when it has made nothing yet that can
    be used.
    """
    catalogue = services.catalogue
    if asked.trains_weights:
        return catalogue.usable(entry.title).id, asked.prompt if not prompt else ""
    if not asked.adds_lora:
        word = asked.trigger or entry.title
        if entry.title not in {each.word for each in catalogue.embeddings.entries()}:
            raise AtelierError(f"{entry.title} is not among the embeddings; see the run's log.")
        return "", with_word(prompt or asked.prompt, entry.title or word)
    lora = catalogue.loras.find(entry.title)
    if lora is None or lora.problem:
        why = lora.problem if lora else f"{entry.title} is not among the LoRA files"
        raise AtelierError(f"{why.rstrip('.')}; see the run's log.")
    wears = catalogue.get(model or "")
    other = asked.model if wears.family and misfit(lora, wears) else ""
    if other:
        catalogue.usable(other)
    text = with_word(prompt or asked.prompt, asked.trigger)
    return other, with_lora(text, lora.name, strength)


def with_word(prompt: str, word: str) -> str:
    """A prompt that has a word, put at its end where it lacks it."""
    if not word or word.casefold() in prompt.casefold():
        return prompt
    return f"{prompt.rstrip(' ,')}, {word}".lstrip(", ")


class _Look:
    """What has changed of a run since the last look, as updates of the page."""

    def __init__(self, services: Services, view: Launcher, name: str, *, waits: bool):
        self._services = services
        self._runs = services.runs
        self._view = view
        self._name = name
        self._last: dict[Any, Any] = {}
        self._advised = -1, ""
        self.goes_on = False
        self.waits = waits

    def nothing(self) -> dict[Any, Any]:
        """A page without any run."""
        view = self._view
        hidden = {each: gr.Button(visible=False) for each in view.buttons}
        empty = dict.fromkeys((view.progress, view.samples, view.curves, view.subject), "")
        unseen = {each: gr.update(visible=False) for each in (view.step, view.grid.panel)}
        return {**empty, view.run: shown.EMPTY, **unseen, **hidden}

    def at(self, event: Event | None) -> dict[Any, Any]:
        """Where the run is now. event: the newest of its job, for what its folder cannot tell."""
        try:
            entry = self._runs.get(self._name)
        except AtelierError:
            return self._changed(self._without_folder(event))
        view = self._view
        self.goes_on = not entry.phase.is_final
        asked = self._runs.request(self._name)
        curve, _ = self._runs.curve(self._name)
        told = self._runs.notices(self._name)
        begins = entry.phase is Phase.WAITING and event is not None
        finished = entry.phase is Phase.FINISHED
        steps = () if self.goes_on else self._steps()
        return self._changed(
            {
                view.progress: progress_line(event) if begins else shown.progress(entry),
                view.run: shown.run(entry, told, self._advice(len(curve))),
                view.samples: shown.samples(self._name, asked, self._runs.samples(self._name)),
                view.curves: shown.curves(entry, points_of(curve)),
                view.pause: self.goes_on,
                view.stop: self.goes_on,
                view.use: bool(steps) or (finished and entry.result is not None),
                view.step: steps,
                view.resume: entry.can_resume,
                view.grid.panel: asked.adds_lora and bool(self._steps()),
                view.subject: self._name,
            }
        )

    def _advice(self, points: int) -> str:
        """What the curves say; read anew when there are more points."""
        if self._advised[0] != points:
            said = verdict_of(self._runs.folder(self._name)).sentence if points else ""
            self._advised = points, said
        return self._advised[1]

    def _steps(self) -> Steps:
        """Steps that can be used, the recommended one first, each with its words."""
        run = self._runs.folder(self._name)
        steps = [step for step in steps_of(run) if step]
        best = recommendation_of(run)
        if best is not None:
            steps.sort(key=lambda step: (step != best.step, -step))
        return tuple(
            (f"step {step:,}" + (" · recommended" if best and step == best.step else ""), step)
            for step in steps
        )

    def _without_folder(self, event: Event | None) -> dict[Any, Any]:
        view, waits = self._view, self.waits
        title = html.escape(self._name.rpartition("-")[0])
        words = shown.message(title, "It waits in the line.")
        return {
            view.progress: progress_line(event) if event is not None and waits else "",
            view.run: words if waits else shown.EMPTY,
            view.samples: "",
            view.curves: "",
            view.pause: False,
            view.stop: waits,
            view.use: False,
            view.step: (),
            view.resume: False,
            view.grid.panel: False,
            view.subject: self._name,
        }

    def _changed(self, parts: dict[Any, Any]) -> dict[Any, Any]:
        new = {key: value for key, value in parts.items() if self._last.get(key) != value}
        self._last |= new
        return {key: _update(value) for key, value in new.items()}


def _update(value: Any) -> Any:
    """What a control gets: whether it is there, the list of steps its choices."""
    if isinstance(value, bool):
        return gr.update(visible=value)
    if isinstance(value, tuple):
        first = value[0][1] if value else None
        return gr.Dropdown(choices=list(value), value=first, visible=len(value) > 1)
    return value

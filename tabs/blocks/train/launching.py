"""What the controls of a training do: they call services and fill controls."""

import html
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import gradio as gr

from studio.errors import AtelierError
from studio.models.entry import ModelEntry
from studio.requests import validated
from studio.services import Services
from studio.training.checking import Checked
from studio.training.derive import Derived
from studio.training.kohya_settings import read_settings
from studio.training.presets import Preset, preset, presets
from studio.training.toml_files import LONGEST, write_toml
from studio.training_requests import Method, TrainRequest
from tabs.blocks import header
from tabs.blocks.maker import in_words
from tabs.blocks.train import costs, dropped, findings, word
from tabs.blocks.train.fields import OF_ITSELF, OPEN, defaults, shown, unused
from tabs.blocks.train.launcher import (
    ANY_PRESET,
    DROP,
    METHOD_FIELDS,
    NEW_SET,
    NO_PRESET,
    Launcher,
)
from tabs.forms import Values

_TELL = 0.3
"""Seconds between two tellings of how far a check is."""
_NOTICES = 5
_NOT_OF_A_PRESET = {"method", "model", "name", "pictures", "prompt", "trigger", "class_prompt"}


class LaunchHandlers:
    """What the form's controls do."""

    def __init__(self, services: Services, view: Launcher):
        self._services = services
        self._view = view
        self._form = view.form

    # Lists and what follows

    def lists(self, values: Values) -> dict[Any, Any]:
        """Models, sets and presets of today; what is chosen stays.

        Pictures may be dropped before this has come back: it says nothing of those that are chosen
        unless they were chosen then.
        """
        controls = self._form.fields
        chosen = self._set(values)
        return {
            controls["model"]: gr.Dropdown(header.choices(self._services)),
            controls["pictures"]: gr.Dropdown(self._sets()),
            **(self._of_set(chosen) if chosen else {}),
            **self.choose_model(values),
        }

    def choose_method(self, values: Values) -> dict[Any, Any]:
        """What a method makes use of, its presets, and what follows."""
        method = Method(values[self._form.fields["method"]])
        whole = bool(values[self._form.fields["whole"]])
        view, controls = self._view, self._form.fields
        chosen, given = self._fitting(values)
        values = {**values, **{controls[name]: value for name, value in given.items()}}
        hidden = unused(method, whole)
        hidden |= set() if values[controls["text_encoder"]] else {"text_rate"}
        hidden |= set() if values[controls["preservation"]] else {"class_pictures", "prior_weight"}
        hidden |= set() if values[controls["conv_rank"]] else {"conv_alpha"}
        told = self._derived(values)
        for name, value in given.items():
            told[controls[name]] = told.get(controls[name], {}) | {"value": value}
        for name in METHOD_FIELDS:
            shown_at_all = {"visible": name not in hidden}
            told[controls[name]] = told.get(controls[name], {}) | shown_at_all
        return {
            **{box: gr.update(**each) for box, each in told.items()},
            view.groups["preservation"]: gr.Column(visible="preservation" not in hidden),
            view.preset: self._presets(values, chosen),
        }

    def choose_model(self, values: Values) -> dict[Any, Any]:
        """The same for another model, with its verdict on the word."""
        return {**self.choose_method(values), **self.judge(values)}

    def choose_set(self, values: Values) -> dict[Any, Any]:
        """The pictures of a set, a name, and what follows from them."""
        name = self._set(values)
        return {**self._of_set(name), **self._named(values, name), **self.follows(values)}

    def follows(self, values: Values) -> dict[Any, Any]:
        """What follows from the pictures, in the boxes that are empty."""
        return {box: gr.Textbox(**told) for box, told in self._derived(values).items()}

    def judge(self, values: Values) -> dict[Any, Any]:
        """What the model makes of the trigger word, and prompts with it."""
        said, better = "", list[str]()
        try:
            entry = self._entry(values)
            said, better = word.verdict(values[self._form.fields["trigger"]], entry)
        except AtelierError:
            pass  # the model is refused where it is used
        prompts = [prompt for prompt, _ in self._templates(values)]
        return {self._view.verdict: said, self._view.words: better, self._view.templates: prompts}

    def choose_template(self, values: Values, event: gr.EventData) -> dict[Any, Any]:
        """A prompt of those that are offered, with the word and the class that belong to it."""
        new = str(getattr(event, "text", ""))
        found = next((each for each in self._templates(values) if each[0] == new), None)
        if found is None:
            return gr.skip()
        controls = self._form.fields
        trigger = str(values[controls["trigger"]] or "").strip() or word.WORD
        return {
            controls["prompt"]: found[0],
            controls["class_prompt"]: found[1],
            controls["trigger"]: trigger,
        }

    def choose_word(self, values: Values, event: gr.EventData) -> dict[Any, Any]:
        """Another trigger word, also in the prompt."""
        new = str(getattr(event, "text", ""))[:100]
        controls = self._form.fields
        old = str(values[controls["trigger"]] or "")
        prompt = word.with_word(str(values[controls["prompt"]] or ""), old, new)
        changed = {**values, controls["trigger"]: new}
        return {
            controls["trigger"]: new,
            controls["prompt"]: prompt,
            **self.judge(changed),
        }

    def choose_preset(self, values: Values) -> list[Any]:
        """The values of a preset in all controls, and of what it leaves open, the usual ones."""
        known = self._known_presets(values)
        name = values[self._view.preset]
        own = {field for each in known for field in _given(each.fields)}
        usual = {field: value for field, value in defaults().items() if field in own}
        found = next((each for each in known if each.name == name), None)
        kept = {} if found is None else _given(found.fields)
        return [gr.Dropdown(info=_source(found)), *self._form.updates(usual | kept)]

    # Pictures

    def drop(self, values: Values, event: gr.EventData) -> dict[Any, Any]:
        """Add what was dropped to the chosen set, or make one of it."""
        controls = self._form.fields
        chosen = self._set(values)
        wanted = chosen or _set_name(self._form.values(values))
        with in_words("Not added"):
            name = dropped.add(self._services, wanted, event)
        changed = {**values, controls["pictures"]: name}
        return {
            controls["pictures"]: gr.Dropdown(self._sets(), value=name),
            **self.choose_set(changed),
        }

    # Check and start

    def check(self, values: Values) -> Iterator[dict[Any, Any]]:
        """Look at the pictures as the training would see them, with how far that is."""
        view = self._view
        asked = self._form.as_far_as_known(values)
        with in_words("Not checked"):
            if not self._set(values):
                raise AtelierError("Choose or drop pictures first.")
            told = [0, 0]

            def on_progress(done: int, of: int) -> None:
                told[:] = done, of

            with ThreadPoolExecutor(1) as pool:
                looking = pool.submit(self._services.checking.look, asked, on_progress)
                while True:
                    yield {view.health: findings.looking(*told)}
                    try:
                        checked = looking.result(timeout=_TELL)
                        break
                    except TimeoutError:
                        continue
            yield self._checked(asked.pictures, checked)

    def cost(self, values: Values) -> Iterator[dict[Any, Any]]:
        """Take a few steps to tell what the training will cost, with how far that is."""
        view = self._view
        with in_words("Not measured"):
            if not self._set(values):
                raise AtelierError("Choose or drop pictures first.")
            asked = validated(TrainRequest, costs.named(self._form.values(values)))
            for card in costs.shown(self._services, asked):
                yield {view.health: card}

    def act(self, values: Values, event: gr.EventData) -> Iterator[dict[Any, Any]]:
        """A press on a card: a fix, its taking back, or the end of the check."""
        view = self._view
        act, value = str(getattr(event, "act", "")), str(getattr(event, "value", ""))
        if act == "close" or values[view.report] is None:  # also of the card of a cost
            yield {view.health: findings.EMPTY, view.report: None}
            return
        name, checked = values[view.report]
        with in_words("Not mended"):
            if act == "undo":
                said = f"Taken back: {self._services.checking.take_back(name)}."
            else:
                said = self._mend(name, checked, value, values)
        gr.Info(html.escape(said), duration=5)
        buckets = self._form.fields["buckets"]
        again = {**values, self._form.fields["pictures"]: name}
        if "shapes" in said:
            again[buckets] = True
            yield {buckets: True}
        yield from self.check(again)
        yield self._of_set(name)

    def start(self, values: Values) -> dict[Any, Any]:
        """Put a training into the queue; the page then follows its run."""
        with in_words("Not begun"):
            if not self._set(values):
                raise AtelierError("Choose or drop pictures first.")
            queue = self._services.queue
            job = queue.submit(self._form.request(values))
            asked = queue.request(queue.get(job))
            assert isinstance(asked, TrainRequest)
        view = self._view
        return {
            view.subject: self._services.training.folder(asked).name,
            view.health: findings.EMPTY,
        }

    # Settings as a file

    def write(self, values: Values) -> str:
        """The form as TOML."""
        with in_words("Not written"):
            return write_toml(self._form.request(values))

    def read(self, text: str) -> list[Any]:
        """What a text says in the form, all else as it is by itself."""
        with in_words("Not read"):
            if not (text or "").strip():
                raise AtelierError("There is nothing to read; paste settings first.")
            found = read_settings(text)
        gr.Info(f"{len(found.fields)} settings are in the form.", title="Read", duration=4)
        for each in found.notices[:_NOTICES]:
            gr.Warning(html.escape(each), title="Left out", duration=15)
        return self.filled(found.fields)

    def open(self, path: str) -> list[Any]:
        """The same for a file."""
        with in_words("Not read"):
            file = Path(path)
            if file.stat().st_size > LONGEST:
                raise AtelierError(f"{file.name} is too large for settings.")
            text = file.read_text(encoding="utf-8", errors="replace")
        return [text, *self.read(text)]

    def filled(self, given: dict[str, Any]) -> list[Any]:
        """Updates that put fields of a request into the form."""
        told = {"name": "", **defaults(), **given}
        usable = dict(header.choices(self._services)).values()
        if told.get("model") not in usable:
            told.pop("model", None)
        told["pictures"] = gr.Dropdown(self._sets(), value=given.get("pictures") or "")
        return self._form.updates(told)

    def _entry(self, values: Values) -> ModelEntry:
        return self._services.catalogue.usable(self._form.as_far_as_known(values).model)

    def _templates(self, values: Values) -> list[tuple[str, str]]:
        controls = self._form.fields
        try:
            entry = self._entry(values)
        except AtelierError:
            return []
        trigger, prompt = (str(values[controls[name]] or "") for name in ("trigger", "prompt"))
        return word.prompts(trigger, prompt, entry)

    def _mend(self, name: str, checked: Checked, value: str, values: Values) -> str:
        place = int(value) if value.isdecimal() and len(value) < 4 else -1
        found = checked.report.findings
        fix = found[place].fix if 0 <= place < len(found) else None
        if fix is None:
            raise AtelierError("There is nothing to mend any more; check again.")
        return self._services.checking.mend(name, fix) or "The pictures keep their shapes."

    def _checked(self, name: str, checked: Checked) -> dict[Any, Any]:
        sets = self._services.picture_sets
        wanted = {each for finding in checked.report.findings for each in finding.pictures}
        folder = sets.path(name)
        pictures = [each for each in dropped.find_pictures(folder) if each.name in wanted]
        sums = dropped.describe_some(folder, pictures)
        mended = self._services.checking.last_mended(name)
        view = self._view
        return {
            view.health: findings.cards(name, checked, sums, mended),
            view.report: (name, checked),
        }

    def _derived(self, values: Values) -> dict[Any, dict[str, Any]]:
        """Placeholder and explanation of each open box."""
        asked = self._form.as_far_as_known(values)
        bare = asked.model_copy(update=dict.fromkeys(OPEN))
        found: dict[str, Derived] = {}
        try:
            for request in (bare, asked):  # of what was given, what it would be by itself
                found |= {each.field: each for each in self._services.checking.derived(request)}
        except AtelierError:
            pass  # no pictures yet
        told = {}
        for name in OPEN:
            each = found.get(name)
            text = OF_ITSELF if each is None else str(shown(name, each.value))
            info = " " if each is None else each.formula
            told[self._form.fields[name]] = {"placeholder": text, "info": info}
        return told

    def _of_set(self, name: str) -> dict[Any, Any]:
        view = self._view
        said = f"Drop more pictures into \u201c{name}\u201d" if name else DROP
        return {view.strip: dropped.strip(self._services, name), view.drop: said}

    def _named(self, values: Values, name: str) -> dict[Any, Any]:
        """A free name of the outcome by its pictures', where none was typed."""
        box = self._form.fields["name"]
        if not name or str(values[box] or "").strip():
            return {}
        return {box: self.free_name(name)}

    def free_name(self, name: str) -> str:
        """A name near this one that nothing here has yet."""
        catalogue = self._services.catalogue
        taken = {each.title.casefold() for each in self._services.runs.entries()}
        taken |= {each.name.casefold() for each in catalogue.loras.entries()}
        taken |= {each.id.casefold() for each in catalogue.entries()}
        number, free = 1, name
        while free.casefold() in taken:
            number += 1
            free = f"{name} {number}"
        return free

    def _set(self, values: Values) -> str:
        chosen = str(values[self._form.fields["pictures"]] or "")
        return chosen if chosen in self._services.picture_sets.names() else ""

    def _sets(self) -> list[tuple[str, str]]:
        return [NEW_SET, *((name, name) for name in self._services.picture_sets.names())]

    def _known_presets(self, values: Values) -> list[Preset]:
        asked = self._form.as_far_as_known(values)
        engine = self._services.engine
        device = engine.known_device
        if device is None:
            return []  # just after the start: nobody waits for them
        try:
            family = self._services.catalogue.usable(asked.model).family
        except AtelierError:
            return []
        assert family is not None
        return presets(family.key, asked.method, engine.memory().total, device.sort)

    def _presets(self, values: Values, chosen: str) -> gr.Dropdown:
        known = self._known_presets(values)
        names = {each.name: each for each in known}
        own = ((each.title, each.name) for each in known)
        kept = chosen if chosen in (*names, NO_PRESET[1]) else ANY_PRESET[1]
        choices = [ANY_PRESET, NO_PRESET, *own]
        return gr.Dropdown(choices, value=kept, info=_source(names.get(kept)))

    def _fitting(self, values: Values) -> tuple[str, dict[str, Any]]:
        """The preset to take and what it sets, where nobody has chosen one nor changed its values.

        Otherwise what was chosen, and nothing to set.
        """
        chosen, known = str(values[self._view.preset] or ""), self._known_presets(values)
        names = {each.name for each in known}
        if not known or chosen in (*names, NO_PRESET[1]):
            return chosen, {}
        before = _given(preset(chosen)) if chosen else {}
        own = set(before).union(*(_given(each.fields) for each in known))
        usual = {name: value for name, value in defaults().items() if name in own}
        controls = self._form.fields
        if any(values[controls[n]] != shown(n, v) for n, v in (usual | before).items()):
            return ANY_PRESET[1], {}
        engine, best = self._services.engine, known[0]
        device = engine.known_device
        if device is None or not best.fits(engine.memory().total, device.sort):
            return ANY_PRESET[1], {n: shown(n, v) for n, v in usual.items()}
        given = usual | _given(best.fields)
        return best.name, {name: shown(name, value) for name, value in given.items()}


def _given(fields: dict[str, Any]) -> dict[str, Any]:
    """What a preset sets of the form."""
    return {name: value for name, value in fields.items() if name not in _NOT_OF_A_PRESET}


def _source(preset: Preset | None) -> str:
    return " " if preset is None else preset.source or " "


def _set_name(given: dict[str, Any]) -> str:
    return str(given.get("name") or given.get("trigger") or given.get("prompt") or "pictures")

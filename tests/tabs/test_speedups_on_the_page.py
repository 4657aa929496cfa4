"""Speed-ups on the page: what is offered for which model, what was measured, and timings."""

from typing import Any

import gradio as gr
import pytest
from page_events import defaults, sent
from tiny_models import tiny_model

from studio.events import Progress
from studio.models.speeds import Speed, name_of
from studio.requests import Speedup, TimingRequest
from tabs.blocks.speedups import SpeedHandlers, shown
from tabs.generate import Handlers

CACHES = ["first-block-cache", "taylorseer"]


@pytest.fixture(autouse=True)
def no_compiler(monkeypatch: pytest.MonkeyPatch) -> None:
    """So that what is offered does not depend on the machine."""
    monkeypatch.setenv("PATH", "")
    monkeypatch.delenv("CXX", raising=False)


@pytest.fixture
def flux(settings, services):
    tokenizer = services.catalogue.get("").path / "tokenizer"
    tiny_model("flux-dev", settings.data_dir / "models" / "flux-dev", tokenizer)


@pytest.fixture
def speed(services, parts) -> SpeedHandlers:
    return SpeedHandlers(parts.generate.speed, parts.generate.form, services)


def keys(choice: gr.CheckboxGroup) -> list[str]:
    return [key for _, key in choice.choices if not key.startswith("token")]


def by_name(parts: Any, updates: list) -> dict[str, Any]:
    named = zip(parts.generate.form.fields, updates, strict=True)
    return {name: value for name, value in named if value != gr.skip()}


def test_a_model_is_offered_what_fits_it_and_keeps_what_was_chosen(flux, speed, embedded_id):
    group, choice, notes = speed.refresh("flux-dev", ["taylorseer", "compile"])
    assert group.visible
    assert keys(choice) == CACHES
    assert choice.value == ["taylorseer"]
    assert "TaylorSeer" in notes
    group, choice, _ = speed.refresh(embedded_id, ["taylorseer"])
    assert keys(choice) == []
    assert choice.value == []
    assert group.visible == bool(choice.choices)
    group, choice, _ = speed.refresh("gone", ["taylorseer"])
    assert not group.visible


def test_tiles_are_not_offered_what_remembers_a_picture(flux, services, parts):
    tiled = SpeedHandlers(parts.extras.speed, parts.extras.form, services)
    _, choice, _ = tiled.refresh("flux-dev", [])
    assert keys(choice) == []


def test_what_was_measured_here_stands_beside_its_name(flux, speed, services):
    device = services.engine.device()
    torch = __import__("importlib.metadata").metadata.version("torch")
    seconds = {"": 0.8, "taylorseer": 0.5}
    services.speeds.keep(Speed(name_of(device), torch, "flux-dev", 64, 64, 1, 8, seconds))
    _, choice, _ = speed.refresh("flux-dev", [])
    names = {key: name for name, key in choice.choices}
    assert names["taylorseer"] == "TaylorSeer · 1.6× here"
    assert names["first-block-cache"] == "First block cache"


def test_a_picture_asks_for_what_is_chosen(flux, handlers, parts, services):
    asked = {"model": "flux-dev", "sampler": "Euler", "speedups": ["taylorseer"], "prompt": "a cat"}
    page = handlers.submit(defaults(parts.generate, **asked))[parts.generate.jobs]
    request = services.queue.request(services.queue.get(page.ids[-1]))
    assert request.speedups == (Speedup.TAYLORSEER,)


def test_settings_come_back_with_the_speed_ups_that_can_be_had(flux, parts, services, saved):
    handlers = Handlers(services, parts.generate)
    picture = saved(model="flux-dev", sampler="Euler", speedups=["taylorseer"])
    changed = by_name(parts, handlers.use_settings(sent(id=picture)))
    assert changed["speedups"].value == ["taylorseer"]
    kept = {"model": "flux-dev", "speedups": ["first-block-cache", "xformers"]}
    changed = by_name(parts, handlers.restore(kept))
    assert changed["speedups"].value == ["first-block-cache"]
    assert "speedups" not in by_name(parts, handlers.restore({**kept, "model": "gone"}))


def test_the_button_times_at_the_forms_size_and_can_be_stopped(flux, speed, parts, services):
    values = defaults(parts.generate, model="flux-dev", width=64, height=80, steps=3, batch_size=2)
    speed.submit(values)
    [row] = services.queue.unended("timing")
    assert services.queue.request(row) == TimingRequest(
        model="flux-dev", width=64, height=80, batch_size=2, steps=3
    )
    speed.stop()
    assert services.queue.unended("timing") == []
    assert list(speed.follow())[-1][0] == ""
    with pytest.raises(gr.Error, match="multiple"):
        speed.submit(defaults(parts.generate, model="flux-dev", width=67))


def test_a_timing_is_shown_as_a_bar():
    event = Progress(step=1, steps=4, item=1, items=1, seconds_left=70, label="<b>")
    assert "&lt;b&gt;, 1 min 10 s left" in shown(event)
    assert "25.0%" in shown(event)

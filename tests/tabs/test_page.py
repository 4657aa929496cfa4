"""The whole page without a browser: its events, what it serves, and what it keeps to itself."""

import asyncio
import json
import re
import shutil
from dataclasses import replace

import gradio as gr
import pytest
from fastapi.testclient import TestClient
from gradio.route_utils import Request
from gradio.state_holder import SessionState
from sample_pictures import picture
from tiny_readers import make_reader

from studio.errors import ModelError
from studio.models.catalogue import Catalogue
from studio.requests import GenerationRequest
from studio.services import build_services
from tabs.page import build_app, build_page
from tabs.theme import ICON

STYLES = ICON.parent


@pytest.fixture
def page(services) -> gr.Blocks:
    return build_page(services)


class Session:
    """One open page: calls handlers through Gradio's own processing, as its server does."""

    def __init__(self, page: gr.Blocks):
        self._page = page
        self._state = SessionState(page)
        self.components = {block.elem_id: block for block in page.blocks.values() if block.elem_id}

    def function(self, name: str):
        """The event whose handler has this name."""
        return next(fn for fn in self._page.fns.values() if fn.name == name)

    def keep(self, name: str, value: object) -> None:
        """Put a value into the first thing that an event remembers."""
        self._state[self.function(name).inputs[0]._id] = value

    def call(self, name: str, event: dict | None = None, **changes: object) -> list:
        """The outputs of an event as they go to the browser; changes: by element id."""
        function = self.function(name)
        inputs = [
            changes.get(str(component.elem_id), getattr(component, "value", None))
            for component in function.inputs
        ]
        data = None if event is None else gr.EventData(None, event)
        result = asyncio.run(
            self._page.process_api(
                block_fn=function,
                inputs=inputs,
                state=self._state,
                request=Request(),
                event_data=data,
            )
        )
        return result["data"]


def test_a_press_on_generate_queues_a_job(services, page):
    session = Session(page)
    _, told = session.call("submit", **{"at-prompt": "a red apple", "at-steps": 5})
    [job_id] = told.root
    request = services.queue.request(services.queue.get(job_id))
    assert (request.prompt, request.steps) == ("a red apple", 5)


def test_a_press_with_a_wrong_size_is_an_error_in_words(services, page):
    with pytest.raises(gr.Error, match="needs a multiple of"):
        Session(page).call("submit", **{"at-width": 100})
    with pytest.raises(gr.Error, match="Value 0 is less than minimum value 1"):
        Session(page).call("submit", **{"at-steps": 0})
    with pytest.raises(gr.Error, match="not in the list of choices"):
        Session(page).call("submit", **{"at-sampler": "Sampler 3000"})
    assert services.queue.line().waiting == 0


def test_choosing_a_sampler_changes_the_schedules(page):
    [update] = Session(page).call("choose_sampler", **{"at-sampler": "DDIM"})
    assert [value for _, value in update["choices"]] == ["Automatic", "SGM Uniform"]


def test_the_gallery_opens_by_its_tab(services, page):
    grid, *_ = Session(page).call("first")
    assert grid == {"items": [], "empty": "Nothing here yet."}


def test_a_picture_goes_from_the_gallery_to_generate(services, page):
    request = GenerationRequest(prompt="a blue cat", seed=3)
    job_id = services.queue.submit(request)
    stored = services.queue.request(services.queue.get(job_id)).model_dump_json()
    output_id = services.outputs.save(job_id, replace(picture(), request=stored))
    session = Session(page)
    *_, tabs = session.call("to_generate", {"id": output_id})
    assert tabs["selected"] == "generate"
    assert "a blue cat" in session.call("to_generate", {"id": output_id})
    canvas, *fields, tabs = session.call("to_edit", {"id": output_id})
    assert tabs["selected"] == "edit"
    assert services.inputs.open(canvas["source"]).size == (16, 8)
    assert "a blue cat" in fields


def test_a_reader_of_the_models_tab_is_one_press_from_use(services, settings, page):
    make_reader(settings.data_dir / "models" / "readers" / "tiny")
    session = Session(page)
    session.keep("to_use", ("reader", "tiny"))
    *_, chosen, tabs = session.call("to_use")
    assert tabs["selected"] == "reader"
    assert chosen["value"] == "tiny"
    assert ["tiny", "tiny"] in [list(each) for each in chosen["choices"]]
    session.keep("to_use", ("model", services.catalogue.get("").id))
    *_, chosen, tabs = session.call("to_use")
    assert tabs["selected"] == "generate"


NAMED = {"/generate", "/edit", "/answer", "/reader_evaluate"}
"""What programs may call; all other events belong to the page."""


def test_only_what_is_meant_for_programs_has_a_public_name(page):
    listed = page.get_api_info()
    assert set(listed["named_endpoints"]) == NAMED
    assert listed["unnamed_endpoints"] == {}
    open_ones = {f"/{fn.api_name}" for fn in page.fns.values() if fn.api_visibility != "private"}
    assert open_ones == NAMED


def test_what_programs_may_call_has_named_parameters(page):
    for endpoint in page.get_api_info()["named_endpoints"].values():
        for parameter in endpoint["parameters"]:
            assert "param" not in parameter["parameter_name"]
            assert parameter["label"] == parameter["parameter_name"]


def test_no_two_events_of_a_page_wait_on_each_other(page):
    page.queue(default_concurrency_limit=None, api_open=False)
    assert {fn.concurrency_limit for fn in page.fns.values()} <= {None, "default"}
    assert page._queue.default_concurrency_limit is None


# What is served


@pytest.fixture
def client(services) -> TestClient:
    return TestClient(build_app(services))  # without its start: no worker and no warm-up


def test_no_event_has_two_listeners_that_put_calls_off(page):
    """They would repeat each other without end: see tabs/events.py."""
    by_event: dict[tuple, list[str]] = {}
    for fn in page.fns.values():
        if fn.fn is not None and fn.trigger_mode == "always_last":
            for target in fn.targets:
                if target[0] is not None:
                    by_event.setdefault(target, []).append(fn.name)
    assert by_event
    assert {event: names for event, names in by_event.items() if len(names) > 1} == {}


def test_nothing_is_fetched_from_another_host(client):
    html = client.get("/").text
    tags = re.findall(r"<(?:script|link|img|iframe|source|object|embed|video|audio)\b[^>]*>", html)
    assert len(tags) > 2
    addresses = [
        found for tag in tags for found in re.findall(r'(?:src|href|data)\s*=\s*"([^"]+)"', tag)
    ]
    assert addresses
    foreign = [a for a in addresses if re.match(r"(?:https?:)?//(?!testserver)", a)]
    assert foreign == []
    css = client.get("/theme.css").text
    assert not re.findall(r"url\(\s*['\"]?(?:https?:)?//", css)
    assert "@import" not in css


def test_the_page_lists_no_other_endpoints(client):
    info = client.get("/gradio_api/info").json()
    assert set(info["named_endpoints"]) == NAMED
    assert info["unnamed_endpoints"] == {}
    assert client.post("/gradio_api/run/submit", json={"data": []}).status_code in (404, 405)
    assert client.get("/gradio_api/mcp/sse").status_code == 404
    assert client.get("/monitoring").status_code in (403, 404)


def test_our_own_routes_stand_beside_the_page(client):
    assert client.get("/health").json() == {"status": "ok"}
    assert client.get("/status").status_code == 200
    assert client.get("/outputs/1/image").status_code == 404


def test_files_of_the_machine_are_not_served(client, services, tmp_path):
    for path in ("/etc/passwd", services.database.path, tmp_path / "secret"):
        assert client.get(f"/gradio_api/file={path}").status_code in (403, 404)


def test_uploads_have_a_limit(settings):
    services = build_services(settings.model_copy(update={"max_upload": 1000}))
    client = TestClient(build_app(services))
    answer = client.post("/gradio_api/upload", files={"files": ("big.png", bytes(5000))})
    assert answer.status_code == 413
    services.stop()


def test_the_page_knows_its_path_behind_a_proxy(settings):
    services = build_services(settings.model_copy(update={"root_path": "/studio"}))
    client = TestClient(build_app(services))
    html = client.get("/").text
    start = html.index("{", html.index("window.gradio_config = "))
    config, _ = json.JSONDecoder().raw_decode(html, start)
    assert config["root"].endswith("/studio")
    assert client.get("/health").status_code == 200
    services.stop()


# A page over models that are not as they should be


def test_a_damaged_model_is_not_offered_and_the_page_goes_on(settings, services):
    own = settings.data_dir / "models" / "broken"
    shutil.copytree(
        services.catalogue.get("").path, own, ignore=shutil.ignore_patterns("*.safetensors")
    )
    session = Session(build_page(services))
    offered = [value for _, value in session.components["at-model"].choices]
    assert "broken" not in offered
    assert len(offered) == len(services.catalogue.entries()) - 1


@pytest.mark.parametrize("damage", ["weights", "index"])
def test_a_damaged_default_model_leaves_a_page_that_says_so(settings, services, caplog, damage):
    own = settings.data_dir / "models" / "broken"
    ignored = shutil.ignore_patterns("*.safetensors")
    shutil.copytree(services.catalogue.get("").path, own, ignore=ignored)
    if damage == "index":
        (own / "model_index.json").write_text("{")
    damaged = build_services(settings.model_copy(update={"default_model": "broken"}))
    session = Session(build_page(damaged))
    offered = [value for _, value in session.components["at-model"].choices]
    assert "broken" not in offered
    assert session.components["at-model"].value == offered[0]
    assert session.components["at-width"].value == services.catalogue.get("").width
    assert "broken" in caplog.text
    assert "is in use instead." in caplog.text
    damaged.stop()


def test_without_a_single_whole_model_the_start_stops_in_words(settings, services, tmp_path):
    own = settings.data_dir / "models" / "broken"
    own.mkdir()
    (own / "model_index.json").write_text("{")
    nothing_else = Catalogue(settings.data_dir / "models", embedded=tmp_path / "none")
    with pytest.raises(ModelError, match=r"'broken' .* copy it to .* again\."):
        build_page(replace(services, catalogue=nothing_else))
    (own / "model_index.json").unlink()
    with pytest.raises(ModelError, match="there are: none"):
        build_page(replace(services, catalogue=nothing_else))


def test_no_style_sheet_restyles_what_another_one_names():
    """Classes are the whole page's: one that is named twice would change a tab elsewhere."""
    sheets = [path.read_text(encoding="utf-8") for path in sorted(STYLES.glob("*.css"))]
    assert len(sheets) > 1
    named = [
        set(re.findall(r"(?:^|[},]\s*)\.(at-[\w-]+)", sheet, re.MULTILINE)) for sheet in sheets
    ]
    for number, one in enumerate(named):
        for other in named[number + 1 :]:
            assert one & other == set()


def test_every_worker_has_a_runner_of_its_own(services):
    """A runner keeps the ends that it could not record: two threads would lose one of them."""
    workers = (services.worker, services.fetcher, services.maker, services.scorer, services.trainer)
    assert len({id(worker.runner) for worker in workers}) == len(workers)

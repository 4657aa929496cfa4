"""Two people at one page at the same time: each event works for its own, and nobody has another's.

A page of two handlers, behind the real guard, through Gradio's own queue on a real server.
"""

import json
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import gradio as gr
import httpx
import pytest
import uvicorn
from fastapi import FastAPI

from studio.api import doors
from studio.people import NOBODY, Role, acting
from studio.services import Services, build_services
from studio.settings import Settings
from tabs.asking import Page, asking
from tabs.belongings import Belonging, Belongings, paths

STEPS = 6


@dataclass
class Studio:
    """A running server and who has an account on it."""

    url: str
    services: Services
    page: Page
    stopped: list[str]
    clients: list[httpx.Client] = field(default_factory=list)

    def client(self, name: str) -> httpx.Client:
        """Somebody's program, with a token."""
        accounts = self.services.accounts
        token = accounts.make_token(accounts.named(name).id, "a test")
        headers = {"Authorization": f"Bearer {token}"}
        made = httpx.Client(base_url=self.url, headers=headers, timeout=30, trust_env=False)
        self.clients.append(made)
        return made


def build(stopped: list[str]) -> Page:
    """A page whose handlers tell for whom they work."""
    with Page(analytics_enabled=False) as page:
        given, told = gr.Textbox(), gr.Textbox()
        file, size = gr.File(), gr.Number()
        start, weigh, check = gr.Button(), gr.Button(), gr.Button()
        choice = gr.Dropdown(["one"])

        def steps(text: str) -> Iterator[str]:
            try:
                for step in range(STEPS):
                    time.sleep(0.1)
                    yield f"{text} {step} {acting().name}"
            finally:
                stopped.append(text)

        start.click(steps, given, told, concurrency_limit=None)
        weigh.click(lambda path: Path(path).stat().st_size, file, size, concurrency_limit=None)
        check.click(lambda: acting().name, None, told, queue=False)
        choice.input(lambda chosen: gr.update(choices=["one", "more"]), choice, choice, queue=False)
    return page


@pytest.fixture(scope="module")
def studio(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Studio]:
    folder = tmp_path_factory.mktemp("studio")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GRADIO_TEMP_DIR", str(folder / "uploads"))
        settings = Settings(data_dir=folder / "data", device="cpu", accounts="on")
        services = build_services(settings)
        member = Role.MEMBER
        for name, role in {"ada": Role.ADMINISTRATOR, "ben": member, "dan": member}.items():
            services.accounts.add(name, role, "long enough")
        services.accounts.add("cem", Role.VIEWER, "long enough")
        app, stopped = FastAPI(), []
        page = build(stopped)
        page.has_launched = True
        page.queue(default_concurrency_limit=None)
        page._queue.ANALYTICS_CACHE_FREQUENCY = 10**9  # as tabs/page.py has it
        app.add_middleware(Belonging, belongings=page.belongings)
        doors.close(app, services)
        gr.mount_gradio_app(app, page, path="/", ssr_mode=False)
        server = uvicorn.Server(uvicorn.Config(app, port=0, log_config=None, lifespan="on"))
        thread = threading.Thread(target=server.run)
        thread.start()
        while not server.started:
            time.sleep(0.02)
        port = server.servers[0].sockets[0].getsockname()[1]
        made = Studio(f"http://127.0.0.1:{port}", services, page, stopped)
        yield made
        for client in made.clients:
            client.close()
        server.should_exit = True
        thread.join(20)
        services.stop()


def join(client: httpx.Client, session: str, data: list, fn: int = 0) -> httpx.Response:
    sent = {"data": data, "fn_index": fn, "session_hash": session}
    return client.post("/gradio_api/queue/join", json=sent)


def messages(client: httpx.Client, session: str) -> Iterator[dict]:
    """What the server tells a session until it closes."""
    with client.stream("GET", "/gradio_api/queue/data", params={"session_hash": session}) as answer:
        assert answer.status_code == 200, answer.read()
        for line in answer.iter_lines():
            if line.startswith("data: "):
                message = json.loads(line.removeprefix("data: "))
                yield message
                if message["msg"] == "close_stream":
                    return


def run(client: httpx.Client, session: str, data: list, fn: int = 0) -> list[str]:
    """All texts that an event yields."""
    assert join(client, session, data, fn).status_code == 200
    told = []
    for message in messages(client, session):
        if message["msg"] == "process_generating":
            [value] = message["output"]["data"]
            told.append(value if isinstance(value, str) else value[0][2])
        if message["msg"] == "process_completed":
            assert message["success"], message
    return told


def test_every_step_of_each_works_for_its_own(studio):
    names = ["ada", "ben", "cem"] * 2
    with ThreadPoolExecutor(len(names)) as pool:
        asked = [
            pool.submit(run, studio.client(name), f"s{i}-{name}", [f"{name}{i}"])
            for i, name in enumerate(names)
        ]
        told = [each.result() for each in asked]
    for i, (name, texts) in enumerate(zip(names, told, strict=True)):
        assert texts[0] == f"{name}{i} 0 {name}"
        assert len(texts) >= STEPS
        assert all(other not in "".join(texts) for other in {"ada", "ben", "cem"} - {name})


def test_what_has_no_queue_works_for_its_own_too(studio):
    for name in ("ada", "ben"):
        sent = {"data": [], "fn_index": 2, "session_hash": f"direct-{name}"}
        answer = studio.client(name).post("/gradio_api/run/predict", json=sent)
        assert answer.json()["data"] == [name]


def test_a_control_that_is_changed_again_and_again_is_kept_once(studio):
    client, sizes = studio.client("ben"), []
    for _ in range(4):
        sent = {"data": ["one"], "fn_index": 3, "session_hash": "choosing"}
        answer = client.post("/gradio_api/run/predict", json=sent).json()
        assert answer["data"][0]["choices"] == [["one", "one"], ["more", "more"]]
        state = studio.page.state_holder.session_data["choosing"]
        sizes.append((len(state.blocks_config.blocks), len(state.config_values)))
    assert sizes == sizes[:1] * 4
    sent = {"data": ["more"], "fn_index": 3, "session_hash": "choosing"}
    assert client.post("/gradio_api/run/predict", json=sent).status_code == 200
    sent = {"data": ["more"], "fn_index": 3, "session_hash": "of its own"}
    assert client.post("/gradio_api/run/predict", json=sent).status_code == 500


def test_sessions_that_were_not_used_for_long_are_forgotten(studio, monkeypatch):
    holder = studio.page.state_holder
    assert holder.capacity == 256
    monkeypatch.setattr(holder, "capacity", 3)
    for number in range(6):
        sent = {"data": [], "fn_index": 2, "session_hash": f"page {number}"}
        assert studio.client("ada").post("/gradio_api/run/predict", json=sent).json()["data"]
        while len(holder.session_data) > 3:
            holder.update(f"page {number}")
    assert list(holder.session_data) == ["page 3", "page 4", "page 5"]


def test_nobody_follows_or_stops_another_ones_events(studio):
    ben, cem, ada = (studio.client(name) for name in ("ben", "cem", "ada"))
    event = join(ben, "ben-s", ["mine"]).json()["event_id"]
    attempts: tuple[Callable[[httpx.Client], httpx.Response], ...] = (
        lambda c: c.get("/gradio_api/queue/data", params={"session_hash": "ben-s"}),
        lambda c: c.get("/gradio_api/heartbeat/ben-s"),
        lambda c: c.get(f"/gradio_api/call/steps/{event}"),
        lambda c: c.get(f"/gradio_api/call/v2/steps/{event}"),
        lambda c: c.post(f"/gradio_api/stream/{event}/close"),
        lambda c: c.post("/gradio_api/reset", json={"event_id": event}),
        lambda c: join(c, "ben-s", ["yours"]),
        lambda c: c.post(
            "/gradio_api/cancel",
            json={"session_hash": "ben-s", "fn_index": 0, "event_id": event},
        ),
        lambda c: c.post(
            "/gradio_api/cancel",
            json={"session_hash": "cem-s", "fn_index": 0, "event_id": event},
        ),
        lambda c: c.post(
            "/gradio_api/component_server",
            json={"session_hash": "ben-s", "component_id": 1, "fn_name": "x", "data": {}},
        ),
    )
    for attempt in attempts:
        for stranger in (cem, ada):
            assert attempt(stranger).status_code == 404
    form = stranger.post("/gradio_api/component_server", files={"file": b"x"})
    assert form.status_code == 413
    told = [message["msg"] for message in messages(ben, "ben-s")]
    assert told.count("process_generating") >= STEPS, "nobody stopped it"
    assert "mine" in studio.stopped


def test_an_upload_is_of_who_sent_it(studio):
    ben, dan = studio.client("ben"), studio.client("dan")
    sent = ben.post("/gradio_api/upload", files={"files": ("secret.txt", b"of ben")})
    [path] = sent.json()
    place = f"/gradio_api/file={path}"
    assert ben.get(place).content == b"of ben"
    assert studio.client("ada").get(place).content == b"of ben", "administrators see everything"
    for address in (place, place.replace("/uploads/", "/uploads/./"), f"/gradio_api/file/{path}"):
        assert dan.get(address).status_code == 404, address
    value = {"path": path, "meta": {"_type": "gradio.FileData"}}
    assert join(ben, "ben-f", [value], fn=1).status_code == 200
    done = [each for each in messages(ben, "ben-f") if each["msg"] == "process_completed"]
    assert done[0]["output"]["data"] == [len(b"of ben")]
    assert join(dan, "dan-f", [value], fn=1).status_code == 200
    done = [each for each in messages(dan, "dan-f") if each["msg"] == "process_completed"]
    assert not done[0]["success"]
    assert "not here any more" in done[0]["output"]["error"]
    dan.post("/gradio_api/upload", files={"files": ("secret.txt", b"of ben")})
    assert dan.get(place).status_code == 200, "who has the same file may have it"


def test_viewers_send_no_files(studio):
    refused = studio.client("cem").post("/gradio_api/upload", files={"files": ("a.txt", b"a")})
    assert refused.status_code == 403
    assert "your role is viewer" in refused.json()["detail"]


def test_an_event_of_nobody_known_is_nobodys(studio):
    assert asking([]) == NOBODY
    assert asking(None) == acting()


def test_the_names_that_are_remembered_do_not_grow(tmp_path, monkeypatch):
    monkeypatch.setattr("tabs.belongings._REMEMBERED", 3)
    kept = Belongings(tmp_path)
    ada = Role.MEMBER
    person = type(NOBODY)(7, "ada", ada)
    for i in range(9):
        assert kept.take(str(i), person)
        kept.hand(str(tmp_path / str(i)), person)
    assert len(kept._names) == len(kept._files) == 3
    assert not kept.take("x", NOBODY), "nothing is nobody's"
    assert kept.has(str(tmp_path / "8"), person)
    assert not kept.has(str(tmp_path / "0"), person)
    assert not kept.has("a\0b", person)


def test_paths_are_found_wherever_they_are():
    sent = [{"path": "a"}, [{"x": ({"path": "b", "y": {"path": "c"}},)}], {"path": 3}, "path"]
    assert list(paths(sent)) == ["a", "b", "c"]

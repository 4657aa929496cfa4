"""How fast one may ask, and how much one may send, at every door of the whole application."""

import asyncio
import json
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import count
from types import SimpleNamespace

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient
from limits.aio.storage import memory
from sample_pictures import png

from studio.api.bodies import EVENT_BODY, FILES_AT_ONCE, SMALL_BODY
from studio.people import Role
from studio.services import Services, build_services
from studio.settings import Settings
from tabs.page import build_app

PASSWORD = "a pass, word: ü"
MOST = 12
MAX_UPLOAD = 10**6
CHUNK = b"a" * 10**6
BYTES = {"Content-Type": "application/octet-stream"}
_numbers = count(1)
Visit = Callable[..., TestClient]


@pytest.fixture(autouse=True)
def still(monkeypatch: pytest.MonkeyPatch) -> None:
    """The clock by which requests are forgotten stands, however slow the machine is that asks."""
    now = time.time()
    monkeypatch.setattr(memory, "time", SimpleNamespace(time=lambda: now))


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Services]:
    """Services with accounts; nothing of them is started."""
    folder = tmp_path_factory.mktemp("paced")
    built = build_services(
        Settings(
            data_dir=folder,
            device="cpu",
            accounts="on",
            requests_per_minute=MOST,
            max_upload=MAX_UPLOAD,
        )
    )
    for name, role in (("ada", Role.ADMINISTRATOR), ("ben", Role.MEMBER), ("cem", Role.VIEWER)):
        built.accounts.add(name, role, PASSWORD)
    yield built
    built.stop()


@pytest.fixture(scope="module")
def app(guarded: Services) -> FastAPI:
    return build_app(guarded)


@pytest.fixture
def visit(app: FastAPI, guarded: Services) -> Visit:
    """Makes clients of new people or of nobody, each at an address of its own."""

    def new(role: Role | None = Role.MEMBER, address: str = "") -> TestClient:
        number = next(_numbers)
        client = TestClient(app, client=(address or f"198.51.100.{number}", 5000))
        if role is not None:
            person = guarded.accounts.add(f"somebody {number}", role, PASSWORD)
            token = guarded.accounts.make_token(person, "a test")
            client.headers["Authorization"] = f"Bearer {token}"
        return client

    return new


def until_refused(ask: Callable[[], object]):
    """The first answer of 429, and how many came before it."""
    for number in range(2 * MOST):
        answer = ask()
        if answer.status_code == 429:
            return number, answer
    raise AssertionError("nobody was told to go slower")


@pytest.mark.parametrize(
    "ask",
    [
        lambda c: c.post("/inputs", content=png(), headers=BYTES),
        lambda c: c.post("/gradio_api/queue/join", json={"data": [], "fn_index": 0}),
        lambda c: c.post("/gradio_api/run/predict", json={"data": [], "fn_index": 0}),
        lambda c: c.post("/gradio_api/upload", files={"files": ("a.png", png())}),
        lambda c: c.get("/outputs/1/image"),
        lambda c: c.get("/submissions/1/submission.zip"),
        lambda c: c.get("/gradio_api/file=/a"),
        lambda c: c.post("/api/v1/jobs", json={"kind": "generate"}),
        lambda c: c.post("/sdapi/v1/txt2img", json={"steps": "x"}),
        lambda c: c.post("/nowhere"),
    ],
)
def test_one_person_asks_no_faster_than_is_allowed(visit, ask):
    client = visit(Role.VIEWER)
    assert client.get("/status").status_code == 200
    number, answer = until_refused(lambda: ask(client))
    assert number == MOST
    assert 1 <= int(answer.headers["retry-after"]) <= 120
    assert f"more than {MOST} requests in a minute" in answer.json()["detail"]
    assert ask(visit(Role.VIEWER)).status_code != 429, "somebody else"


def test_each_api_tells_it_in_its_own_form(visit):
    client = visit()
    until_refused(lambda: client.post("/inputs"))
    ours = client.post("/api/v1/jobs", json={})
    assert ours.json()["title"] == "Too Many Requests"
    assert ours.json()["status"] == 429
    theirs = client.post("/sdapi/v1/txt2img", json={})
    assert (theirs.json()["error"], theirs.json()["body"]) == ("HTTPException", "")
    assert theirs.json()["errors"] == theirs.json()["detail"]
    page = client.post("/gradio_api/queue/join", json={})
    assert list(page.json()) == ["detail"]


def test_what_pages_ask_all_the_time_is_not_counted(visit):
    client = visit()
    for path in ("/status", "/outputs/1/thumbnail", "/sdapi/v1/progress", "/api/v1/jobs"):
        codes = {client.get(path).status_code for _ in range(2 * MOST)}
        assert 429 not in codes, path
    assert client.post("/inputs").status_code == 415


def test_a_person_is_one_at_all_addresses_and_two_at_one_are_two(app, visit):
    client = visit(address="192.0.2.1")
    until_refused(lambda: client.post("/inputs"))
    elsewhere = TestClient(app, client=("192.0.2.2", 5000), headers=client.headers)
    assert elsewhere.post("/inputs").status_code == 429
    assert visit(address="192.0.2.1").post("/inputs").status_code == 415


def test_strangers_count_by_their_address(app, visit):
    stranger = visit(None, "2001:db8::1")
    number, answer = until_refused(lambda: stranger.get("/api/v1/jobs"))
    assert number == MOST
    assert answer.json()["title"] == "Too Many Requests"
    assert visit(None, "2001:db8::2").post("/setup").status_code == 429, "the same network"
    assert visit(None, "2001:db8:1::1").get("/status").status_code == 401
    assert visit(Role.VIEWER, "2001:db8::1").get("/status").status_code == 200
    for path in ("/health", "/login", "/setup"):
        assert stranger.get(path).status_code == 200, "what watches, and the way in"


def test_nobody_is_limited_at_home(services):
    alone = services.settings.model_copy(update={"requests_per_minute": 1})
    client = TestClient(build_app(replace(services, settings=alone)), base_url="http://localhost")
    assert {client.post("/inputs").status_code for _ in range(5)} == {415}


def test_the_default_is_more_than_four_parallel_clients_ask_for():
    assert Settings().requests_per_minute >= 6000


def test_figures_are_for_administrators(guarded, visit):
    assert visit(Role.ADMINISTRATOR).get("/metrics").status_code == 200
    for role in (Role.MEMBER, Role.VIEWER):
        refused = visit(role).get("/metrics")
        assert refused.status_code == 403
        assert "has to be an administrator" in refused.json()["detail"]
    assert visit(None).get("/metrics").status_code == 401
    for_all = guarded.settings.model_copy(update={"metrics": "accounts"})
    client = TestClient(build_app(replace(guarded, settings=for_all)))
    client.headers = visit(Role.VIEWER).headers
    assert client.get("/metrics").status_code == 200


class Endless:
    """A request whose body never ends, sent to an application as a server would; sent: bytes."""

    def __init__(self, app: FastAPI, token: str):
        self._app = app
        self._token = token
        self.sent = 0
        self.status = 0

    def ask(self, method: str, path: str, kind: bytes, begin: bytes = b"") -> "Endless":
        """Send it until there is an answer, at most so much more than any door takes."""
        plain, _, query = path.partition("?")
        scope = {
            "type": "http",
            "asgi": {"version": "3.0"},
            "http_version": "1.1",
            "method": method,
            "scheme": "http",
            "path": plain,
            "raw_path": plain.encode(),
            "query_string": query.encode(),
            "root_path": "",
            "headers": [
                (b"host", b"localhost"),
                (b"content-type", kind),
                (b"authorization", f"Bearer {self._token}".encode()),
            ],
            "client": ("192.0.2.9", 1),
            "server": ("localhost", 80),
        }
        first = [begin]

        async def receive():
            body = first.pop() if first else CHUNK
            self.sent += len(body)
            assert self.sent < 400 * 10**6, f"{method} {path} takes everything"
            return {"type": "http.request", "body": body, "more_body": True}

        async def send(message):
            if message["type"] == "http.response.start":
                self.status = message["status"]

        asyncio.run(self._app(scope, receive, send))
        return self


@pytest.fixture(scope="module")
def endless(guarded: Services) -> Callable[[], Endless]:
    unpaced = guarded.settings.model_copy(update={"requests_per_minute": 0})
    app = build_app(replace(guarded, settings=unpaced))
    ada = guarded.accounts.named("ada").id
    token = guarded.accounts.make_token(ada, "a test")
    return lambda: Endless(app, token)


@pytest.mark.parametrize(
    ("method", "path", "most"),
    [
        ("POST", "/people", SMALL_BODY),
        ("POST", "/people/1", SMALL_BODY),
        ("POST", "/account/password", SMALL_BODY),
        ("POST", "/account/tokens", SMALL_BODY),
        ("POST", "/login", SMALL_BODY),
        ("POST", "/login/", SMALL_BODY),
        ("POST", "/setup", SMALL_BODY),
        ("POST", "/logout", SMALL_BODY),
        ("POST", "/inputs", MAX_UPLOAD),
        ("POST", "/api/v1/inputs", MAX_UPLOAD),
        ("POST", "/api/v1/jobs", 32 * 10**6),
        ("POST", "/api/v1/rights", 32 * 10**6),
        ("POST", "/api/v1/reader/answer", 32 * 10**6),
        ("POST", "/sdapi/v1/txt2img", 8 * 10**6),
        ("POST", "/sdapi/v1/options", 8 * 10**6),
        ("POST", "/gradio_api/queue/join", EVENT_BODY),
        ("POST", "/gradio_api/run/predict", EVENT_BODY),
        ("POST", "/gradio_api/call/generate", EVENT_BODY),
        ("POST", "/gradio_api/component_server", EVENT_BODY),
        ("POST", "/gradio_api/process_recording", EVENT_BODY),
        ("POST", "/gradio_api/upload", FILES_AT_ONCE * MAX_UPLOAD),
        ("POST", "/nowhere", SMALL_BODY),
    ],
)
def test_no_door_takes_a_body_without_end(endless, method, path, most):
    kind = b"application/octet-stream" if "inputs" in path else b"application/json"
    answer = endless().ask(method, path, kind)
    assert 300 <= answer.status < 500
    assert answer.sent <= most + 2 * len(CHUNK)


def test_forms_without_end_are_taken_neither_and_leave_nothing(endless, guarded):
    form = b"multipart/form-data; boundary=x"
    head = b'--x\r\nContent-Disposition: form-data; name="files"%s\r\n\r\n'
    field = endless().ask("POST", "/gradio_api/upload", form, head % b"")
    assert field.status == 413
    assert field.sent <= 4 * len(CHUNK)
    file = endless().ask("POST", "/gradio_api/upload", form, head % b'; filename="a.png"')
    assert file.status == 413
    assert file.sent <= MAX_UPLOAD + 4 * len(CHUNK)
    uploads = guarded.settings.data_dir / "uploads"
    assert [each for each in uploads.rglob("*") if each.is_file()] == []


def test_a_body_that_says_it_is_too_long_is_not_begun(visit):
    said = {"Content-Length": str(SMALL_BODY + 1), "Content-Type": "application/json"}
    refused = visit(Role.ADMINISTRATOR).post("/people", content=b"{", headers=said)
    assert refused.status_code == 413
    assert json.loads(refused.content)["detail"].startswith("That is more than the 1 MB")

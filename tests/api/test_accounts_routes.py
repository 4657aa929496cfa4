"""Accounts through the whole application: ways in, roles at every door, one's own account."""

import base64
import re
from collections.abc import Callable, Iterator
from itertools import count
from typing import Any

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient
from sample_pictures import png
from test_guard import addresses

from studio.api.account import browser_of
from studio.api.tries import EACH
from studio.people import Role, acting
from studio.services import Services, build_services
from studio.settings import Settings
from tabs.page import build_app

PASSWORD = "a pass, word: ü"
HTML = {"Accept": "text/html"}
_numbers = count(1)
Visit = Callable[..., TestClient]


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Services]:
    """Services with accounts and somebody of each role; nothing of them is started."""
    folder = tmp_path_factory.mktemp("guarded")
    built = build_services(Settings(data_dir=folder, device="cpu", accounts="on", mcp=True))
    for name, role in (("ada", Role.ADMINISTRATOR), ("ben", Role.MEMBER), ("cem", Role.VIEWER)):
        built.accounts.add(name, role, PASSWORD)
    yield built
    built.stop()


@pytest.fixture(scope="module")
def app(guarded: Services) -> FastAPI:
    built = build_app(guarded)
    # First of all, for what is mounted at "/" takes every address.
    built.get("/who")(lambda: acting().name)
    built.router.routes.insert(0, built.router.routes.pop())
    return built


@pytest.fixture
def visit(app: FastAPI, guarded: Services) -> Visit:
    """Makes clients that follow no redirects; name: of whose token they send, "" for none."""
    address = f"192.0.2.{next(_numbers)}"

    def new(name: str = "", **headers: str) -> TestClient:
        client = TestClient(app, follow_redirects=False, client=(address, 5000), headers=headers)
        if name:
            person = guarded.accounts.named(name)
            token = guarded.accounts.make_token(person.id, "a test")
            client.headers["Authorization"] = f"Bearer {token}"
        return client

    return new


def basic(name: str, password: str) -> dict[str, str]:
    both = base64.b64encode(f"{name}:{password}".encode()).decode()
    return {"Authorization": f"Basic {both}"}


def test_each_way_in_leads_to_the_same_person(visit, guarded):
    person = guarded.accounts.named("ben")
    token = guarded.accounts.make_token(person.id, "a test")
    browser = visit()
    browser.post("/login", data={"username": "BEN", "password": PASSWORD}, headers=HTML)
    assert browser.get("/who").json() == "ben"
    for headers in (
        basic("ben", PASSWORD),
        basic("Ben", token),
        {"Authorization": f"Bearer {token}"},
    ):
        assert visit().get("/who", headers=headers).json() == "ben"
    for headers in (
        basic("ada", token),
        basic("", PASSWORD),
        basic("ben", ""),
        {"Authorization": f"Bearer {PASSWORD}".encode()},
        {"Authorization": f"Bearer {token}x"},
    ):
        assert visit().get("/who", headers=headers).status_code == 401


def test_wrong_tokens_shut_nobody_out_and_wrong_passwords_do(visit):
    client = visit()
    for i in range(EACH + 2):
        wrong = {"Authorization": f"Bearer atelier_{i}"}
        assert client.get("/who", headers=wrong).status_code == 401
    for _ in range(EACH + 2):
        assert client.get("/who", headers=basic("ben", PASSWORD)).status_code == 200
    codes = {
        client.get("/who", headers=basic("ben", f"wrong {i}")).status_code for i in range(EACH)
    }
    assert codes == {401}
    assert client.get("/who", headers=basic("ben", PASSWORD)).status_code == 429


def test_the_end_of_a_session_is_the_servers_too(visit):
    client = visit()
    client.post("/login", data={"username": "ben", "password": PASSWORD}, headers=HTML)
    [(name, key)] = client.cookies.items()
    client.post("/logout")
    assert visit().get("/who", headers={"Cookie": f"{name}={key}"}).status_code == 401


def test_setting_up_by_a_link(visit, guarded):
    person = guarded.accounts.add("dan", Role.MEMBER)
    key = guarded.accounts.invite(person)
    client = visit()
    page = client.get("/setup")
    assert page.status_code == 200
    assert key not in page.text
    assert page.headers["cache-control"] == "no-store"
    short = client.post("/setup", data={"key": key, "username": "x", "password": "short"})
    assert (short.status_code, "8 to" in short.text) == (422, True)
    done = client.post("/setup", data={"key": key, "username": "x", "password": PASSWORD})
    assert (done.status_code, done.headers["location"]) == (303, "/")
    assert client.get("/who").json() == "dan"
    again = visit().post("/setup", data={"key": key, "username": "x", "password": PASSWORD})
    assert again.status_code == 404
    assert "used up or too old" in again.text


def test_made_up_links_are_limited(visit):
    client = visit()
    for i in range(EACH):
        assert client.post("/setup", data={"key": f"x{i}", "password": PASSWORD}).status_code == 404
    assert client.post("/setup", data={"key": "x", "password": PASSWORD}).status_code == 429


def test_ones_own_account(visit):
    client = visit()
    client.post("/login", data={"username": "ben", "password": PASSWORD}, headers=HTML)
    made = client.post("/account/tokens", json={"label": "a script"})
    assert made.status_code == 201
    token = made.json()["token"]
    facts = client.get("/account/facts")
    assert token not in facts.text
    assert (facts.json()["name"], facts.json()["role"]) == ("ben", "member")
    [row] = [each for each in facts.json()["tokens"] if each["label"] == "a script"]
    program = visit(Authorization=f"Bearer {token}")
    assert program.get("/who").json() == "ben"
    assert client.delete(f"/account/tokens/{row['id']}").status_code == 204
    assert program.get("/who").status_code == 401
    other = visit()
    other.post("/login", data={"username": "ben", "password": PASSWORD}, headers=HTML)
    sessions = client.get("/account/facts").json()["sessions"]
    assert [each["current"] for each in sessions].count(True) == 1
    [gone] = [each for each in other.get("/account/facts").json()["sessions"] if each["current"]]
    assert client.delete(f"/account/sessions/{gone['id']}").status_code == 204
    assert other.get("/who").status_code == 401
    wrong = client.post("/account/password", json={"old": "x", "new": "another one"})
    assert wrong.status_code == 422
    assert client.get("/account").status_code == 200


def test_administrators_manage_people(visit, guarded):
    ada = visit("ada")
    made = ada.post("/people", json={"name": "Eve", "role": "viewer"}).json()
    assert made["link"].startswith("/setup#key=")
    assert made["link"].endswith("&for=Eve")
    path = f"/people/{made['id']}"
    assert (
        ada.post(path, json={"role": "member", "name": "Eva", "disabled": True}).status_code == 200
    )
    [row] = [each for each in ada.get("/people").json() if each["id"] == made["id"]]
    assert (row["name"], row["role"], row["disabled"], row["invited"]) == (
        "Eva",
        "member",
        True,
        True,
    )
    assert ada.post(f"{path}/link").json()["link"] != made["link"]
    me = guarded.accounts.named("ada").id
    last = ada.post(f"/people/{me}", json={"role": "viewer"})
    assert (last.status_code, "last administrator" in last.json()["detail"]) == (422, True)
    assert ada.delete(path).status_code == 204
    assert ada.delete(path).status_code == 404
    for name in ("ben", "cem"):
        client = visit(name)
        for refused in (
            client.get("/people"),
            client.post("/people", json={"name": "Mallory", "role": "administrator"}),
            client.post(f"/people/{me}", json={"disabled": True}),
            client.post(f"/people/{me}/link"),
            client.delete(f"/people/{me}"),
        ):
            assert refused.status_code == 403
            assert "has to be an administrator" in refused.json()["detail"]


def test_roles_hold_at_every_door(visit):
    image = {"Content-Type": "application/octet-stream"}
    looking: tuple[Callable[[TestClient], int], ...] = (
        lambda c: c.get("/status").status_code,
        lambda c: c.get("/api/v1/models").status_code,
        lambda c: c.get("/sdapi/v1/sd-models").status_code,
        lambda c: c.get("/", headers=HTML).status_code,
    )
    working: tuple[Callable[[TestClient], int], ...] = (
        lambda c: c.post("/api/v1/jobs", json={"kind": "generate", "prompt": "x"}).status_code,
        lambda c: c.post("/inputs", content=png(), headers=image).status_code,
        lambda c: c.post("/sdapi/v1/unload-checkpoint").status_code,
        lambda c: c.post("/api/v1/inputs", content=png(), headers=image).status_code,
        lambda c: c.post("/sdapi/v1/options", json={"samples_format": "webp"}).status_code,
        lambda c: c.post("/api/v1/styles", json={"name": "x"}).status_code,
    )
    managing: tuple[Callable[[TestClient], int], ...] = (
        lambda c: (
            c.post("/api/v1/jobs", json={"kind": "download", "repo": "owner/name"}).status_code
        ),
        lambda c: c.post("/api/v1/styles", json={"name": "x", "everybody": True}).status_code,
    )
    for name, allowed in (("cem", 0), ("ben", 1), ("ada", 2)):
        client = visit(name)
        assert {ask(client) for ask in looking} == {200}
        for needed, deeds in ((1, working), (2, managing)):
            for i, ask in enumerate(deeds):
                assert (ask(client) != 403) == (allowed >= needed), (name, needed, i)
    refused = visit("cem").post("/sdapi/v1/txt2img", json={"prompt": "x"})
    assert (refused.status_code, refused.json()["error"]) == (403, "Forbidden")


@pytest.mark.parametrize(
    ("program", "shown"),
    [
        (
            "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) "
            "Chrome/140.0.0.0 Safari/537.36 Edg/140.0.0.0",
            "Edge on Windows",
        ),
        (
            "Mozilla/5.0 (iPhone; CPU iPhone OS 18_1 like Mac OS X) AppleWebKit/605.1.15 "
            "(KHTML, like Gecko) Version/18.1 Mobile/15E148 Safari/604.1",
            "Safari on iPhone",
        ),
        (
            "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0",
            "Firefox on Linux",
        ),
        (
            "Mozilla/5.0 (Linux; Android 15) AppleWebKit/537.36 (KHTML, like Gecko) "
            "Chrome/140.0.0.0 Mobile Safari/537.36",
            "Chrome on Android",
        ),
        ("python-requests/2.32.5", "python-requests"),
        ("", "A program"),
    ],
)
def test_browsers_are_told_of_by_their_names(program, shown):
    assert browser_of(program) == shown


PICTURE = base64.b64encode(png()).decode()
NAMES = {
    **{"job_id": "0" * 32, "digest": "0" * 64, "output_id": "1", "person": "1", "person_id": "1"},
    **{"action": "stop", "api_name": "generate"},
}
RIGHT: dict[str, dict[str, Any]] = {
    "/api/v1/jobs": {"kind": "generate"},
    "/api/v1/people/1/quotas": {"images_a_day": 5},
    "/api/v1/reader/answer": {"question": "Who?", "context": "Ada did it."},
    "/gradio_api/call/generate": {"data": ["x"]},
    "/people": {"name": "Mallory"},
    "/people/1": {"disabled": True},
    "/sdapi/v1/extra-batch-images": {"imageList": [{"data": PICTURE, "name": "a.png"}]},
    "/sdapi/v1/extra-single-image": {"image": PICTURE},
    "/sdapi/v1/img2img": {"init_images": [PICTURE]},
    "/sdapi/v1/interrogate": {"image": PICTURE},
    "/sdapi/v1/options": {"samples_format": "jpg"},
    "/sdapi/v1/png-info": {"image": PICTURE},
}
"""What is right for the doors that take something, so that it is refused for who asks alone."""
HARMLESS = {
    "/account/password": "their own",
    "/account/tokens": "their own",
    "/gradio_api/call/generate": "the event is taken, and its handler refuses",
    "/gradio_api/cancel": "their own events",
    "/login": "the way in",
    "/logout": "their own session",
    "/sdapi/v1/interrupt": "their own jobs, and they have none",
    "/sdapi/v1/png-info": "reads what was sent",
    "/sdapi/v1/refresh-checkpoints": "reads folders anew",
    "/sdapi/v1/refresh-embeddings": "reads folders anew",
    "/sdapi/v1/refresh-loras": "reads folders anew",
    "/sdapi/v1/refresh-vae": "reads folders anew",
    "/sdapi/v1/skip": "their own jobs, and they have none",
}
"""What viewers may ask for, though it is no reading, and why."""


def test_viewers_change_nothing_by_any_door(app, visit):
    """The whole table of routes, Gradio's too: who only looks is refused, and nothing fails."""
    client = visit("cem")
    model = client.get("/api/v1/models").json()["models"][0]["id"]
    right = RIGHT | {"/api/v1/rights": {"kind": "model", "id": model, "shared": True}}
    asked, taken = 0, set()
    for method, path in sorted(set(addresses(app.routes))):
        if method in ("GET", "HEAD", "OPTIONS", "WEBSOCKET"):
            continue
        path = re.sub(r"\{(\w+)[^}]*\}", lambda name: NAMES.get(name[1], "x"), path)
        if path.endswith("/inputs"):
            image = {"Content-Type": "application/octet-stream"}
            answer = client.request(method, path, content=png(), headers=image)
        else:
            answer = client.request(method, path, json=right.get(path, {}))
        asked += 1
        assert answer.status_code < 500, (method, path, answer.text)
        if answer.status_code < 400:
            taken.add(path)
        if path in right and path not in HARMLESS:
            assert answer.status_code == 403, (method, path, answer.text)
    assert asked > 70
    assert taken <= HARMLESS.keys()


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/gradio_api/call/v2/nowhere", {}),
        ("/gradio_api/call/v2/generate", {"no_argument": 1}),
        ("/gradio_api/call/nowhere", {"data": []}),
        ("/gradio_api/api/nowhere", {"data": []}),
        ("/gradio_api/api/generate", {"data": [], "fn_index": 10**6}),
    ],
)
def test_a_call_of_gradios_that_does_not_fit_is_told_so(visit, path, body):
    answer = visit("ben").post(path, json=body)
    assert answer.status_code == 422
    assert "openapi.json" in answer.json()["detail"]

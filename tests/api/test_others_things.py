"""Nothing of one person's is in any answer to another: every route and every handler is asked."""

import itertools
import json
import re
import time
from collections.abc import Iterator

import httpx
import pytest
from fastapi.routing import APIRoute
from others_things import (
    BOARD,
    DATA,
    LORA,
    MARK,
    MODEL,
    PROMPT,
    RUN,
    RUNNING,
    SET,
    STYLE,
    TASK,
    Crowd,
    crowd,
)
from starlette.routing import Mount, Route

from studio.services import build_services
from studio.settings import Settings
from tabs.page import build_app

OTHERS = ("bob", "vi")
STREAMS = re.compile(
    "heartbeat|queue/data|gradio_api/call|upload_progress|dev/reload|/stream/|/events"
)
"""Addresses that answer without an end, or break off where there is no such event."""
LISTENS = 20.0
"""Seconds in which what handlers say is listened to."""
_MARKED = re.compile(rb"%b[a-z]+" % MARK.encode())


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Crowd]:
    with crowd(tmp_path_factory.mktemp("crowd")) as built:
        yield built


@pytest.fixture(scope="module")
def addresses(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """Every address that can be got, with its names in braces."""
    data = tmp_path_factory.mktemp("addresses")
    services = build_services(Settings(data_dir=data, device="cpu", accounts="on"))
    found = sorted(set(_addresses(build_app(services).routes)))
    services.stop()
    assert len(found) > 80
    return found


def _addresses(routes: list, before: str = "") -> Iterator[str]:
    for route in routes:
        if included := getattr(route, "original_router", None):
            yield from _addresses(included.routes, before)
        elif isinstance(route, Mount):
            yield from _addresses(route.routes, before + route.path)
        elif isinstance(route, Route | APIRoute) and "GET" in (route.methods or ()):
            yield before + route.path


def asked(address: str, made: Crowd) -> Iterator[str]:
    """An address with Ada's names in it, each that could be meant."""
    names = made.names
    known = {
        "job_id": [names["job"]],
        "task_id": [TASK, names["job"]],
        "output_id": [names["output"]],
        "name": [SET, names["run"], RUN, names["data"]],
        "digest": [names["digest"], "0" * 64],
        "submission_id": [names["submission"]],
        "person": [2],
        "step": [5, 10],
        "number": [0],
        "size": ["small"],
        "path": ["x"],
        "path_or_url": [f"models/loras/{LORA}.safetensors"],
        "rest": ["x"],
    }
    given = [known.get(each, ["x"]) for each in re.findall(r"{(\w+)", address)]
    for values in itertools.product(*given):
        filled = iter(values)
        yield re.sub(r"{[^}]*}", lambda _, filled=filled: str(next(filled)), address)


def marks(answer: bytes, sent: str = "") -> set[bytes]:
    """The marks in an answer but those that were sent, which a refusal says again."""
    return {mark for mark in _MARKED.findall(answer) if mark.decode() not in sent}


def got(client: httpx.Client, address: str) -> tuple[int, bytes]:
    """Status and content, of what has no end only the beginning."""
    if not STREAMS.search(address):
        try:
            answer = client.get(address)
        except httpx.RemoteProtocolError as error:
            raise AssertionError(f"{address} breaks off: {error}") from error
        return answer.status_code, answer.content
    content, until = b"", time.monotonic() + 2
    try:
        with client.stream("GET", address, timeout=2) as answer:
            for piece in answer.iter_raw():
                content += piece
                if time.monotonic() > until:
                    break
            return answer.status_code, content
    except (httpx.TimeoutException, httpx.RemoteProtocolError):  # of events of no session
        return 200, content


def test_ada_herself_finds_everything(made):
    """Else the other tests would find nothing for want of it."""
    with made.client("ada") as ada:
        lists = ("models", "adapters", "jobs", "outputs", "runs", "styles", "reader/leaderboard")
        told = b"".join(ada.get(f"/api/v1/{each}").content for each in lists)
        for mark in (PROMPT, RUNNING, RUN, BOARD, LORA, STYLE):
            assert mark.encode() in told, mark
        names = made.names
        for address in (
            f"/outputs/{names['output']}/image",
            f"/inputs/{names['digest']}",
            f"/runs/{names['run']}/settings.toml",
            f"/data_sets/{names['data']}",
            f"/submissions/{names['submission']}/predictions.json",
            f"/sdapi/v1/jobs/{TASK}",
        ):
            assert ada.get(address).status_code == 200, address
        for kind, item in (("picture set", SET), ("data set", DATA), ("run", names["run"])):
            right = ada.get("/api/v1/rights", params={"kind": kind, "id": item}).json()
            assert (right["by"], right["shared"]) == ("ada", False), kind
        options = ada.get("/sdapi/v1/options").json()
        assert (options["samples_format"], options["CLIP_stop_at_last_layers"]) == ("webp", 7)


@pytest.mark.parametrize("who", OTHERS)
def test_no_route_answers_another_with_anything_of_hers(made, addresses, who):
    with made.client(who) as client:
        for address in addresses:
            for each in asked(address, made):
                status, content = got(client, each)
                assert not marks(content, each), each
                assert status < 500, each
                if each != address and not STREAMS.search(each) and status == 200:
                    assert each.startswith(("/api/v1/people", "/static", "/assets", "/svelte")) or (
                        re.search(r"/x/?$|/gradio_api|/monitoring|/pwa_icon", each)
                    ), each


@pytest.mark.parametrize("who", OTHERS)
def test_what_is_asked_beside_an_address_is_not_hers_either(made, who):
    names = made.names
    hers = [
        ("/api/v1/rights", {"kind": kind, "id": item})
        for kind, item in (
            ("LoRA", f"loras/{LORA}.safetensors"),
            ("model", MODEL),
            ("picture set", SET),
            ("run", names["run"]),
            ("data set", names["data"]),
            ("submission", str(names["submission"])),
        )
    ]
    with made.client(who) as client:
        for address, params in hers:
            answer = client.get(address, params=params)
            assert answer.status_code in (404, 422), (address, params)
            assert not marks(answer.content, str(params))
        for params in ({"data_set": BOARD}, {"data_set": BOARD, "history": True}):
            told = client.get("/api/v1/reader/leaderboard", params=params)
            assert not marks(told.content, BOARD)
        told = client.get("/sdapi/v1/progress", params={"id_task": TASK})
        assert told.json()["state"]["job"] == ""
        status = client.get("/status").json()
        assert status["running"] == 1
        assert [(each["holder"], each["job"]) for each in status["leases"]] == [
            ("somebody's job", "")
        ]
        options = client.get("/sdapi/v1/options").json()
        assert (options["samples_format"], options["CLIP_stop_at_last_layers"]) == ("png", 1)


@pytest.mark.parametrize("who", OTHERS)
def test_another_changes_nothing_of_hers(made, who):
    names = made.names
    with made.client(who) as client:
        for method, address, body in (
            ("POST", f"/api/v1/jobs/{names['job']}/cancel", None),
            ("DELETE", f"/api/v1/styles?name={STYLE}", None),
            ("POST", f"/api/v1/runs/{names['run']}/kill", None),
            ("POST", "/api/v1/rights", {"kind": "run", "id": names["run"], "shared": True}),
            ("POST", "/api/v1/rights", {"kind": "picture set", "id": SET, "shared": True}),
        ):
            assert client.request(method, address, json=body).status_code in (403, 404), address
    with made.client("ada") as ada:
        assert [each["own"] for each in ada.get("/api/v1/styles").json()["styles"]] == [True]
        right = {"kind": "picture set", "id": SET}
        assert not ada.get("/api/v1/rights", params=right).json()["shared"]


@pytest.mark.parametrize("who", OTHERS)
def test_no_handler_of_the_page_answers_another_with_anything_of_hers(made, who):
    """All are asked with what the page begins with, and with each of her names in their boxes."""
    names = [SET, made.names["run"], made.names["data"]]
    with made.client(who) as client:
        config = client.get("/config").json()
        assert not marks(json.dumps(config).encode())
        calls = [each for each in config["dependencies"] if each["backend_fn"]]
        assert len(calls) > 100
        parts = {each["id"]: each for each in config["components"]}
        for name in ("", *names):
            asked_by = {}
            for call in calls:
                data = [_value(parts[each], name) for each in call["inputs"]]
                event = (
                    {"pick": name, "id": name, "kind": "model", "output_id": 1} if name else None
                )
                sent = {"data": data, "fn_index": call["id"], "event_data": event}
                joined = client.post(
                    "/gradio_api/queue/join", json=sent | {"session_hash": f"{who}{name}"}
                )
                assert not marks(joined.content, name)
                asked_by[joined.json().get("event_id")] = call["id"]
            answered = set()
            for message in heard(client, f"{who}{name}"):
                told = json.loads(message)
                assert not marks(message, name), (asked_by.get(told.get("event_id")), told, name)
                answered.add(asked_by.get(told.get("event_id")))
            assert len(answered) > 0.9 * len(calls)


def _value(part: dict, name: str) -> object:
    """What a box begins with, or a name in its place."""
    usual = part["props"].get("value")
    takes = part["type"] in ("textbox", "dropdown") and isinstance(usual, str | None)
    return name if name and takes else usual


def heard(client: httpx.Client, session: str) -> Iterator[bytes]:
    """All that a page is told until its events have ended; some follow jobs without an end."""
    until, rest = time.monotonic() + LISTENS, b""
    address = "/gradio_api/queue/data"
    try:
        with client.stream("GET", address, params={"session_hash": session}, timeout=15) as answer:
            for piece in answer.iter_raw():
                *whole, rest = (rest + piece).split(b"\n\n")
                yield from (each.removeprefix(b"data: ") for each in whole)
                if b"close_stream" in piece or time.monotonic() > until:
                    return
    except httpx.TimeoutException:
        return

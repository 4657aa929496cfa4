"""Jobs over the studio's own API: asked for, looked at, taken back, and refused in words."""

import time

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient

from studio.api.v1 import routes
from studio.api.v1.asked import EXAMPLES, KINDS
from studio.services import build_services

SMALL = {"kind": "generate", "prompt": "a red apple", "steps": 2, "width": 64, "height": 64}
LONG = {**SMALL, "steps": 20, "batch_count": 50}


@pytest.fixture
def idle_client(services):
    """Without workers: what is asked for waits."""
    app = FastAPI()
    app.include_router(routes.build_router(services))
    with TestClient(app, base_url="http://testserver/api/v1/") as started:
        yield started


def until(client, job, right, seconds=120.0):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        told = client.get(f"jobs/{job}").json()
        if right(told):
            return told
        time.sleep(0.02)
    raise AssertionError(f"It never came to that: {told}")


def refused(client, body, status=422):
    answer = client.post("jobs", json=body)
    assert answer.status_code == status, answer.text
    told = answer.json()
    assert set(told) == {"status", "title", "detail", "field"}
    assert told["status"] == status
    return told


def test_a_picture_is_made(v1_client):
    asked = v1_client.post("jobs", json={**SMALL, "seed": 7})
    assert asked.status_code == 201
    told = asked.json()
    assert asked.headers["location"] == f"/api/v1/jobs/{told['id']}"
    assert told["request"]["seed"] == 7
    assert told["request"]["cfg_scale"] is not None, "what was left open is decided"
    ended = until(v1_client, told["id"], lambda told: told["ended_at"])
    assert (ended["status"], ended["progress"], ended["position"]) == ("finished", 1.0, 0)
    assert ended["created_at"] <= ended["started_at"] <= ended["ended_at"]
    [output] = ended["outputs"]
    assert v1_client.get(f"outputs/{output}").json()["job"] == told["id"]


def test_a_running_job_tells_how_far_it_is_and_is_skipped_and_taken_back(v1_client):
    job = v1_client.post("jobs", json=LONG).json()["id"]
    told = until(v1_client, job, lambda told: 0 < told["progress"] < 1)
    assert told["status"] == "running"
    assert v1_client.post(f"jobs/{job}/skip").status_code == 200
    until(v1_client, job, lambda told: told["outputs"])
    assert v1_client.delete(f"jobs/{job}").status_code == 200
    ended = until(v1_client, job, lambda told: told["ended_at"])
    assert ended["status"] == "cancelled"
    assert 1 <= len(ended["outputs"]) < 50


def test_waiting_jobs_know_their_place_and_are_taken_back_at_once(idle_client):
    first, second = (idle_client.post("jobs", json=SMALL).json() for _ in range(2))
    assert (first["position"], second["position"]) == (1, 2)
    assert idle_client.delete(f"jobs/{first['id']}").json()["status"] == "cancelled"
    assert idle_client.get(f"jobs/{second['id']}").json()["position"] == 1
    again = idle_client.delete(f"jobs/{first['id']}")
    assert (again.status_code, again.json()["status"]) == (200, "cancelled")


def test_the_list_has_pages_and_is_filtered(idle_client, services):
    ids = [idle_client.post("jobs", json=SMALL).json()["id"] for _ in range(3)]
    timing = idle_client.post("jobs", json={"kind": "timing"}).json()["id"]
    idle_client.delete(f"jobs/{ids[0]}")
    assert names(idle_client) == [timing, *reversed(ids)]
    assert names(idle_client, limit=2, offset=1) == [ids[2], ids[1]]
    assert names(idle_client, kind="timing") == [timing]
    assert names(idle_client, status="cancelled") == [ids[0]]
    assert names(idle_client, status=["cancelled", "queued"], kind="generate") == ids[::-1]
    assert names(idle_client, status="finished") == []
    page = idle_client.get("jobs", params={"limit": 1, "offset": 1}).json()
    assert (page["total"], page["offset"]) == (4, 1)


def names(client, **asked):
    return [each["id"] for each in client.get("jobs", params=asked).json()["jobs"]]


@pytest.mark.parametrize(
    ("body", "field", "words"),
    [
        ({}, "", f"The kind of the request must be one of: {', '.join(KINDS)}."),
        ({"kind": "x"}, "", f"The kind of the request must be one of: {', '.join(KINDS)}."),
        ({"kind": "generate", "steps": 500}, "steps", "Steps must be less than or equal to 150"),
        ({"kind": "generate", "cfg_scale": "a"}, "cfg_scale", "CFG scale must be a valid number"),
        ({"kind": "generate", "stepz": 5}, "stepz", "'stepz' is no field of this request"),
        ({"kind": "generate", "model": "no"}, "", "Model 'no' is not installed"),
        ({"kind": "generate", "width": 65}, "width", "multiple of"),
        ({"kind": "edit", "prompt": "x"}, "source", ""),
        ({"kind": "merge"}, "name", "Name is missing; send it."),
        ({"kind": "train", "name": "a", "pictures": "none"}, "", "'none'"),
        ({"kind": "train", "name": "a", "pictures": "d", "preservation": True}, "", "Class prompt"),
        ({"kind": "generate", "prompt": "\0"}, "prompt", "Prompt contains a NUL character."),
        ([], "", "The request must be"),
    ],
)
def test_what_cannot_be_done_is_told_in_one_sentence(idle_client, body, field, words):
    told = refused(idle_client, body)
    assert words in told["detail"]
    assert told["field"] == field
    assert told["detail"].endswith(".")
    assert "\n" not in told["detail"]


def test_a_body_that_is_no_json(idle_client):
    headers = {"content-type": "application/json"}
    for raw in (b"", b"{", b'{"kind": "generate", "prompt": "\\ud800"}', b"[" * 100_000):
        answer = idle_client.post("jobs", content=raw, headers=headers)
        assert answer.status_code == 422, answer.text
        assert answer.json()["detail"].endswith(".")


def test_a_full_queue_says_when_to_come_again(settings):
    services = build_services(settings.model_copy(update={"max_waiting_jobs": 1}))
    app = FastAPI()
    app.include_router(routes.build_router(services))
    try:
        with TestClient(app, base_url="http://testserver/api/v1/") as client:
            assert client.post("jobs", json=SMALL).status_code == 201
            told = refused(client, SMALL, 429)
            assert told["detail"].startswith("1 jobs are waiting already")
            assert int(client.post("jobs", json=SMALL).headers["retry-after"]) > 0
    finally:
        services.stop()


def test_what_is_not_there(idle_client):
    for method, path, status in (
        ("GET", f"jobs/{'0' * 32}", 404),
        ("DELETE", f"jobs/{'0' * 32}", 404),
        ("POST", f"jobs/{'0' * 32}/skip", 404),
        ("GET", f"jobs/{'0' * 32}/events", 404),
        ("GET", "jobs/x", 422),
        ("GET", "nothing", 404),
        ("PATCH", "jobs", 405),
    ):
        answer = idle_client.request(method, path)
        assert answer.status_code == status, path
        assert answer.json()["status"] == status
    assert idle_client.put("jobs").headers["allow"] == "GET, POST"


@pytest.mark.parametrize("site", ["cross-site", "same-site"])
def test_pages_of_other_sites_change_nothing(idle_client, site):
    headers = {"Sec-Fetch-Site": site}
    assert idle_client.post("jobs", json=SMALL, headers=headers).status_code == 403
    job = idle_client.post("jobs", json=SMALL, headers={"Sec-Fetch-Site": "same-origin"}).json()
    assert idle_client.delete(f"jobs/{job['id']}", headers=headers).status_code == 403
    assert idle_client.get(f"jobs/{job['id']}", headers=headers).json()["status"] == "queued"


def test_behind_a_prefix_addresses_have_it(settings):
    services = build_services(settings.model_copy(update={"root_path": "/atelier"}))
    app = FastAPI()
    app.include_router(routes.build_router(services))
    try:
        with TestClient(app, base_url="http://testserver/api/v1/") as client:
            asked = client.post("jobs", json=SMALL)
            assert asked.headers["location"].startswith("/atelier/api/v1/jobs/")
    finally:
        services.stop()


def test_every_kind_of_job_can_be_asked_for(services):
    """But for none: a kind that is added later must be added here too."""
    assert set(KINDS) == set(services.queue._kinds)
    assert set(EXAMPLES) <= set(KINDS)

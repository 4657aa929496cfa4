"""A training over the studio's own API: asked for, paused, resumed, stopped and killed."""

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient
from train_runs import request, wait_until

from studio.api.v1 import routes

pytestmark = pytest.mark.slow


@pytest.fixture
def client(served):
    app = FastAPI()
    app.include_router(routes.build_router(served))
    served.trainer.start()
    with TestClient(app, base_url="http://testserver/api/v1/") as started:
        yield started


def test_a_training_is_asked_for_paused_resumed_and_stopped(client):
    body = request(steps=400).model_dump(mode="json")
    asked = client.post("jobs", json=body)
    assert asked.status_code == 201, asked.text
    job = asked.json()["id"]
    wait_until(lambda: client.get("runs").json()["runs"])
    [run] = client.get("runs").json()["runs"]
    name = run["name"]
    assert run["title"] == "rex"
    wait_until(lambda: client.get(f"runs/{name}/curve").json()["points"])
    first = client.get(f"runs/{name}/curve").json()
    assert first["points"][0]["values"]["loss"] > 0
    assert client.post(f"runs/{name}/resume").status_code == 422, "it goes on"

    assert client.post(f"runs/{name}/pause").json()["job"] == ""
    wait_until(lambda: client.get(f"runs/{name}").json()["phase"] == "paused")
    assert "event: " in client.get(f"jobs/{job}/events").text
    resumed = client.post(f"runs/{name}/resume")
    assert resumed.status_code == 200, resumed.text
    again = resumed.json()["job"]
    assert client.get(f"jobs/{again}").json()["kind"] == "train"
    more = first["next"]
    wait_until(lambda: client.get(f"runs/{name}/curve", params={"start": more}).json()["points"])
    wait_until(lambda: client.get(f"runs/{name}").json()["is_alive"])

    assert client.post(f"runs/{name}/stop").status_code == 200
    wait_until(lambda: client.get(f"jobs/{again}").json()["ended_at"])
    assert client.get(f"runs/{name}").json()["phase"] == "stopped"


def test_a_run_is_killed_at_once(client):
    client.post("jobs", json=request(steps=400).model_dump(mode="json"))
    wait_until(lambda: client.get("runs").json()["runs"])
    [run] = client.get("runs").json()["runs"]
    wait_until(lambda: client.get(f"runs/{run['name']}/curve").json()["points"])
    assert client.post(f"runs/{run['name']}/kill").status_code == 200
    wait_until(lambda: client.get(f"runs/{run['name']}").json()["phase"] == "stopped")
    told = client.get(f"runs/{run['name']}").json()
    assert (told["is_alive"], told["can_resume"]) == (False, True)

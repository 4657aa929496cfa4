"""The state of the studio over HTTP."""

import time

from studio import __version__
from studio.requests import GenerationRequest


def test_health_answers_at_once(client):
    assert client.get("/health").json() == {"status": "ok"}


def test_status_tells_of_device_memory_and_jobs(client, services, embedded_id):
    start = time.monotonic()
    while not (status := client.get("/status").json())["ready"]:
        assert time.monotonic() - start < 60
        time.sleep(0.05)
    assert status["version"] == __version__
    assert status["device"].startswith("CPU")
    assert status["dtype"] == "float32"
    assert 0 < status["memory_used"] < status["memory_total"]
    assert (status["running"], status["waiting"], status["loaded"]) == (0, 0, [])
    job_id = services.queue.submit(GenerationRequest(prompt="a red apple", steps=2, seed=1))
    waiting = services.queue.submit(GenerationRequest(prompt="a red apple"))
    while services.queue.get(job_id).status == "queued":
        time.sleep(0.01)
    status = client.get("/status").json()
    assert (status["running"], status["waiting"]) == (1, 1)
    services.queue.cancel(waiting)
    *_, last = services.queue.follow(job_id)
    assert last.type == "finished"
    status = client.get("/status").json()
    assert (status["running"], status["waiting"]) == (0, 0)
    assert status["loaded"] == [services.catalogue.get(embedded_id).title]
    (held,) = status["held"]
    assert (held["kind"], held["id"], held["in_use"]) == ("diffusion", embedded_id, False)
    assert not held["resting"]
    assert 0 < held["bytes"] < status["budget"] < status["memory_total"]
    assert status["leases"] == []
    assert (status["main_total"], status["main_budget"]) == (0, 0), "a CPU has no second memory"


def test_who_has_the_device_is_told(client, services):
    from studio.models.broker import Holder

    with services.engine.broker.lease(Holder("a training", "job-1"), alone=True) as expect:
        expect(60)
        (lease,) = client.get("/status").json()["leases"]
    assert (lease["holder"], lease["job"], lease["alone"]) == ("a training", "job-1", True)
    assert not lease["waits"]
    assert lease["until"] - lease["since"] > 50


def test_what_the_broker_did_is_counted_for_prometheus(client, services):
    from studio.models.broker import Holder

    assert 'event="lease"' not in client.get("/metrics").text
    with services.engine.broker.lease(Holder("a training")):
        pass
    answer = client.get("/metrics")
    assert answer.headers["content-type"].startswith("text/plain")
    assert 'atelier_broker_events_total{event="lease"} 1.0' in answer.text


def test_status_is_known_before_the_device_is(services):
    from fastapi import FastAPI
    from fastapi.testclient import TestClient

    from studio.api import status

    app = FastAPI()
    app.include_router(status.build_router(services))
    told = TestClient(app).get("/status").json()
    assert (told["ready"], told["device"], told["memory_total"]) == (False, "", 0)

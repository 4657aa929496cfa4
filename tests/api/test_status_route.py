"""The state of the studio over HTTP."""

import http.client
import shutil
import time

from prometheus_client.parser import text_string_to_metric_families

from studio import __version__
from studio.api import readiness
from studio.requests import GenerationRequest

ACKNOWLEDGED = 0.035
"""Seconds, a little fewer than those after which a system acknowledges what it has received."""


def test_an_answer_waits_for_no_acknowledgement(live_server):
    """On a connection that is kept, as browsers do, each took 40 ms with Nagle's algorithm."""
    connection = http.client.HTTPConnection(live_server.url.removeprefix("http://"), timeout=30)
    seconds = []
    for _ in range(30):
        start = time.perf_counter()
        connection.request("GET", "/health")
        connection.getresponse().read()
        seconds.append(time.perf_counter() - start)
    connection.close()
    # The first ones are acknowledged at once, and a busy machine may take its time for some.
    assert min(seconds[10:]) < ACKNOWLEDGED


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


def test_readiness_comes_with_the_device(client, services):
    start = time.monotonic()
    while (answer := client.get("/ready")).status_code != 200:
        assert answer.status_code == 503
        assert answer.json()["waits_for"] == ["the device is being prepared"]
        assert time.monotonic() - start < 120
        time.sleep(0.05)
    assert answer.json() == {"waits_for": []}
    services.trainer.stop()
    assert client.get("/ready").json() == {"waits_for": ["a worker does not run"]}


def test_a_full_disk_is_no_readiness(services, monkeypatch):
    monkeypatch.setattr(readiness, "_LEAST_DISK", 1 << 70)
    assert "the disk is full" in readiness.obstacles(services)


def test_a_lost_data_folder_is_no_readiness(services):
    shutil.rmtree(services.settings.data_dir)
    assert "the data folder is gone" in readiness.obstacles(services)


def test_all_is_measured_that_one_watches(client, services):
    """The whole answer is read as Prometheus reads it."""
    services.engine.device()
    job_id = services.queue.submit(GenerationRequest(prompt="a red apple", steps=2, seed=1))
    list(services.queue.follow(job_id))
    assert client.get("/no-such-thing").status_code == 404
    services.engine.empty()
    families = {
        family.name: family
        for family in text_string_to_metric_families(client.get("/metrics").text)
    }

    def value(name: str, **labels: str) -> float:
        found = [
            sample.value
            for family in families.values()
            for sample in family.samples
            if sample.name == name and labels.items() <= sample.labels.items()
        ]
        assert len(found) == 1, (name, labels, sorted(families))
        return found[0]

    assert value("atelier_jobs_total", kind="generate", end="finished") == 1
    assert value("atelier_job_wait_seconds_count", kind="generate") == 1
    assert value("atelier_line", state="waiting") == 0
    assert value("atelier_evictions_total", to="nowhere", why="exclusive lease") == 1
    assert value("atelier_memory_bytes", tier="device", what="models") == 0
    used = value("atelier_memory_bytes", tier="device", what="used")
    assert 0 < used < value("atelier_memory_bytes", tier="device", what="total")
    assert value("atelier_http_responses_total", status="404") == 1
    assert value("atelier_disk_free_bytes") > 0
    assert value("atelier_info", version=__version__, database="sqlite") == 1
    assert value("atelier_database_up") == 1
    assert value("process_resident_memory_bytes") > 0


def test_status_is_known_before_the_device_is(services):
    from fastapi import FastAPI
    from fastapi.testclient import TestClient

    from studio.api import status

    app = FastAPI()
    app.include_router(status.build_router(services))
    told = TestClient(app).get("/status").json()
    assert (told["ready"], told["device"], told["memory_total"]) == (False, "", 0)

"""A real server over a cluster: killed in the middle of a job, and ended in order."""

import signal
import time

import httpx
import pytest
from browser.live_server import LiveServer

pytestmark = [pytest.mark.slow, pytest.mark.alone]
PICTURE = {"kind": "generate", "prompt": "a red apple", "width": 64, "height": 64, "seed": 5}


@pytest.fixture(scope="module")
def cluster():
    pytest.importorskip("ray", reason="Ray is not installed; install atelier[cluster].")
    from lab import begun, with_place

    made = begun()
    with_place(made)
    yield made
    made.shutdown()


def until(found, seconds: float = 120):
    """What is found, once it is."""
    end = time.monotonic() + seconds
    while not (there := found()):
        assert time.monotonic() < end
        time.sleep(0.05)
    return there


def test_what_runs_when_the_server_is_killed_is_done_by_the_next(cluster, tmp_path):
    server = LiveServer(tmp_path, ATELIER_CLUSTER=cluster.address, ATELIER_DTYPE="float32").start()
    try:
        with httpx.Client(base_url=server.url, timeout=60) as client:
            asked = {**PICTURE, "steps": 20, "batch_count": 10}
            job = client.post("/api/v1/jobs", json=asked).json()["id"]
            until(lambda: len(client.get(f"/api/v1/jobs/{job}").json()["outputs"]) >= 2)
            (device,) = [
                d for d in client.get("/status").json()["devices"] if " on " in d["device"]
            ]
            assert device["loaded"], "it is the node that works"
        server.kill()
        server.start()
        with httpx.Client(base_url=server.url, timeout=60) as client:

            def ended():
                told = client.get(f"/api/v1/jobs/{job}").json()
                return told["status"] in ("finished", "failed") and told

            told = until(ended)
            assert told["status"] == "finished", told
            assert len(set(told["outputs"])) == 10
        server._process.send_signal(signal.SIGTERM)
        assert server._process.wait(30) == 0
        assert "Traceback" not in server.log()
    finally:
        server.stop()

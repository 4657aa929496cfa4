"""A real server with its device's process on PostgreSQL: whole, secret, and outliving restarts."""

import signal
import sys
import time

import httpx
import psutil
import pytest
from browser.live_server import LiveServer
from postgres import ADDRESS_PASSWORD, PASSWORD

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform == "win32", reason="needs signals"),
]
PICTURE = {"prompt": "a red apple", "steps": 4, "width": 64, "height": 64, "seed": 5}
JOB = {"kind": "generate", **PICTURE}


def ready(client: httpx.Client) -> None:
    until = time.monotonic() + 120
    while client.get("/ready").status_code != 200:
        assert time.monotonic() < until, client.get("/ready").text
        time.sleep(0.1)


def ended(client: httpx.Client, job_id: str) -> dict:
    until = time.monotonic() + 120
    while (job := client.get(f"/api/v1/jobs/{job_id}").json())["status"] in ("queued", "running"):
        assert time.monotonic() < until, job
        time.sleep(0.1)
    return job


def test_a_whole_server_works_on_postgresql(postgres, tmp_path):
    url = postgres.database("served")
    server = LiveServer(tmp_path, ATELIER_DATABASE_URL=url, ATELIER_LOG_LEVEL="debug").start()
    try:
        with httpx.Client(base_url=server.url, timeout=120) as client:
            ready(client)
            made = ended(client, client.post("/api/v1/jobs", json=JOB).json()["id"])
            assert made["status"] == "finished", made
            rows = postgres.run("SELECT prompt FROM outputs", name="t_served")
            assert rows == [("a red apple",)]
            assert 'atelier_info{database="postgresql"' in client.get("/metrics").text
            told = [client.get(path).text for path in ("/status", "/metrics", "/ready", "/")]
            told.append(client.get("/sdapi/v1/cmd-flags").text)

            # The database is begun again while a job waits and another one runs.
            long = client.post("/api/v1/jobs", json=JOB | {"batch_count": 6, "seed": 6}).json()[
                "id"
            ]
            next_one = client.post("/api/v1/jobs", json=JOB | {"seed": 7}).json()["id"]
            (device,) = psutil.Process(server._process.pid).children()
            postgres.stop()
            device.send_signal(signal.SIGKILL)  # its next process finds no database at first
            time.sleep(8)  # longer than a look into the database is waited for
            postgres.start()
            assert ended(client, long)["status"] == "finished"
            assert ended(client, next_one)["status"] == "finished"
            assert postgres.run("SELECT count(*) FROM outputs", name="t_served") == [(8,)]

            # And the server, by a kill.
            last = client.post("/api/v1/jobs", json=JOB | {"batch_count": 3, "seed": 8}).json()[
                "id"
            ]
            (device,) = psutil.Process(server._process.pid).children()
            server.kill()
            device.send_signal(signal.SIGKILL)
            told.append(server.log())
            server.start()
            assert ended(client, last)["status"] == "finished"
        assert not (server.data / "atelier.db").exists()
        for each in (*told, server.log()):
            assert PASSWORD not in each
            assert ADDRESS_PASSWORD not in each
            assert "Traceback" not in each, each[each.index("Traceback") - 500 :][:5000]
    finally:
        server.stop()

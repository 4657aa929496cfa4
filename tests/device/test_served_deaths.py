"""A real server that is killed, or its device's process, while programs wait for pictures."""

import os
import signal
import sys
import time

import httpx
import psutil
import pytest
from browser.live_server import LiveServer

from benchmarks import kills

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform == "win32", reason="needs signals"),
]
PICTURE = {"prompt": "a red apple", "steps": 4, "width": 64, "height": 64, "seed": 5}
PATH = "/sdapi/v1/txt2img"


def device_of(client: httpx.Client, server: LiveServer) -> psutil.Process:
    """The process of the server's device, once it can work."""
    until = time.monotonic() + 120
    while client.get("/ready").status_code != 200:
        assert time.monotonic() < until
        time.sleep(0.1)
    (device,) = psutil.Process(server._process.pid).children()
    return device


def has_torch(process: psutil.Process) -> bool:
    return any("libtorch" in each.path for each in process.memory_maps())


def test_a_client_only_sees_a_delay(tmp_path):
    server = LiveServer(tmp_path).start()
    try:
        with httpx.Client(base_url=server.url, timeout=180) as client:
            device = device_of(client, server)
            first = client.post(PATH, json=PICTURE).json()["images"]
            assert has_torch(device)
            assert not has_torch(psutil.Process(server._process.pid))
            device.send_signal(signal.SIGKILL)
            device.wait(10)
            assert client.get("/health").status_code == 200
            assert client.get("/status").status_code == 200
            assert client.get("/ready").json() == {
                "waits_for": ["the device's process is being begun again"]
            }
            assert client.post(PATH, json=PICTURE).json()["images"] == first
            assert device_of(client, server).pid != device.pid
            told = client.get("/metrics").text
            assert 'atelier_device_restarts_total{device="cpu (0)",why="SIGKILL"} 1.0' in told
        assert "Traceback" not in server.log()
    finally:
        server.stop()


def test_nothing_is_lost_when_the_server_is_killed():
    found = kills.run(int(os.environ.get("KILLS", "2")), seed=1)
    assert found.accepted >= 8
    assert found.lost == found.open == found.without_reason == []
    assert found.without_file == found.without_row == []
    assert found.damaged == []
    assert found.pictures > 0
    assert set(found.ends) <= {"finished", "failed"}

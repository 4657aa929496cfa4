"""What AUTOMATIC1111's API costs above the engine, and memory over many calls of it.

API_CALLS: how many calls the memory is measured over, 500 by default. API_ROUNDS: how many pictures
each way makes for the cost, 40.
"""

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path

import psutil

from benchmarks.figure import Figure
from studio.requests import GenerationRequest
from studio.services import Services, build_services
from studio.settings import Settings

_ROUNDS = int(os.environ.get("API_ROUNDS", "40"))
_CALLS = int(os.environ.get("API_CALLS", "500"))
_WARM = 3
_SETTLED = 50
"""Calls after which memory is what it stays at, as for pictures made without the API."""
_SIDE, _STEPS = 64, 4
_APP = Path(__file__).resolve().parents[1] / "app.py"


def measure() -> list[Figure]:
    """Seconds that the API adds to a picture, and the growth of its server's memory."""
    with tempfile.TemporaryDirectory() as folder:
        return [*_cost(Path(folder) / "cost"), *_memory(Path(folder) / "memory")]


def _cost(folder: Path) -> list[Figure]:
    """The same picture by a call over the network and by a job in the caller's thread, in turn.

    Both in one process, so that both share its caches and its noise; both save the picture.
    """
    services = build_services(Settings(data_dir=folder, device="cpu", dtype="float32"))
    try:
        with _Served(services) as url:
            seconds: dict[str, list[float]] = {"engine": [], "API": []}
            for seed in range(_ROUNDS + _WARM):
                for name, make in (("engine", _by_engine), ("API", _by_api)):
                    start = time.perf_counter()
                    make(services, url, seed)
                    if seed >= _WARM:
                        seconds[name].append(time.perf_counter() - start)
    finally:
        services.stop()
    added = [
        1000 * (api - engine) for api, engine in zip(seconds["API"], seconds["engine"], strict=True)
    ]
    spread = f"median of {len(added)} rounds, {min(added):.1f} to {max(added):.1f}"
    return [
        Figure("milliseconds a picture, engine", 1000 * statistics.median(seconds["engine"]), "ms"),
        Figure("milliseconds a picture, API", 1000 * statistics.median(seconds["API"]), "ms"),
        Figure("milliseconds that the API adds", statistics.median(added), "ms", 15, spread),
    ]


class _Served:
    """The whole application on a free port, in a thread of this process."""

    def __init__(self, services: Services):
        import socket
        import threading

        import uvicorn

        from tabs.page import build_app

        self._socket = socket.socket()
        self._socket.bind(("127.0.0.1", 0))
        config = uvicorn.Config(build_app(services), log_level="warning")
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(target=self._server.run, args=([self._socket],))

    def __enter__(self) -> str:
        self._thread.start()
        while not self._server.started:
            time.sleep(0.05)
        return f"http://127.0.0.1:{self._socket.getsockname()[1]}"

    def __exit__(self, *_: object) -> None:
        self._server.should_exit = True
        self._thread.join()
        self._socket.close()


def _by_engine(services: Services, url: str, seed: int) -> None:
    services.run_now(
        GenerationRequest(
            prompt="a red apple",
            sampler="Euler",
            steps=_STEPS,
            width=_SIDE,
            height=_SIDE,
            cfg_scale=7,
            seed=seed,
            preview_every=0,
        )
    )


def _by_api(services: Services, url: str, seed: int) -> None:
    call(url, seed)


def call(url: str, seed: int) -> bytes:
    """One call of txt2img; the answer's bytes."""
    body = {"prompt": "a red apple", "steps": _STEPS, "width": _SIDE, "height": _SIDE, "seed": seed}
    request = urllib.request.Request(
        f"{url}/sdapi/v1/txt2img", json.dumps(body).encode(), {"Content-Type": "application/json"}
    )
    with urllib.request.urlopen(request, timeout=600) as answer:
        read: bytes = answer.read()
    return read


def _memory(folder: Path) -> list[Figure]:
    """Resident memory of a server of its own after so many calls, by that after the first ones."""
    command = [sys.executable, str(_APP), "serve", "--port", "0", "--data-dir", str(folder)]
    with subprocess.Popen(
        [*command, "--device", "cpu"], stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        url = process.stdout.readline().split()[3]
        resident = {}
        try:
            for number in range(1, _CALLS + 1):
                call(url, number)
                if number in (min(_SETTLED, max(1, _CALLS // 2)), _CALLS):
                    resident[number] = _resident(psutil.Process(process.pid))
        finally:
            process.terminate()
            process.wait(60)
    (_, first), (calls, last) = resident.items()
    growth = 100 * (last / first - 1)
    return [
        Figure(f"memory after {calls} calls of the API", last / 1e6, "MB"),
        Figure(f"memory growth over {calls} calls of the API", growth, "%", 3),
    ]


def _resident(server: psutil.Process) -> int:
    """Bytes that a server and its device's process have in main memory."""
    return sum(each.memory_info().rss for each in (server, *server.children()))

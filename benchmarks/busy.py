"""How soon the server answers while its device makes pictures.

BUSY_CALLS: how often each is asked, 200 by default. What the page asks for all the time is
measured, and one of its actions: the choice of a model, as a browser sends it through Gradio's
queue.
"""

import json
import os
import statistics
import tempfile
import threading
import time
import urllib.request
import uuid
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from benchmarks.figure import Figure
from benchmarks.served import Served

_CALLS = int(os.environ.get("BUSY_CALLS", "200"))
_LIMIT = 300
_LONG = {"prompt": "a red apple", "steps": 50, "n_iter": 100, "force_task_id": "busy"}


def measure() -> list[Figure]:
    """Milliseconds of each call at the 95th percentile."""
    with tempfile.TemporaryDirectory() as folder:
        served = Served(Path(folder) / "data")
        served.start()
        try:
            threading.Thread(target=_paint, args=(served,), daemon=True).start()
            _wait_until_busy(served)
            calls: dict[str, Callable[[], object]] = {
                "/health": lambda: served.get("/health"),
                "/status": lambda: served.get("/status"),
                "progress of a job": lambda: served.get("/sdapi/v1/progress?id_task=busy"),
                "the choice of a model": _ModelChoice(served),
            }
            return [_timed(name, call) for name, call in calls.items()]
        finally:
            served.post("/sdapi/v1/interrupt?id_task=busy", {})
            served.end()


def _timed(name: str, call: Callable[[], object]) -> Figure:
    call()  # what the first one has to do is not what people wait for all day
    milliseconds = []
    for _ in range(_CALLS):
        start = time.perf_counter()
        call()
        milliseconds.append(1000 * (time.perf_counter() - start))
    quantile = statistics.quantiles(milliseconds, n=20)[-1]
    note = f"median {statistics.median(milliseconds):.0f}, longest {max(milliseconds):.0f}"
    return Figure(f"{name} while the device is busy, 95%", quantile, "ms", _LIMIT, note)


def _paint(served: Served) -> None:
    with suppress(OSError):
        served.post("/sdapi/v1/txt2img", _LONG)


def _wait_until_busy(served: Served) -> None:
    until = time.monotonic() + 600
    while not served.get("/sdapi/v1/progress?id_task=busy")["state"]["sampling_step"]:
        if time.monotonic() > until:
            raise TimeoutError(f"No picture was begun: {served.log()[-2000:]}")
        time.sleep(0.2)


class _ModelChoice:
    """One action of one open page: its handler looks the model up and answers with its settings."""

    def __init__(self, served: Served):
        self._served = served
        self._session = uuid.uuid4().hex
        config = served.get("/config")
        (self._model,) = [
            each for each in config["components"] if each["props"].get("elem_id") == "at-model"
        ]
        self._action = next(
            each["id"]
            for each in config["dependencies"]
            if each["targets"] == [[self._model["id"], "input"]]
        )

    def __call__(self) -> None:
        """Send it and wait for what comes back."""
        asked: dict[str, Any] = {
            "data": [self._model["props"]["value"]],
            "fn_index": self._action,
            "session_hash": self._session,
        }
        self._served.post("/gradio_api/queue/join", asked)
        address = f"{self._served.url}/gradio_api/queue/data?session_hash={self._session}"
        with urllib.request.urlopen(address, timeout=60) as stream:
            for line in stream:
                told = json.loads(line[5:]) if line.startswith(b"data:") else {}
                if told.get("msg") == "process_completed":
                    assert told["success"], told
                    return
        raise RuntimeError("The page's action was not answered.")

"""A server that is killed in the middle of a real job, and the next start on its data folder."""

import os
import signal
import subprocess
import sys
from itertools import islice
from pathlib import Path

import pytest
import torch
from PIL import Image

from studio.errors import StorageError
from studio.events import Finished, Saved, Status
from studio.services import build_services
from studio.settings import Settings

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
WAIT = 60.0


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "data"


def killed_in_mid_job(folder: Path) -> tuple[str, str, list[int], str]:
    """Run a server until it has made some pictures of many and kill it.

    Returns the ids of the running and of the waiting job, the pictures it told of and its log.
    """
    command = [sys.executable, str(HERE / "server_to_kill.py"), str(folder)]
    server = subprocess.Popen(
        command,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        _, long, short = server.stdout.readline().split()
        saved = [int(server.stdout.readline().split()[1]) for _ in range(3)]
        with pytest.raises(StorageError, match="in use by another Atelier"):
            second_server(folder)
    finally:
        server.send_signal(signal.SIGKILL)
        rest, log = server.communicate(timeout=WAIT)
    saved += [int(line.split()[1]) for line in rest.splitlines() if line.startswith("saved")]
    assert server.returncode == -signal.SIGKILL
    return long, short, saved, log


def second_server(folder: Path) -> None:
    services = build_services(Settings(data_dir=folder, device="cpu", dtype="float32"))
    try:
        services.acquire()
    finally:
        services.stop()


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="needs SIGKILL")
def test_a_killed_server(folder):
    long, short, saved, log = killed_in_mid_job(folder)
    assert len(saved) < 100, "it was killed in the middle"
    assert log == "", "loading and making pictures fills no log"
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    services = build_services(Settings(data_dir=folder, device="cpu", dtype="float32"))
    try:
        assert services.queue.get(long).status is Status.RUNNING
        services.acquire()
        services.start()

        row = services.queue.get(long)
        assert (row.status, row.losses) == (Status.RUNNING, 1), "it is begun again"
        outputs = services.queue.outputs(long)
        assert set(saved) <= set(outputs), "every picture that was told of is kept"
        assert len(outputs) <= len(saved) + 1
        for output_id in outputs:
            with Image.open(services.outputs.path(output_id)) as image:
                image.load()
                assert image.size == (64, 64)
        told = services.queue.follow(long, heartbeat=WAIT)
        again = (event.output_id for event in told if isinstance(event, Saved))
        assert tuple(islice(again, len(outputs))) == outputs, "none of them is kept a second time"
        services.queue.cancel(long)

        events = list(services.queue.follow(short, heartbeat=WAIT))
        assert None not in events
        assert isinstance(events[-1], Finished)
        assert services.queue.get(short).status is Status.FINISHED
        (last,) = services.queue.outputs(short)
        outputs = services.queue.outputs(long)
        first = min(outputs)
        paths = [services.outputs.path(output_id) for output_id in (first, last)]
        with Image.open(paths[0]) as before, Image.open(paths[1]) as after:
            assert before.tobytes() == after.tobytes(), "the same request, the same pixels"
        assert services.outputs.page(0, 200).total == len(outputs) + 1
        assert services.queue.get(long).status is Status.CANCELLED
        assert services.queue.line().running == services.queue.line().waiting == 0
    finally:
        services.stop()
        torch.set_num_threads(threads)

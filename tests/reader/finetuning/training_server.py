"""Run by test_job.py: a server without a page that trains a reader until it is killed or stopped.

Its arguments: the data folder and the request as JSON; with "stop" as a third it stops in order
when its standard input is closed.
"""

import sys
import threading
from pathlib import Path

from studio.events import Measured
from studio.reader_requests import FinetuneRequest
from studio.services import Services, build_services
from studio.settings import Settings


def main(folder: Path, request: str, *orders: str) -> None:
    services = build_services(Settings(data_dir=folder, device="cpu", dtype="float32"))
    services.acquire()
    job = services.queue.submit(FinetuneRequest.model_validate_json(request))
    print("job", job, flush=True)
    if orders:
        threading.Thread(target=stop, args=(services,), daemon=True).start()
    services.trainer.start()
    for event in services.queue.follow(job):
        if isinstance(event, Measured):
            print("step", event.step, flush=True)


def stop(services: Services) -> None:
    sys.stdin.read()
    services.trainer.stop()
    print("stopped", flush=True)
    sys.stdout.flush()
    import os

    os._exit(0)


if __name__ == "__main__":
    main(Path(sys.argv[1]), *sys.argv[2:])

"""Run by test_outliving.py: a server without a page that trains until it is killed or stopped.

Its arguments: the data folder, the request as JSON, and what Python is told to do for a run. It
stops in order when its standard input is closed.
"""

import os
import sys
import threading
from pathlib import Path

from studio.events import Measured
from studio.services import Services, build_services
from studio.settings import Settings
from studio.training_requests import TrainRequest


def main(folder: Path, request: str, *program: str) -> None:
    settings = Settings(data_dir=folder, device="cpu", dtype="float32")
    services = build_services(settings, training_program=program)
    services.acquire()
    job = services.queue.submit(TrainRequest.model_validate_json(request))
    print("job", job, flush=True)
    threading.Thread(target=stop, args=(services,), daemon=True).start()
    services.training.adopt()
    services.trainer.start()
    for event in services.queue.follow(job):
        if isinstance(event, Measured):
            print("step", event.step, flush=True)


def stop(services: Services) -> None:
    sys.stdin.read()
    services.trainer.stop()
    print("stopped", flush=True)
    sys.stdout.flush()
    os._exit(0)


if __name__ == "__main__":
    main(Path(sys.argv[1]), *sys.argv[2:])

"""Run by test_killed_server.py: a server without a page, which makes pictures until it is killed.

Submits a long job and a short one to real services and says which they are, then every picture.
"""

import sys
from pathlib import Path

import torch

from studio.events import Saved
from studio.requests import GenerationRequest
from studio.services import build_services
from studio.settings import Settings


def main(folder: Path) -> None:
    torch.set_num_threads(1)
    services = build_services(Settings(data_dir=folder, device="cpu", dtype="float32"))
    services.acquire()
    small = {"prompt": "a red apple", "steps": 2, "width": 64, "height": 64, "seed": 5}
    long = services.queue.submit(GenerationRequest(**small, batch_count=100))
    short = services.queue.submit(GenerationRequest(**small))
    print("jobs", long, short, flush=True)
    services.start()
    for event in services.queue.follow(long):
        if isinstance(event, Saved):
            print("saved", event.output_id, flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
